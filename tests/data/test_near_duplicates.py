"""Pictures that look the same across two parts."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lvtune.data.near_duplicates import near_duplicates, thumbnail


def picture(seed, size=(120, 160)):
    noise = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), np.uint8)
    return cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)


def thumbs(**pictures):
    return {name: thumbnail(image) for name, image in pictures.items()}


def jpeg(image, quality=40):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


CHANGES = {
    "same": lambda image: image,
    "lossy": jpeg,
    "lighter": lambda image: cv2.convertScaleAbs(image, alpha=1, beta=10),
    "smaller": lambda image: cv2.resize(image, (80, 60), interpolation=cv2.INTER_AREA),
    "a little noise": lambda image: cv2.add(image, np.random.default_rng(9).integers(0, 8, image.shape, np.uint8)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_same_picture_is_found(change):
    train = {f"train{i}": thumbnail(picture(i)) for i in range(20)}
    test = thumbs(copy=change(picture(7)), other=picture(100))
    assert near_duplicates(train, test) == [("train7", "copy")]


def test_different_pictures_are_not():
    train = {f"{i}": thumbnail(picture(i)) for i in range(60)}
    test = {f"{i}": thumbnail(picture(i)) for i in range(100, 160)}
    assert near_duplicates(train, test) == []
    assert near_duplicates({}, test) == near_duplicates(train, {}) == []


def test_mirrored_pictures_are_not():
    assert near_duplicates(thumbs(a=picture(1)), thumbs(b=picture(1)[:, ::-1].copy())) == []
