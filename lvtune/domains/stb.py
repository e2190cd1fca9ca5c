"""``stb``: the Stereo Tracking Benchmark, left hands before two cameras, in its published layout.

Zhang et al., 3D Hand Pose Tracking and Estimation Using Stereo Matching, arXiv:1610.07214 (ICIP 2017). ``bb`` is the
left picture of a Point Grey Bumblebee2 stereo camera, ``sk`` the colour picture of an Intel F200, whose labels are in
the frame of its depth camera. Published figures are on one camera: 15,000 pictures to train on, 3,000 (B1) to test on.
Lee et al. (WACV 2023) do not say on which; ``stb`` is ``sk``, ``stb/bb`` the other one, ``stb/both`` both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError, UsageError
from lvtune.data.hand_joints import STB_ORDER
from lvtune.data.hand_table import LEFT
from lvtune.data.skeletons import HAND_21
from lvtune.domains.domain import Domain, Split, missing, need_folder
from lvtune.domains.domain_registry import register_domain
from lvtune.domains.hand_splits import hand_split, hand_table
from lvtune.language.sentences import sentences_of

SIZE = (640, 480)
TAKES = ("Counting", "Random")
SCENES = {"train": ("B2", "B3", "B4", "B5", "B6"), "test": ("B1",)}
#: From SK's depth camera to its colour camera, as the data set's page gives it: rotation vector, translation in mm.
DEPTH_TURN, DEPTH_SHIFT = (0.00531, -0.01196, 0.00301), (-24.0381, -0.4563, -1.2326)


@dataclass(frozen=True)
class Camera:
    """One of the two cameras, as the data set's page gives it."""

    label: str
    picture: str
    """Beginning of the file name."""
    intrinsics: tuple[float, float, float, float]
    """fx, fy, cx, cy in pixels."""
    is_depth: bool
    """Whether the labels are in the frame of a depth camera beside it."""


CAMERAS = {
    "sk": Camera("SK", "SK_color", (607.92271, 607.88192, 314.78337, 236.42484), True),
    "bb": Camera("BB", "BB_left", (822.79041, 822.79041, 318.47345, 250.31296), False),
}
DEFAULT, OTHER = "sk", "bb"
"""The camera of ``stb``, and the one that must be asked for."""


def depth_to_color(xyz: np.ndarray) -> np.ndarray:
    """Converts (..., 3) mm from the frame of SK's depth camera to that of its colour camera: (x - t) · R."""
    turn, _ = cv2.Rodrigues(np.array(DEPTH_TURN))
    return (xyz - DEPTH_SHIFT) @ turn


def read_labels(file: Path) -> np.ndarray:
    """Reads (N, 21, 3) mm, in the common order with the palm as joint 0, from one of STB's .mat files.

    Raises:
        LvtuneError: not such a file; scipy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise UsageError(
            f"{file} without scipy", "scipy, which reads MATLAB's files", "type `pip install 'lvtune[hands]'`"
        ) from None
    try:
        # numbers alone: MATLAB's objects and functions in such a file are never made or called
        found = loadmat(str(file), variable_names=["handPara"])
        values = np.asarray(found["handPara"], float)
    except Exception as error:
        raise DataError(f"{file}: {type(error).__name__}: {' '.join(str(error).split())[:120]}",
                          "a MATLAB file (version 5) with handPara", "download the labels again") from None  # fmt: skip
    if values.ndim != 3 or values.shape[:2] != (3, 21) or not np.isfinite(values).all():
        raise DataError(f"{file}: handPara of {values.shape}", "finite numbers of (3, 21, pictures)",
                          "download the labels again")  # fmt: skip
    return values.transpose(2, 1, 0)[:, list(STB_ORDER)]


def _read(domain: Domain, split: str, data: DataOptions) -> Split:
    folder = need_folder(domain, data)
    parts = [
        (camera, f"{scene}{take}")
        for camera in CAMERAS
        if camera in domain.categories
        for scene in SCENES[split]
        for take in TAKES
    ]
    present = [(c, s) for c, s in parts if (folder / "labels" / f"{s}_{CAMERAS[c].label}.mat").is_file()]
    if not present:
        first = f"{parts[0][1]}_{CAMERAS[parts[0][0]].label}.mat"
        others = sorted({file.stem.rpartition("_")[2].lower() for file in (folder / "labels").glob("B*_*.mat")})
        there = [f"--domain stb/{name} takes those of {CAMERAS[name].label}" for name in others if name in CAMERAS]
        where = f"no labels of the {split} part in {folder / 'labels'} (such as {first}"
        raise missing(domain, "; ".join([where, *there]) + ")")
    notes = [] if len(present) == len(parts) else [f"{len(present)} of {len(parts)} sequences are there"]
    if not domain.is_subset:
        only = f"camera {CAMERAS[DEFAULT].label} alone, as published figures are on one camera"
        notes.append(f"STB: {only}; stb/{OTHER} is the other camera, stb/both are both")
    columns = [_sequence(folder, camera, sequence) for camera, sequence in present]
    xyz = np.concatenate([joints for joints, _ in columns])
    counts = [len(joints) for joints, _ in columns]
    cameras = np.repeat([camera for camera, _ in present], counts)
    table = hand_table(
        folder,
        [name for _, names in columns for name in names],
        xyz=xyz,
        camera=np.stack([_matrix(CAMERAS[name]) for name in CAMERAS])[[list(CAMERAS).index(c) for c in cameras]],
        side=np.full(len(xyz), LEFT),
        size=SIZE,
        categories=cameras,
        native="palm",
        data=data,
        notes=notes,
    )
    named = " and ".join(CAMERAS[name].label for name in dict.fromkeys(cameras.tolist()))
    return hand_split(table, f"STB {named} ({', '.join(SCENES[split])})", data)


def _sequence(folder: Path, camera: str, sequence: str) -> tuple[np.ndarray, list[str]]:
    """Returns joints (N, 21, 3) in the picture's own frame, and the N files."""
    kind = CAMERAS[camera]
    xyz = read_labels(folder / "labels" / f"{sequence}_{kind.label}.mat")
    names = [f"images/{sequence}/{kind.picture}_{i}.png" for i in range(len(xyz))]
    return depth_to_color(xyz) if kind.is_depth else xyz, names


def _matrix(camera: Camera) -> np.ndarray:
    fx, fy, cx, cy = camera.intrinsics
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


@register_domain("stb")
def stb() -> Domain:
    """Left hands before one of two cameras."""
    sentences = sentences_of("stb")
    return Domain(
        name="stb",
        title="STB: a left hand that counts and moves, with 3D joints, before one camera (stb/both: before two)",
        skeleton=HAND_21.name,
        categories=(DEFAULT,),
        sentences={DEFAULT: sentences[DEFAULT]},
        further={OTHER: sentences[OTHER]},
        groups={"both": (DEFAULT, OTHER)},
        reader=_read,
        source="the Stereo Tracking Benchmark (Zhang et al., ICIP 2017) from "
        "https://github.com/zhjwustc/icip17_stereo_hand_pose_dataset",
        layout="FOLDER/labels/B<1-6>{Counting,Random}_{BB,SK}.mat and "
        "FOLDER/images/B<1-6>{Counting,Random}/{BB_left,SK_color}_<number>.png",
        splits=("train", "test"),
    )
