"""Lets the sentence change the predictor, for domains whose labels contradict each other.

Where one picture has different labels under different sentences (two conventions of placing key points), only
the sentence can tell which are asked for. Differences of the encoder, or a relation behind a gate, learn this slowly:
the whole way from the sentence to a heatmap starts at zero (docs/language.md). Here the way is one step:

    heatmaps(e) = W f + Σᵢ (P e)ᵢ (Mᵢ f)

with f the predictor's input, W the trained predictor, P (k, text_dim), M (k, ...) k predictors that start at zero, and
e what distinguishes the sentence (:func:`lvtune.language.distinct.distinct`). The mean sentence is e = 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.bases.changes import Call, ReplaceForward
from lvtune.core.errors import UsageError
from lvtune.language.distinct import distinct

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.language.bank import SentenceBank

WIDTH = 16
"""k, the number of predictors that a sentence weighs."""
FOR_CONFLICTS = {"predictor_reads": True, "sentence_dropout": 0.0}
"""Options of the methods that have it, for domains whose labels contradict each other."""
LR_SCALE = 3.0
"""Factor on the learning rate of P and M, which start at nothing (measured; docs/language.md)."""


class SentencePredictor(nn.Module):
    """The part of the heatmaps that depends on the sentence.

    Args:
        bank: embedded sentences.
        predictor: of the adapter; its shapes are taken.
        dropout: share of training samples that read the mean sentence.
    """

    sentences: Tensor

    def __init__(self, bank: SentenceBank, predictor: nn.Conv2d, dropout: float) -> None:
        super().__init__()
        if bank.is_redrawn:
            raise UsageError(
                "a predictor that reads tokens that are drawn again at each call", "sentences, or fixed random tokens",
                "set --language.mode random, or --method.predictor_reads false",
            )  # fmt: skip
        self.bank, self.dropout = bank, dropout
        self.stride, self.padding = predictor.stride, predictor.padding
        self.text_proj = nn.Linear(bank.dim, WIDTH, bias=False)
        self.weight = nn.Parameter(torch.zeros(WIDTH, *predictor.weight.shape))  # (k, K, C, h, w)
        self.register_buffer("sentences", distinct(bank), persistent=False)  # (C + 1, text_dim)

    def read(self, categories: tuple[str | None, ...] | None, batch: int) -> Tensor:
        """Returns P e for each sample (B, k), or (1, k) for all.

        Args:
            categories: one per sample, one for all, or None: the mean sentence.
            batch: B.
        """
        mean = len(self.sentences) - 1
        asked = categories if categories is not None else (None,)
        rows = [mean if name is None else self.bank.index(name) for name in asked]
        index = torch.tensor(rows, device=self.sentences.device)
        if self.training and self.dropout:
            index = torch.where(torch.rand(batch, device=index.device) < self.dropout, mean, index)
        return self.text_proj(self.sentences[index])

    def forward(self, features: Tensor, categories: tuple[str | None, ...] | None) -> Tensor:
        """Returns what the sentence adds to the heatmaps (B, K, h, w), of the predictor's input (B, C, h, w)."""
        shares = self.read(categories, len(features))
        padding: Any = self.padding
        found = F.conv2d(features, self.weight.flatten(0, 1), stride=self.stride, padding=padding)
        return torch.einsum("bikhw,bi->bkhw", found.unflatten(1, self.weight.shape[:2]), shares.expand(len(found), -1))

    def difference(self, category: str | None) -> Tensor:
        """Returns Σᵢ (P e)ᵢ Mᵢ for one sentence, in the predictor's shape."""
        return torch.einsum("i,i...->...", self.read((category,), 1)[0], self.weight)


def make_sentence_predictor(
    bank: SentenceBank | None, predictor: nn.Conv2d, wanted: bool, dropout: float
) -> SentencePredictor | None:
    """Makes a :class:`SentencePredictor` where it is ``wanted``; None where not.

    Raises:
        UsageError: it is wanted, but the adapter reads no sentences.
    """
    if not wanted:
        return None
    if bank is None:
        raise UsageError(
            "a predictor that reads sentences in an adapter that reads none", "an adapter with language",
            "leave --method.predictor_reads out, or choose a decoder or width of language that reads sentences",
        )  # fmt: skip
    return SentencePredictor(bank, predictor, dropout)


def reading_predictor(base: Base, predictor: nn.Conv2d, reading: SentencePredictor) -> ReplaceForward:
    """Returns the change that puts ``predictor``, and what the sentence adds, in place of the base's own."""

    def compute(call: Call, features: Tensor) -> Tensor:
        return predictor(features) + reading(features, call.categories)

    def fold(own: Mapping[str, Tensor], category: str | None) -> dict[str, Tensor]:
        state = dict(predictor.state_dict())
        return state | {"weight": state["weight"] + reading.difference(category)}

    return ReplaceForward(base.predictor, compute, fold=fold)
