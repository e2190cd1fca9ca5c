"""Puts the sentences of an earlier adapter beside those of a further domain."""

from __future__ import annotations

import torch
from torch import Tensor

from lvtune.core.errors import UsageError
from lvtune.language.bank import SentenceBank

Row = tuple[str, Tensor, Tensor]
"""Sentence, tokens (T, dim), mask (T,)."""


def join_sentences(earlier: SentenceBank, new: SentenceBank) -> tuple[SentenceBank, dict[str, str]]:
    """Returns one bank with the earlier sentences and the new ones, and the earlier categories that got another name.

    A category of both with the same sentence is there once. If the sentences differ, the new domain keeps the name, and
    the earlier one is called ``NAME-before`` (``NAME-before-2`` if that is taken).

    Args:
        earlier: of the adapter that goes on; sentences that were added to it after its tuning are left out.
        new: of the further domain.

    Raises:
        UsageError: they come from different text encoders.
    """
    if new.is_redrawn or earlier.is_redrawn:
        return new, {}
    if (earlier.encoder, earlier.dim) != (new.encoder, new.dim):
        raise UsageError(
            f"sentences embedded by {new.encoder} ({new.dim} numbers) after an adapter that reads {earlier.encoder} "
            f"({earlier.dim})", "the same text encoder", "leave --language.encoder out",
        )  # fmt: skip
    length = max(earlier.tokens.shape[1], new.tokens.shape[1])
    fresh = _rows(new, length, len(new.categories))
    before = _rows(earlier, length, earlier.tuned or len(earlier.categories))
    renamed: dict[str, str] = {}
    rows: dict[str, Row] = {}
    for name, row in before.items():
        own = name
        if name in fresh and not _same(row, fresh[name]):
            own, number = f"{name}-before", 1
            while own in fresh or own in before or own in rows:
                number += 1
                own = f"{name}-before-{number}"
            renamed[name] = own
        rows[own] = row
    rows |= fresh
    texts, tokens, masks = zip(*rows.values(), strict=True)
    return SentenceBank(tuple(rows), tuple(texts), torch.stack(tokens), torch.stack(masks), new.encoder), renamed


def _rows(bank: SentenceBank, length: int, count: int) -> dict[str, Row]:
    tokens = bank.tokens.new_zeros(count, length, bank.dim, device="cpu")
    mask = torch.zeros(count, length, dtype=torch.bool)
    tokens[:, : bank.tokens.shape[1]], mask[:, : bank.mask.shape[1]] = (
        bank.tokens[:count].cpu(),
        bank.mask[:count].cpu(),
    )
    names = zip(bank.categories[:count], bank.sentences[:count], strict=True)
    return {name: (sentence, tokens[i], mask[i]) for i, (name, sentence) in enumerate(names)}


def _same(one: Row, other: Row) -> bool:
    return one[0] == other[0] and torch.equal(one[1], other[1]) and torch.equal(one[2], other[2])
