"""Finds pictures of two parts of a data set that look the same: what is tuned on must not be tested on.

The perceptual hash is the sign of the difference between neighbouring pixels of a small grey picture (dHash, Krawetz
2013), here of 16 x 16; what it finds must also look alike as a thumbnail.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

SIDE = 32
_HASH = 16
_BITS = 12  # of 256 that may differ
_GREY = 4.0  # mean difference of two thumbnails of equal brightness, in grey levels
_BLOCK = 1024


def thumbnail(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (32, 32) float32, grey."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def near_duplicates(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    """Pairs of pictures that look the same.

    Args:
        one: name to thumbnail of the pictures that are tuned on.
        other: of those that are tested on.

    Returns:
        For each of ``other`` that has any, the one of ``one`` that is most like it: (name in one, name in other).
    """
    if not one or not other:
        return []
    names, others = list(one), list(other)
    first, second = np.stack([one[name] for name in names]), np.stack([other[name] for name in others])
    hashes, other_hashes = _hashes(first), _hashes(second)
    found = []
    for place, name in enumerate(others):
        differing = np.concatenate(
            [(hashes[i : i + _BLOCK] != other_hashes[place]).sum(1) for i in range(0, len(hashes), _BLOCK)]
        )
        close = np.flatnonzero(differing <= _BITS)
        if not len(close):
            continue
        distance = np.abs(_even(first[close]) - _even(second[place][None])).mean((1, 2))
        if distance.min() <= _GREY:
            found.append((names[close[distance.argmin()]], name))
    return found


def _hashes(thumbs: np.ndarray) -> np.ndarray:
    """(N, 32, 32) -> (N, 256) bool."""
    small = np.stack([cv2.resize(t, (_HASH + 1, _HASH), interpolation=cv2.INTER_AREA) for t in thumbs])
    return (small[:, :, 1:] > small[:, :, :-1]).reshape(len(thumbs), -1)


def _even(thumbs: np.ndarray) -> np.ndarray:
    """Thumbnails of mean 0, so that brightness does not count."""
    return thumbs - thumbs.mean((1, 2), keepdims=True)
