"""Keeps the vectors of a joint encoder in files that are memory-mapped, with a checksum in each."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lvtune.core.files import is_sealed, sealed, write_atomically
from lvtune.data.arrow import default_cache_dir

if TYPE_CHECKING:
    from lvtune.language.joint_registry import JointEncoder

_log = logging.getLogger(__name__)


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
    cached = _opened(file)
    if cached is not None:
        return cached
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(make(), dtype=np.float32), allow_pickle=False)
    write_atomically(file, sealed(buffer.getvalue()))
    return np.load(file, mmap_mode="r", allow_pickle=False)


def _opened(file: Path) -> np.ndarray | None:
    """Returns the mapped array; None where there is no file or it is damaged."""
    try:
        if not file.is_file():
            return None
        if is_sealed(file):
            return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        _log.warning("note: cached vectors %s cannot be read (%s) and are made again", file, error)
        return None
    _log.warning("note: cached vectors %s are damaged and are made again", file)
    return None
