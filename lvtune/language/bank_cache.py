"""Keeps one copy of embedded sentences that several adapters read."""

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
_COPIES: WeakKeyDictionary[SentenceBank, WeakValueDictionary[tuple, Tensor]] = WeakKeyDictionary()


def cached_bank(bank: SentenceBank) -> SentenceBank:
    """Returns an equal bank that is in use already (same sentences, encoder and numbers), else this one.

    Hundreds of adapters of one domain then share one copy of its embedded sentences. Banks are never written to.
    """
    digest = hashlib.sha256()
    for value in (bank.tokens, bank.mask):
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    shape = (tuple(bank.tokens.shape), bank.tokens.dtype)
    key = (bank.encoder, bank.categories, bank.sentences, bank.tuned, shape, digest.digest())
    return _BANKS.setdefault(key, bank)


def cached_tokens(bank: SentenceBank, like: Tensor) -> tuple[Tensor, Tensor]:
    """Returns tokens (C, T, dim) and mask (C, T) on the device of ``like``, tokens in its dtype; one copy for all."""
    mask = cached_tensor(bank, _mask, torch.empty(0, dtype=bank.mask.dtype, device=like.device))
    return cached_tensor(bank, _tokens, like), mask


def cached_tensor(bank: SentenceBank, make: Callable[[SentenceBank], Tensor], like: Tensor | None = None) -> Tensor:
    """Returns ``make(bank)`` on the device and in the dtype of ``like``; one copy for all callers.

    Args:
        bank: from :func:`cached_bank`.
        make: function of the bank alone; the same object each time.
        like: None: keep device and dtype of the result.
    """
    copies = _COPIES.setdefault(bank, WeakValueDictionary())
    key = (make, None, None) if like is None else (make, like.device, like.dtype)
    tensor = copies.get(key)
    if tensor is None:
        value = make(bank) if like is None else cached_tensor(bank, make).to(device=like.device, dtype=like.dtype)
        tensor = copies.setdefault(key, value)
    return tensor


def _tokens(bank: SentenceBank) -> Tensor:
    return bank.tokens


def _mask(bank: SentenceBank) -> Tensor:
    return bank.mask
