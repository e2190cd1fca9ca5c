"""Sentences about domains, text encoders, and the bank of embedded sentences.

The names of the bank are imported when they are first used, so that listing encoders or sentences imports no torch.
"""

from __future__ import annotations

from typing import Any

from lvtune.language.encoders import (
    TextEncoder,
    list_text_encoders,
    load_text_encoder,
    register_text_encoder,
)
from lvtune.language.sentences import register_sentences, sentence_for, sentences_of

_BANK = ("SentenceBank", "built_in_bank", "embed_sentences", "get_bank", "random_bank")

__all__ = [
    "SentenceBank",
    "TextEncoder",
    "built_in_bank",
    "embed_sentences",
    "get_bank",
    "list_text_encoders",
    "load_text_encoder",
    "random_bank",
    "register_sentences",
    "register_text_encoder",
    "sentence_for",
    "sentences_of",
]


def __getattr__(name: str) -> Any:
    if name in _BANK:
        from lvtune.language import bank

        return getattr(bank, name)
    raise AttributeError(f"module 'lvtune.language' has no attribute '{name}'")
