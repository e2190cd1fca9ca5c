"""Embedded sentences that several adapters read, held once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakValueDictionary

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lvtune.language.bank import SentenceBank

_BANKS: WeakValueDictionary[tuple, SentenceBank] = WeakValueDictionary()
_HELD: WeakKeyDictionary[SentenceBank, WeakValueDictionary[tuple, Tensor]] = WeakKeyDictionary()


def cached_bank(bank: SentenceBank) -> SentenceBank:
    """A bank with the same sentences, encoder and numbers that is in use already, else this one.

    Hundreds of adapters of one domain then hold its embedded sentences once. Banks are read, never written.
    """
    digest = hashlib.sha256()
    for value in (bank.tokens, bank.mask):
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    shape = (tuple(bank.tokens.shape), bank.tokens.dtype)
    return _BANKS.setdefault((bank.encoder, bank.categories, bank.sentences, shape, digest.digest()), bank)


def cached_tokens(bank: SentenceBank, like: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (C, T, dim) in the device and dtype of ``like``, and mask (C, T) there; one copy for all who ask."""
    mask = cached_tensor(bank, _mask, torch.empty(0, dtype=bank.mask.dtype, device=like.device))
    return cached_tensor(bank, _tokens, like), mask


def cached_tensor(bank: SentenceBank, make: Callable[[SentenceBank], Tensor], like: Tensor | None = None) -> Tensor:
    """What ``make`` makes of a bank, in the device and dtype of ``like``; one copy for all who ask for the same.

    Args:
        bank: from :func:`shared`.
        make: a function of the bank alone, the same object each time.
        like: None: as ``make`` gives it.
    """
    copies = _HELD.setdefault(bank, WeakValueDictionary())
    key = (make, None, None) if like is None else (make, like.device, like.dtype)
    found = copies.get(key)
    if found is None:
        value = make(bank) if like is None else cached_tensor(bank, make).to(device=like.device, dtype=like.dtype)
        found = copies.setdefault(key, value)
    return found


def _tokens(bank: SentenceBank) -> Tensor:
    return bank.tokens


def _mask(bank: SentenceBank) -> Tensor:
    return bank.mask
