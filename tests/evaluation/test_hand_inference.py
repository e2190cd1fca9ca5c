"""Predictions of hands come back to the picture: crops, mirroring, placing; and are scored under their names."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import tiny_base
from tiny_hands import tiny_hand_base

from lvtune.bases.hand_nets import HandOutput
from lvtune.core.errors import LvtuneError
from lvtune.data.hand_dataset import HandDataset
from lvtune.data.hand_frame import normalise, project
from lvtune.data.hand_joints import hand_box
from lvtune.data.hand_table import HandTable
from lvtune.domains.domain import Split
from lvtune.evaluation.hand_inference import predict_hands
from lvtune.evaluation.split_scoring import score_split

COUNT = 6


def grey(image_id):
    """A picture of 160 x 120 pixels that nothing can be seen on."""
    return np.full((120, 160, 3), 128, np.uint8)


def split_of_hands():
    """Left and right hands somewhere in pictures of 160 x 120 pixels."""
    generator = torch.Generator().manual_seed(0)
    xyz = 35 * torch.randn(COUNT, 21, 3, generator=generator) + torch.tensor([40.0, -20.0, 700.0])
    camera = torch.tensor([[220.0, 0, 80], [0, 220, 60], [0, 0, 1]]).expand(COUNT, 3, 3)
    points = torch.cat([project(xyz, camera), torch.ones(COUNT, 21, 1)], -1).numpy()
    columns = {
        "image": np.array([f"{i}" for i in range(COUNT)]), "image_id": np.arange(COUNT), "width": np.full(COUNT, 160),
        "height": np.full(COUNT, 120), "side": np.arange(COUNT) % 2, "bbox": hand_box(points), "keypoints": points,
        "xyz": xyz.numpy(), "camera": camera.numpy(), "category": np.array(["wild"] * COUNT),
    }  # fmt: skip
    samples = lambda table, **options: HandDataset(table, padding=1.6, **options)  # noqa: E731
    return Split(HandTable(columns, draw=grey), "hands of the test", samples=samples, task="hand3d")


@pytest.fixture
def knowing(monkeypatch):
    """A base that knows the truth of the crops that it is shown, one batch after another."""
    base, split = tiny_hand_base(), split_of_hands()
    base = SimpleNamespace(
        input_size=(256, 256), mean=(0.5,) * 3, std=(0.5,) * 3, device=torch.device("cpu"), model=base.model,
        task="hand3d", codec=type(base.codec)((256, 256), (32, 32), base.codec.sigma), name="knowing", calls=0,
        skeleton=base.skeleton,
    )  # fmt: skip
    data = split.samples(split.table, input_size=base.input_size, mean=base.mean, std=base.std)

    def hands(pixel_values, side):
        rows = range(base.calls, base.calls + len(pixel_values))
        base.calls += len(pixel_values)
        items = [data[i] for i in rows]
        stack = lambda name: torch.stack([torch.as_tensor(item[name]) for item in items])  # noqa: E731
        assert torch.equal(side, stack("side")) and set(side.tolist()) == {1}  # left hands are shown mirrored
        maps, _ = base.codec.encode(stack("keypoints"), stack("visible"))
        xyz, _ = normalise(stack("xyz"), stack("scale"))
        return HandOutput(maps, xyz, xyz, xyz, (maps,), maps)

    base.hands = hands
    monkeypatch.setattr("lvtune.patcher.attaching.as_base", lambda model: tiny_hand_base())
    return base, split


def test_a_base_that_knows_the_truth_has_no_error(knowing):
    base, split = knowing
    hands = predict_hands(base, split, batch_size=4, category=None)
    truth = split.table.column("keypoints")[..., :2]
    # a cell of the map is 3 to 4 pixels of the picture here
    assert np.abs(hands.keypoints - truth).max() < 0.5
    xyz, scale = split.table.column("xyz"), split.table.column("scale")
    np.testing.assert_allclose(hands.xyz * scale[:, None, None], xyz - xyz[:, :1], atol=1e-3)


def test_scores_have_names_and_units(knowing):
    base, split = knowing
    scores = score_split(base, split, batch_size=4, category=None)
    found = scores.headline()
    assert scores.main == "auc@50"
    assert found["epe"] < 1e-3 and found["epe_procrustes"] < 1e-2
    assert found["auc@50"] == pytest.approx(100, abs=0.6) and found["f@5"] == pytest.approx(100)
    assert scores.values["variants"]["absolute"]["epe"] < 5  # of 700 mm, by key points alone
    assert set(scores.per_joint()) == set(split.table.skeleton.keypoints)
    assert scores.xyz.shape == (COUNT, 21, 3)


def test_bases_of_bodies_are_refused():
    with pytest.raises(LvtuneError, match="hand3d-vit"):
        score_split(tiny_base(), split_of_hands())


def test_a_network_without_a_clue_has_finite_scores():
    scores = score_split(tiny_hand_base(), split_of_hands(), category=None, flip_test=True)
    assert all(np.isfinite(value) for value in scores.headline().values())
    assert scores.headline()["epe"] > 20
