"""What distinguishes the sentences of a bank from each other, as one vector for each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from lvtune.language.bank import SentenceBank


def distinct(bank: SentenceBank) -> Tensor:
    """Returns what distinguishes the sentences (C + 1, text_dim): pooled, minus their mean, of norm sqrt(text_dim).

    The last row is the mean sentence: zero. A single sentence is its own mean and is taken as it is.

    A sentence that was added after tuning (``bank.tuned``) is read by what it shares with the tuned ones: the mean is
    theirs, and of the rest only the part within the span of their differences is kept. The adapter has never seen
    another direction, so what it does there is chance: "a picture of a person" for "a photo of a human" would move the
    answer as far as what the sentence says.
    """
    weight = bank.mask[..., None].float()
    pooled = (bank.tokens.float() * weight).sum(1) / weight.sum(1).clamp(min=1)  # (C, text_dim)
    tuned = len(pooled) if bank.tuned is None else bank.tuned
    is_alone = tuned == 1
    centred = pooled if is_alone else pooled - pooled[:tuned].mean(0)
    if tuned < len(pooled) and not is_alone:
        basis = _span(centred[:tuned])
        centred = torch.cat([centred[:tuned], centred[tuned:] @ basis.T @ basis])
    apart = F.normalize(centred, dim=-1) * math.sqrt(pooled.shape[-1])
    return torch.cat([apart, apart[:1] if is_alone else torch.zeros_like(apart[:1])])


def _span(rows: Tensor) -> Tensor:
    """Returns an orthonormal basis (n, D) of the span of rows (C, D)."""
    _, sizes, directions = torch.linalg.svd(rows, full_matrices=False)
    return directions[sizes > 1e-4 * sizes[0].clamp(min=1e-12)]
