"""One setting of one method, scored on photographs that no test uses. Defaults are chosen with it.

    python benchmarks/settings.py vlpose-light
    python benchmarks/settings.py lora --method.r 8 --method.targets query,key,value,out,fc1,fc2 --lr 1e-3

Takes any option of ``lvtune adapt`` except the data's. Of demo-art's 430 training photographs, ordered by id, the first
330 are for tuning and the last 100 for validation, each under all six filters. The 270 test photographs are not read.
Prints one line: PCK@0.2 on the filtered validation photographs and on the same photographs unfiltered, before and with
the adapter on.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import cv2

import lvtune
from lvtune.cli.adapt import parser, recipe_of
from lvtune.domains.demo_art import FILTERS_USED, FOLDER
from lvtune.domains.filters import apply_filter

TUNED = 330


def part(images: list[dict], source: dict, views: tuple[str, ...], shift: int, out: Path) -> dict:
    """A COCO-style table of ``images`` under each of ``views``; the pictures go into ``out``."""
    notes = {note["image_id"]: note for note in source["annotations"]}
    table = {**source, "images": [], "annotations": []}
    for image in images:
        photograph = cv2.cvtColor(cv2.imread(str(FOLDER / "images" / image["file_name"])), cv2.COLOR_BGR2RGB)
        for view in views:
            number = len(table["images"]) + 1
            name = f"{Path(image['file_name']).stem}-{view}.png"
            drawn = apply_filter(photograph, view, shift + image["id"])
            cv2.imwrite(str(out / name), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
            table["images"].append({**image, "id": number, "file_name": name, "category": view})
            table["annotations"].append({**notes[image["id"]], "id": number, "image_id": number})
    return table


def main() -> None:
    """Draws the pictures, adapts, prints the line."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return
    source = json.loads((FOLDER / "train.json").read_text())
    images = source["images"]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "images").mkdir()
        (home / "annotations").mkdir()
        for name, chosen, shift in (("train", images[:TUNED], 0), ("test", images[TUNED:], 100_000)):
            table = part(chosen, source, FILTERS_USED, shift, home / "images")
            (home / "annotations" / f"{name}.json").write_text(json.dumps(table))
        kept = {image["id"] for image in images[TUNED:]}
        plain = {**source, "images": images[TUNED:]}
        plain["annotations"] = [note for note in source["annotations"] if note["image_id"] in kept]
        (home / "source.json").write_text(json.dumps(plain))
        argv = [
            "--method", *arguments, "--data", str(home / "images"), "--annotations", str(home / "annotations"),
            "--source-data", str(FOLDER / "images"), "--source-annotations", str(home / "source.json"),
            "--out", str(home / "out"),
        ]  # fmt: skip
        recipe = recipe_of(parser(argv, "").parse(argv))
        report = lvtune.adapt(recipe).to_dict()
    before, after = (report["target"][when]["pck@0.2"] for when in ("before", "after_on"))
    kept_before, kept_after = (report["source"][when]["pck@0.2"] for when in ("before", "after_on"))
    print(
        f"{' '.join(arguments)}: {report['adapter']['parameters']:,} parameters; target {before:.1f} -> {after:.1f} "
        f"({after - before:+.2f}), gap closed {100 * report['gap_closed']:.0f} %; source {kept_before:.1f} -> "
        f"{kept_after:.1f}; {report['seconds']['tune']:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
