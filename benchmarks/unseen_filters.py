"""Is the gain the same under filters on which no default setting was chosen?

    python benchmarks/unseen_filters.py [--out FOLDER] [--methods vlpose-light,norm] [--photographs 430,270]

Writes a folder of COCO-style data, as a user's would be: photographs of demo-art under four filters that no default was
tuned with. ``mural`` and ``ukiyoe`` are the package's; ``halftone`` and ``charcoal`` are written here. Then runs
``lvtune adapt --data`` on it for each method and prints one line for each. These are filtered photographs, not art.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

import lvtune
from lvtune.api.recipe import Recipe
from lvtune.domains.demo_art import FOLDER
from lvtune.domains.filters import apply_filter

Image = np.ndarray


def halftone(image: Image, index: int) -> Image:
    """Round dots of ink on paper, as newspapers print photographs: the darker, the larger."""
    rng = np.random.default_rng([8, index])
    height, width = image.shape[:2]
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1).astype(np.float32) / 255
    pitch, angle = rng.uniform(3.0, 4.5), rng.uniform(0, np.pi / 2)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    screen = (np.cos(2 * np.pi * u / pitch) + np.cos(2 * np.pi * v / pitch)) / 4 + 0.5
    ink = 1 / (1 + np.exp(-12 * (1 - grey - screen)))[..., None]
    paper, dye = rng.uniform(215, 250, 3), rng.uniform(0, 90, 3)
    return (paper * (1 - ink) + dye * ink).astype(np.uint8)


def charcoal(image: Image, index: int) -> Image:
    """Strokes along one direction, dark where the photograph is dark and at edges, on grained paper."""
    rng = np.random.default_rng([9, index])
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    edges = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    noise = rng.random(grey.shape).astype(np.float32)
    size, angle = 9, rng.uniform(0.5, 1.0)
    kernel = np.zeros((size, size), np.float32)
    cv2.line(kernel, (0, int(size * angle) % size), (size - 1, size - 1 - int(size * angle) % size), 1)
    strokes = cv2.filter2D(noise, -1, kernel / kernel.sum())
    strokes = (strokes - strokes.min()) / (np.ptp(strokes) + 1e-6)
    dark = np.clip(1.1 * (1 - grey) * (0.4 + strokes) + 1.5 * edges - 0.15, 0, 1)
    grain = cv2.GaussianBlur(noise, (0, 0), 0.7)
    return np.repeat(np.clip(245 - 215 * dark * (0.7 + 0.6 * grain), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


FILTERS = {
    "mural": lambda image, index: apply_filter(image, "mural", index),
    "ukiyoe": lambda image, index: apply_filter(image, "ukiyoe", index),
    "halftone": halftone,
    "charcoal": charcoal,
}


def draw(part: str, count: int, out: Path) -> None:
    """``part``.json of ``count`` photographs and its pictures, as demo-art has them.

    Each photograph to tune on under every filter; the i-th to test on under filter i mod 4.
    """
    source = json.loads((FOLDER / f"{part}.json").read_text())
    notes = {note["image_id"]: note for note in source["annotations"]}
    table = {**source, "images": [], "annotations": []}
    for i, image in enumerate(source["images"][:count]):
        photograph = cv2.cvtColor(cv2.imread(str(FOLDER / "images" / image["file_name"])), cv2.COLOR_BGR2RGB)
        for name in FILTERS if part == "train" else [list(FILTERS)[i % len(FILTERS)]]:
            number, file = len(table["images"]) + 1, f"{Path(image['file_name']).stem}-{name}.png"
            drawn = FILTERS[name](photograph, i + (0 if part == "train" else 100_000))
            cv2.imwrite(str(out / "images" / file), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
            table["images"].append({**image, "id": number, "file_name": file, "category": name})
            table["annotations"].append({**notes[image["id"]], "id": number, "image_id": number})
    (out / "annotations").mkdir(exist_ok=True)
    (out / "annotations" / f"{part}.json").write_text(json.dumps(table))


def main() -> None:
    """Draws the folder, adapts to it, prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("lvtune-out/unseen-filters"))
    parser.add_argument("--methods", default="vlpose-light,norm")
    parser.add_argument("--photographs", default="430,270", help="to tune and to test on")
    args = parser.parse_args()
    folder = args.out / "data"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for part, count in zip(("train", "test"), args.photographs.split(","), strict=True):
        draw(part, int(count), folder)
    for method in args.methods.split(","):
        recipe = Recipe.from_dict({
            "method": method,
            "data": {
                "data": str(folder / "images"), "annotations": str(folder / "annotations"),
                "source_data": str(FOLDER / "images"), "source_annotations": str(FOLDER / "test.json"),
            },
            # as many steps as demo-art takes with six filters
            "train": {"epochs": 4.5},
            "out": str(args.out / method),
        })  # fmt: skip
        report = lvtune.adapt(recipe).to_dict()
        target, source = (report[name] for name in ("target", "source"))
        print(
            f"{method}: target PCK@0.2 {target['before']['pck@0.2']:.1f} -> {target['after_on']['pck@0.2']:.1f}, "
            f"gap closed {100 * report['gap_closed']:.1f} %; source {source['before']['pck@0.2']:.1f} -> "
            f"{source['after_on']['pck@0.2']:.1f} with the adapter on",
            flush=True,
        )


if __name__ == "__main__":
    main()
