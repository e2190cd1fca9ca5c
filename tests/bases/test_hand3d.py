"""hand3d as a base: what it gives, where its weights come from, the methods that it takes."""

import pytest
import torch
from safetensors.torch import save_file
from tiny import make_adapter, snapshot
from tiny_hands import small_cpm_base, tiny_hands

import lvtune
from lvtune.adapters.factory import create_adapter
from lvtune.bases.base import as_base
from lvtune.bases.base_registry import load_base
from lvtune.bases.hand3d import Hand3dBase
from lvtune.bases.hand_nets import HandOutput
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import COCO_17
from lvtune.patcher.attaching import attach
from lvtune.training.objectives import OBJECTIVES


@pytest.fixture(scope="module")
def published():
    """The whole network."""
    return load_base("hand3d", "random")


def test_sizes_and_counts(published):
    assert sum(p.numel() for p in published.model.parameters()) == 17_518_847 + 1_637_279 + 2_238_403
    assert (published.input_size, published.heatmap_size, published.width) == ((256, 256), (32, 32), 128)
    assert published.mean == (0.5, 0.5, 0.5) and published.std == (1.0, 1.0, 1.0)
    assert len(published.skeleton.keypoints) == 21
    output = published.hands(torch.zeros(1, 3, 256, 256))
    assert output.xyz.shape == output.canonical.shape == (1, 21, 3)
    assert [maps.shape for maps in output.stages] == [(1, 21, 32, 32)] * 3
    assert output.features.shape == (1, 128, 32, 32)


def test_targets_are_the_published_gaussians_at_an_eighth(published):
    base = published
    point = torch.tensor([[[4 * 255 / 31, 10 * 255 / 31]]]).expand(1, 21, 2)  # the centre of a cell
    maps, _ = base.codec.encode(point, torch.ones(1, 21))
    assert maps[0, 0, 10, 4] == 1
    # exp(-d² / 25²) of d pixels in 256 is that of d / 8 in 32
    for cells in (1, 2, 3):
        expected = torch.exp(torch.tensor(-((8.0 * cells) ** 2) / 25**2))
        torch.testing.assert_close(maps[0, 0, 10, 4 + cells], expected)


def test_heatmaps_are_those_of_the_last_stage():
    base, pixels = small_cpm_base(), torch.randn(2, 3, 64, 64)
    output = base.hands(pixels)
    assert torch.equal(base(pixels), output.heatmaps)
    assert torch.equal(output.heatmaps, output.stages[-1])
    assert not torch.equal(output.stages[0], output.stages[-1])


def test_joints_in_bones_in_millimetres_and_from_the_camera(published):
    batch = tiny_hands(6, size=256)
    maps, _ = published.codec.encode(batch["keypoints"], batch["visible"])
    inside = ((batch["keypoints"] > 40) & (batch["keypoints"] < 215)).all(-1)
    assert inside.sum() > 100
    # an output that knows the truth: true maps, and true joints in lengths of the bone
    relative = (batch["xyz"] - batch["xyz"][:, :1]) / batch["scale"][:, None, None]
    maps = maps * inside[..., None, None]
    output = HandOutput(maps, relative, relative, torch.eye(3).expand(6, 3, 3), (maps,), maps)
    assert torch.equal(published.joints(output), relative)
    in_mm = published.joints(output, batch["scale"])
    torch.testing.assert_close(in_mm, batch["xyz"] - batch["xyz"][:, :1], atol=1e-3, rtol=0)
    points, scores = published.keypoints(output)
    assert (points - batch["keypoints"])[inside].abs().max() < 0.6  # of maps whose cells are 8 pixels
    assert (scores[inside] > 0.7).all() and (scores[~inside] == 0).all()
    placed = published.joints(output, batch["scale"], batch["camera"])
    assert (placed - batch["xyz"]).norm(dim=-1).max() < 4  # of 600
    with pytest.raises(LvtuneError, match="scale"):
        published.joints(output, camera=batch["camera"])


def test_the_side_is_heard():
    base, pixels = small_cpm_base(), torch.randn(2, 3, 64, 64)
    left, right = (base.hands(pixels, torch.full((2,), side)) for side in (0, 1))
    assert torch.equal(left.heatmaps, right.heatmaps)
    assert (left.xyz - right.xyz).abs().max() > 1e-3
    assert torch.equal(base.hands(pixels).xyz, right.xyz)


def test_without_weights_one_is_told_how_to_train():
    with pytest.raises(LvtuneError, match="hand3d") as error:
        load_base("hand3d")
    assert "lvtune adapt --config hand3d" in error.value.fix and "--weights random" in error.value.fix


def test_weights_go_through_a_file(tmp_path, published):
    file = tmp_path / "hand3d.safetensors"
    other = load_base("hand3d", "random", seed=3)
    save_file(other.model.state_dict(), file)
    again = load_base("hand3d", str(file))
    assert lvtune.fingerprint(again) == lvtune.fingerprint(other) != lvtune.fingerprint(published)
    save_file({"conv.weight": torch.zeros(3, 3)}, tmp_path / "else.safetensors")
    with pytest.raises(LvtuneError, match=r"conv\.weight"):
        load_base("hand3d", str(tmp_path / "else.safetensors"))


def test_a_plain_model_is_recognised_and_copied():
    base = small_cpm_base()
    assert isinstance(as_base(base.model), Hand3dBase)
    copy = base.copy_model()
    assert copy is not base.model
    pixels = torch.randn(1, 3, 64, 64)
    assert torch.equal(copy(pixels).xyz, base.hands(pixels).xyz)


def test_other_key_points_are_refused():
    with pytest.raises(LvtuneError, match="21 joints"):
        create_adapter("full", small_cpm_base(), skeleton=COCO_17)


@pytest.mark.parametrize("method", ["full", "head", "bitfit", "vlpose"])
def test_methods_for_convolutions_start_at_the_base_and_leave_it_alone(method):
    base = small_cpm_base()
    batch, before = tiny_hands(2), snapshot(base)
    bare = base.hands(batch["pixel_values"], batch["side"])
    adapter = make_adapter(method, base, **({"placement": "none"} if method == "vlpose" else {}))
    objective = OBJECTIVES.get("hand")()
    optimizer = torch.optim.Adam(adapter.parameters(), lr=1e-3)
    losses = []
    with attach(base, adapter):
        fresh = base.hands(batch["pixel_values"], batch["side"])
        assert torch.equal(fresh.xyz, bare.xyz) and torch.equal(fresh.heatmaps, bare.heatmaps)
        for _ in range(4):  # in eval, without dropout, so that the loss must fall
            loss = objective(base, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert snapshot(base) == before


def test_methods_without_anything_to_tune_are_refused():
    base = small_cpm_base()
    with pytest.raises(LvtuneError, match="no attention blocks"):
        create_adapter("lora", base)
    with pytest.raises(LvtuneError, match="nothing that it tunes"):
        create_adapter("norm", base)
    with pytest.raises(LvtuneError, match="placement"):
        make_adapter("vlpose", base)
