"""A sentence of the user's own in place of those that an adapter knows, for models that read one and the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lvtune.adapters.factory import adopt
from lvtune.bases.base import as_base
from lvtune.core.errors import LvtuneError
from lvtune.language.bank import RANDOM, REDRAWN, SentenceBank, embed_sentences

if TYPE_CHECKING:
    from torch import nn

OWN = "own-sentence"
"""Category that the sentence goes by."""
_MODES = ("auto", "own", "shuffled")


def reading(
    base: nn.Module, adapter: nn.Module | None, category: str | None, sentence: str | None
) -> tuple[nn.Module | None, str | None]:
    """The adapter, and the category that it reads for every picture; None for the mean.

    Args:
        base: that the adapter was made for.
        adapter: or None for the bare base.
        category: category, ``mean``, or None for the mean.
        sentence: of the user's own, in its place.

    Raises:
        LvtuneError: both; see :func:`with_sentence` and :func:`one_category`.
    """
    if sentence is None:
        return adapter, one_category(adapter, category)
    if category is not None:
        raise LvtuneError(f"category '{category}' and a sentence of your own", "one of the two", "leave one out")
    own = with_sentence(base, adapter, sentence)
    return own, one_category(own, OWN)


def with_sentence(base: nn.Module, adapter: nn.Module | None, sentence: str) -> nn.Module:
    """A copy of an adapter that reads one more sentence, under the category :data:`OWN`.

    Args:
        base: that it was made for.
        adapter: one that reads sentences.
        sentence: embedded by the text encoder that embedded the adapter's own.

    Raises:
        LvtuneError: an adapter that reads no sentences, or fixed random ones; a text encoder that is not at hand.
    """
    bank = None if adapter is None else adapter.bank
    if bank is None or bank.encoder in (RANDOM, REDRAWN):
        raise LvtuneError(
            f"the sentence '{sentence}' for {'a bare base' if adapter is None else adapter.method}, which reads none",
            "an adapter that reads sentences, such as vlpose", "leave --sentence out",
        )  # fmt: skip
    view = as_base(base)
    wider = _joined(bank, embed_sentences({OWN: sentence}, bank.encoder))
    with torch.random.fork_rng(devices=[]):
        again = type(adapter)(adapter.config, view, bank=wider, skeleton=adapter.skeleton)
    again.load_tensors({name: value.cpu() for name, value in adapter.tensors().items()})
    return adopt(again, view, adapter.domain, adapter.skeleton).eval()


def _joined(bank: SentenceBank, more: SentenceBank) -> SentenceBank:
    """The sentences of two banks in one; those of a category that both have are the second's."""
    kept = [i for i, name in enumerate(bank.categories) if name not in more.categories]
    length = max(bank.tokens.shape[1], more.tokens.shape[1])
    pad = lambda x: torch.nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (0, length - x.shape[1]))  # noqa: E731
    return replace(
        bank,
        categories=(*(bank.categories[i] for i in kept), *more.categories),
        sentences=(*(bank.sentences[i] for i in kept), *more.sentences),
        tokens=torch.cat([pad(bank.tokens[kept]), pad(more.tokens)]),
        mask=torch.cat([pad(bank.mask[kept]), pad(more.mask)]),
    )


def one_category(adapter: nn.Module | None, category: str | None) -> str | None:
    """The category that a model reads for every picture, None for the mean.

    Raises:
        LvtuneError: a category that goes by the picture; tokens drawn anew at each call; an adapter that reads no
            sentences, or none of that name.
    """
    bank = None if adapter is None else adapter.bank
    if bank is not None and bank.is_redrawn:
        raise LvtuneError(
            f"{adapter.method} with tokens that are drawn anew at each call", "sentences, or fixed random tokens",
            "tune with --language.mode category or random",
        )  # fmt: skip
    if category in (None, "mean"):
        return None
    if bank is None:
        raise LvtuneError(
            f"category '{category}' for {'a bare base' if adapter is None else adapter.method}, "
            "which reads no sentences",
            "an adapter that reads sentences, such as vlpose", "leave --category out",
        )  # fmt: skip
    if category in _MODES and category not in bank.categories:
        raise LvtuneError(
            f"category '{category}', which goes by the picture", "one sentence, which is written into the file",
            f"name a category, such as --category {bank.categories[0]}, or leave it out for the mean",
        )  # fmt: skip
    bank.index(category)
    return category
