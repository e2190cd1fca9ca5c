"""The figures of domains that are learnt one after the other, from the matrix step x domain.

Backward transfer: Lopez-Paz and Ranzato, NeurIPS 2017, arXiv 1706.08840. Forgetting: Chaudhry et al., ECCV 2018, arXiv
1801.10112. The published tables of PoseAdapt (Khan and Stricker, WACV 2026, arXiv 2409.20469) hold the mean of the last
row and an average forgetting that is the backward transfer with the other sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

Matrix = Sequence[Sequence[float | None]]
"""T rows, one for each step; T scores in each, one for each domain in the order in which they are learnt."""

FIGURES = {
    "final": "mean after the last step",
    "learnt": "mean just after learning",
    "backward": "backward transfer",
    "forgetting": "forgetting",
    "worst": "forgetting, worst domain",
    "source": "source after the last step",
}
"""Key of a figure to its name."""


def row_figures(matrix: Matrix, less_is_better: bool = False) -> dict[str, float | None]:
    """Computes the figures of one chain.

    Args:
        matrix: scores; row i holds those after domain i was learnt, column j those of domain j.
        less_is_better: the scores are errors. Backward transfer and forgetting then have the other sign, so that a
            forgetting above 0 is always a loss.

    Returns:
        ``final``: mean of the last row. ``learnt``: mean of the diagonal. ``backward``: mean over the earlier domains
        of the last score minus that just after learning. ``forgetting``: mean over the earlier domains of the best
        score since learning, before the last step, minus the last score; ``worst``: the largest of these. None where a
        score is missing, or there is no earlier domain.
    """
    count = len(matrix)
    sign = -1.0 if less_is_better else 1.0
    if any(value is None for i, row in enumerate(matrix) for value in row[: i + 1]):
        return dict.fromkeys(("final", "learnt", "backward", "forgetting", "worst"))
    rows: list[list[float]] = [[0.0 if value is None else value for value in row] for row in matrix]
    last = rows[-1]
    earlier = range(count - 1)
    moved = [sign * (last[j] - rows[j][j]) for j in earlier]
    lost = [max(sign * (rows[i][j] - last[j]) for i in range(j, count - 1)) for j in earlier]
    return {
        "final": fmean(last),
        "learnt": fmean(rows[i][i] for i in range(count)),
        "backward": fmean(moved) if moved else None,
        "forgetting": fmean(lost) if lost else None,
        "worst": max(lost) if lost else None,
    }


def mean_matrix(matrices: Sequence[Matrix]) -> list[list[float | None]]:
    """Returns the mean over several chains, score by score; None where one lacks it."""
    return [[mean_of(values) for values in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]


def mean_of(values: Sequence[Any]) -> float | None:
    """Returns the mean; None where a value is missing, or there is none."""
    return None if not values or any(value is None for value in values) else fmean(values)
