"""A few pictures are soon learnt by heart: does tuning on some of them help the others?

No validation pictures are needed. Half of the pictures are tuned on and the other half scored, then the other way
round; scored are the frozen start, the tuned weights, and points on the way between them (as in WiSE-FT, arXiv
2109.01903). What is best there is how much of the change is kept of the weights tuned on all pictures; where nothing
is better than the start by more than chance, nothing is kept, so that the base's own answers stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lvtune.data.dataset import collate
from lvtune.data.subset import Subset, nested_order
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.training.loop import tune

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.config.options import TrainOptions

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of the change may be kept."""
LEAST_PICTURES = 4


@dataclass(frozen=True)
class GuardResult:
    """What the check found."""

    share: float
    """Of the change that is kept."""
    losses: dict[float, float]
    """Share to mean loss of pictures that were not tuned on."""
    chance: float
    """Standard error of the best one's gain over the start."""

    def note(self) -> str:
        """For reports."""
        start, best = self.losses[0.0], min(self.losses.values())
        found = f"loss on pictures kept out {start:.3g} before, {best:.3g} at best"
        if not self.share:
            return f"few pictures; tuning on half of them did not help the other half ({found}): nothing of it is kept"
        return f"few pictures: {self.share:.0%} of the change is kept ({found})"


def choose_share(
    base: Base,
    adapter: nn.Module,
    data: Dataset,
    objective: Callable[[Base, dict], Tensor],
    options: TrainOptions,
    *,
    plain: Dataset,
    judge: Callable[[Base, dict], Tensor],
    pictures: Sequence[str],
    kinds: Sequence[str],
    seed: int = 0,
    device: str = "auto",
) -> GuardResult:
    """How much of the change that tuning makes is worth keeping; the adapter is left as it was.

    Args:
        base: stays as it is.
        adapter: as created.
        data: samples to tune on.
        objective: that is tuned by; what it trains along is left as it was too.
        options: of the tuning, resolved.
        plain: the samples without augmentation.
        judge: loss of a batch of one, by which pictures kept out are scored.
        pictures: of each sample; samples of one picture are kept out together.
        kinds: of each sample; both halves get each kind alike.
        seed: of the halves and the tuning.
        device: see :func:`lvtune.training.loop.tune`.
    """
    whole = {share: torch.zeros(len(pictures)) for share in SHARES}
    start, trained = _copy(adapter), getattr(objective, "trained", None)
    beside = None if trained is None else _copy(trained)
    for half in _halves(pictures, kinds, seed):
        kept_out = [i for i in range(len(pictures)) if i not in half]
        tune(base, adapter, Subset(data, sorted(half)), objective, options, seed=seed, device=device)
        end = _copy(adapter)
        for share in SHARES:
            adapter.load_state_dict(between(start, end, share))
            losses = losses_of(base, adapter, Subset(plain, kept_out), judge)
            whole[share][kept_out] = losses
        adapter.load_state_dict(start)
        if trained is not None:
            trained.load_state_dict(beside)
    return _decide(whole)


def keep_share(adapter: nn.Module, start: dict[str, Tensor], share: float) -> None:
    """Takes the weights back towards ``start``, a state dict; 0 is there, 1 stays."""
    if share < 1:
        adapter.load_state_dict(between(start, adapter.state_dict(), share))


def between(start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights ``share`` of the way; the ends themselves are exact, and numbers that are not fractions are the end's."""
    if share in (0.0, 1.0):
        return start if share == 0 else end
    mixed = {n: torch.lerp(v, end[n], share) if v.is_floating_point() else end[n] for n, v in start.items()}
    return {name: value.to(end[name].dtype) for name, value in mixed.items()}


def _copy(module: nn.Module) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _halves(pictures: Sequence[str], kinds: Sequence[str], seed: int) -> list[set[int]]:
    """Samples of either half of the pictures; each kind lies in both halves as far as it can."""
    first = {name: i for i, name in reversed(list(enumerate(pictures)))}
    names = list(first)
    order = nested_order(names, [kinds[first[name]] for name in names], seed)
    # within a kind every other picture: sorted by kind, so that neighbours are alike
    by_kind = sorted(order, key=lambda i: kinds[first[names[i]]])
    one = {names[i] for i in by_kind[::2]}
    inside = {i for i, name in enumerate(pictures) if name in one}
    return [inside, set(range(len(pictures))) - inside]


@torch.no_grad()
def losses_of(base: Base, adapter: nn.Module, data: Dataset, judge: Callable[[Base, dict], Tensor]) -> Tensor:
    """(N,) loss of each sample, with the adapter on."""
    found = []
    adapter.eval()
    with attach(base, adapter, name="guarded"), use_adapter(base, "guarded"):
        for batch in DataLoader(data, batch_size=1, collate_fn=collate):
            here = {k: v.to(base.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
            found.append(float(judge(base, here)))
    return torch.tensor(found)


def _decide(losses: dict[float, Tensor]) -> GuardResult:
    means = {share: float(values.mean()) for share, values in losses.items()}
    best = min(means, key=means.get)
    gains = losses[0.0] - losses[best]
    chance = float(gains.std() / max(1, len(gains)) ** 0.5) if len(gains) > 1 else 0.0
    return GuardResult(best if float(gains.mean()) > chance else 0.0, means, chance)
