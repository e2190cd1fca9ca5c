"""The affine crop against MMPose's numbers (tests/golden/README.md)."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file

from lvtune.core.errors import LvtuneError
from lvtune.data.crop import box_to_center_scale, fix_aspect, to_image, to_input, udp_matrix, warp

TESTS = Path(__file__).parents[1]
SIZE = (256, 192)


@pytest.fixture(scope="module")
def golden():
    return load_file(TESTS / "golden/topdown_affine.safetensors")


@pytest.fixture(scope="module")
def image():
    return cv2.imread(str(TESTS / "samples/coco/val2017/000000000785.jpg"))


def test_center_and_scale_equal_the_reference(golden):
    center, padded = box_to_center_scale(golden["bbox_xywh"])
    _, scale = box_to_center_scale(golden["bbox_xywh"], SIZE)
    np.testing.assert_array_equal(center, golden["center"])
    np.testing.assert_array_equal(padded, golden["padded_scale"])
    np.testing.assert_array_equal(scale, golden["fixed_aspect_scale"])
    np.testing.assert_array_equal(fix_aspect(padded, SIZE), scale)


def test_matrix_equals_the_reference(golden):
    center, scale = golden["center"], golden["fixed_aspect_scale"]
    angle, expected = golden["rotation_deg"], golden["warp_matrix"]
    got = np.stack([udp_matrix(center[i], scale[i], angle[i], SIZE) for i in range(len(center))])
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(got[angle == 0], expected[angle == 0])


def test_warped_pixels_equal_the_reference(golden, image):
    for row, expected in zip([0, 1, 2, 4, 5], golden["warped_bgr_rows_0_1_2_4_5"], strict=True):
        angle = golden["rotation_deg"][row]
        matrix = udp_matrix(golden["center"][row], golden["fixed_aspect_scale"][row], angle, SIZE)
        difference = np.abs(warp(image, matrix, SIZE).astype(int) - expected)
        # OpenCV versions differ by one grey level in 2 pixels of 10,000 where the crop is turned.
        assert difference.max() <= (0 if angle == 0 else 1)
        assert (difference > 0).mean() < 5e-4


def test_integer_boxes_and_single_boxes():
    center, scale = box_to_center_scale(np.array([10, 20, 30, 80]), SIZE)
    np.testing.assert_allclose(center, [25, 60])
    np.testing.assert_allclose(scale, [75, 100])


def test_clipping_keeps_pixel_centres():
    boxes = np.array([[-10.0, -5.0, 200.0, 400.0]])
    center, scale = box_to_center_scale(boxes, image_size=(100, 80), padding=1.0)
    np.testing.assert_allclose(scale, [[79, 99]])
    np.testing.assert_allclose(center, [[39.5, 49.5]])


@pytest.mark.parametrize("box", [[5, 5, 0, 10], [5, 5, 10, -1], [np.nan, 0, 5, 5], [300, 10, 20, 20]])
def test_box_without_area_is_refused(box):
    with pytest.raises(LvtuneError, match="box without area"):
        box_to_center_scale(np.array([[1.0, 1, 9, 9], box]), SIZE, image_size=(100, 100))


def test_the_corners_of_the_crop_meet_the_corner_pixels():
    center, scale = np.array([50.0, 60.0]), np.array([60.0, 80.0])
    matrix = udp_matrix(center, scale, 0.0, SIZE)
    corners = np.array([[20.0, 20.0], [80.0, 100.0]])
    np.testing.assert_allclose(to_input(corners, matrix), [[0, 0], [191, 255]], atol=1e-4)


def test_rotation_keeps_the_centre_and_turns_clockwise():
    center, scale = np.array([50.0, 60.0]), np.array([48.0, 64.0])
    matrix = udp_matrix(center, scale, 90.0, (65, 49))
    moved = to_input(np.array([[50.0, 60.0], [60.0, 60.0]]), matrix)
    np.testing.assert_allclose(moved, [[24, 32], [24, 42]], atol=1e-5)


def test_to_image_is_vectorised_over_persons():
    rng = np.random.default_rng(0)
    points, center = rng.random((3, 5, 2)) * 100, rng.random((3, 2)) * 100
    scale = rng.random((3, 2)) * 50 + 20
    got = to_image(points, center, scale, SIZE)
    for i in range(3):
        np.testing.assert_allclose(got[i], to_image(points[i], center[i], scale[i], SIZE))
    # The whole decoded range spans the whole crop.
    ends = to_image(np.array([[0.0, 0.0], [192.0, 256.0]]), center[0], scale[0], SIZE)
    np.testing.assert_allclose(ends, [center[0] - scale[0] / 2, center[0] + scale[0] / 2])


@pytest.mark.parametrize("shape", [(50, 40_000), (40_000, 50), (3, 100_000)])
def test_pictures_beyond_what_opencv_addresses_are_warped(shape):
    """The part that the crop shows is cut out first: the same pixels as of that part alone."""
    rng = np.random.default_rng(0)
    image = np.zeros((*shape, 3), np.uint8)
    far = np.array([shape[1] - 60, shape[0] - 60]).clip(0)
    patch = image[far[1] :, far[0] :]
    patch[:] = rng.integers(0, 255, patch.shape, dtype=np.uint8)
    matrix = np.array([[0.9, 0.1, -0.9 * far[0] - 0.1 * far[1]], [-0.1, 0.9, 0.1 * far[0] - 0.9 * far[1]]])
    alone = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ far])
    got, want = warp(image, matrix, (32, 24)), warp(np.ascontiguousarray(patch), alone, (32, 24))
    assert np.abs(got.astype(int) - want)[2:, 2:].max() <= 1


def test_a_crop_of_a_whole_huge_picture_is_made_smaller_first():
    image = np.zeros((8, 40_000, 3), np.uint8)
    image[:, 20_000:] = 200
    got = warp(image, udp_matrix(np.array([20_000, 4]), np.array([40_000, 8]), 0, (48, 64)), (48, 64))
    row = got.max(0)[:, 0]
    assert row[:30].max() == 0 and row[34:-1].min() > 0
