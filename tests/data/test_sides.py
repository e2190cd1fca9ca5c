"""Sides of the body read from names: spellings that make a pair, and names that must not."""

from __future__ import annotations

import pytest

from lvtune.data.sides import read_sides, sideless, sideless_names

#: Left, right, and what is left of the name; the most usual spellings of labelling tools and data sets.
SPELLINGS = [
    ("left_ear", "right_ear", "ear"),
    ("ear_left", "ear_right", "ear"),
    ("LEFT_EAR", "RIGHT_EAR", "ear"),
    ("LEFT-EAR", "RIGHT-EAR", "ear"),
    ("left-ear", "right-ear", "ear"),
    ("left ear", "right ear", "ear"),
    ("Left Ear", "Right Ear", "ear"),
    ("ear (left)", "ear (right)", "ear"),
    ("left.ear", "right.ear", "ear"),
    ("ear/left", "ear/right", "ear"),
    ("LeftEar", "RightEar", "ear"),
    ("leftEar", "rightEar", "ear"),
    ("EarLeft", "EarRight", "ear"),
    ("earLeft", "earRight", "ear"),
    ("leftear", "rightear", "ear"),
    ("LEFTEAR", "RIGHTEAR", "ear"),
    ("earleft", "earright", "ear"),
    ("Leftear", "Rightear", "ear"),
    ("L_Ear", "R_Ear", "ear"),
    ("l_ear", "r_ear", "ear"),
    ("ear_l", "ear_r", "ear"),
    ("Ear_L", "Ear_R", "ear"),
    ("eye.L", "eye.R", "eye"),
    ("L.eye", "R.eye", "eye"),
    ("L-hip", "R-hip", "hip"),
    ("l hip", "r hip", "hip"),
    ("LHip", "RHip", "hip"),
    ("LAnkle", "RAnkle", "ankle"),
    ("lShoulder", "rShoulder", "shoulder"),
    ("earL", "earR", "ear"),
    ("EarL", "EarR", "ear"),
    ("Lear", "Rear", "ear"),
    ("leye", "reye", "eye"),
    ("LEYE", "REYE", "eye"),
    ("eyel", "eyer", "eye"),
    ("LtHip", "RtHip", "hip"),
    ("Lt_Hip", "Rt_Hip", "hip"),
    ("hip_lt", "hip_rt", "hip"),
    ("frontLeftPaw", "frontRightPaw", "front_paw"),
    ("left_front_paw", "right_front_paw", "front_paw"),
    ("FrontPawLeft", "FrontPawRight", "front_paw"),
    ("hip L 1", "hip R 1", "hip_1"),
    ("wrist_left_1", "wrist_right_1", "wrist_1"),
    ("LBigToe", "RBigToe", "big_toe"),
    ("links_ohr", "rechts_ohr", "ohr"),
    ("linkes Ohr", "rechtes Ohr", "ohr"),
    ("oreille_gauche", "oreille_droite", "oreille"),
    ("oeil gauche", "oeil droit", "oeil"),
    ("oreja_izquierda", "oreja_derecha", "oreja"),
    ("orecchio_sinistro", "orecchio_destro", "orecchio"),
    ("левое_ухо", "правое_ухо", "ухо"),
    ("左耳", "右耳", "耳"),
    ("왼쪽귀", "오른쪽귀", "귀"),
    ("LF", "RF", "f"),
    ("FL", "FR", "f"),
    ("FLpaw", "FRpaw", "f_paw"),
    ("pawLH", "pawRH", None),
    ("paw2LF_top", "paw3RF_top", None),
    ("L1", "R1", "1"),
    ("LeftEyeLeftCorner", "RightEyeRightCorner", "eye_corner"),
    ("l_eye_l", "r_eye_r", "eye"),
]


@pytest.mark.parametrize(("left", "right", "plain"), SPELLINGS, ids=[left for left, _, _ in SPELLINGS])
def test_usual_spellings_make_a_pair(left, right, plain):
    for names in (["nose", left, "tail", right], [right, "nose", "tail", left]):
        found = read_sides(names)
        assert found.pairs == ((names.index(left), names.index(right)),)
        assert found.unpaired == ()
        if plain is not None:
            assert sideless_names(names, found.pairs)[names.index(left)] == plain


def test_there_are_forty_spellings():
    assert len(SPELLINGS) >= 40


@pytest.mark.parametrize(
    "names",
    [
        [str(number) for number in range(14)],
        ["kp0", "kp1", "kp2", "kp3"],
        ["elbow", "lip", "rear", "lower", "nail", "tail", "root", "collar", "barrel"],
        ["toLeft", "neck"],
        ["lower_back", "root_of_tail", "forearm", "upper_lip", "lower_lip"],
        ["snout", "tailbase", "spine1", "spine2", "spine3"],
        ["nose", "cleft", "upright", "bright_spot"],
        ["A", "B", "C", "D"],
        ["L1", "L2", "L3", "T12"],
        ["wing_1", "wing_2"],
    ],
)
def test_names_without_sides_make_no_pair(names):
    assert read_sides(names).pairs == ()


def test_all_side_words_of_a_name_are_mirrored():
    names = [f"{eye}Eye{corner}Corner" for eye in ("Left", "Right") for corner in ("Left", "Right")]
    assert read_sides(names).pairs == ((0, 3), (1, 2))


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["FL", "FR", "RL", "RR"], ((0, 1), (2, 3))),  # rear left, rear right
        (["LF", "RF", "LH", "RH"], ((0, 1), (2, 3))),
        (["leftFront", "rightFront", "leftHind", "rightHind"], ((0, 1), (2, 3))),
        (["l_hip", "right_hip", "nose"], ((0, 1),)),  # two spellings in one pair
        (["LEye", "LEar", "REar", "REye"], ((0, 3), (1, 2))),
        (["pawl1", "pawl2", "pawr1", "pawr2"], ((0, 2), (1, 3))),
    ],
)
def test_several_pairs(names, pairs):
    assert read_sides(names).pairs == pairs


@pytest.mark.parametrize(
    ("names", "lone"),
    [
        (["left_ear", "right_ear", "left_hip"], ["left_hip"]),
        (["L_ear", "R_ear", "R_hip"], ["R_hip"]),
        (["leftear", "rightear", "lefthip"], ["lefthip"]),
        (["paw1_left", "paw2_left", "paw3_right"], ["paw1_left", "paw2_left", "paw3_right"]),
        (["left_ear", "right_ear", "between_left_and_right"], []),
        (["left_ear", "right_ear", "vertebra_l"], []),  # a letter is no side where words are
    ],
)
def test_a_side_without_partner_is_told(names, lone):
    assert [names[i] for i in read_sides(names).unpaired] == lone


def test_names_without_their_side():
    assert [sideless(n) for n in ("middle_finger1", "Top Head", "left_back_paw")] == [
        "middle_finger1",
        "top_head",
        "back_paw",
    ]
