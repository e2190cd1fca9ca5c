"""Caches vectors of a joint encoder on disk; they are computed once and memory-mapped afterwards."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lvtune.core.files import write_atomically
from lvtune.data.arrow import default_cache_dir

if TYPE_CHECKING:
    from lvtune.language.joint_registry import JointEncoder


def text_features(encoder: JointEncoder, sentences: Sequence[str]) -> np.ndarray:
    """Returns the vectors (S, D) float32 of S sentences, from the cache if they are there.

    Args:
        encoder: from :func:`lvtune.language.joint_registry.load_joint_encoder`; the cache distinguishes its weights.
        sentences: in any order; a sentence that is there twice is encoded once.
    """
    distinct = list(dict.fromkeys(sentences))
    rows = cached_array((encoder.key, "text", *distinct), lambda: encoder.encode_text(distinct).numpy())
    if len(distinct) == len(sentences):
        return rows
    row_of = {sentence: i for i, sentence in enumerate(distinct)}
    return rows[[row_of[sentence] for sentence in sentences]]


def cached_array(key: Sequence[str], make: Callable[[], np.ndarray]) -> np.ndarray:
    """Returns an array from the cache folder, read-only and memory-mapped; computes and stores it if it is not there.

    Args:
        key: everything that the array depends on.
        make: computes the array, float32.

    Raises:
        LvtuneError: the cache folder cannot be written.
    """
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:32]
    file = default_cache_dir() / "joint" / f"{digest}.npy"
    if file.is_file():
        try:
            return np.load(file, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError):
            file.unlink()  # a damaged file of the cache is computed again
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(make(), dtype=np.float32), allow_pickle=False)
    write_atomically(file, buffer.getvalue())
    return np.load(file, mmap_mode="r", allow_pickle=False)
