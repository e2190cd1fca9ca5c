"""FreiHAND, RHD and STB: their formats, joint order, cameras, sides, crops and faults."""

from __future__ import annotations

import json
import pickle

import cv2
import hand_layouts
import numpy as np
import pytest
from hand_layouts import SAMPLES, STB_FRAMES
from scipy.io import savemat

from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError
from lvtune.data.hand_joints import bone_lengths, order_fault, project
from lvtune.domains import get_domain
from lvtune.domains.freihand import VERSIONS, _ids
from lvtune.domains.stb import depth_to_color, read_labels


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LVTUNE_CACHE", str(tmp_path / "cache"))


def wrist(folder, **options):
    return DataOptions(data=str(folder), hand_root="wrist", **options)


def projected(table):
    return np.abs(project(table.column("xyz"), table.column("camera")) - table.column("keypoints")[..., :2]).max()


def test_freihand_has_each_hand_before_four_backgrounds(tmp_path):
    xyz = hand_layouts.freihand(tmp_path)
    table = get_domain("freihand").open("train", wrist(tmp_path)).table
    assert len(table) == 12
    assert table.column("image")[[0, 3, 11]].tolist() == [
        "training/rgb/00000000.jpg", "training/rgb/00000003.jpg", "training/rgb/00000011.jpg"
    ]  # fmt: skip
    np.testing.assert_allclose(table.column("xyz"), np.tile(xyz, (4, 1, 1)), atol=1e-9)
    assert table.column("category").tolist() == [name for name in VERSIONS for _ in range(3)]
    assert set(table.column("side")) == {1}
    assert projected(table) < 1e-9
    assert table.picture(11).shape == (224, 224, 3)
    one = get_domain("freihand/colored_at_will").open("train", wrist(tmp_path)).table
    assert one.column("image_id").tolist() == [9, 10, 11]
    test = get_domain("freihand").open("test", wrist(tmp_path)).table
    assert (len(test), test[0].category, test[0].image) == (1, "photo", "evaluation/rgb/00000000.jpg")


def test_some_backgrounds_to_train_on_and_photographs_to_test_on(tmp_path):
    hand_layouts.freihand(tmp_path)
    some = get_domain("freihand/green_screen,photo")
    assert set(some.open("train", tmp_path).table.column("category")) == {"green_screen"}
    assert set(some.open("test", tmp_path).table.column("category")) == {"photo"}
    with pytest.raises(LvtuneError, match="--domain freihand/green_screen,photo"):
        get_domain("freihand/green_screen").open("test", tmp_path)


def test_the_published_numbers_of_freihands_versions():
    # the samples of one hand, from MMPose's excerpt: 355, 32915, 65475, 98035
    assert [int(_ids(name, 32560)[355]) for name in VERSIONS] == [355, 32915, 65475, 98035]
    folder = SAMPLES / "freihand_2d"
    options = DataOptions(data=str(folder), annotations=str(folder / "test_freihand.json"))
    table = get_domain("freihand").open("test", options).table
    assert sorted(zip(table.column("image_id").tolist(), table.column("category").tolist(), strict=True)) == [
        (355, "green_screen"), (32915, "homogenized"), (65475, "colored_by_samples"), (98035, "colored_at_will")
    ]  # fmt: skip
    # one hand: the same 2D labels before each background
    assert np.ptp(table.column("keypoints"), axis=0).max() == 0
    assert np.isnan(table.column("xyz")).all()
    assert np.linalg.det(table.column("camera")).all()  # one that can be inverted


def test_freihand_without_the_evaluation_joints_has_pictures_alone(tmp_path):
    hand_layouts.freihand(tmp_path)
    (tmp_path / "evaluation_xyz.json").unlink()
    table = get_domain("freihand").open("test", tmp_path).table
    assert table.column("bbox").tolist() == [[0, 0, 223, 223]]
    assert np.isnan(table.column("xyz")).all()
    assert "nothing is scored" in table.notes[0]


def test_palm_is_halfway_to_the_middle_fingers_base_and_the_default(tmp_path):
    xyz = hand_layouts.freihand(tmp_path)
    table = get_domain("freihand").open("train", tmp_path).table
    np.testing.assert_allclose(table.column("xyz")[:3, 0], (xyz[:, 0] + xyz[:, 9]) / 2)
    np.testing.assert_allclose(table.column("xyz")[:3, 1:], xyz[:, 1:])
    assert projected(table) < 1e-9


def test_crop_is_centred_on_the_middle_fingers_base(tmp_path):
    hand_layouts.freihand(tmp_path)
    hand = get_domain("freihand").open("train", tmp_path).table[0]
    centre = hand.keypoints[9, :2]
    np.testing.assert_allclose(hand.bbox[:2] + hand.bbox[2:] / 2, centre)
    seen = hand.keypoints[hand.keypoints[:, 2] > 0, :2]
    assert hand.bbox[2] == hand.bbox[3] == pytest.approx(2 * np.abs(seen - centre).max())
    whole = get_domain("freihand").open("train", DataOptions(data=str(tmp_path), hand_crop="picture")).table[0]
    assert whole.bbox.tolist() == [0, 0, 223, 223]


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_rhd_takes_the_hand_with_more_of_the_mask(tmp_path, protocol):
    found = hand_layouts.rhd(tmp_path, protocol)
    table = get_domain("rhd").open("test", wrist(tmp_path)).table
    assert table.column("side").tolist() == [int(hand["hand_type"] == "right") for hand in found.values()] == [0, 1]
    for i, hand in found.items():
        native = np.array(hand["joint_cam"])
        tips = native[[1, 5, 9, 13, 17]]  # RHD lists fingers from the tip
        np.testing.assert_allclose(table[i].xyz[4::4], tips, atol=1e-9)
        np.testing.assert_allclose(table[i].xyz[0], native[0], atol=1e-9)
        flat = np.array(hand["keypoints"])[[1, 5, 9, 13, 17], :2]
        assert np.abs(table[i].keypoints[4::4, :2] - flat).max() < 0.1  # labelled and projected agree
    assert projected(table) < 1e-9
    assert table.picture(0).shape == (320, 320, 3)


def test_rhd_counts_masks_once(tmp_path):
    hand_layouts.rhd(tmp_path)
    first = get_domain("rhd").open("train", tmp_path).table.column("side")
    for mask in (tmp_path / "training/mask").iterdir():
        cv2.imwrite(str(mask), np.full((320, 320), 20, np.uint8))
    again = get_domain("rhd").open("train", tmp_path).table.column("side")
    assert again.tolist() == first.tolist() == [0, 1]


def test_rhd_without_masks_goes_by_visible_joints_and_says_so(tmp_path):
    hand_layouts.rhd(tmp_path)
    for mask in (tmp_path / "training/mask").iterdir():
        mask.unlink()
    (tmp_path / "training/mask").rmdir()
    table = get_domain("rhd").open("train", tmp_path).table
    assert table.column("side").tolist() == [0, 1]
    assert "more visible joints" in table.notes[0]


def test_rhd_joint_is_seen_where_the_data_say_so(tmp_path):
    hand_layouts.rhd(tmp_path)
    file = tmp_path / "training/anno_training.pickle"
    annotations = pickle.loads(file.read_bytes())
    annotations[0]["uv_vis"][[0, 1], 2] = 0  # wrist and thumb's tip of the left hand
    file.write_bytes(pickle.dumps(annotations))
    by_wrist = get_domain("rhd").open("train", wrist(tmp_path)).table[0].keypoints[:, 2]
    assert np.flatnonzero(by_wrist == 0).tolist() == [0, 4]
    # a palm is seen where wrist and middle finger's base both are
    assert get_domain("rhd").open("train", tmp_path).table[0].keypoints[0, 2] == 0


def test_rhd_that_would_run_code_is_refused(tmp_path):
    hand_layouts.rhd(tmp_path)

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "training/anno_training.pickle").write_bytes(pickle.dumps({0: Evil()}))
    with pytest.raises(LvtuneError, match=r"asks for .*open"):
        get_domain("rhd").open("train", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_stb_wrist_order_and_both_cameras(tmp_path):
    xyz = hand_layouts.stb(tmp_path)
    for camera, focal in (("bb", 822.79041), ("sk", 607.92271)):
        table = get_domain(f"stb/{camera}").open("test", wrist(tmp_path)).table
        assert len(table) == 2 * STB_FRAMES  # B1 counting and random
        np.testing.assert_allclose(table.column("xyz"), np.tile(xyz, (2, 1, 1)), atol=1e-6)
        assert table[0].camera[0, 0] == focal
        assert set(table.column("side")) == {0}
        assert projected(table) < 1e-9
        assert table.picture(1)[0, 0, 0] == 40
    both = get_domain("stb/both").open("train", tmp_path)
    assert len(both.table) == 4 * STB_FRAMES
    assert both.table.notes == ["4 of 20 sequences are there"]
    assert both.table.column("category").tolist() == ["sk"] * 6 + ["bb"] * 6


def test_stb_is_one_camera_and_the_other_by_option(tmp_path):
    hand_layouts.stb(tmp_path)
    whole = get_domain("stb")
    assert whole.categories == ("sk",) and list(whole.sentences) == ["sk"]
    for part in ("train", "test"):
        split = whole.open(part, tmp_path)
        assert len(split.table) == 2 * STB_FRAMES and set(split.table.column("category")) == {"sk"}
        assert any("camera SK alone" in note and "stb/bb" in note for note in split.table.notes)
    other = get_domain("stb/bb")
    assert list(other.sentences) == ["bb"] and other.sentences["bb"] != whole.sentences["sk"]
    assert set(other.open("test", tmp_path).table.column("category")) == {"bb"}
    assert get_domain("stb/sk,bb").categories == get_domain("stb/both").categories == ("sk", "bb")
    with pytest.raises(LvtuneError, match="unknown part 'cc'") as error:
        get_domain("stb/cc")
    assert "sk, bb, both" in error.value.expected
    # who has the other camera alone is told how to take it
    for file in (tmp_path / "labels").glob("*_SK.mat"):
        file.unlink()
    with pytest.raises(LvtuneError, match="stb/bb takes those of BB"):
        whole.open("test", tmp_path)


@pytest.mark.parametrize(("name", "camera"), [("stb+rhd", "sk"), ("stb/bb+rhd", "bb")])
def test_stb_in_a_mixture_is_one_camera_too(name, camera):
    # hands of several data sets are tested part by part (lvtune.experiments.part_runner)
    assert list(get_domain(name).sentences) == [camera, "rendered"]
    assert get_domain(name.partition("+")[0]).categories == (camera,)


def test_stb_palm_is_native(tmp_path):
    xyz = hand_layouts.stb(tmp_path)
    table = get_domain("stb/bb").open("test", tmp_path).table
    np.testing.assert_allclose(table.column("xyz")[:3, 0], (xyz[:, 0] + xyz[:, 13]) / 2)


def test_depth_to_colour_by_hand():
    # first order of a small rotation r: v - r x v with v = (0, 0, 500) - t
    moved = depth_to_color(np.array([[0.0, 0.0, 500.0]]))
    np.testing.assert_allclose(moved, [[30.0342, 3.0455, 500.9427]], atol=0.05)
    pair = depth_to_color(np.array([[0.0, 0.0, 500.0], [30.0, 40.0, 500.0]]))
    assert np.linalg.norm(pair[1] - pair[0]) == pytest.approx(50)


def test_every_joint_map_makes_a_hand_of_neighbouring_bones(tmp_path):
    for name, write in (("freihand", hand_layouts.freihand), ("rhd", hand_layouts.rhd), ("stb", hand_layouts.stb)):
        folder = tmp_path / name
        folder.mkdir()
        write(folder)
        xyz = get_domain(name).open("train", wrist(folder)).table.column("xyz")
        assert order_fault(xyz) is None
        lengths = np.median(bone_lengths(xyz), 0).reshape(5, 4)
        assert (lengths[1:, 0] > 70).all(), name  # wrist to the bases of the fingers
        assert (lengths[:, 1:] < 60).all(), name
        assert (lengths[:, 1] > lengths[:, 3]).all(), name
        assert np.argmax(lengths.sum(1)) == 2, name  # the middle finger is the longest


def test_wrongly_ordered_joints_are_refused(tmp_path):
    hand_layouts.freihand(tmp_path)
    file = tmp_path / "training_xyz.json"
    joints = np.array(json.loads(file.read_text()))
    thumb_turned, fingers_swapped = [0, 4, 3, 2, 1, *range(5, 21)], [0, *range(5, 9), *range(1, 5), *range(9, 21)]
    for order in ([0, *range(20, 0, -1)], thumb_turned, fingers_swapped):
        file.write_text(json.dumps(joints[:, order].tolist()))
        with pytest.raises(LvtuneError, match="of which"):
            get_domain("freihand").open("train", tmp_path)


def test_coco_style_rhd_turns_its_fingers_round():
    folder = SAMPLES / "rhd_coco_style"
    options = DataOptions(data=str(folder), annotations=str(folder / "test_rhd.json"), hand_root="wrist")
    table = get_domain("rhd").open("test", options).table
    assert order_fault(table.column("xyz")) is None
    assert table.notes == ["fingers are listed from tip to base: turned round"]
    native = json.loads((folder / "test_rhd.json").read_text())["annotations"]
    np.testing.assert_allclose(table[0].xyz[4], native[0]["joint_cam"][1])
    assert np.abs(table[0].keypoints[4, :2] - native[0]["keypoints"][1][:2]).max() < 0.1
    assert table.column("side").tolist() == [0, 1]


@pytest.mark.parametrize("name", ["freihand", "rhd", "stb"])
def test_missing_data_say_where_they_come_from(tmp_path, name):
    for folder in (None, tmp_path / "none", tmp_path):
        with pytest.raises(LvtuneError, match="http") as caught:
            get_domain(name).open("test", folder)
        assert "--data FOLDER" in str(caught.value)


def test_broken_files_say_so(tmp_path):
    hand_layouts.freihand(tmp_path)
    file = tmp_path / "training_xyz.json"
    whole = json.loads(file.read_text())
    for content, fault in (
        ("{", "Expecting"),
        (json.dumps([hand[:20] for hand in whole]), r"of \(3, 20, 3\)"),
        (json.dumps([[[float("nan")] * 3] * 21] * 3), "no numbers"),
        (json.dumps((1000 * np.array(whole)).tolist()), "metres"),
        (json.dumps(whole[:2]), "2 hands for 3 cameras"),
    ):
        file.write_text(content)
        with pytest.raises(LvtuneError, match=fault):
            get_domain("freihand").open("train", tmp_path)


def test_broken_labels_of_stb_say_so(tmp_path):
    short, unknown = np.zeros((3, 20, 5)), np.full((3, 21, 2), np.nan)
    for name, content in (("a", short), ("handPara", short), ("handPara", unknown)):
        savemat(tmp_path / "labels.mat", {name: content})
        with pytest.raises(LvtuneError, match=r"labels\.mat"):
            read_labels(tmp_path / "labels.mat")
    (tmp_path / "labels.mat").write_bytes(b"MATLAB 7.3 MAT-file" + bytes(200))
    with pytest.raises(LvtuneError, match=r"labels\.mat"):
        read_labels(tmp_path / "labels.mat")
