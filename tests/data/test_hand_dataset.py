"""Hands of a table as samples: crops, mirroring and turning keep 2D, 3D and camera together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lvtune.core.errors import LvtuneError
from lvtune.data.augment import Augment
from lvtune.data.dataset import collate
from lvtune.data.hand_dataset import HandDataset
from lvtune.data.hand_joints import hand_box, order_fault, project, with_root, wrist_from_palm
from lvtune.data.hand_table import HandTable
from lvtune.domains.hand_figures.figure_table import Figures

PLAIN = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def dots(points: np.ndarray, size: int = 96) -> np.ndarray:
    """A dark picture with a bright dot at each point, to be found again."""
    y, x = np.mgrid[:size, :size]
    spots = np.exp(-((x - points[:, 0, None, None]) ** 2 + (y - points[:, 1, None, None]) ** 2) / 4)
    return (255 * np.repeat(spots.max(0)[..., None], 3, -1)).astype(np.uint8)


class Drawn:
    """Draws the key points that it is given."""

    def __init__(self, points):
        self.points = points

    def __call__(self, image_id):
        return dots(self.points[image_id])


@pytest.fixture
def table() -> HandTable:
    whole = Figures(12, "train", ("green_screen",), 96).table()
    points = whole.column("keypoints")
    return whole.replace(draw=Drawn(points[..., :2]), bbox=hand_box(points))


def is_bright(item):
    """Whether the picture is bright at every visible key point inside it."""
    _, height, width = item["pixel_values"].shape
    grid = item["keypoints"] / torch.tensor([width - 1, height - 1]) * 2 - 1
    values = torch.nn.functional.grid_sample(
        item["pixel_values"][None, :1], grid[None, None], align_corners=True, padding_mode="border"
    )[0, 0, 0]
    inside = (grid.abs() < 0.97).all(-1) & (item["visible"] > 0)
    assert inside.sum() > 2
    return (values[inside] > 0.0).float().mean() > 0.95


def fits(item):
    """The camera sees the 3D joints where the 2D joints are."""
    seen = item["xyz"] @ item["camera"].T
    return (seen[:, :2] / seen[:, 2:] - item["keypoints"]).abs().max() < 2e-3


AUGMENTS = [None, Augment(), Augment(flip=1.0, rotate=180, rotate_p=1.0), Augment(flip=0, shift_p=1.0, rotate_p=0)]


@pytest.mark.parametrize("mirror_left", [True, False])
@pytest.mark.parametrize("augment", AUGMENTS)
@pytest.mark.parametrize("size", [(96, 96), (128, 96)])
def test_2d_3d_and_picture_stay_together(table, augment, mirror_left, size):
    data = HandDataset(table, input_size=size, augment=augment, mirror_left=mirror_left, **PLAIN)
    for i in range(len(data)):
        item = data[i]
        assert fits(item), i
        assert is_bright(item), i
        length = (item["xyz"][10] - item["xyz"][9]).norm()
        assert length == pytest.approx(float(item["scale"]), rel=1e-5)
        assert torch.equal(item["root"], item["xyz"][0])
        if mirror_left:
            assert item["side"] == 1
            assert item["mirrored"] == 1 - table[i].side
        else:
            assert item["side"] == (table[i].side if not item["mirrored"] else 1 - table[i].side)


def test_left_hands_are_mirrored_about_the_middle_of_the_crop(table):
    shown = HandDataset(table, input_size=(96, 96), mirror_left=False, **PLAIN)
    mirrored = HandDataset(table, input_size=(96, 96), **PLAIN)
    left = int(np.flatnonzero(table.column("side") == 0)[0])
    one, other = shown[left], mirrored[left]
    torch.testing.assert_close(other["pixel_values"], one["pixel_values"].flip(-1))
    torch.testing.assert_close(other["keypoints"][:, 0], 95 - one["keypoints"][:, 0])
    torch.testing.assert_close(other["xyz"], one["xyz"] * torch.tensor([-1.0, 1, 1]))
    right = int(np.flatnonzero(table.column("side") == 1)[0])
    torch.testing.assert_close(shown[right]["pixel_values"], mirrored[right]["pixel_values"])


def test_turning_keeps_the_hand_and_its_distance(table):
    plain = HandDataset(table, input_size=(96, 96), **PLAIN)
    turned = HandDataset(table, input_size=(96, 96), augment=Augment(flip=0, shift_p=0, rotate_p=1.0), **PLAIN)
    for i in range(4):
        one, other = plain[i]["xyz"], turned[i]["xyz"]
        torch.testing.assert_close(torch.cdist(one, one), torch.cdist(other, other), atol=0.01, rtol=1e-4)
        torch.testing.assert_close(one[:, 2], other[:, 2])
        assert not torch.allclose(one, other, atol=1.0)


def test_draws_depend_on_seed_epoch_and_item_alone(table):
    data = HandDataset(table, input_size=(96, 96), augment=Augment(), seed=3, **PLAIN)
    again = HandDataset(table, input_size=(96, 96), augment=Augment(), seed=3, cache=True, **PLAIN)
    for item in (4, 4, 0):
        torch.testing.assert_close(data[item]["pixel_values"], again[item]["pixel_values"])
    first = data[4]["keypoints"]
    data.set_epoch(1)
    assert not torch.equal(first, data[4]["keypoints"])


def test_a_figure_as_large_as_the_input_is_not_resampled():
    figures = Figures(3, "train", ("green_screen",), 64)
    data = HandDataset(figures.table(), input_size=(64, 64), mirror_left=False, **PLAIN)
    pixels = ((data[1]["pixel_values"].permute(1, 2, 0) * 0.5 + 0.5) * 255).round().numpy()
    np.testing.assert_array_equal(pixels, figures(1))


def test_batches_stack(table):
    data = HandDataset(table, input_size=(96, 96), **PLAIN)
    batch = collate([data[i] for i in range(3)])
    assert batch["xyz"].shape == (3, 21, 3)
    assert batch["camera"].shape == (3, 3, 3)
    assert batch["side"].tolist() == [1, 1, 1]
    assert batch["scale"].shape == (3,)
    assert batch["category"] == ["green_screen"] * 3
    with pytest.raises(IndexError):
        data[12]


def test_tables_select_and_know_their_columns(table):
    few = table.select([5, 2])
    assert [hand.image_id for hand in few] == [5, 2]
    np.testing.assert_array_equal(few[1].xyz, table[2].xyz)
    np.testing.assert_array_equal(few.picture(0), table.picture(5))
    assert few.fingerprint != table.fingerprint
    assert few.fingerprint == table.select([5, 2]).fingerprint
    with pytest.raises(LvtuneError, match="indices below 12"):
        table.select([12])
    with pytest.raises(LvtuneError, match="one of image"):
        table.column("colour")
    truth = few.coco_ground_truth()
    assert [image["id"] for image in truth["images"]] == [a["image_id"] for a in truth["annotations"]] == [5, 2]


def test_palm_and_wrist_by_hand():
    points = np.zeros((21, 2))
    points[9], points[13] = (10, 20), (4, 10)
    assert with_root(points, "wrist", "palm")[0].tolist() == [5, 10]
    points[0] = (6, 4)
    # from the ring finger's base through the palm, as far again
    assert wrist_from_palm(points)[0].tolist() == [8, -2]
    assert with_root(points, "palm", "palm") is points


def test_box_by_hand():
    points = np.zeros((21, 3))
    points[:, :2], points[9, :2] = (100, 100), (110, 90)
    points[4], points[8] = (180, 90, 2), (400, 90, 0)  # 70 px off along x, and one farther that is not seen
    points[9, 2] = 2
    assert hand_box(points).tolist() == [40, 20, 140, 140]
    points[4, 0] = 115
    assert hand_box(points)[2] == 50  # no crop is smaller
    points[4, 0] = 1000
    assert hand_box(points)[2] == 500


def test_projection_by_hand():
    camera = np.array([[100.0, 0, 50], [0, 200, 60], [0, 0, 1]])
    assert project(np.array([[1.0, 2, 10]]), camera).tolist() == [[60, 100]]


def test_order_is_judged_by_bones():
    xyz = Figures(40, "train", ("green_screen",), 96).labels()["xyz"]
    assert order_fault(xyz) is None
    assert all(order_fault(one[None]) is None for one in xyz)
    fingers = xyz[:, 1:].reshape(40, 5, 4, 3)

    def made(changed):
        return order_fault(np.concatenate([xyz[:, :1], changed.reshape(40, 20, 3)], 1))

    for finger in range(5):
        turned = fingers.copy()
        turned[:, finger] = turned[:, finger, ::-1]
        assert made(turned) is not None, finger
    for order in ([4, 3, 2, 1, 0], [1, 0, 2, 3, 4], [0, 2, 1, 3, 4], [0, 4, 3, 2, 1], [0, 1, 2, 4, 3]):
        assert made(fingers[:, order]) is not None, order
