"""Small COCO-style files of made-up animals, with pictures, for the tests of own data."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

NAMES = ["nose", "left_ear", "right_ear", "tail"]


def sound(count: int = 6, *, size: tuple[int, int] = (320, 240), seed: int = 0) -> dict:
    """``count`` pictures of w × h with two animals each; points well inside their boxes, boxes all over the picture."""
    rng, (width, height) = np.random.default_rng(seed), size
    images, annotations = [], []
    for number in range(1, count + 1):
        images.append({"id": number, "file_name": f"frame{number:02}.png", "width": width, "height": height})
        for half in (0, 1):
            box = np.array([
                (half * 0.5 + 0.02 + 0.1 * rng.random()) * width, (0.05 + 0.4 * rng.random()) * height,
                (0.25 + 0.1 * rng.random()) * width, (0.3 + 0.15 * rng.random()) * height,
            ])  # fmt: skip
            places = box[:2] + (0.15 + 0.7 * rng.random((len(NAMES), 2))) * box[2:]
            points = np.column_stack([places, np.full(len(NAMES), 2)]).round(2)
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0,
                "bbox": box.round(2).tolist(), "area": float((box[2] * box[3]).round(2)),
                "keypoints": points.reshape(-1).tolist(), "num_keypoints": len(NAMES),
            })  # fmt: skip
    categories = [{"id": 1, "name": "mouse", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3], [1, 4]]}]
    return {"images": images, "annotations": annotations, "categories": categories}


def draw_pictures(data: dict, folder: Path, size: tuple[int, int] | None = None) -> None:
    """Writes a picture of noise for each image, of its annotated size or of another."""
    for image in data["images"]:
        width, height = size or (image["width"], image["height"])
        rng = np.random.default_rng(image["id"])
        small = rng.integers(0, 255, (12, 16, 3), np.uint8)
        target = folder / image["file_name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        target.write_bytes(cv2.imencode(target.suffix, picture)[1].tobytes())


def write(data: dict, folder: Path, name: str = "annotations.json") -> Path:
    """Writes the file and returns its path."""
    path = folder / name
    path.write_text(json.dumps(data))
    return path


MOUSE = ["nose", "left_ear", "right_ear", "left_hip", "right_hip", "tail"]
_SHAPE = np.array([[0, -40], [-12, -25], [12, -25], [-14, 20], [14, 20], [0, 40]], float)


def mice(count: int = 20, seed: int = 0) -> dict:
    """``count`` pictures of 320 × 240 with one mouse each, seen from above and turned in any direction."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for number in range(1, count + 1):
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        places = _SHAPE @ turn.T + rng.normal(0, 1, _SHAPE.shape) + rng.uniform((70, 70), (250, 170))
        points = np.column_stack([places, np.full(len(MOUSE), 2)]).round(2)
        low, high = places.min(0) - 8, places.max(0) + 8
        images.append({"id": number, "file_name": f"mouse{number:02}.png", "width": 320, "height": 240})
        annotations.append({
            "id": number, "image_id": number, "category_id": 1, "iscrowd": 0,
            "bbox": [*low.round(2).tolist(), *(high - low).round(2).tolist()],
            "area": float((high - low).prod().round(2)), "num_keypoints": len(MOUSE),
            "keypoints": points.reshape(-1).tolist(),
        })  # fmt: skip
    category = {"id": 1, "name": "mouse", "keypoints": list(MOUSE), "skeleton": [[1, 2], [1, 3]]}
    return {"images": images, "annotations": annotations, "categories": [category]}
