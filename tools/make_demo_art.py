"""Chooses and copies the photographs of the domain demo-art.

    python tools/make_demo_art.py LSPET [OUT]

LSPET is a copy of Leeds Sports Pose Extended (Johnson & Everingham, CVPR 2011) laid out as
LSPET/annotations/test.json (COCO style, 14 key points, image ``file_name`` relative to LSPET/images) and
LSPET/images/test/*.jpg. Only its test part is read: the base vitpose-ti was trained on the training part.

Rule: of the file names' SHA-256, the 270 smallest are tested on and the rest (430) tuned on. The pictures are
copied byte for byte; numbers of the annotations are rounded to 0.1 pixel, far below the labels' noise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

TESTED = 270
LARGEST = 4_000_000
HERE = Path(__file__).resolve().parents[1] / "lvtune" / "domains" / "demo_art"


def digest(image: dict[str, Any]) -> str:
    """What the pictures are sorted by."""
    return hashlib.sha256(Path(image["file_name"]).name.encode()).hexdigest()


def rounded(values: list[float]) -> list[float]:
    """To 0.1, whole numbers without a point."""
    return [int(v) if v == int(v) else v for v in (round(float(value), 1) for value in values)]


def part(images: list[dict[str, Any]], source: dict[str, Any]) -> dict[str, Any]:
    """A COCO-style file of some images, in the order of their ids."""
    images = sorted(images, key=lambda image: image["id"])
    kept = {image["id"] for image in images}
    return {
        "info": source["info"],
        "images": [{**image, "file_name": Path(image["file_name"]).name} for image in images],
        "annotations": [
            {**note, "bbox": rounded(note["bbox"]), "area": rounded([note["area"]])[0],
             "keypoints": rounded(note["keypoints"])}
            for note in sorted(source["annotations"], key=lambda note: note["image_id"])
            if note["image_id"] in kept
        ],
        "categories": source["categories"],
    }  # fmt: skip


def main() -> None:
    """Writes train.json, test.json and images/ into OUT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lspet", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=HERE)
    args = parser.parse_args()
    source = json.loads((args.lspet / "annotations" / "test.json").read_text())
    ordered = sorted(source["images"], key=digest)
    (args.out / "images").mkdir(parents=True, exist_ok=True)
    for image in ordered:
        copied = (args.lspet / "images" / image["file_name"]).read_bytes()
        (args.out / "images" / Path(image["file_name"]).name).write_bytes(copied)
    for name, images in (("test", ordered[:TESTED]), ("train", ordered[TESTED:])):
        text = json.dumps(part(images, source), separators=(",", ":"))
        (args.out / f"{name}.json").write_text(text + "\n")
        print(f"{name}: {len(images)} photographs")
    size = sum(f.stat().st_size for f in args.out.rglob("*") if f.suffix in (".jpg", ".json", ".md"))
    print(f"{size:,} bytes in all (limit {LARGEST:,})")
    if size > LARGEST:
        raise SystemExit("too large")


if __name__ == "__main__":
    main()
