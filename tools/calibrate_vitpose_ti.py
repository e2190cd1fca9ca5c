"""Fits the confidence of the shipped base ``vitpose-ti`` alone, and writes the file that ships beside its weights.

    python tools/calibrate_vitpose_ti.py LSPET_FOLDER [OUT]

LSPET_FOLDER holds ``annotations/val.json`` and ``images/``: 200 photographs that the base was neither trained nor
tested on. For another base: ``lvtune evaluate --base NAME --save-calibration FILE``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lvtune.api.calibrating import fit_on
from lvtune.bases.base_registry import load_base
from lvtune.data.table import read_coco
from lvtune.domains import Split
from lvtune.storage.base_calibration import FOLDER, SUFFIX, save_base_calibration


def calibrate(lspet: Path, out: Path) -> str:
    """Writes the file, and returns what is to be said of it."""
    base = load_base("vitpose-ti")
    split = Split(read_coco(lspet / "annotations/val.json", lspet / "images"), "LSPET, validation part")
    found = fit_on(base, split, base.skeleton)
    assert found.calibration is not None, found.why
    save_base_calibration(found.calibration, base, out)
    return f"{found.why}: {found.to_dict()} (percent, each fifth of the pictures left out once)"


def main() -> None:
    """Reads the arguments, fits, prints."""
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else FOLDER / f"vitpose-ti{SUFFIX}"
    print(calibrate(Path(sys.argv[1]), out))


if __name__ == "__main__":
    main()
