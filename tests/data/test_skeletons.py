"""Skeletons: mirror pairs, upper body, torso and sigmas by name."""

from __future__ import annotations

import json

import pytest

from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import COCO_17, HAND_21, HUMANART_21, LSP_14, Skeleton, get_skeleton, list_skeletons


def pairs(skeleton):
    names = skeleton.keypoints
    return {(names[i], names[j]) for i, j in enumerate(skeleton.flip_index) if i < j}


def test_coco_pairs_upper_body_torso_and_sigmas():
    assert COCO_17.flip_index == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
    assert COCO_17.upper == tuple(range(11))
    assert COCO_17.torso == (5, 12)
    # cocodataset.org, keypoint evaluation
    published = [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]
    assert COCO_17.sigmas == tuple(s / 1000 for s in published)


def test_lsp_pairs_and_sigmas():
    assert LSP_14.flip_index == (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13)
    assert LSP_14.torso == (9, 2)
    assert LSP_14.upper == (6, 7, 8, 9, 10, 11, 12, 13)
    assert LSP_14.sigmas[12:] == (0.079, 0.079)  # neck, head_top as in CrowdPose


def test_humanart_adds_fingers_and_toes():
    assert HUMANART_21.keypoints[:17] == COCO_17.keypoints
    assert ("left_toe", "right_toe") in pairs(HUMANART_21)
    assert HUMANART_21.sigmas[17:] == (0.089,) * 4


def test_hand_is_a_tree_of_five_fingers_from_the_wrist():
    tips = ("thumb4", "forefinger4", "middle_finger4", "ring_finger4", "pinky_finger4")
    assert HAND_21.keypoints[::4] == ("wrist", *tips)
    assert sorted(end for _, end in HAND_21.links) == list(range(1, 21))  # each key point but the wrist has one parent
    assert [start for start, end in HAND_21.links if end % 4 == 1] == [0] * 5
    assert all(start == end - 1 for start, end in HAND_21.links if end % 4 != 1)
    assert HAND_21.flip_index == tuple(range(21))  # a mirrored hand is a hand of the other side, in the same order
    assert HAND_21.torso is None
    published = [29, 22, 35, 37, 47, 26, 25, 24, 35, 18, 24, 22, 26, 17, 21, 21, 32, 20, 19, 22, 31]
    assert HAND_21.sigmas == tuple(s / 1000 for s in published)  # COCO-WholeBody


@pytest.mark.parametrize("name", list_skeletons())
def test_flipping_twice_is_nothing_and_dicts_come_back(name):
    skeleton = get_skeleton(name)
    assert [skeleton.flip_index[i] for i in skeleton.flip_index] == list(range(len(skeleton.keypoints)))
    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton


def test_underscores_and_capitals_are_forgiven_and_a_typo_is_answered():
    assert get_skeleton("COCO_17") is COCO_17
    with pytest.raises(LvtuneError) as error:
        get_skeleton("coco17")
    assert "coco-17" in error.value.fix


@pytest.mark.parametrize(
    ("left", "right"),
    [("L_Eye", "R_Eye"), ("left ear", "right ear"), ("eye_left", "eye_right"), ("LeftHip", "RightHip")],
)
def test_other_spellings_of_sides_make_pairs(left, right):
    skeleton = Skeleton.from_category({"name": "x", "keypoints": [left, "tail", right]})
    assert skeleton.flip_index == (2, 1, 0)


def test_words_that_begin_with_l_or_r_have_no_side():
    skeleton = Skeleton.from_category({"name": "x", "keypoints": ["lower_back", "root_of_tail", "forearm"]})
    assert skeleton.flip_index == (0, 1, 2)
    assert skeleton.upper == ()
    assert skeleton.torso is None


def test_a_category_of_known_key_points_is_the_known_skeleton():
    category = {"name": "person", "keypoints": list(LSP_14.keypoints), "skeleton": []}
    assert Skeleton.from_category(category) is LSP_14


def test_a_new_category_takes_sigmas_by_name_and_links_from_one():
    category = {"name": "robot", "keypoints": ["nose", "antenna", "left_hip"], "skeleton": [[1, 2], [2, 3]]}
    skeleton = Skeleton.from_category(category)
    assert (skeleton.name, skeleton.links) == ("robot-3", ((0, 1), (1, 2)))
    assert skeleton.sigmas == (0.026, 0.079, 0.107)
    assert Skeleton.from_category(category, sigmas=[0.1, 0.2, 0.3]).sigmas == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("category", "sigmas", "word"),
    [
        ({"name": "person"}, None, "without `keypoints`"),
        ({"name": "person", "keypoints": []}, None, "without `keypoints`"),
        ({"name": "person", "keypoints": "nose"}, None, "without `keypoints`"),
        ({"name": "person", "keypoints": ["nose", "nose"]}, None, "two key points named 'nose'"),
        ({"name": "person", "keypoints": ["a", "b"], "flip_idx": [1, 1]}, None, "`flip_idx`"),
        ({"name": "person", "keypoints": ["a", "b"], "flip_pairs": [["a", "c"]]}, None, "the key point 'c'"),
        ({"name": "person", "keypoints": ["a", "b"]}, [0.1], "1 sigmas"),
        ({"name": "person", "keypoints": ["a"]}, [0.0], "sigmas"),
    ],
)
def test_bad_categories_are_told(category, sigmas, word):
    with pytest.raises(LvtuneError, match=word.replace("(", r"\(").replace(")", r"\)")) as error:
        Skeleton.from_category(category, sigmas)
    assert error.value.expected and error.value.fix


@pytest.mark.parametrize(
    "fields",
    [{}, {"name": "x", "keypoints": 3, "sigmas": []}, {"name": "x", "keypoints": ["a"], "sigmas": ["b"]}],
)
def test_a_broken_dict_is_told(fields):
    with pytest.raises(LvtuneError, match="cannot be read"):
        Skeleton.from_dict(fields)


def test_a_skeleton_says_whether_its_pictures_may_be_mirrored():
    assert COCO_17.mirrors and LSP_14.mirrors and COCO_17.mirror_note is None
    assert HAND_21.mirrors and HAND_21.pairs == ()  # said by hand: a mirrored hand is a hand of the other side
    numbers = Skeleton.from_category({"name": "x", "keypoints": [str(i) for i in range(14)]})
    assert not numbers.mirrors and numbers.flip_index == tuple(range(14))
    assert numbers.mirror_note.startswith("pictures are not flipped, neither in training nor in the flip test")
    lone = Skeleton.from_category({"name": "x", "keypoints": ["left_ear", "right_ear", "left_hip"]})
    assert not lone.mirrors and "left_hip without a key point of the other side" in lone.mirror_note


def test_given_pairs_go_before_names_and_travel_with_the_skeleton():
    skeleton = Skeleton.from_category({"name": "x", "keypoints": ["a", "b", "left_c", "right_c"]}).with_pairs(((0, 1),))
    assert skeleton.mirrors and skeleton.flip_index == (1, 0, 2, 3)
    assert skeleton.sides == ("left", "right", "middle", "middle")
    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton
    assert "flip_pairs" not in COCO_17.to_dict() and "flip_pairs" not in HAND_21.to_dict()
    midline = skeleton.with_pairs(())
    assert midline.mirrors and midline.flip_index == (0, 1, 2, 3)
    with pytest.raises(LvtuneError, match="in two mirror pairs"):
        skeleton.with_pairs(((0, 1), (1, 2)))


def test_a_hand_of_an_older_file_is_still_mirrored():
    assert Skeleton.from_dict(HAND_21.to_dict()).mirrors


@pytest.mark.parametrize(
    "given",
    [
        {"flip_idx": [1, 0, 2, 4, 3]},
        {"flip_pairs": [[0, 1], [3, 4]]},
        {"flip_pairs": [["p", "q"], ["s", "t"]]},
        {"keypoint_flip_map": [["p", "q"], ["s", "t"]]},
    ],
)
def test_a_category_may_give_its_pairs(given):
    skeleton = Skeleton.from_category({"name": "x", "keypoints": list("pqrst"), **given})
    assert skeleton.flip_index == (1, 0, 2, 4, 3) and skeleton.mirrors


def test_a_flip_idx_that_pairs_nothing_says_nothing():
    """Exporters write 0, 1, 2, ... without being asked."""
    notes = []
    category = {"name": "x", "keypoints": ["left_ear", "right_ear"], "flip_idx": [0, 1]}
    assert Skeleton.from_category(category, notes=notes).flip_index == (1, 0)
    assert notes == ["`flip_idx` pairs no key points: the names decide"]


def test_sides_of_given_pairs_follow_the_names():
    category = {"name": "x", "keypoints": list(LSP_14.keypoints), "flip_idx": list(LSP_14.flip_index)}
    assert Skeleton.from_category(category) is LSP_14
    category["keypoints"] = [f"{name}_joint" for name in LSP_14.keypoints]
    assert Skeleton.from_category(category).sides[0] == "right"


@pytest.mark.parametrize(
    ("names", "torso"),
    [
        (["LShoulder", "RShoulder", "LHip", "RHip"], (0, 3)),
        (["shoulder_r", "shoulder_l", "hip_r", "hip_l"], (1, 2)),
        (["rhip", "lhip", "rshoulder", "lshoulder"], (3, 0)),
        (["Left Shoulder", "Right Hip"], None),
        (["left_ear", "right_ear"], None),
    ],
)
def test_the_torso_and_sigmas_are_found_in_any_spelling(names, torso):
    skeleton = Skeleton.from_category({"name": "x", "keypoints": names})
    assert skeleton.torso == torso
    if torso:
        assert skeleton.sigmas[torso[0]] == 0.079 and skeleton.sigmas[torso[1]] == 0.107


def test_sigmas_of_the_category():
    notes = []
    category = {"name": "x", "keypoints": ["a", "b"], "sigmas": [0.05, 0.1]}
    assert Skeleton.from_category(category, notes=notes).sigmas == (0.05, 0.1) and len(notes) == 1
    assert Skeleton.from_category({**category, "sigmas": [0.1]}, notes=notes).sigmas == (0.079, 0.079)
    assert "not 2 positive numbers" in notes[1]
