"""Answers from several looks at a picture: put back where they belong, and better than one look's."""

import math
from types import SimpleNamespace

import pytest
import torch
from tiny import TinyPictures, tiny_base
from tiny_hands import TinyHands, tiny_hand_base

from lvtune.data.dataset import collate
from lvtune.data.unlabelled import HiddenLabels
from lvtune.training.many_views import LOOKS, MOST_VIEWS, seen_in_many_views
from lvtune.training.second_pictures import Answer, answer_of, heatmaps_of_stages


class Spots:
    """A base that answers with the picture: point k is the bright spot of channel k."""

    task, mean, std, input_size = "pose2d", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (64, 48)
    device = torch.device("cpu")

    def __init__(self):
        self.codec = tiny_base().codec
        self.skeleton = SimpleNamespace(mirrors=True, flip_index=(1, 0, 2))

    def __call__(self, pixels):
        """A quarter of the size, as a base has it; the mirror pair (0, 1) changes places in a mirror image."""
        height, width = pixels.shape[-2:]
        return torch.nn.functional.interpolate(pixels, (height // 4, width // 4), mode="area")


def spots(points):
    """A picture with a wide spot at each point (x, y)."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    return torch.stack([torch.exp(-((x - px) ** 2 + (y - py) ** 2) / 72) for px, py in points])[None]


@pytest.fixture
def answers_of_a_base(monkeypatch):
    """Calls a base without routing, which it has none of; remembers what it saw."""
    seen = []

    def call(base, batch):
        seen.append(batch["pixel_values"])
        maps = base(batch["pixel_values"])
        for place in range(1, len(maps), 2):  # in a mirror image left is right
            maps[place] = maps[place][[1, 0, 2]]
        return Answer([maps], None)

    monkeypatch.setattr("lvtune.training.many_views.answer_of", call)
    return seen


@pytest.mark.parametrize("views", range(2, MOST_VIEWS + 1))
def test_all_looks_find_the_points_where_they_are_in_the_plain_picture(views, answers_of_a_base):
    points = [(20.0, 28.0), (31.0, 35.0), (24.0, 40.0)]
    found = seen_in_many_views(Spots(), {"pixel_values": spots(points)}, Spots().skeleton, views)
    assert len(answers_of_a_base[0]) == views
    assert (found.points[0] - torch.tensor(points)).abs().max() < 1.5  # a cell of the heatmap has 4 pixels
    assert found.apart.max() < 0.04 and found.peak.shape == (1, 3) and found.peak.min() > 0.5


def test_the_looks_differ_and_begin_with_the_plain_picture(answers_of_a_base):
    picture = spots([(20.0, 28.0), (31.0, 35.0), (24.0, 40.0)])
    seen_in_many_views(Spots(), {"pixel_values": picture}, Spots().skeleton, MOST_VIEWS)
    looks = answers_of_a_base[0]
    assert torch.equal(looks[0], picture[0]) and torch.equal(looks[1], picture[0].flip(-1))
    assert len({look.numpy().tobytes() for look in looks}) == len(LOOKS)


def test_two_looks_are_the_mean_of_the_picture_and_its_mirror_image():
    base = tiny_base()
    samples = HiddenLabels(TinyPictures(3))
    batch = collate([samples[i] for i in range(3)])
    with torch.no_grad():
        maps = heatmaps_of_stages(base, batch)[-1]
        other = heatmaps_of_stages(base, {**batch, "pixel_values": batch["pixel_values"].flip(-1)})[-1]
        expected, peak = base.codec.decode((maps + other.flip(-1)[:, list(base.skeleton.flip_index)]) / 2)
    found = seen_in_many_views(base, batch, base.skeleton, 2)
    unit = torch.tensor([(base.input_size[1] - 1) / base.input_size[1], (base.input_size[0] - 1) / base.input_size[0]])
    assert torch.allclose(found.points, expected * unit, atol=1e-3) and torch.allclose(found.peak, peak, atol=1e-5)


def test_hands_have_looks_without_mirror_images():
    base = tiny_hand_base()
    samples = TinyHands(2)
    found = seen_in_many_views(base, collate([samples[i] for i in range(2)]), base.skeleton, 3)
    assert found.points.shape == (2, 21, 2) and torch.isfinite(found.points).all() and found.apart.shape == (2, 21)


def test_joints_of_all_looks_at_a_hand_are_turned_back_and_averaged(monkeypatch):
    """A hand that turns with the picture is found in the same place by each look."""
    base, plain = tiny_hand_base(), torch.randn(2, 21, 3)
    angles = [torch.tensor(look[0] * math.pi / 180) for look in LOOKS]

    def call(base, batch):
        found = answer_of(base, batch)
        hands = []
        for angle in angles[: len(batch["pixel_values"]) // 2]:
            turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1.0]])
            hands.append(plain @ turn.T)
        return found._replace(joints=torch.cat(hands))

    monkeypatch.setattr("lvtune.training.many_views.answer_of", call)
    samples = TinyHands(2)
    found = seen_in_many_views(base, collate([samples[i] for i in range(2)]), base.skeleton, MOST_VIEWS)
    assert torch.allclose(found.joints, plain, atol=1e-5) and found.joints_apart.max() < 1e-5
    assert torch.allclose(found.certainty_in_space(0.5), torch.ones(2))


def test_hands_whose_looks_differ_in_space_are_believed_less():
    base, samples = tiny_hand_base(), TinyHands(2)
    batch = collate([samples[i] for i in range(2)])
    found = seen_in_many_views(base, batch, base.skeleton, 2)
    black = torch.tensor([-m / s for m, s in zip(base.mean, base.std, strict=True)]).view(3, 1, 1)
    with torch.no_grad():
        looks = [answer_of(base, {**batch, "pixel_values": pictures}).joints
                 for pictures in (batch["pixel_values"], (batch["pixel_values"] + black) / 2)]  # fmt: skip
    assert torch.allclose(found.joints, (looks[0] + looks[1]) / 2, atol=1e-5)
    apart = (looks[0] - looks[1]).norm(dim=-1).mean(-1) / 2
    assert torch.allclose(found.joints_apart, apart, atol=1e-5) and apart.min() > 0
    near, far = found.certainty_in_space(float(apart.min()) / 10), found.certainty_in_space(float(apart.max()) * 10)
    assert near.max() < 1e-3 and far.min() > 0.99
    bodies = seen_in_many_views(tiny_base(), collate([TinyPictures(2)[i] for i in range(2)]), tiny_base().skeleton, 2)
    assert bodies.joints is None and bodies.certainty_in_space(0.5) is None
