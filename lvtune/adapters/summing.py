"""Exact sums of adapters of one method: of linear tensors, and of low-rank products.

Task arithmetic (arXiv 2212.04089): θ₀ is the base and θᵢ the base under adapter i; the sum is θ₀ + Σ wᵢ (θᵢ − θ₀). A
weighted average is the case Σ wᵢ = 1. Low-rank differences B A are not summed factor by factor, since a product of
means is not the mean of the products. Their ranks are put side by side, which is exact. The best approximation of a
smaller rank comes from a singular value decomposition (Eckart and Young, 1936), as in peft's ``add_weighted_adapter``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.core.errors import UsageError
from lvtune.core.snapshot import snapshot

if TYPE_CHECKING:
    from lvtune.adapters.adapter import Adapter
    from lvtune.bases.base import Base
    from lvtune.language.bank import SentenceBank

Tensors = Mapping[str, Tensor]
A = TypeVar("A", bound="Adapter")


def linear_sum(several: Sequence[Tensors], weights: Sequence[float], origin: Tensors) -> dict[str, Tensor]:
    """Computes θ₀ + Σ wᵢ (θᵢ − θ₀), tensor by tensor, in float32; counters (whole numbers) are taken from the first.

    Args:
        several: θᵢ.
        weights: wᵢ.
        origin: θ₀, the same tensors of the unchanged base.

    Raises:
        UsageError: the variances of a BatchNorm come out negative.
    """
    rest, found = 1 - sum(weights), {}
    for name, start in origin.items():
        if not start.is_floating_point():
            found[name] = several[0][name].clone()
            continue
        terms = [w * tensors[name].float().to(start.device) for w, tensors in zip(weights, several, strict=True)]
        total = sum(terms, torch.zeros_like(start, dtype=torch.float32))
        total = total if abs(rest) < 1e-12 else total + rest * start.float()
        if name.endswith("running_var") and (total < 0).any():
            raise UsageError(
                f"a sum in which the variances {name} of a BatchNorm come out negative",
                "statistics that no adapter has changed, or positive weights",
                "average instead, or tune with freeze_batchnorm true",
            )  # fmt: skip
        found[name] = total.to(start.dtype)
    return found


def sum_of_linear(adapters: Sequence[A], weights: Sequence[float], base: Base) -> A:
    """Sums adapters of a method whose changed weights are linear in its tensors; a new adapter is the origin.

    Raises:
        UsageError: the configs differ.
    """
    first = adapters[0]
    same_options(adapters)
    total = fresh(first, first.config, base)
    total.load_tensors(linear_sum([a.tensors() for a in adapters], weights, total.tensors()))
    return total


def fresh(like: A, config: Any, base: Base) -> A:
    """Makes an untuned adapter of the same method, sentences and key points; the global random state is kept."""
    with torch.random.fork_rng(devices=[]):
        return type(like)(config, base, bank=like.bank, skeleton=like.skeleton).to(dtype=base.adapter_dtype)


def sum_predictors(predictors: Sequence[nn.Module | None], weights: Sequence[float], into: nn.Module | None) -> None:
    """Writes the sum of predictors into a new one; None stands for the base's own, which the new one is a copy of."""
    if into is not None:
        origin = snapshot(into)
        several = [origin if one is None else one.state_dict() for one in predictors]
        into.load_state_dict(linear_sum(several, weights, origin))


def side_by_side(
    pairs: Sequence[tuple[Tensor, Tensor]], scales: Sequence[float], rank: int | None = None
) -> tuple[Tensor, Tensor]:
    """Returns Σ sᵢ Bᵢ Aᵢ as one product B A.

    Args:
        pairs: (Aᵢ (rᵢ, D), Bᵢ (D', rᵢ)).
        scales: sᵢ.
        rank: of the result, which is then the best approximation; None: Σ rᵢ, exact.

    Returns:
        A (r, D), B (D', r), float32.
    """
    down = torch.cat([a.detach().float() for a, _ in pairs])
    up = torch.cat([s * b.detach().float() for (_, b), s in zip(pairs, scales, strict=True)], dim=1)
    return (down, up) if rank is None or rank >= len(down) else _truncated(down, up, rank)


def _truncated(down: Tensor, up: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Returns the best approximation of B A of a rank; only matrices of the small rank are decomposed."""
    left, r_left = torch.linalg.qr(up)
    right, r_right = torch.linalg.qr(down.T)
    u, s, vh = torch.linalg.svd(r_left @ r_right.T)
    kept = min(rank, len(s))
    root = s[:kept].sqrt()
    a, b = root[:, None] * vh[:kept] @ right.T, left @ u[:, :kept] * root
    return F.pad(a, (0, 0, 0, rank - kept)), F.pad(b, (0, rank - kept))


def same_options(adapters: Sequence[Any], free: Sequence[str] = ()) -> None:
    """Checks that adapters have the same options, except those in ``free``.

    Raises:
        UsageError: they differ; the error names the first option.
    """
    from lvtune.config.schema import hints_of, show

    for name in hints_of(type(adapters[0].config)):
        values = [getattr(adapter.config, name) for adapter in adapters]
        if name not in free and any(value != values[0] for value in values):
            other = next(value for value in values if value != values[0])
            raise UsageError(
                f"adapters of {adapters[0].method} with {name} {show(values[0])} and {show(other)}",
                "adapters tuned with the same options",
                "stack them (lvtune.stack, lvtune combine --how stack), or tune them alike",
            )  # fmt: skip


def read_alike(one: SentenceBank, other: SentenceBank) -> bool:
    """Returns True if two banks hold the same sentences under the same categories, embedded alike."""
    facts = [(bank.categories, bank.sentences, bank.encoder) for bank in (one, other)]
    return one is other or (facts[0] == facts[1] and torch.equal(one.tokens.cpu(), other.tokens.cpu()))


def same_sentences(adapters: Sequence[Any]) -> None:
    """Checks that adapters that read sentences read the same ones.

    Raises:
        UsageError: they do not.
    """
    banks = [adapter.bank for adapter in adapters if adapter.bank is not None]
    for bank in banks[1:]:
        first = banks[0]
        if not read_alike(first, bank):
            raise UsageError(
                f"adapters that read different sentences ({', '.join(first.categories[:3])} … by {first.encoder}, and "
                f"{', '.join(bank.categories[:3])} … by {bank.encoder})",
                "adapters that read the same sentences, since one category is chosen for all",
                "fix each one's sentence first (lvtune.fix_sentence), or attach both and choose one per picture",
            )  # fmt: skip


def no_sum(method: str) -> UsageError:
    """Returns the error for a method whose adapters do not add up."""
    from lvtune.adapters.method_registry import METHODS

    able = [name for name in METHODS.names() if METHODS.get(name).adds_up()]
    return UsageError(
        f"a sum of adapters of {method}, whose changed weights are not linear in its tensors",
        f"a method whose adapters add up: {', '.join(able)}",
        "stack them (lvtune.stack, lvtune combine --how stack), or attach all and choose one per picture",
    )


def exact_only(method: str, rank: int | None) -> None:
    """Checks that no rank is given for a method whose sum has none.

    Raises:
        UsageError: a rank is given.
    """
    if rank is not None:
        raise UsageError(f"rank {rank} for a sum of {method}", "no rank, where the sum has none", "leave rank out")
