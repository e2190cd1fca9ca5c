"""Checks the data of a domain part by part, and the parts against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.api.open_data import limited
from lvtune.config.options import DataOptions
from lvtune.core.text import plural
from lvtune.data.check import check_data
from lvtune.data.near_duplicates import near_duplicates
from lvtune.domains.domain import NO_BOXES, Domain
from lvtune.storage.output_folder import check_output, input_files, input_folders, make_folder

_SHOWN = 5


def check_parts(
    domain: Domain, data: DataOptions, parts: Sequence[str], out: str | Path | None = None
) -> dict[str, Any]:
    """Opens parts of a domain and checks them.

    Args:
        domain: what to check.
        data: where its data lie.
        parts: such as ``train`` and ``test``.
        out: folder for a contact sheet of each part, ``train.png`` and so on; None: none.

    Returns:
        Part to what :func:`lvtune.data.check.check_data` returns, and ``sheet``; ``near_duplicates`` across two parts
        (a count and the first five pairs) with a sentence in ``warnings``; ``ok``.

    Raises:
        LvtuneError: the data cannot be opened, or a sheet cannot be written.
    """
    folder = None if out is None else Path(out)
    if folder is not None:
        targets = [folder / f"{part}.png" for part in parts]
        check_output(folder, targets, folders=input_folders(data), files=input_files(data))
        make_folder(folder)
    values: dict[str, Any] = {"domain": domain.name}
    thumbnails: dict[str, dict[str, np.ndarray]] = {}
    for part in parts:
        # a detector's boxes are for scoring
        split = limited(domain.open(part, replace(data, boxes=NO_BOXES) if part == "train" else data), data)
        thumbnails[part] = {}
        values[part] = {"name": split.name, **check_data(split.table, thumbnails=thumbnails[part])}
        if folder is not None:
            values[part]["sheet"] = _sheet(split.table, folder / f"{part}.png")
    values["ok"] = all(values[part]["ok"] for part in parts)
    values["warnings"] = []
    if len(parts) == 2:
        pairs = near_duplicates(thumbnails[parts[0]], thumbnails[parts[1]])
        shown = [f"{one} and {other}" for one, other in pairs[:_SHOWN]]
        values["near_duplicates"] = {"count": len(pairs), "first": shown}
        if pairs:
            values["warnings"].append(
                f"{len(pairs)} of {values[parts[1]]['pictures_read']} {parts[1]} pictures "
                f"{plural(len(pairs), 'looks', 'look')} like a {parts[0]} "
                f"picture, so that scores on them are too good: {', '.join(shown)} (--split-by video or folder keeps "
                "frames of one video together)"
            )
    return values


def _sheet(table: Any, path: Path) -> str | None:
    """Writes the contact sheet of a part; None where no picture can be drawn (the check says why)."""
    from lvtune.viz.data_sheet import LEGEND, can_draw, write_sheet

    if not can_draw(table):
        return None
    write_sheet(table, path)
    return f"{path} ({LEGEND})"
