"""Blur around peaks alone against the blur of whole maps, which equals OpenCV's: the same numbers, to the last bit."""

import cv2
import numpy as np
import pytest
import torch

from lvtune.data.heatmap_blur import blur, blurred_at, blurred_near, peaks_and_squares

MOVES = torch.tensor([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1]])


def bump(h, w, x, y, sigma, top=1.0):
    rows, columns = torch.arange(h)[:, None], torch.arange(w)[None]
    return top * torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)).float()


def drawn(kind, h=64, w=48):
    """Maps as predictors give them, and worse ones."""
    random = torch.Generator().manual_seed(0)
    clean = torch.stack([bump(h, w, x, y, 2) for x in (0, 1, 7, w // 2, w - 1) for y in (0, 2, h // 2, h - 2, h - 1)])
    return {
        "clean": clean,
        "noisy": clean * 0.5 + 0.05 * torch.rand(clean.shape, generator=random) - 0.02,
        "noise": torch.rand(9, h, w, generator=random),
        "two peaks": clean + 0.9 * clean.flip(1),
        "thin": torch.stack([bump(h, w, 9, 9, s) for s in (0.2, 0.5, 1.0, 3.0, 6.0, 20.0)]),
        "thin peak and wide hill": bump(h, w, 5, 5, 0.3)[None] + 0.9 * bump(h, w, w - 9, h - 9, 5)[None],
        "negative": -clean,
        "flat": torch.full((2, h, w), 0.3),
        "zero": torch.zeros(2, h, w),
    }[kind]


KINDS = ("clean", "noisy", "noise", "two peaks", "thin", "thin peak and wide hill", "negative", "flat", "zero")


def whole(maps, peak, width=11):
    """The same from whole blurred maps, with the edge repeated outside."""
    h, w = maps.shape[1:]
    blurred = blur(maps, width)
    x, y = (peak % w + MOVES[:, :1]).clamp(0, w - 1), (peak // w + MOVES[:, 1:]).clamp(0, h - 1)
    return blurred[torch.arange(len(maps)), y, x], blurred.amax((1, 2))


def near(maps, width=11):
    """From the squares around the peaks."""
    peak, squares = peaks_and_squares(maps, width)
    assert torch.equal(peak, torch.from_numpy(maps.numpy().reshape(len(maps), -1).argmax(1)))
    return blurred_near(squares, peak, MOVES.tolist(), width, maps.shape[1:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [9, 11, 17])
def test_squares_give_what_whole_maps_give(kind, width):
    maps = drawn(kind)
    peak = maps.flatten(1).argmax(1)
    wanted, top = whole(maps, peak, width)
    values, highest = blurred_at(maps, peak, MOVES, width)
    assert torch.equal(values, wanted) and torch.equal(highest, top)
    assert torch.equal(near(maps, width), wanted)


@pytest.mark.parametrize("size", [(32, 24), (24, 24), (33, 17), (9, 5), (2, 2)])
def test_small_and_odd_maps(size):
    """OpenCV adds the last columns of an odd width without fusing, hence the tolerance."""
    maps = torch.rand(40, *size, generator=torch.Generator().manual_seed(1)) ** 6
    peak = maps.flatten(1).argmax(1)
    wanted = whole(maps, peak)
    for found, other in zip(blurred_at(maps, peak, MOVES, 11), wanted, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-6, atol=0)
    torch.testing.assert_close(near(maps), wanted[0], rtol=1e-6, atol=0)


@pytest.mark.parametrize("number", [1, 2, 63, 64, 65, 130])
@pytest.mark.parametrize("place", ["first", "last", "any"])
def test_squares_are_zero_outside_their_map(number, place):
    """Neighbours in memory are other maps, and the first and the last have none."""
    h, w, far = 64, 48, 6
    random = torch.Generator().manual_seed(number)
    maps = 0.5 * torch.rand(number, h, w, generator=random) + 0.1
    peak = {"first": 0, "last": h * w - 1}.get(place)
    places = torch.randint(h * w, (number,), generator=random) if peak is None else torch.full((number,), peak)
    maps.flatten(1)[torch.arange(number), places] = 2.0
    found, squares = peaks_and_squares(maps.transpose(1, 2).contiguous().transpose(1, 2), 11)  # not in order in memory
    assert torch.equal(found, places) and squares.shape == (13, 13, number)
    for i, (y, x) in enumerate(zip((places // w).tolist(), (places % w).tolist(), strict=True)):
        wanted = np.pad(maps[i].numpy(), far)[y : y + 13, x : x + 13]
        np.testing.assert_array_equal(squares[..., i].numpy(), wanted)


def test_whole_maps_are_blurred_as_opencv_blurs_each():
    maps = drawn("noise")
    for one, found in zip(maps, blur(maps, 11), strict=True):
        padded = np.pad(one.numpy(), 5)
        wanted = cv2.GaussianBlur(padded, (11, 11), 0)[5:-5, 5:-5]
        np.testing.assert_array_equal(found.numpy(), wanted)


@pytest.mark.parametrize("width", [1, 3, 5, 7])
def test_narrow_kernels_are_those_of_opencv(width):
    """It has fixed numbers for them, and adds in another order, hence the tolerance."""
    maps = drawn("noise")
    peak = maps.flatten(1).argmax(1)
    wanted = np.stack([cv2.GaussianBlur(np.pad(one, 9), (width, width), 0)[9:-9, 9:-9] for one in maps.numpy()])
    np.testing.assert_allclose(blur(maps, width).numpy(), wanted, rtol=1e-6)
    values, _ = whole(maps, peak, width)
    torch.testing.assert_close(blurred_at(maps, peak, MOVES, width)[0], values, rtol=1e-6, atol=0)
    torch.testing.assert_close(near(maps, width), values, rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_stays_in_its_map(value):
    maps = drawn("clean")
    clean = near(maps)
    spoilt = maps.clone()
    spoilt[1, 30, 30] = value
    peak = torch.from_numpy(spoilt.numpy().reshape(len(maps), -1).argmax(1))
    rest = [i for i in range(len(maps)) if i != 1]
    for found in (near(spoilt), blurred_at(spoilt, peak, MOVES, 11)[0]):
        assert torch.equal(found[:, rest], clean[:, rest])
