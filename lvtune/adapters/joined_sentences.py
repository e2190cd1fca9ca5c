"""One bank that holds the sentences of several adapters, each of which reads its own part of it.

A file has room for one bank. An adapter's mean sentence is the mean of its own sentences, so it must get back exactly
the bank that it was tuned with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lvtune.core.errors import UsageError
from lvtune.language.bank import SentenceBank
from lvtune.language.bank_cache import cached_bank


@dataclass(frozen=True, eq=False)
class PartOfBank:
    """The sentences that one adapter reads, out of a common bank."""

    bank: SentenceBank
    """The adapter's own."""
    names: Mapping[str, str]
    """Category in the common bank to the adapter's own."""

    def own(self, category: str) -> str | None:
        """Returns the adapter's category for one of the common bank; None: it has none."""
        return self.names.get(category.strip().replace(" ", "_"))


def common_bank(banks: Sequence[SentenceBank | None]) -> tuple[SentenceBank | None, dict[str, dict[str, Any]]]:
    """Puts banks into one.

    Args:
        banks: one for each adapter; None for one that reads no sentences.

    Returns:
        The common bank (None: there are no sentences), and for each reader, by place (from 1), what
        :func:`part_of_bank` needs. A category that two banks fill differently is named ``2/sketch`` in the second.

    Raises:
        UsageError: a bank whose tokens are drawn again at each call.
    """
    readers = [(place, bank) for place, bank in enumerate(banks, 1) if bank is not None]
    if not readers:
        return None, {}
    if any(bank.is_redrawn for _, bank in readers):
        raise UsageError("an adapter that reads tokens that are drawn again at each call, to be joined",
                         "adapters that read sentences, or fixed random tokens", "leave it out")  # fmt: skip
    length = max(bank.tokens.shape[1] for _, bank in readers)
    width = max(bank.dim for _, bank in readers)
    rows: dict[str, tuple[str, Tensor, Tensor]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for place, bank in readers:
        names: dict[str, str] = {}
        for i, (own, sentence) in enumerate(zip(bank.categories, bank.sentences, strict=True)):
            row = (sentence, _grown(bank.tokens[i], length, width), _grown(bank.mask[i], length))
            name = own if own not in rows or _same(rows[own], row) else f"{place}/{own}"
            rows[name], names[name] = row, own
        facts[str(place)] = {
            "categories": [[name, own] for name, own in names.items()], "tokens": bank.tokens.shape[1],
            "width": bank.dim, "encoder": bank.encoder, "tuned": bank.tuned,
        }  # fmt: skip
    encoder = "+".join(dict.fromkeys(bank.encoder for _, bank in readers))
    texts, tokens, masks = zip(*rows.values(), strict=True)
    return SentenceBank(tuple(rows), tuple(texts), torch.stack(tokens), torch.stack(masks), encoder), facts


def part_of_bank(bank: SentenceBank | None, facts: Any) -> PartOfBank:
    """Returns the part of a common bank that one adapter reads.

    Raises:
        UsageError: ``facts`` is not what :func:`common_bank` returned, or of another bank.
    """
    try:
        if bank is None:
            raise ValueError("no sentences")
        pairs = [(str(name), str(own)) for name, own in facts["categories"]]
        length, width, tuned = facts["tokens"], facts["width"], facts.get("tuned")
        if not all(type(n) is int and n > 0 for n in (length, width)) or type(tuned) not in (int, type(None)):
            raise ValueError("sizes that are none")
        index = [bank.categories.index(name) for name, _ in pairs]
        tokens, mask = bank.tokens[index][:, :length, :width], bank.mask[index][:, :length]
        own = SentenceBank(
            tuple(own for _, own in pairs), tuple(bank.sentences[i] for i in index), tokens.contiguous(),
            mask.contiguous(), str(facts["encoder"]), tuned,
        )  # fmt: skip
        return PartOfBank(cached_bank(own), dict(pairs))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"sentences of joined adapters that cannot be read ({type(error).__name__})", "what lvtune.join wrote",
            "copy or download the adapter again, or join its adapters again",
        ) from None  # fmt: skip


def _grown(value: Tensor, length: int, width: int | None = None) -> Tensor:
    """Tokens (T, dim) or a mask (T,) with zeros behind."""
    result = value.new_zeros((length,) if width is None else (length, width))
    if width is None:
        result[: len(value)] = value
    else:
        result[: value.shape[0], : value.shape[1]] = value
    return result


def _same(one: tuple[str, Tensor, Tensor], other: tuple[str, Tensor, Tensor]) -> bool:
    return one[0] == other[0] and torch.equal(one[1], other[1]) and torch.equal(one[2], other[2])
