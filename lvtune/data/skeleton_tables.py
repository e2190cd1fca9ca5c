"""Names, links and OKS sigmas of the known skeletons, as published."""

from __future__ import annotations

UNKNOWN_SIGMA = 0.079
"""Sigma of a key point that no published table names: that of the shoulder, COCO's middle value."""

SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
    "neck": 0.079,
    "head": 0.079,
    "head_top": 0.079,
    "top_head": 0.079,
    "finger": 0.089,
    "toe": 0.089,
}
"""Name without its side to sigma. COCO's constants (cocodataset.org, keypoint evaluation); neck, head and top of the
head as in CrowdPose; finger and toe as in Human-Art (arXiv:2303.02760)."""

COCO_NAMES = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
    "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
COCO_LINKS = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
"""Counted from 1, as in COCO's files; so are the other links here."""

HUMANART_NAMES = COCO_NAMES + " left_finger right_finger left_toe right_toe"
HUMANART_LINKS = (*COCO_LINKS, (10, 18), (11, 19), (20, 16), (21, 17))

LSP_NAMES = (
    "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow "
    "right_shoulder left_shoulder left_elbow left_wrist neck head_top"
)
LSP_LINKS = (
    (1, 2), (2, 3), (3, 13), (4, 13), (4, 5), (5, 6), (7, 8), (8, 9), (9, 13), (10, 13), (10, 11), (11, 12), (13, 14),
)  # fmt: skip

_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
HAND_NAMES = " ".join(("wrist", *(f"{finger}{joint}" for finger in _FINGERS for joint in range(1, 5))))
"""FreiHAND's order: the wrist first, then each finger from base to tip."""
HAND_LINKS = tuple((1 if joint % 4 == 1 else joint, joint + 1) for joint in range(1, 21))
HAND_SIGMAS = (
    0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024,
    0.022, 0.026, 0.017, 0.021, 0.021, 0.032, 0.020, 0.019, 0.022, 0.031,
)  # fmt: skip
"""As in COCO-WholeBody (Jin et al., ECCV 2020)."""

AP10K_NAMES = (
    "left_eye right_eye nose neck root_of_tail left_shoulder left_elbow left_front_paw right_shoulder right_elbow "
    "right_front_paw left_hip left_knee left_back_paw right_hip right_knee right_back_paw"
)
AP10K_LINKS = (
    (1, 2), (1, 3), (2, 3), (3, 4), (4, 5), (4, 6), (6, 7), (7, 8), (4, 9), (9, 10), (10, 11), (5, 12), (12, 13),
    (13, 14), (5, 15), (15, 16), (16, 17),
)  # fmt: skip
"""As in AP-10K's annotations (arXiv:2108.12617)."""
AP10K_SIGMAS = SIGMAS | {"neck": 0.035, "root_of_tail": 0.035, "front_paw": 0.062, "back_paw": 0.089}
"""The paper gives none; these are those of MMPose 1.x, with which figures are published (MMPose 0.x has the same
numbers in another order of the limbs)."""
