"""Vectors of a joint encoder, computed once and memory-mapped ever after."""

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
    """(S, D) float32 of S sentences, mapped from the cache; a sentence that stands twice is encoded once.

    Args:
        encoder: from :func:`lvtune.language.joint_registry.load_joint_encoder`.
        sentences: in any order; they are kept under their text and the encoder's weights.
    """
    distinct = list(dict.fromkeys(sentences))
    rows = mapped((encoder.key, "text", *distinct), lambda: encoder.encode_text(distinct).numpy())
    if len(distinct) == len(sentences):
        return rows
    place = {sentence: i for i, sentence in enumerate(distinct)}
    return rows[[place[sentence] for sentence in sentences]]


def mapped(key: Sequence[str], make: Callable[[], np.ndarray]) -> np.ndarray:
    """What ``make`` gives, from a file in the cache folder where it was made before; read-only and memory-mapped.

    Args:
        key: names it; any difference makes it anew.
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
            file.unlink()  # damaged: it is only a cache
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(make(), dtype=np.float32), allow_pickle=False)
    write_atomically(file, buffer.getvalue())
    return np.load(file, mmap_mode="r", allow_pickle=False)
