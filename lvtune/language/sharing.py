"""Embedded prompts that several adapters read, held once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakValueDictionary

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lvtune.language.bank import PromptBank

_BANKS: WeakValueDictionary[tuple, PromptBank] = WeakValueDictionary()
_PLACED: WeakKeyDictionary[PromptBank, WeakValueDictionary[tuple, Tensor]] = WeakKeyDictionary()


def shared(bank: PromptBank) -> PromptBank:
    """A bank with the same sentences, encoder and numbers that is in use already, else this one.

    Hundreds of adapters of one domain then hold its embedded sentences once. Banks are read, never written.
    """
    digest = hashlib.sha256()
    for value in (bank.tokens, bank.mask):
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    shape = (tuple(bank.tokens.shape), bank.tokens.dtype)
    return _BANKS.setdefault((bank.encoder, bank.categories, bank.sentences, shape, digest.digest()), bank)


def placed(bank: PromptBank, like: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (C, T, dim) in the device and dtype of ``like``, and mask (C, T) there; one copy for all who ask."""
    copies = _PLACED.setdefault(bank, WeakValueDictionary())

    def on(value: Tensor, dtype: torch.dtype) -> Tensor:
        if value.device == like.device and value.dtype == dtype:
            return value
        key = (value is bank.mask, like.device, dtype)
        found = copies.get(key)
        return copies.setdefault(key, value.to(device=like.device, dtype=dtype)) if found is None else found

    return on(bank.tokens, like.dtype), on(bank.mask, bank.mask.dtype)
