"""Joins two parts of Leeds Sports Pose Extended into one data folder to train ``vitpose-ti`` on.

    python tools/join_lspet.py LSPET LSPET_MORE OUT

LSPET holds ``annotations/{train,val,test}.json`` and ``images/{train,val,test}/``; LSPET_MORE holds ``train.json`` and
``images/``, photographs that are in no split of LSPET. OUT has LSPET's layout; its training split holds both.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path


def join(first: dict, second: dict) -> dict:
    """One COCO dictionary of two, numbered anew: their ids may be equal."""
    if [c["keypoints"] for c in first["categories"]] != [c["keypoints"] for c in second["categories"]]:
        raise SystemExit("The two parts label different key points.")
    images, annotations = [], []
    for part in (first, second):
        number = {image["id"]: len(images) + i + 1 for i, image in enumerate(part["images"])}
        images += [{**image, "id": number[image["id"]]} for image in part["images"]]
        for annotation in part["annotations"]:
            annotations.append({**annotation, "id": len(annotations) + 1, "image_id": number[annotation["image_id"]]})
    return {"images": images, "annotations": annotations, "categories": first["categories"]}


def photographs(part: dict) -> set[str]:
    """The file names of a part without their folders: a photograph has the same name in every split."""
    return {Path(image["file_name"]).name for image in part["images"]}


def main() -> None:
    """Reads the arguments and writes the folder."""
    parser = argparse.ArgumentParser(description="Join two parts of LSPET into one data folder.")
    parser.add_argument("lspet", type=Path)
    parser.add_argument("more", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    read = lambda path: json.loads(path.read_text(encoding="utf-8"))  # noqa: E731
    parts = {name: read(arguments.lspet / f"annotations/{name}.json") for name in ("train", "val", "test")}
    first, second = parts["train"], read(arguments.more / "train.json")
    twice = set().union(*map(photographs, parts.values())) & photographs(second)
    if twice:
        raise SystemExit(f"{len(twice)} photographs of LSPET_MORE are in LSPET too, for instance {min(twice)}.")
    for image in second["images"]:
        image["file_name"] = f"train/{image['file_name']}"
    shutil.copytree(arguments.lspet, arguments.out)
    shutil.copytree(arguments.more / "images", arguments.out / "images/train", dirs_exist_ok=True)
    joined = json.dumps(join(first, second))
    (arguments.out / "annotations/train.json").write_text(joined, encoding="utf-8")


if __name__ == "__main__":
    main()
