"""The canonical frame: exact round trips, landmarks, mirror symmetry, a hand worked out by hand, placing in space."""

import math

import pytest
import torch

from lvtune.core.errors import LvtuneError
from lvtune.data.hand_frame import from_canonical, mirrored, normalise, place, project, to_canonical


def random_hands(count=500, seed=0):
    generator = torch.Generator().manual_seed(seed)
    xyz = 40 * torch.randn(count, 21, 3, generator=generator) + torch.tensor([30.0, -20.0, 700.0])
    return xyz, torch.randint(0, 2, (count,), generator=generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_taking_apart_and_putting_together_gives_the_same_hand(dtype):
    xyz, side = random_hands()
    assert 0 < side.sum() < len(side)
    xyz = xyz.to(dtype)
    relative, scale = normalise(xyz)
    canonical, rotation = to_canonical(relative, side)
    found = from_canonical(canonical, rotation, side)
    assert (found - relative).abs().max() < 1e-5
    torch.testing.assert_close(found * scale[:, None, None] + xyz[:, :1], xyz, atol=1e-3, rtol=0)


def test_rotations_are_rotations_and_landmarks_stand_where_they_belong():
    xyz, side = random_hands()
    canonical, rotation = to_canonical(xyz.double(), side)
    eye = torch.eye(3, dtype=torch.float64).expand_as(rotation)
    torch.testing.assert_close(rotation @ rotation.mT, eye, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(len(xyz), dtype=torch.float64))
    length = (xyz[:, 9] - xyz[:, 0]).norm(dim=-1).double()
    middle = torch.stack([0 * length, -length, 0 * length], -1)
    assert canonical[:, 0].abs().max() == 0
    torch.testing.assert_close(canonical[:, 9], middle, atol=1e-9, rtol=1e-5)
    assert canonical[:, 17, 2].abs().max() < 1e-9
    assert (canonical[:, 17, 0] > 0).all()


def test_the_shape_does_not_depend_on_rotation_and_place():
    xyz, side = random_hands(50)
    turn, _ = torch.linalg.qr(torch.randn(50, 3, 3, generator=torch.Generator().manual_seed(1)).double())
    turn = turn * torch.linalg.det(turn)[:, None, None]
    moved = xyz.double() @ turn + 12.0
    torch.testing.assert_close(to_canonical(moved, side)[0], to_canonical(xyz.double(), side)[0], atol=1e-8, rtol=0)


def test_a_right_hand_is_the_mirror_image_of_a_left_one():
    xyz, _ = random_hands(50)
    left, right = torch.zeros(50), torch.ones(50)
    image = xyz * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(to_canonical(xyz, left)[0], to_canonical(image, right)[0], atol=1e-3, rtol=0)
    assert (to_canonical(xyz, left)[0] - to_canonical(xyz, right)[0]).abs().max() > 1


def test_a_hand_worked_out_by_hand():
    xyz = torch.zeros(21, 3, dtype=torch.float64)
    xyz[9], xyz[17], xyz[4] = torch.tensor([[2.0, 0, 0], [0, 0, 3], [0, 1, 0]], dtype=torch.float64)
    # x to -y and z to x by turns about the axes, which takes y to -z
    canonical, rotation = to_canonical(xyz, torch.tensor(0))
    expected = torch.tensor([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]], dtype=torch.float64).T
    torch.testing.assert_close(rotation, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(canonical[4], torch.tensor([0.0, 0, -1], dtype=torch.float64), atol=1e-12, rtol=0)
    other, same = to_canonical(xyz, torch.tensor(1))
    torch.testing.assert_close(other[4], torch.tensor([0.0, 0, 1], dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(same, rotation)


def test_one_bone_is_the_unit_and_the_root_the_origin():
    xyz, _ = random_hands(10)
    relative, scale = normalise(xyz)
    assert relative[:, 0].abs().max() == 0
    torch.testing.assert_close((relative[:, 10] - relative[:, 9]).norm(dim=-1), torch.ones(10))
    given, same = normalise(xyz, 2 * scale)
    torch.testing.assert_close(given, relative / 2)
    assert torch.equal(same, 2 * scale)
    with pytest.raises(LvtuneError, match="length 0"):
        normalise(torch.zeros(1, 21, 3))


def test_a_hand_is_found_again_from_what_a_camera_sees():
    xyz, _ = random_hands(20)
    camera = torch.tensor([[480.0, 0, 112], [0, 470, 110], [0, 0, 1]]).expand(20, 3, 3)
    pixels = project(xyz, camera)
    by_hand = 480 * xyz[3, 5, 0] / xyz[3, 5, 2] + 112
    assert math.isclose(pixels[3, 5, 0], by_hand, rel_tol=1e-5)
    found = place(xyz - xyz[:, :1], pixels, camera)
    assert (found - xyz).abs().max() < 0.05
    # a key point that nobody trusts may be anywhere
    pixels[:, 7] += 50
    weight = torch.ones(20, 21)
    assert (place(xyz - xyz[:, :1], pixels, camera, weight) - xyz).abs().max() > 5
    weight[:, 7] = 0
    assert (place(xyz - xyz[:, :1], pixels, camera, weight) - xyz).abs().max() < 0.05


def test_mirroring_takes_the_depth_of_right_hands_alone():
    xyz, _ = random_hands(2)
    found = mirrored(xyz, torch.tensor([0, 1]))
    assert torch.equal(found[0], xyz[0])
    assert torch.equal(found[1], xyz[1] * torch.tensor([1.0, 1, -1]))


def test_joints_and_sides_must_fit():
    with pytest.raises(LvtuneError, match=r"\(4, 20, 3\)"):
        to_canonical(torch.zeros(4, 20, 3), torch.zeros(4))
    with pytest.raises(LvtuneError, match="one side"):
        from_canonical(torch.zeros(4, 21, 3), torch.eye(3).expand(4, 3, 3), torch.zeros(3))
