"""Contrastive losses of two encodings of the same pictures, as pure functions without base or language.

Source: Lee et al., Image-free Domain Generalization via CLIP for 3D Hand Pose Estimation, WACV 2023, section 3.4.
Letters here: B samples, E width of an encoding.

As printed, equation 4 is ``d⁺ − max(0.5, d⁻)``. This has no lower bound, because d⁻ can grow without limit, and
negatives nearer than 0.5 get no gradient. ``clamped`` is the margin loss that is evidently meant, and the default.
``paper`` is kept as printed.

Encodings of 128 dimensions lie at L1 distances of about 50 from each other, so against a margin of 0.5 no negative ever
counts. By default encodings have length 1, and the margin is measured in the batch's own mean distance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from lvtune.core.errors import TrainingError

Form = Literal["clamped", "paper", "triplet", "ntxent"]
Reduce = Literal["sum", "mean"]
MarginScale = Literal["batch", "constant"]
MARGIN, TEMPERATURE = 0.5, 0.5
"""Published margin, and the temperature of ``ntxent``."""
MARGINS: dict[str, float] = {"batch": 1.0, "constant": MARGIN}
"""Default margin by its scale."""


@dataclass(frozen=True)
class Contrast:
    """What a contrast computes of a batch."""

    loss: Tensor
    """A scalar in float32."""
    active: Tensor | None
    """Share of the batch's negatives that the loss moves, a scalar without gradient; None: of ntxent, which has no
    margin."""


def farthest(predicted: Tensor, true: Tensor) -> Tensor:
    """Finds for each sample the other sample whose true heatmaps are farthest from its predicted ones.

    Args:
        predicted: (B, K, h, w).
        true: (B, K, h, w).

    Returns:
        (B,) indices, never a sample's own.

    Raises:
        TrainingError: a batch of one picture, which has no negative.
    """
    if len(predicted) < 2:
        raise TrainingError(
            "a contrast within a batch of one picture", "at least two pictures, so that each has a negative",
            "raise --train.batch-size (per process, where there are several)",
        )  # fmt: skip
    with torch.no_grad(), torch.autocast(predicted.device.type, enabled=False):
        distance = torch.cdist(predicted.flatten(1).float(), true.flatten(1).float())  # (B, B)
        return distance.fill_diagonal_(-torch.inf).argmax(1)


def l1(a: Tensor, b: Tensor, reduce: Reduce = "sum") -> Tensor:
    """L1 distance of each row, (B, E), (B, E) -> (B,); ``mean`` divides it by E."""
    difference = (a.float() - b.float()).abs()
    return difference.sum(-1) if reduce == "sum" else difference.mean(-1)


def _clamped(near: Tensor, far: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    return near + (margin - far).clamp(min=0), far < margin


def _paper(near: Tensor, far: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    return near - far.clamp(min=margin), far > margin


def _triplet(near: Tensor, far: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    found = near - far + margin
    return found.clamp(min=0), found > 0


MARGIN_FORMS: dict[str, Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]] = {
    "clamped": _clamped,
    "paper": _paper,
    "triplet": _triplet,
}
"""Name to (d⁺ (B,), d⁻ (B,), margin) -> loss (B,), and whether the negative gets a gradient (B,)."""


def mean_distance(encodings: Tensor, reduce: Reduce = "sum") -> Tensor:
    """Mean L1 distance of the pairs of a batch (B, E), a scalar without gradient; B is at least 2."""
    with torch.no_grad():
        distance = torch.cdist(encodings.float(), encodings.float(), p=1)
        count = len(encodings)
        return distance.sum() / (count * (count - 1)) / (encodings.shape[1] if reduce == "mean" else 1)


def nt_xent(anchor: Tensor, positive: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """SimCLR's loss (arXiv 2002.05709, equation 1): each of the 2B encodings must find its partner among the others.

    Args:
        anchor: (B, E).
        positive: (B, E), the partners.
        temperature: τ, divides the cosines.

    Returns:
        A scalar, the mean over all 2B.
    """
    both = F.normalize(torch.cat([anchor, positive]).float(), dim=-1)
    cosines = (both @ both.T / temperature).masked_fill(torch.eye(len(both), dtype=torch.bool, device=both.device),
                                                        -torch.inf)  # fmt: skip
    partner = torch.arange(len(both), device=both.device).roll(len(anchor))
    return F.cross_entropy(cosines, partner)


def contrastive(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    form: Form = "clamped",
    margin: float | None = None,
    margin_scale: MarginScale = "batch",
    temperature: float = TEMPERATURE,
    reduce: Reduce = "sum",
    normalize: bool = True,
) -> Contrast:
    """The contrastive loss of a batch, and the share of its negatives that count.

    Args:
        anchor: (B, E), e1'.
        positive: (B, E), e2'.
        negative: (B,) index of each anchor's negative among the anchors, see :func:`farthest`.
        form: d⁺ + max(0, m − d⁻) ``clamped``; d⁺ − max(m, d⁻) ``paper``; max(0, d⁺ − d⁻ + m) ``triplet``;
            :func:`nt_xent` ``ntxent``, whose negatives are all others of the batch.
        margin: m, of the first three; None: that of its scale in :data:`MARGINS`.
        margin_scale: ``batch``: distances are divided by the mean distance of the batch's anchors, so that m is in
            units of it; ``constant``: distances as they are.
        temperature: τ, of the last.
        reduce: d⁺ and d⁻ are L1 distances, over the E dimensions added up or averaged.
        normalize: encodings to length 1 first.

    Raises:
        LvtuneError: no such form.
    """
    if form not in get_args(Form):
        raise TrainingError(f"contrast of form '{form}'", f"one of {', '.join(get_args(Form))}", "choose clamped")
    if normalize:
        anchor, positive = F.normalize(anchor.float(), dim=-1), F.normalize(positive.float(), dim=-1)
    if form == "ntxent":
        return Contrast(nt_xent(anchor, positive, temperature), None)
    near, far = l1(anchor, positive, reduce), l1(anchor, anchor[negative], reduce)
    if margin_scale == "batch":
        unit = mean_distance(anchor, reduce).clamp(min=1e-6)
        near, far = near / unit, far / unit
    loss, active = MARGIN_FORMS[form](near, far, MARGINS[margin_scale] if margin is None else margin)
    return Contrast(loss.mean(), active.float().mean().detach())
