"""Strong views: points follow the picture, and nothing depends on how a step is divided."""

from types import SimpleNamespace

import torch
from tiny import SIZE, TinyPictures, tiny_base
from tiny_hands import tiny_hands

from lvtune.data.dataset import collate
from lvtune.data.hand_frame import project
from lvtune.training.strong_view import StrongViewOptions, matrices, moved, strong_view, turned, warped

STILL = StrongViewOptions(rotate=0.0, resize=0.0, shift=0.0, looks="none", cover=0.0)


def batch_of(items):
    return collate([TinyPictures(8)[i] for i in items])


def test_a_bright_spot_is_found_where_its_point_is_said_to_be():
    far = SimpleNamespace(rotate=40.0, resize=0.2, shift=0.1)
    matrix = matrices(far, [3, 4, 5, 6], SIZE, 0, 7)
    pixels = torch.zeros(4, 3, *SIZE)
    pixels[:, :, 29:32, 22:25] = 1.0
    found = warped(pixels, matrix, torch.zeros(3))[:, 0]
    expected = moved(torch.tensor([[[23.0, 30.0]]]).expand(4, 1, 2), matrix)[:, 0]
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    weight = found / found.sum((1, 2), keepdim=True)
    centre = torch.stack([(weight * x).sum((1, 2)), (weight * y).sum((1, 2))], -1)
    assert (centre - expected).abs().max() < 0.2
    assert (matrix - torch.eye(2, 3)).abs().max() > 0.1


def test_joints_turn_as_the_points_of_their_picture_do():
    """The points of turned joints, seen by the camera of the turned picture, are the moved points."""
    hands = tiny_hands(3)
    matrix = matrices(StrongViewOptions(rotate=90.0), [0, 1, 2], (64, 64), seed=3, step=5)
    root = hands["xyz"][:, :1]
    joints = turned(hands["xyz"] - root, matrix)
    assert not torch.allclose(joints, hands["xyz"] - root, atol=1.0)
    square = torch.cat([matrix, torch.tensor([[[0.0, 0.0, 1.0]]]).expand(3, 1, 3)], 1)
    turn = torch.eye(3).repeat(3, 1, 1)
    turn[:, :2, :2] = matrix[:, :, :2] / torch.linalg.det(matrix[:, :, :2]).sqrt()[:, None, None]
    found = project(joints + root @ turn.mT, square @ hands["camera"] @ turn.mT)
    assert torch.allclose(found, moved(hands["keypoints"], matrix), atol=1e-2)


def test_without_changes_it_is_the_picture():
    base, batch = tiny_base(), batch_of([0, 1])
    pixels, matrix = strong_view(base, batch, STILL, 0, 0)
    inside = batch["pixel_values"].clamp(-1.5, 1.5)  # what change_pictures can show
    shown, _ = strong_view(base, {**batch, "pixel_values": inside}, STILL, 0, 0)
    assert torch.allclose(shown, inside, atol=1e-4) and torch.allclose(matrix, torch.eye(2, 3).expand(2, 2, 3))
    assert pixels.shape == batch["pixel_values"].shape


def test_outside_it_is_black():
    matrix = torch.tensor([[[1.0, 0.0, 30.0], [0.0, 1.0, 0.0]]])
    found = warped(torch.ones(1, 3, *SIZE), matrix, torch.tensor([-2.0, -3.0, -4.0]))
    assert found[0, :, 0, 0].tolist() == [-2.0, -3.0, -4.0] and torch.allclose(found[0, :, :, 31:], torch.ones(()))


def test_each_item_has_its_own_and_always_the_same():
    base, options = tiny_base(), StrongViewOptions()
    whole, _ = strong_view(base, batch_of([0, 1, 2, 3]), options, 5, 2)
    parts = torch.cat([strong_view(base, batch_of(items), options, 5, 2)[0] for items in ([0, 1], [2, 3])])
    assert torch.equal(whole, parts)
    other, _ = strong_view(base, batch_of([0, 1, 2, 3]), options, 5, 3)
    jittered, _ = strong_view(base, batch_of([0, 1, 2, 3]), StrongViewOptions(looks="jitter"), 5, 2)
    assert not torch.equal(whole, other) and not torch.equal(whole, jittered)
