"""Published data sets in their real layouts, made of the few entries in samples/ whose pictures are there.

Of the detections the three best of each picture are kept.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

SAMPLES = Path(__file__).parent / "samples"
_ART_BOXES = "HumanArt_validation_detections_AP_H_56_person.json"
_COCO_BOXES = "COCO_val2017_detections_AP_H_56_person.json"


def humanart(folder: Path) -> Path:
    """``folder`` with HumanArt/ in it: 2 pictures, 3 persons, the same for training and validation."""
    whole = json.loads((SAMPLES / "HumanArt/annotations/validation_humanart.json").read_text())
    whole = _present(whole, SAMPLES)
    annotations = folder / "HumanArt" / "annotations"
    annotations.mkdir(parents=True)
    for part in ("training", "validation"):
        (annotations / f"{part}_humanart.json").write_text(json.dumps(whole))
    for image in whole["images"]:
        _copy(SAMPLES / image["file_name"], folder / image["file_name"])
    boxes = folder / "HumanArt" / "person_detection_results"
    _detections(SAMPLES / "HumanArt/person_detection_results" / _ART_BOXES, boxes / _ART_BOXES, whole)
    return folder


def coco(folder: Path) -> Path:
    """``folder`` as COCO: 1 picture, the same for training and validation."""
    whole = json.loads((SAMPLES / "coco/annotations/person_keypoints_val2017.json").read_text())
    whole = _present(whole, SAMPLES / "coco/val2017")
    (folder / "annotations").mkdir(parents=True)
    for part in ("train2017", "val2017"):
        (folder / "annotations" / f"person_keypoints_{part}.json").write_text(json.dumps(whole))
        for image in whole["images"]:
            _copy(SAMPLES / "coco/val2017" / image["file_name"], folder / part / image["file_name"])
    boxes = folder / "person_detection_results" / _COCO_BOXES
    _detections(SAMPLES / "coco/person_detection_results" / _COCO_BOXES, boxes, whole)
    return folder


def _present(whole: dict, folder: Path) -> dict:
    images = [image for image in whole["images"] if (folder / image["file_name"]).is_file()]
    ids = {image["id"] for image in images}
    return {**whole, "images": images, "annotations": [a for a in whole["annotations"] if a["image_id"] in ids]}


def _detections(source: Path, target: Path, whole: dict) -> None:
    every = sorted(json.loads(source.read_text()), key=lambda detection: -detection["score"])
    best = [[d for d in every if d["image_id"] == image["id"]][:3] for image in whole["images"]]
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps([detection for some in best for detection in some]))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def ap10k(folder: Path) -> Path:
    """``folder`` as AP-10K: 2 animals annotated for real, in pictures of noise of their size, in all parts."""
    import cv2
    import numpy as np

    text = (SAMPLES / "ap10k/annotations/ap10k-test-split1.json").read_text()
    (folder / "annotations").mkdir(parents=True)
    (folder / "data").mkdir()
    for part in ("train", "val", "test"):
        (folder / "annotations" / f"ap10k-{part}-split1.json").write_text(text)
    rng = np.random.default_rng(0)
    for image in json.loads(text)["images"]:
        noise = rng.integers(0, 255, (image["height"], image["width"], 3), np.uint8)
        cv2.imwrite(str(folder / "data" / image["file_name"]), noise)
    return folder
