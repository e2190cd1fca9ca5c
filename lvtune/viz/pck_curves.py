"""Draws curves of 3D PCK: the share of joints whose error is within 0 to 50 mm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError, UsageError
from lvtune.evaluation.epe import auc
from lvtune.viz.colours import OKABE_ITO


def draw_pck(
    path: str | Path, mm: Sequence[float], curves: Mapping[str, Sequence[float] | None], *, title: str = ""
) -> Path:
    """Draws PCK curves, with the area under each (AUC, in percent) in the legend.

    Args:
        path: PNG, SVG or PDF.
        mm: (T,) thresholds in mm.
        curves: name to shares (T,) from 0 to 1; None is left out.
        title: above the curves.

    Raises:
        LvtuneError: there is nothing to draw, or the file cannot be written.
    """
    from matplotlib.figure import Figure

    drawn = {name: np.asarray(shares) for name, shares in curves.items() if shares is not None}
    if not drawn:
        raise DataError("no PCK curve to draw", "hands with 3D labels", "score a split that has them")
    figure = Figure(figsize=(5.2, 4.0), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for (name, shares), colour in zip(drawn.items(), OKABE_ITO, strict=False):
        area = 100 * auc(shares, np.asarray(mm))
        axes.plot(mm, 100 * shares, color=colour, linewidth=2, label=f"{name}: AUC {area:.1f} %")
    axes.set(
        xlim=(mm[0], mm[-1]), ylim=(0, 100), xlabel="error threshold (mm)", ylabel="joints within the threshold (%)"
    )
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="best")
    if title:
        axes.set_title(title, fontsize=9, loc="left")
    target = Path(path)
    try:
        figure.savefig(target)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{target}: {' '.join(str(error).split())[:120]}", "a PNG, SVG or PDF that can be written",
            "choose another path",
        ) from None  # fmt: skip
    return target


def draw_curves(folder: Path, curves: Mapping[str, Any] | None, title: str = "") -> Path | None:
    """Draws ``pck.png`` into an existing folder.

    Args:
        folder: folder of the file.
        curves: from :meth:`lvtune.evaluation.task.Scores.curves`.
        title: above the curves.

    Returns:
        The file; None, and no file, without curves.
    """
    if curves is None:
        return None
    shares = dict(curves)
    return draw_pck(folder / "pck.png", shares.pop("mm"), shares, title=title)
