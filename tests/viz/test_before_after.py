"""The picture on a model card."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lvtune.core.errors import LvtuneError
from lvtune.viz.before_after import FILE, write_before_after


def pairs(count):
    grey = lambda level: np.full((90, 60, 3), level, np.uint8)  # noqa: E731
    return [("sketch", grey(40 * i), np.full((90, 60, 3), (250, 20, 20), np.uint8)) for i in range(count)]


def test_before_stands_left_and_after_right(tmp_path):
    path = write_before_after(pairs(1), tmp_path)
    assert path == tmp_path / FILE
    image = cv2.imread(str(path))[:, :, ::-1]
    height, width = image.shape[:2]
    assert np.abs(image[height // 3, width // 4].astype(int) - [0, 0, 0]).max() < 12
    assert np.abs(image[height // 3, 3 * width // 4].astype(int) - [250, 20, 20]).max() < 12
    assert path.stat().st_size < 100_000


def test_three_pairs_from_first_to_last(tmp_path):
    one, three, six = (cv2.imread(str(write_before_after(pairs(n), tmp_path))) for n in (1, 3, 6))
    assert three.shape == six.shape
    assert 2.8 < three.shape[0] / one.shape[0] < 3.0
    rows = [int(six[(2 * i + 1) * six.shape[0] // 6 - 20, six.shape[1] // 4, 0]) for i in range(3)]
    assert rows == pytest.approx([0, 80, 200], abs=12)


def test_without_pictures_nothing_is_written(tmp_path):
    assert write_before_after([], tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written():
    with pytest.raises(LvtuneError, match="cannot be written"):
        write_before_after(pairs(1), "/proc/none")
