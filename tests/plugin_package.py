"""Installs a small package with entry points into a folder, as ``pip install --target`` would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install_package(folder: Path, name: str, files: Mapping[str, str], groups: Mapping[str, str]) -> Path:
    """Writes the modules and the metadata that ``importlib.metadata`` reads.

    Args:
        folder: where it goes; put it on ``sys.path``.
        name: of the distribution.
        files: module file to its source.
        groups: group of entry points to its lines, such as ``{"lvtune.methods": "mine = my_module:Mine"}``.
    """
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    for file, source in files.items():
        (folder / file).write_text(source, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    lines = "".join(f"[{group}]\n{points}\n" for group, points in groups.items())
    (info / "entry_points.txt").write_text(lines, encoding="utf-8")
    return folder
