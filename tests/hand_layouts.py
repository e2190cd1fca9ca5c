"""FreiHAND, RHD and STB in their published layouts and formats, small; each writer tells what a reader must find.

RHD's hands and pictures are of the samples; the 3D joints of FreiHAND and STB, of which there are no samples, are those
of rendered figures (FreiHAND's pictures are real, but of another hand).
"""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from lvtune.domains.hand_figures.poses import sample_hands

SAMPLES = Path(__file__).parent / "samples"
FREIHAND_K = np.array([[480.0, 0, 112], [0, 480.0, 112], [0, 0, 1]])
STB_FRAMES = 3


def facing(count: int, *, left: bool = False, depth: float = 600.0) -> np.ndarray:
    """(N, 21, 3) mm of figures' hands, fingers up, around the camera's axis; joint 0 the wrist."""
    hands, _ = sample_hands(count, "test")
    hands = hands * [-1.0 if left else 1.0, -1.0, -1.0]
    return hands - hands.mean(1, keepdims=True) + [0.0, 0.0, depth]


def freihand(folder: Path, hands: int = 3) -> np.ndarray:
    """Training hands four times, and one evaluation hand; returns the training joints (N, 21, 3) in mm."""
    xyz = facing(hands)
    for part, count in (("training", hands), ("evaluation", 1)):
        (folder / f"{part}_K.json").write_text(json.dumps([FREIHAND_K.tolist()] * count))
        (folder / f"{part}_xyz.json").write_text(json.dumps((xyz[:count] / 1000).tolist()))
        (folder / part / "rgb").mkdir(parents=True)
        for i in range(4 * count if part == "training" else count):
            source = SAMPLES / f"freihand_2d/{355 + 32560 * (i // count):08d}.jpg"
            shutil.copy(source, folder / part / "rgb" / f"{i:08d}.jpg")
    return xyz


def rhd(folder: Path, protocol: int = 2) -> dict[int, dict]:
    """The two sample pictures as training and evaluation part; returns their COCO-style annotations by number."""
    whole = json.loads((SAMPLES / "rhd_coco_style/test_rhd.json").read_text())
    cameras = {image["id"]: image["cam_param"] for image in whole["images"]}
    found, annotations = {}, {}
    for part in ("training", "evaluation"):
        for kind in ("color", "mask"):
            (folder / part / kind).mkdir(parents=True)
        for number, hand in enumerate(whole["annotations"]):
            cam, first = cameras[hand["image_id"]], 0 if hand["hand_type"] == "left" else 21
            (fx, fy), (cx, cy) = cam["focal"], cam["princpt"]
            xyz, uv = np.zeros((42, 3)), np.zeros((42, 3))
            xyz[:] = np.array(hand["joint_cam"])[0] / 1000 + [0.3, 0, 0.05]  # the other hand, out of sight
            xyz[first : first + 21] = np.array(hand["joint_cam"]) / 1000
            uv[first : first + 21] = hand["keypoints"]
            k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]], np.float32)
            annotations[number] = {"xyz": xyz, "uv_vis": uv, "K": k}
            found[number] = hand
            sample = SAMPLES / f"rhd_coco_style/{hand['image_id']:05d}.png"
            shutil.copy(sample, folder / part / f"color/{number:05d}.png")
            mask = np.ones((320, 320), np.uint8)
            mask[:60, :60], mask[100:103, 100:103] = (5, 20) if first == 0 else (20, 5)
            cv2.imwrite(str(folder / part / f"mask/{number:05d}.png"), mask)
        file = folder / part / f"anno_{part}.pickle"
        file.write_bytes(pickle.dumps(annotations, protocol))
    return found


def stb(folder: Path) -> np.ndarray:
    """B1 and B2, both cameras; returns the joints (N, 21, 3), wrist first, as the colour cameras see them, in mm."""
    xyz = facing(STB_FRAMES, left=True)
    # half-way between the ring finger's base and the wrist lies the palm
    native = xyz.copy()
    native[:, 0] = (xyz[:, 0] + xyz[:, 13]) / 2
    order = [0, *range(17, 21), *range(13, 17), *range(9, 13), *range(5, 9), *range(1, 5)]
    turn, _ = cv2.Rodrigues(np.array([0.00531, -0.01196, 0.00301]))
    depth = native @ turn.T + np.array([-24.0381, -0.4563, -1.2326])
    (folder / "labels").mkdir(parents=True)
    for sequence in ("B1Counting", "B1Random", "B2Counting", "B2Random"):
        (folder / "images" / sequence).mkdir(parents=True)
        for camera, joints, picture in (("BB", native, "BB_left"), ("SK", depth, "SK_color")):
            savemat(folder / f"labels/{sequence}_{camera}.mat", {"handPara": joints[:, order].transpose(2, 1, 0)})
            for i in range(STB_FRAMES):
                image = np.full((480, 640, 3), 40 * i, np.uint8)
                cv2.imwrite(str(folder / f"images/{sequence}/{picture}_{i}.png"), image)
    return xyz
