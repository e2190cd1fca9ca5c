"""Puts the rows of tables of labelled points into a project: a picture and its instances a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lvtune.data.formats.point_columns import PointTable
from lvtune.data.formats.project_builder import ProjectBuilder


def add_table(builder: ProjectBuilder, table: PointTable, near: Path | None = None) -> dict[str, int]:
    """Adds the pictures and instances of a table; returns the path in the table to the place of the picture.

    Args:
        builder: gets them.
        table: of labelled points.
        near: folder that holds the pictures, whatever the table calls it; None: the paths say where they lie.
    """
    builder.notes += table.notes
    places: dict[str, int] = {}
    for row, name in enumerate(table.pictures):
        parts = name.split("/")
        beside = near / parts[-1] if near else None
        path = beside if beside and beside.is_file() else None
        group = parts[-2] if len(parts) > 1 else (near or table.file.parent).name
        place = builder.picture(name, path=path, group=group)
        if place is not None:
            places[name] = place
        for individual in table.individuals:
            points = np.full((len(builder.keypoints), 2), np.nan)
            for number, part in enumerate(builder.keypoints):
                if (individual, part) in table.points:
                    points[number] = table.points[individual, part][row]
            seen = np.where(np.isfinite(points).all(1), 2, 0)
            builder.add(place, points, seen, individual=individual)
    known = set(builder.keypoints)
    labelled = [values for (_, part), values in table.points.items() if part in known]
    builder.expect_points(sum(int(np.isfinite(values).all(1).sum()) for values in labelled), table.file)
    return places
