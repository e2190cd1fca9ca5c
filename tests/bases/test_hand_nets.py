"""The networks of 3D hands: sizes as published, layers against cases worked out by hand."""

import math

import pytest
import torch
from torch import nn

from lvtune.bases.hand_nets import (
    CpmEncoder,
    CpmHead,
    Lifting,
    PoseNet,
    SameConv2d,
    rotation_matrix,
    same_padding,
)


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_parameters_are_as_many_as_published():
    lifting = Lifting()
    assert count(CpmEncoder(), CpmHead()) == 17_518_847
    assert count(lifting.canonical) == 1_637_279
    assert count(lifting.viewpoint) == 2_238_403


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (32, 3, 1, (1, 1)),
        (32, 3, 2, (0, 1)),  # an even size: below and right alone
        (5, 3, 2, (1, 1)),
        (32, 7, 1, (3, 3)),
        (32, 1, 1, (0, 0)),
        (7, 4, 2, (1, 2)),
        (8, 2, 2, (0, 0)),
    ],
)
def test_same_padding_is_tensorflows(size, kernel, stride, expected):
    assert same_padding(size, kernel, stride) == expected


def test_a_stride_two_convolution_worked_out_by_hand():
    conv = SameConv2d(1, 1, 3, 2)
    with torch.no_grad():
        conv.weight.copy_(torch.arange(1.0, 10.0).view(1, 1, 3, 3))
        conv.bias.fill_(0.5)
    picture = torch.arange(1.0, 17.0).view(1, 1, 4, 4)
    # windows begin at rows and columns 0 and 2; of the second, the third row or column is zeros
    first = sum(w * x for w, x in zip(range(1, 10), (1, 2, 3, 5, 6, 7, 9, 10, 11), strict=True))
    right = 1 * 3 + 2 * 4 + 4 * 7 + 5 * 8 + 7 * 11 + 8 * 12
    below = 1 * 9 + 2 * 10 + 3 * 11 + 4 * 13 + 5 * 14 + 6 * 15
    corner = 1 * 11 + 2 * 12 + 4 * 15 + 5 * 16
    expected = torch.tensor([[first, right], [below, corner]]) + 0.5
    assert torch.equal(conv(picture)[0, 0], expected.float())
    torch_own = nn.functional.conv2d(picture, conv.weight, conv.bias, 2, 1)[0, 0]
    assert not torch.equal(torch_own, expected.float())


def test_a_stride_one_convolution_is_torchs_with_half_the_kernel_around():
    conv, picture = SameConv2d(3, 4, 7), torch.randn(2, 3, 9, 10)
    torch.testing.assert_close(conv(picture), nn.functional.conv2d(picture, conv.weight, conv.bias, padding=3))
    assert conv(picture).shape == (2, 4, 9, 10)


def test_weights_start_as_published():
    lifting, encoder = Lifting(), CpmEncoder()
    layers = [m for net in (lifting, encoder) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert all(torch.all(layer.bias == 1e-4) for layer in layers)
    fan_in, fan_out = 2050, 512
    weight = lifting.canonical.hidden[0][0].weight
    limit = math.sqrt(6 / (fan_in + fan_out))
    assert weight.abs().max() <= limit
    assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.01)
    assert not any(isinstance(m, nn.BatchNorm2d) for net in (lifting, encoder, CpmHead()) for m in net.modules())
    slopes = {m.negative_slope for net in (lifting, encoder) for m in net.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.01}
    dropouts = [[m.p for m in net.modules() if isinstance(m, nn.Dropout)] for net in lifting.children()]
    assert dropouts == [[0.2, 0.2], [0.25, 0.25]]


def test_the_encoding_is_an_eighth_of_the_picture():
    with torch.no_grad():
        assert CpmEncoder()(torch.zeros(1, 3, 32, 48)).shape == (1, 128, 4, 6)


def test_later_stages_read_the_maps_before_them_then_the_encoding():
    head, features = CpmHead().eval(), torch.randn(2, 128, 5, 5)
    seen = {}
    for name in ("stage2", "stage3"):
        module = getattr(head, name)
        module.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
    with torch.no_grad():
        maps = head(features)
        last = head.predictor(head.before_predictor(features)[-1])
    assert [m.shape for m in maps] == [(2, 21, 5, 5)] * 3
    assert torch.equal(seen["stage2"], torch.cat([maps[0], features], 1))
    assert torch.equal(seen["stage3"], torch.cat([maps[1], features], 1))
    assert torch.equal(maps[2], last)
    assert min(m.min() for m in maps) < 0  # outputs are linear


def test_the_pose_net_flattens_row_column_channel_and_appends_left_right():
    net = PoseNet((8, 8), (4, 4, 6), (5, 5), 3, dropout=0.0).eval()
    taken = []
    net.hidden.register_forward_pre_hook(lambda _, args: taken.append(args[0]))
    maps = torch.randn(2, 21, 8, 8)
    with torch.no_grad():
        net(maps, torch.tensor([0, 1]))
        grid = net.convs(maps)
    assert grid.shape == (2, 6, 1, 1)
    assert torch.equal(taken[0][:, :6], grid[:, :, 0, 0])
    assert torch.equal(taken[0][:, 6:], torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    wide = PoseNet((16, 8), (4, 4, 3), (5, 5), 3, dropout=0.0).eval()
    wide.hidden.register_forward_pre_hook(lambda _, args: taken.append(args[0]))
    maps = torch.randn(1, 21, 16, 8)
    with torch.no_grad():
        wide(maps, torch.tensor([0]))
        grid = wide.convs(maps)
    by_hand = [grid[0, c, r, 0] for r in range(2) for c in range(3)]
    assert torch.equal(taken[1][0, :6], torch.stack(by_hand))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_right_angle_about_each_axis(axis):
    vector = torch.zeros(1, 3)
    vector[0, axis] = math.pi / 2
    expected = {
        0: [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        1: [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
        2: [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    }[axis]
    torch.testing.assert_close(rotation_matrix(vector)[0], torch.tensor(expected).float(), atol=1e-6, rtol=0)


def test_rotations_are_those_of_the_exponential_of_the_vector():
    vectors = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, y, z = vectors.T
    o = torch.zeros_like(x)
    cross = torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).view(-1, 3, 3)
    torch.testing.assert_close(rotation_matrix(vectors), torch.linalg.matrix_exp(cross), atol=1e-7, rtol=0)


def test_no_rotation_at_all_has_a_gradient():
    vector = torch.zeros(1, 3, requires_grad=True)
    found = rotation_matrix(vector)
    torch.testing.assert_close(found[0], torch.eye(3), atol=1e-4, rtol=0)
    found[0, 0, 1].backward()
    assert vector.grad.isfinite().all() and vector.grad[0, 2] != 0


def test_the_lifting_turns_the_canonical_hand_and_mirrors_right_ones():
    lifting = Lifting((8, 8)).eval()
    maps = torch.randn(2, 21, 8, 8)
    with torch.no_grad():
        for net in (lifting.canonical, lifting.viewpoint):
            net.hidden[0][0].weight[:, -2:] = 0  # blind to the side, so that the mirroring alone differs
        xyz, canonical, rotation = lifting(maps[:1].expand(2, -1, -1, -1), torch.tensor([0, 1]))
        torch.testing.assert_close(xyz[0], canonical[0] @ rotation[0])
        flipped = canonical[1] * torch.tensor([1.0, 1.0, -1.0])
        torch.testing.assert_close(xyz[1], flipped @ rotation[1])
        torch.testing.assert_close(canonical[0], canonical[1])
        unsaid, right = lifting(maps)[0], lifting(maps, torch.ones(2))[0]
    assert torch.equal(unsaid, right)
