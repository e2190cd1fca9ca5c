"""The heatmap codec against MMPose's numbers (tests/golden/README.md), and where it degenerates."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lvtune.core.errors import LvtuneError
from lvtune.data.codec import UDPHeatmap
from lvtune.data.crop import box_to_center_scale, to_image, to_input, udp_matrix


@pytest.fixture(scope="module")
def golden():
    return load_file(Path(__file__).parents[1] / "golden/udp_codec.safetensors")


def test_encode_equals_the_reference(golden):
    heatmaps, weights = UDPHeatmap().encode(golden["keypoints"], golden["visible"])
    torch.testing.assert_close(heatmaps, golden["heatmaps"], rtol=0, atol=1e-6)
    assert torch.equal(weights, golden["weights"])


def test_decode_equals_the_reference(golden):
    keypoints, scores = UDPHeatmap().decode(golden["pred_heatmaps"])
    # pixels; logarithms of small values differ between processors (0.0004 on one of Intel's)
    torch.testing.assert_close(keypoints, golden["decoded_keypoints"], rtol=0, atol=1e-3)
    assert torch.equal(scores, golden["decoded_scores"])


def test_results_do_not_depend_on_the_batch(golden):
    codec = UDPHeatmap()
    keypoints, scores = codec.decode(golden["pred_heatmaps"])
    for i in range(3):
        for k in (0, 7, 16):
            one, score = codec.decode(golden["pred_heatmaps"][i : i + 1, k : k + 1])
            torch.testing.assert_close(one[0, 0], keypoints[i, k], rtol=0, atol=1e-4)
            assert score[0, 0] == scores[i, k]


@pytest.mark.parametrize("size", [(256, 192), (128, 96), (96, 96)])
def test_image_to_heatmap_and_back(size):
    """Through crop, encode, decode and back: the image point again, to 0.02 heatmap pixels."""
    heatmap, rng = (size[0] // 4, size[1] // 4), np.random.default_rng(1)
    center, scale = box_to_center_scale(np.array([[40.0, 30, 90, 200], [5, 5, 160, 60]]), size)
    # At least 5 heatmap pixels from the border, where the blur, zero outside, would pull inwards.
    points = center[:, None] + (rng.random((2, 9, 2)) - 0.5) * (1 - 12 / heatmap[1]) * scale[:, None]
    boxes = points, center, scale
    inputs = np.stack([to_input(p, udp_matrix(c, s, 0.0, size)) for p, c, s in zip(*boxes, strict=True)])
    codec = UDPHeatmap(size, heatmap)
    heatmaps, weights = codec.encode(torch.from_numpy(inputs), torch.ones(2, 9))
    decoded, scores = codec.decode(heatmaps)
    assert weights.min() == 1 and scores.min() > 0.9
    error = np.abs(to_image(decoded.numpy(), center, scale, size) - points) / (scale[:, None] / heatmap[1])
    assert error.max() < 0.02


def test_unlabelled_and_outside_points_weigh_nothing():
    nan = float("nan")
    points = torch.tensor([[[50.0, 50], [50, 50], [-40, 50], [50, 400], [nan, 5], [1e30, 5], [-10, 50]]])
    visible = torch.tensor([[1.0, 0, 1, 1, 1, 1, 1]])
    heatmaps, weights = UDPHeatmap().encode(points, visible)
    assert weights.tolist() == [[1, 0, 0, 0, 0, 0, 1]]
    assert (heatmaps.amax((-2, -1)) > 0).tolist() == [[True, False, False, False, False, False, True]]


def test_a_positive_weight_never_comes_with_an_empty_heatmap():
    x = torch.linspace(-60, 260, 3201)
    points = torch.stack([x, torch.full_like(x, 100.0)], -1)[None]
    heatmaps, weights = UDPHeatmap().encode(points, torch.ones(1, len(x)))
    assert torch.equal(weights > 0, heatmaps.amax((-2, -1)) > 0)


def test_coco_visibility_two_counts_once():
    _, weights = UDPHeatmap().encode(torch.full((1, 3, 2), 90.0), torch.tensor([[0, 1, 2]]))
    assert weights.tolist() == [[0, 1, 1]]


def test_arrays_are_accepted():
    points = np.full((2, 3, 2), 60.0)
    heatmaps, weights = UDPHeatmap().encode(points, np.ones((2, 3), dtype=bool))
    assert heatmaps.dtype == weights.dtype == torch.float32
    assert UDPHeatmap().decode(heatmaps.numpy())[0].shape == (2, 3, 2)


@pytest.mark.parametrize(("batch", "points"), [(0, 17), (2, 0), (0, 0), (1, 1)])
def test_empty_and_single(batch, points):
    codec = UDPHeatmap((128, 96), (32, 24))
    heatmaps, weights = codec.encode(torch.full((batch, points, 2), 40.0), torch.ones(batch, points))
    assert heatmaps.shape == (batch, points, 32, 24) and weights.shape == (batch, points)
    keypoints, scores = codec.decode(heatmaps)
    assert keypoints.shape == (batch, points, 2) and scores.shape == (batch, points)


@pytest.mark.parametrize("value", [0.0, -0.3, 0.7])
def test_flat_heatmaps_decode_to_a_finite_point(value):
    keypoints, scores = UDPHeatmap().decode(torch.full((1, 2, 64, 48), value))
    assert keypoints.isfinite().all()
    assert torch.equal(scores, torch.full((1, 2), value))
    if value <= 0:
        assert torch.equal(keypoints, torch.zeros(1, 2, 2))


def test_not_a_number_stays_visible_and_stays_alone():
    heatmaps, _ = UDPHeatmap().encode(torch.full((1, 2, 2), 90.0), torch.ones(1, 2))
    expected = UDPHeatmap().decode(heatmaps)[0][0, 1]
    heatmaps[0, 0, 3, 3] = float("nan")
    keypoints, scores = UDPHeatmap().decode(heatmaps)
    assert scores[0, 0].isnan() and keypoints[0, 0].isnan().all()
    assert torch.equal(keypoints[0, 1], expected)


def test_peaks_in_the_corners():
    heatmaps = torch.zeros(1, 4, 64, 48)
    for k, (y, x) in enumerate([(0, 0), (0, 47), (63, 0), (63, 47)]):
        heatmaps[0, k, y, x] = 1.0
    keypoints, scores = UDPHeatmap().decode(heatmaps)
    assert scores.min() == 1 and keypoints.isfinite().all()
    # One step of the blurred peak moves it by less than a heatmap pixel.
    assert (keypoints[0] - torch.tensor([[0.0, 0], [192, 0], [0, 256], [192, 256]])).abs().max() < 4.5


def test_half_precision_maps_decode_in_float32(golden):
    keypoints, scores = UDPHeatmap().decode(golden["heatmaps"].half())
    assert keypoints.dtype == scores.dtype == torch.float32
    inner = ((golden["keypoints"] > 24) & (golden["keypoints"] < torch.tensor([168, 232]))).all(-1)
    inner &= golden["visible"] > 0
    # Drawn in 191 × 255 intervals, decoded onto 192 × 256: undone by to_image.
    expected = golden["keypoints"] * torch.tensor([192 / 191, 256 / 255])
    assert inner.sum() > 15 and (keypoints - expected)[inner].abs().max() < 0.05


def test_results_stay_on_the_device_of_the_input():
    """`meta` stands in for an accelerator: any tensor left on the CPU would raise."""
    heatmaps, weights = UDPHeatmap().encode(torch.ones(2, 3, 2, device="meta"), torch.ones(2, 3))
    keypoints, scores = UDPHeatmap().decode(heatmaps)
    assert {t.device.type for t in (heatmaps, weights, keypoints, scores)} == {"meta"}


def test_wrong_shapes_and_sizes_are_refused():
    with pytest.raises(LvtuneError, match=r"expected heatmaps of shape \(B, K, 64, 48\)"):
        UDPHeatmap().decode(torch.zeros(1, 17, 48, 64))
    with pytest.raises(LvtuneError, match="keypoints of shape"):
        UDPHeatmap().encode(torch.zeros(17, 2), torch.ones(17))
    with pytest.raises(LvtuneError, match="visible of shape"):
        UDPHeatmap().encode(torch.zeros(1, 17, 2), torch.ones(1, 14))
    with pytest.raises(LvtuneError, match="odd blur_kernel"):
        UDPHeatmap(blur_kernel=10)


def bumps(kind, count=300):
    """Maps (1, count, 64, 48) with one peak each, and harder ones."""
    random = torch.Generator().manual_seed(3)
    points = torch.rand(1, count, 2, generator=random) * torch.tensor([191.0, 255.0])
    maps = UDPHeatmap(sigma=6.0 if kind == "wide" else 2.0).encode(points, torch.ones(1, count))[0]
    noise = torch.rand(maps.shape, generator=random)
    return {
        "clear": maps, "wide": maps, "low": 0.0015 * maps, "lower": 1e-4 * maps, "high": 80 * maps,
        "noisy": 0.3 * maps + 0.05 * noise - 0.02, "noise": noise, "faint noise": 0.03 * noise,
        "two peaks": maps + 0.9 * maps.flip(1), "below zero": maps - 0.3, "nothing": -maps,
    }[kind]  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["clear", "wide", "low", "lower", "high", "noisy", "noise", "faint noise", "two peaks", "below zero", "nothing"],
)
def test_pixels_near_the_peaks_give_what_whole_maps_give(kind, monkeypatch):
    maps = bumps(kind)
    found, scores = UDPHeatmap().decode(maps)
    monkeypatch.setattr("lvtune.data.codec.LONGEST", -1.0)  # no peak is clear: all maps are blurred as a whole
    wanted, same = UDPHeatmap().decode(maps)
    torch.testing.assert_close(found, wanted, rtol=0, atol=5e-4)  # of a pixel
    assert torch.equal(scores, same)


def test_maps_with_one_clear_peak_are_not_blurred_as_a_whole(monkeypatch):
    monkeypatch.setattr("lvtune.data.codec.blurred_at", None)
    UDPHeatmap().decode(bumps("clear"))
    UDPHeatmap().decode(bumps("noisy"))
    with pytest.raises(TypeError):
        UDPHeatmap().decode(bumps("lower"))
