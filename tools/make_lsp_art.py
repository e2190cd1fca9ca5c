"""Chooses the photographs of the benchmark domain lsp-art.

    python tools/make_lsp_art.py LSPET [OUT]

LSPET is laid out as for tools/make_demo_art.py. Only its test and val parts are read: the base vitpose-ti was
trained on the train part and scores 20 points higher there, so photographs of that part would be no fair ones to tune
on either.

Rule: of the test part, the 270 photographs that demo-art tests on are set aside (defaults were chosen by scores on
them); the other 430 are the benchmark's **test** photographs. Of the 270 and the 200 of the val part together, the 100
with the smallest SHA-256 of the file name are **val**, the other 370 **train**.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "lvtune" / "domains"
VAL = 100


def names(file: Path) -> list[str]:
    """File names of the photographs in a COCO-style file, without folders, by their SHA-256."""
    found = [Path(image["file_name"]).name for image in json.loads(file.read_text())["images"]]
    return sorted(found, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def main() -> None:
    """Writes OUT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lspet", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=ROOT / "lsp_art" / "photographs.json")
    args = parser.parse_args()
    demo = set(names(ROOT / "demo_art" / "test.json"))
    test = [name for name in names(args.lspet / "annotations" / "test.json") if name not in demo]
    rest = demo | set(names(args.lspet / "annotations" / "val.json"))
    rest = sorted(rest, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    parts = {"train": rest[VAL:], "val": rest[:VAL], "test": test}
    lists = {part: sorted(int(Path(name).stem.removeprefix("im")) for name in found) for part, found in parts.items()}
    text = ",\n".join(f'"{part}": {json.dumps(found, separators=(",", ":"))}' for part, found in lists.items())
    args.out.write_text("{" + text + "}\n")
    print({part: len(found) for part, found in lists.items()})


if __name__ == "__main__":
    main()
