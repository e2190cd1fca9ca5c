"""Chooses the one sentence that an exported model reads: that of a category, or the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lvtune.adapters.factory import adopt
from lvtune.bases.base import as_base
from lvtune.core.errors import UsageError
from lvtune.language.bank import RANDOM, REDRAWN, SentenceBank, embed_sentences

if TYPE_CHECKING:
    from torch import nn

    from lvtune.adapters.adapter import Adapter
    from lvtune.bases.base import Base

OWN = "own-sentence"
"""Category of the user's own sentence."""
_PER_PICTURE = ("auto", "own", "shuffled")
"""Values of ``--category`` that choose a sentence for each picture, which an exported model cannot do."""


def resolve_sentence(
    base: nn.Module, adapter: Adapter | None, category: str | None, sentence: str | None
) -> tuple[Adapter | None, str | None]:
    """Returns the adapter to export, and the category that it reads for every picture; None for the mean.

    Args:
        base: the base that the adapter was made for.
        adapter: the adapter, or None for the bare base.
        category: category, ``mean``, or None for the mean.
        sentence: the user's own sentence, in place of a category's.

    Raises:
        LvtuneError: category and sentence are both given; or see :func:`with_sentence` and :func:`one_category`.
    """
    if sentence is None:
        return adapter, one_category(adapter, category)
    if category is not None:
        raise UsageError(f"category '{category}' and a sentence of your own", "one of the two", "leave one out")
    own = with_sentence(base, adapter, sentence)
    return own, one_category(own, OWN)


def with_sentence(base: nn.Module, adapter: Adapter | None, sentence: str) -> Adapter:
    """Returns a copy of an adapter that reads one more sentence, under the category :data:`OWN`.

    Args:
        base: the base that the adapter was made for.
        adapter: an adapter that reads sentences.
        sentence: the sentence; it is embedded by the adapter's text encoder.

    Raises:
        LvtuneError: the adapter reads no sentences, or random tokens; the text encoder cannot be loaded.
    """
    bank = None if adapter is None else adapter.bank
    if adapter is None or bank is None or bank.encoder in (RANDOM, REDRAWN):
        raise UsageError(
            f"the sentence '{sentence}' for {'a bare base' if adapter is None else adapter.method}, which reads none",
            "an adapter that reads sentences, such as vlpose", "leave --sentence out",
        )  # fmt: skip
    view = as_base(base)
    return reading_more(view, adapter, {OWN: sentence})


def reading_more(base: Base, adapter: Adapter, sentences: Mapping[str, str]) -> Adapter:
    """Returns a copy of an adapter that reads sentences that it was not tuned with, each under a new category.

    Args:
        base: the base that the adapter was made for.
        adapter: an adapter that reads sentences.
        sentences: category to sentence; embedded by the adapter's text encoder.

    Raises:
        LvtuneError: the adapter reads no sentences; the text encoder cannot be loaded.
    """
    if adapter.bank is None:
        raise UsageError(f"more sentences for {adapter.method}, which reads none",
                         "an adapter that reads sentences, such as vlpose", "add none")  # fmt: skip
    wider = _joined(adapter.bank, embed_sentences(sentences, adapter.bank.encoder))
    with torch.random.fork_rng(devices=[]):
        again = type(adapter)(adapter.config, base, bank=wider, skeleton=adapter.skeleton)
    again.load_tensors({name: value.cpu() for name, value in adapter.tensors().items()})
    adopt(again, base, adapter.domain, adapter.skeleton)
    return again.eval()


def _joined(bank: SentenceBank, more: SentenceBank) -> SentenceBank:
    """Returns two banks in one, the second bank's sentences as added ones; for a category in both, the second's."""
    kept = [i for i, name in enumerate(bank.categories) if name not in more.categories]
    tuned = len(bank.categories) if bank.tuned is None else bank.tuned
    length = max(bank.tokens.shape[1], more.tokens.shape[1])

    def pad(x: Tensor) -> Tensor:
        return torch.nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (0, length - x.shape[1]))

    return replace(
        bank,
        categories=(*(bank.categories[i] for i in kept), *more.categories),
        sentences=(*(bank.sentences[i] for i in kept), *more.sentences),
        tokens=torch.cat([pad(bank.tokens[kept]), pad(more.tokens)]),
        mask=torch.cat([pad(bank.mask[kept]), pad(more.mask)]),
        tuned=sum(i < tuned for i in kept) or None,
    )


def one_category(adapter: Adapter | None, category: str | None) -> str | None:
    """Returns the category that a model reads for every picture; None for the mean.

    Raises:
        LvtuneError: the category depends on the picture; the tokens are drawn anew at each call; the adapter reads no
            sentences, or does not have the category.
    """
    bank = None if adapter is None else adapter.bank
    if adapter is not None and bank is not None and bank.is_redrawn:
        raise UsageError(
            f"{adapter.method} with tokens that are drawn anew at each call", "sentences, or fixed random tokens",
            "tune with --language.mode category or random",
        )  # fmt: skip
    if category is None or category == "mean":
        return None
    if bank is None:
        raise UsageError(
            f"category '{category}' for {'a bare base' if adapter is None else adapter.method}, "
            "which reads no sentences",
            "an adapter that reads sentences, such as vlpose", "leave --category out",
        )  # fmt: skip
    if category in _PER_PICTURE and category not in bank.categories:
        raise UsageError(
            f"category '{category}', which depends on the picture", "one sentence, which is written into the file",
            f"name a category, such as --category {bank.categories[0]}, or leave it out for the mean",
        )  # fmt: skip
    bank.index(category)
    return category
