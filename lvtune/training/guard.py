"""A few pictures are soon learnt by heart: does tuning on some of them help the others?

No validation pictures are needed. A quarter of the pictures is kept out, and a short run is tuned on the others. The
start, the tuned weights, and points on the way between them (as in WiSE-FT, arXiv 2109.01903) are scored on the
pictures that were kept out. What is best there says how much of the change is kept of the weights tuned on all
pictures. Where nothing is better than the start by more than chance, nothing is kept, and the start's answers stay.
A predictor of new key points has no answers to protect yet: there the lower error decides, by chance or not.
The check takes at most a quarter of the whole run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lvtune.core.processes import gathered, share_of_this_process
from lvtune.core.snapshot import snapshot
from lvtune.core.work_progress import tracked
from lvtune.data.dataset import collate
from lvtune.data.subset import Subset, nested_order
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.training.loop import tune
from lvtune.training.optim import gentle_lr, number_of_steps

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.config.options import TrainOptions

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of the change may be kept."""
KEPT_OUT = 0.25
"""Share of the pictures that the check does not tune on."""
COST = 0.2
"""Steps of the check over those of the run; scoring comes on top."""
LEAST_STEPS = 20
"""Steps of the check at the least: fewer are all warm-up."""
LEAST_PICTURES = 4


@dataclass(frozen=True)
class GuardResult:
    """What the check found."""

    share: float
    """Of the change that is kept."""
    losses: dict[float, float]
    """Share to mean loss of pictures that were not tuned on, or what ``measure`` says."""
    chance: float
    """Gain over the start that chance alone reaches in one of twenty cases (one-sided t test on the samples)."""
    measure: str = "loss"
    """What ``losses`` are."""

    @property
    def found(self) -> str:
        """What was measured, in words."""
        start, best = self.losses[0.0], min(self.losses.values())
        return f"{self.measure} on pictures kept out: {start:.3g} before, {best:.3g} at best"

    def note(self) -> str:
        """For reports."""
        if not self.share:
            return f"few pictures; tuning on some of them did not help the others ({self.found}): nothing of it is kept"
        return f"few pictures: {self.share:.0%} of the change is kept ({self.found})"


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
    shares: Sequence[float] = SHARES,
    beyond_chance: bool = True,
    measure: str = "loss",
    seed: int = 0,
    device: str = "auto",
) -> GuardResult:
    """Finds how much of the change that tuning makes is worth keeping; the adapter is left as it was.

    Args:
        base: stays as it is.
        adapter: as created.
        data: samples to tune on.
        objective: that is tuned by; what it trains along is left as it was too.
        options: of the tuning, resolved.
        plain: the samples without augmentation.
        judge: loss or error of a batch of one, by which pictures kept out are scored.
        pictures: of each sample; samples of one picture are kept out together.
        kinds: of each sample; what is kept out has each kind alike.
        shares: how much of the change may be kept; with a new predictor all or nothing, since there is no answer on
            the way from none to one.
        beyond_chance: True: a gain that chance may have made is not kept; False: the lowest mean decides.
        measure: what ``judge`` gives, in words.
        seed: of the pictures kept out and of the tuning.
        device: see :func:`lvtune.training.loop.tune`.
    """
    start, trained = snapshot(adapter), getattr(objective, "trained", None)
    beside = None if trained is None else snapshot(trained)
    kept_out = _kept_out(pictures, kinds, seed)
    # samples keep their numbers: an objective may have encoded each picture under its number
    tuned_on = Subset(data, [i for i in range(len(pictures)) if i not in kept_out], renumber=False)
    short = short_run(options, len(pictures))
    tune(base, adapter, tuned_on, objective, short, seed=seed, device=device, label="checking that tuning helps")
    end = snapshot(adapter)
    losses = {}
    for share in shares:
        adapter.load_state_dict(between(start, end, share))
        losses[share] = losses_of(base, adapter, Subset(plain, sorted(kept_out)), judge)
    adapter.load_state_dict(start)
    if trained is not None:
        trained.load_state_dict(beside)
    return replace(_decide(losses, beyond_chance), measure=measure)


def short_run(options: TrainOptions, samples: int) -> TrainOptions:
    """Options of the check's run: that of the run on all ``samples`` in fewer steps, its rate suited to them."""
    short = replace(options, gentle=False, checkpoint_every=None, stop_after=None)
    if options.minutes is not None:
        return replace(short, minutes=options.minutes * COST)
    per_epoch = -(-samples // (options.batch_size or 1))
    steps = max(round(COST * number_of_steps(options, per_epoch)), LEAST_STEPS)
    is_gentle = options.gentle and options.steps is None
    lr = gentle_lr(options, per_epoch, steps) if is_gentle else options.lr
    return replace(short, epochs=None, steps=steps, lr=lr)


def keep_share(adapter: nn.Module, start: dict[str, Tensor], share: float) -> None:
    """Takes the weights back towards ``start``, a state dict; 0 is there, 1 stays."""
    if share < 1:
        adapter.load_state_dict(between(start, adapter.state_dict(), share))


def between(start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights ``share`` of the way; the ends themselves are exact, and numbers that are not fractions are the end's."""
    if share in (0.0, 1.0):
        return dict(start if share == 0 else end)
    mixed = {n: torch.lerp(v, end[n], share) if v.is_floating_point() else end[n] for n, v in start.items()}
    return {name: value.to(end[name].dtype) for name, value in mixed.items()}


def _kept_out(pictures: Sequence[str], kinds: Sequence[str], seed: int) -> set[int]:
    """Samples of the pictures that are kept out, drawn by the seed; each kind is among them as far as it can be."""
    first = {name: i for i, name in reversed(list(enumerate(pictures)))}
    names = list(first)
    order = nested_order(names, [kinds[first[name]] for name in names], seed)
    out = {names[i] for i in order[: max(1, round(KEPT_OUT * len(names)))]}
    return {i for i, name in enumerate(pictures) if name in out}


@torch.no_grad()
def losses_of(
    base: Base,
    adapter: nn.Module,
    data: Dataset,
    judge: Callable[[Base, dict], Tensor],
    label: str = "checking on pictures kept out",
) -> Tensor:
    """(N,) loss of each sample, with the adapter on; ``label`` is shown with the progress."""
    samples: Any = data
    adapter.eval()
    places, found = share_of_this_process(len(samples)), {}
    with attach(base, adapter, name="guarded"), use_adapter(base, "guarded"):
        loader = DataLoader(Subset(data, places), batch_size=1, collate_fn=collate)
        batches = tracked(loader, label, len(places))
        for place, batch in zip(places, batches, strict=True):
            here = {k: v.to(base.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
            found[place] = float(judge(base, here))
    return torch.tensor(gathered(found, len(samples)))


def _decide(losses: dict[float, Tensor], beyond_chance: bool = True) -> GuardResult:
    means = {share: float(values.mean()) for share, values in losses.items()}
    best = min(means, key=lambda share: means[share])
    gains = losses[0.0] - losses[best]
    count = len(gains)
    chance = float(gains.std() / count**0.5) * _sure(count - 1) if count > 1 else 0.0
    return GuardResult(best if float(gains.mean()) > (chance if beyond_chance else 0.0) else 0.0, means, chance)


def _sure(freedom: int) -> float:
    """95 % quantile of Student's t (expansion of Cornish and Fisher); within 6 % from two degrees of freedom on."""
    z = 1.6449
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
