"""The sentence bank: sentences embedded once as token states, so that the text encoder is not needed afterwards."""

from __future__ import annotations

import functools
import gc
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from lvtune.core.errors import AdapterFileError, DataError, UsageError
from lvtune.core.registry import suggest
from lvtune.language.captions import CAPTION, is_key, key_of
from lvtune.language.encoders import TextEncoder, label, list_text_encoders, load_text_encoder
from lvtune.language.sentences import MODES, apply_mode, own_sentences, sentences_of

SHIPPED = Path(__file__).parent / "bank.safetensors"
SHIPPED_ENCODER = "minilm"
"""Encoder whose sentences always ship. Sentences of others may lie beside, see :func:`shipped_file`."""
RANDOM, REDRAWN = "random", "random-each-call"
"""Modes with random tokens in place of sentences; such a bank has the mode as the name of its encoder."""
_LISTED = 30


@dataclass(frozen=True, eq=False)
class SentenceBank:
    """The embedded sentences of C categories, at most T token states each."""

    categories: tuple[str, ...]
    sentences: tuple[str, ...]
    tokens: Tensor
    """(C, T, dim) float32, zero on padding."""
    mask: Tensor
    """(C, T) bool, False on padding."""
    encoder: str
    """Name of the text encoder that computed the tokens."""
    tuned: int | None = None
    """Number of sentences, the first ones, that an adapter was tuned with; the others were added later. None: all."""

    def __post_init__(self) -> None:
        count = len(self.categories)
        fits = self.tokens.ndim == 3 and self.tokens.shape[:2] == self.mask.shape
        fits = fits and 1 <= (count if self.tuned is None else self.tuned) <= count
        if not count or not fits or not len(self.tokens) == count == len(self.sentences):
            raise DataError(
                f"embedded sentences of shape {tuple(self.tokens.shape)} with a mask of "
                f"{tuple(self.mask.shape)} for {count} categories and {len(self.sentences)} sentences",
                "tokens (C, T, dim), mask (C, T), and C categories and sentences, C at least 1",
                "make the bank with get_bank",
            )

    @property
    def dim(self) -> int:
        """Width of the token states."""
        return self.tokens.shape[-1]

    @property
    def is_redrawn(self) -> bool:
        """True if the tokens are drawn anew at each call (keyword mode −4 of VLPose's released loader)."""
        return self.encoder == REDRAWN

    def drawn(self, tokens: Tensor) -> Tensor:
        """Returns the tokens to use at one call.

        Args:
            tokens: (C, T, dim), the bank's own, on any device.

        Returns:
            ``tokens``; if the bank is redrawn, new random tokens of the same shape, equal for all categories.
        """
        return torch.rand_like(tokens[:1]).expand_as(tokens) if self.is_redrawn else tokens

    def index(self, category: str) -> int:
        """Returns the row of a category; spaces and underscores are the same.

        Raises:
            LvtuneError: there is no such category.
        """
        name = category.strip().replace(" ", "_")
        if name not in self._rows:
            known = [c for c in self.categories if not is_key(c)] or list(self.categories)
            raise UsageError(
                f"no sentence for '{category}' among the embedded sentences",
                f"one of {', '.join(known[:_LISTED])}{' …' if len(known) > _LISTED else ''}",
                suggest(name, known, "leave the sentence out to read the mean of all"),
            )
        return self._rows[name]

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.categories)}

    def mean(self) -> tuple[Tensor, Tensor]:
        """Returns the mean sentence: tokens (T, dim), each the mean over the categories that have it, and mask (T,)."""
        weight = self.mask[..., None].to(self.tokens.dtype)
        return (self.tokens * weight).sum(0) / weight.sum(0).clamp(min=1), self.mask.any(0)

    def to_tensors(self) -> dict[str, Tensor]:
        """Returns ``tokens`` and ``mask`` for a file; its config holds categories, sentences and encoder."""
        tuned = {} if self.tuned is None else {"tuned": torch.tensor(self.tuned)}
        return {"tokens": self.tokens.clone(), "mask": self.mask.clone(), **tuned}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], categories: Sequence[str], sentences: Sequence[str], encoder: str
    ) -> SentenceBank:
        """Builds a bank from what :meth:`to_tensors` returned.

        Raises:
            LvtuneError: a tensor is missing, or the shapes do not fit together.
        """
        lacking = [name for name in ("tokens", "mask") if name not in tensors]
        if lacking:
            raise AdapterFileError(f"embedded sentences without {', '.join(lacking)}", "tokens and mask",
                                   "get the adapter file again")  # fmt: skip
        tuned = int(tensors["tuned"]) if "tuned" in tensors else None
        tokens, mask = tensors["tokens"].float(), tensors["mask"].bool()
        return cls(tuple(categories), tuple(sentences), tokens, mask, encoder, tuned)


def get_bank(
    domain: str | Mapping[str, str] | Any,
    encoder: str | TextEncoder = SHIPPED_ENCODER,
    sentences: Mapping[str, str] | str | None = None,
    *,
    mode: str = "category",
    keypoints: Sequence[str] = (),
    captions: Sequence[str] = (),
    width: int = 384,
    seed: int = 0,
) -> SentenceBank:
    """Embeds the sentences of a domain. Sentences that ship embedded need no text encoder.

    Args:
        domain: its name (``humanart``, ``humanart/sketch``), an object with ``sentences``, or a dict from category to
            sentence.
        encoder: name of a text encoder, see :func:`lvtune.language.load_text_encoder`, or the encoder itself.
        sentences: replace the domain's own, see :func:`lvtune.language.sentences.own_sentences`.
        mode: keyword mode of the released loader: ``category`` (1), ``human`` (−1), ``none`` (−2) and ``keypoints`` (2)
            change the sentences, see :func:`lvtune.language.sentences.apply_mode`; ``caption`` (0) adds each picture's
            own caption to the categories' sentences; ``random`` (−3) and ``random-each-call`` (−4) take random tokens.
        keypoints: names of the key points, for mode ``keypoints``.
        captions: captions of the pictures, for mode ``caption``.
        width: width of the tokens of modes ``random`` and ``random-each-call``; in the released code it is the width
            of the encoder's features.
        seed: seed of mode ``random``.

    Raises:
        LvtuneError: there is no such domain, mode or encoder, or the encoder's weights cannot be loaded.
    """
    if mode not in MODES:
        known: list[str] = list(MODES)
        raise UsageError(f"sentence mode '{mode}'", f"one of {', '.join(known)}", suggest(mode, known, "choose one"))
    own = sentences_of(domain) if isinstance(domain, str) else getattr(domain, "sentences", domain)
    sentences = own_sentences(own, sentences)
    if mode in (RANDOM, REDRAWN):
        return replace(random_bank(tuple(sentences), dim=width, seed=seed), encoder=mode)
    if mode == CAPTION:
        return embed_sentences({**sentences, **{key_of(text): text for text in captions}}, encoder)
    return embed_sentences(apply_mode(sentences, mode, keypoints), encoder)


def built_in_bank(domain: str) -> SentenceBank:
    """Returns the bank that ships with the package for a domain.

    Raises:
        LvtuneError: one of the domain's sentences does not ship embedded.
    """
    sentences = sentences_of(domain)
    lacking = [sentence for sentence in sentences.values() if sentence not in _shipped(SHIPPED_ENCODER)]
    if lacking:
        raise UsageError(f"sentence '{lacking[0]}', which does not ship embedded", "a built-in domain",
                         "use get_bank, which embeds it")  # fmt: skip
    return embed_sentences(sentences, SHIPPED_ENCODER)


def embed_sentences(
    sentences: Mapping[str, str | Sequence[str]], encoder: str | TextEncoder = SHIPPED_ENCODER
) -> SentenceBank:
    """Embeds sentences; several sentences of one category are concatenated along the tokens.

    Args:
        sentences: category to one or several sentences.
        encoder: name of a text encoder, or the encoder itself. An encoder whose sentences ship, given by its name, is
            loaded only if a sentence does not ship embedded.

    Raises:
        LvtuneError: a category has no sentence; there is no such encoder, or its weights cannot be loaded.
    """
    texts = {name: (one,) if isinstance(one, str) else tuple(one) for name, one in sentences.items()}
    if not texts or not all(all(t.strip() for t in several) and several for several in texts.values()):
        raise UsageError("a category without a sentence", "at least one category, each with a sentence",
                         'give {"sketch": "a sketch of a human"}')  # fmt: skip
    name = label(encoder) if isinstance(encoder, str) else encoder.name
    states: dict[str, np.ndarray] = dict(_shipped(encoder)) if isinstance(encoder, str) else {}
    new = list(dict.fromkeys(t for several in texts.values() for t in several if t not in states))
    if new:
        tokens, mask = _encoded(encoder, new)
        states |= {text: tokens[i][mask[i]] for i, text in enumerate(new)}
    rows = [np.concatenate([states[t] for t in several]) for several in texts.values()]
    tokens = torch.zeros(len(rows), max(map(len, rows)), rows[0].shape[-1])
    mask = torch.zeros(tokens.shape[:2], dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.from_numpy(row.astype(np.float32))
        mask[i, : len(row)] = True
    return SentenceBank(tuple(texts), tuple("; ".join(t) for t in texts.values()), tokens, mask, name)


def _encoded(encoder: str | TextEncoder, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens and mask of sentences; an encoder loaded for this leaves the memory at once."""
    if not isinstance(encoder, str):
        return encoder.encode(sentences)
    loaded = load_text_encoder(encoder)
    tokens, mask = loaded.encode(sentences)
    del loaded
    gc.collect()  # models hold references to themselves
    return tokens, mask


def random_bank(
    categories: Sequence[str], *, dim: int = 384, length: int = 10, seed: int = 0, per_category: bool = False
) -> SentenceBank:
    """Builds a bank of fixed random tokens, uniform in [0, 1): a control experiment without any meaning.

    It is keyword mode −3 of VLPose's released loader, which draws 10 tokens as wide as the encoder's features.

    Args:
        categories: C names.
        dim: width of the tokens.
        length: number of tokens of each category.
        seed: seed of the random numbers.
        per_category: draw different tokens for each category; False, as released: the same for all.
    """
    rng = np.random.default_rng(seed)
    numbers = rng.random((len(categories) if per_category else 1, length, dim), dtype=np.float32)
    tokens = torch.from_numpy(numbers).expand(len(categories), -1, -1).clone()
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
    return SentenceBank(tuple(categories), ("",) * len(categories), tokens, mask, RANDOM)


def shipped_file(encoder: str) -> Path:
    """Returns where the sentences that an encoder embedded ship: ``bank.safetensors``, or ``bank-NAME.safetensors``."""
    return SHIPPED if encoder == SHIPPED_ENCODER else SHIPPED.with_name(f"{SHIPPED.stem}-{encoder}{SHIPPED.suffix}")


def _shipped(encoder: str) -> dict[str, np.ndarray]:
    """Returns sentence to token states (T, dim) float16, as shipped; empty for an encoder without such a file."""
    if encoder not in list_text_encoders():  # a folder of one's own weights
        return {}
    file = shipped_file(encoder)
    return _read_once(file) if file.is_file() else {}


@functools.cache
def _read_once(file: Path) -> dict[str, np.ndarray]:
    return read_shipped(file)


def read_shipped(path: Path) -> dict[str, np.ndarray]:
    """Reads sentence to token states (T, dim) float16 from a file that ``tools/make_bank.py`` wrote."""
    with safe_open(str(path), framework="np") as file:
        sentences = json.loads(file.metadata()["sentences"])
        tokens, lengths = file.get_tensor("tokens"), file.get_tensor("lengths")
    return dict(zip(sentences, np.split(tokens, np.cumsum(lengths)[:-1]), strict=True))
