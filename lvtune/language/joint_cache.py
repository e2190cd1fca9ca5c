"""Keeps the vectors of a joint encoder in files that are memory-mapped, with a checksum in each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lvtune.data.array_cache import read_array, write_array
from lvtune.data.arrow import default_cache_dir

if TYPE_CHECKING:
    from lvtune.language.joint_registry import JointEncoder


def text_features(encoder: JointEncoder, sentences: Sequence[str]) -> np.ndarray:
    """Returns the vectors (S, D) float32 of S sentences, mapped from the cache; a repeated sentence is encoded once.

    Args:
        encoder: from :func:`lvtune.language.joint_registry.load_joint_encoder`.
        sentences: in any order; the cache keeps them under their text and the encoder's weights.

    Raises:
        LvtuneError: the cache folder cannot be written.
    """
    distinct = list(dict.fromkeys(sentences))
    rows = cached_array((encoder.key, "text", *distinct), lambda: encoder.encode_text(distinct).numpy())
    if len(distinct) == len(sentences):
        return rows
    row_of = {sentence: i for i, sentence in enumerate(distinct)}
    return rows[[row_of[sentence] for sentence in sentences]]


def cached_array(key: Sequence[str], make: Callable[[], np.ndarray]) -> np.ndarray:
    """Returns what ``make`` computes, read-only and memory-mapped from a file in the cache folder.

    A damaged file is made again, with a note.

    Args:
        key: everything that the array depends on.
        make: computes the array, float32.

    Raises:
        LvtuneError: the cache folder cannot be written.
    """
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:32]
    file = default_cache_dir() / "joint" / f"{digest}.npy"
    found = read_array(file)
    return found if found is not None else write_array(file, np.asarray(make(), dtype=np.float32))
