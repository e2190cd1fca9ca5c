"""Draws how often key points are right, over the probability that was said for them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lvtune.core.files import write_atomically
from lvtune.viz.colours import AFTER, BEFORE

RELIABILITY_FILE = "reliability.png"


def draw_reliability(folder: Path, found: Mapping[str, Any] | None, title: str = "") -> Path | None:
    """Draws ``reliability.png`` into an existing folder.

    Args:
        folder: folder of the file.
        found: of :func:`lvtune.api.calibrating.measure`; None: nothing is drawn.
        title: above the diagram.

    Returns:
        The file; None, and no file, without a calibration.

    Raises:
        LvtuneError: the file cannot be written.
    """
    if found is None or not found["points"]:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.4), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=(0, (5, 4)))
    _line(axes, found["bins_raw"], BEFORE, f"heatmap's maximum: ECE {found['ece_raw']:.1f} %")
    _line(axes, found["bins"], AFTER, f"calibrated: ECE {found['ece']:.1f} %")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel=f"share within {found['within']}")
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    if title:
        axes.set_title(title, fontsize=9, loc="left")
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    return write_atomically(folder / RELIABILITY_FILE, data.getvalue())


def _line(axes: Any, bins: Sequence[Mapping[str, float]], colour: str, label: str) -> None:
    """Larger dots stand for more key points."""
    most = max((row["points"] for row in bins), default=1)
    means, hits = [row["mean"] for row in bins], [row["hits"] for row in bins]
    axes.plot(means, hits, color=colour, linewidth=1.5, label=label)
    axes.scatter(means, hits, s=[8 + 60 * row["points"] / most for row in bins], color=colour)
