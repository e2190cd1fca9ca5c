"""New key points and the known ones that they are like."""

import numpy as np
import pytest

from lvtune.data.like_names import LEAST_ALIKE, like_rows, parts_of
from lvtune.data.skeletons import AP10K_17, COCO_17, LSP_14, Skeleton


def skeleton(*names):
    return Skeleton("own", names, (0.1,) * len(names))


def found(wanted, known, likeness=None):
    rows = like_rows(wanted, known, likeness)
    return {wanted.keypoints[i]: (tuple(known.keypoints[k] for k in row.sources), row.how) for i, row in rows.items()}


def test_names_with_more_words_are_like_those_with_fewer():
    rows = found(skeleton("left_ear_base", "right_ear_base", "nose_tip", "LeftHipJoint", "RightHipJoint"), COCO_17)
    assert rows["left_ear_base"] == (("left_ear",), "name") and rows["nose_tip"] == (("nose",), "name")
    assert rows["LeftHipJoint"] == (("left_hip",), "name")


def test_what_both_have_is_not_new_and_what_says_nothing_has_no_like():
    rows = found(skeleton("nose", "spine1", "obs", "tail_tip", "tailMid", "left_point", "right_point"), COCO_17)
    assert rows == {}


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("snout", ("nose",)), ("beak", ("nose",)), ("pupil", ("left_eye", "right_eye")),
        ("forepaw", ("left_wrist", "right_wrist")), ("hind_paw", ("left_ankle", "right_ankle")),
        ("paw", ("left_wrist", "right_wrist", "left_ankle", "right_ankle")),
        ("tailbase", ("left_hip", "right_hip")), ("root_of_tail", ("left_hip", "right_hip")),
        ("skull", ("nose",)),  # COCO has no head: the nearest part
    ],
)  # fmt: skip
def test_parts_of_other_bodies(name, like):
    assert found(skeleton(name), COCO_17)[name] == (like, "part")


def test_sides_stay_with_their_side():
    rows = found(AP10K_17, COCO_17)
    assert rows["left_front_paw"][0] == ("left_wrist",) and rows["right_back_paw"][0] == ("right_ankle",)
    mirrored = found(skeleton("paw1LH", "paw4RH", "paw2LF", "paw3RF"), COCO_17)
    assert mirrored["paw1LH"][0] == ("left_ankle",) and mirrored["paw3RF"][0] == ("right_wrist",)


def test_a_skeleton_without_a_face():
    rows = found(skeleton("snout", "leftear", "rightear", "tailbase"), LSP_14)
    assert rows["snout"] == rows["leftear"] == (("head_top",), "part")
    assert set(rows["tailbase"][0]) == {"left_hip", "right_hip"}


def test_the_encoder_is_asked_only_for_the_rest():
    asked = []

    def likeness(names, others):
        asked.append((list(names), len(others)))
        cosines = np.full((len(names), len(others)), 0.1)
        cosines[0, others.index("knee")] = cosines[0, others.index("knee") + 1] = LEAST_ALIKE + 0.1
        return cosines

    rows = found(skeleton("snout", "left_patella", "right_patella", "gizmo"), COCO_17, likeness)
    assert asked == [(["patella", "patella", "gizmo"], 17)]
    assert rows["left_patella"] == (("left_knee",), "sentence") and "gizmo" not in rows


def test_parts():
    assert parts_of("leftover") == [] and parts_of("wingtip") == ["wrist"] and parts_of("front_hoof") == ["wrist"]
