"""The learning curve of a comparison: the score by the number of labelled pictures, and what more would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lvtune.core.errors import UsageError
from lvtune.core.text import counted
from lvtune.evaluation.intervals import spread_of
from lvtune.evaluation.metrics import is_less_better
from lvtune.evaluation.power_law import Forecast, PowerLaw, fit_power_law

LEAST_CHECKED = 3
"""Different numbers of pictures from which on the largest is forecast from the others, as a check."""


def check_forecast(predict: Sequence[int], shots: Sequence[int | str]) -> None:
    """Checks before the work that a forecast can be made.

    Raises:
        UsageError: fewer than two numbers of pictures are compared.
    """
    if predict and len(set(shots)) < 2:
        raise UsageError(
            f"--predict {','.join(map(str, predict))} from {len(set(shots))} number of pictures",
            "at least two, better three or more", "give --shots 10,20,40,all",
        )  # fmt: skip


def learning_curve(
    rows: Sequence[Mapping[str, Any]], summary: Sequence[Mapping[str, Any]], predict: Sequence[int] = ()
) -> dict[str, Any] | None:
    """Builds the curve of each variant at its best learning rate.

    Args:
        rows: of the runs, see :func:`lvtune.experiments.result_rows.row_of`.
        summary: of the runs, see :func:`lvtune.experiments.result_rows.summary_of`.
        predict: numbers of pictures to forecast.

    Returns:
        None with a single number of pictures. Else ``main``, and ``lines``, one per variant: ``label``; ``points``
        (``pictures``, ``mean`` score, ``half`` the width of its interval, ``n`` runs); ``law`` (``a``, ``b``, ``c``
        of the error, in the unit of the score, and the relative ``spread`` of the runs; None where none fits);
        ``forecasts`` (``pictures``, ``score``, ``low``, ``high``); ``check``: the largest number of pictures as
        forecast from the smaller ones, with ``measured`` and ``inside`` (None with fewer than three numbers).
        The error of a score in percent is what it lacks to 100.
    """
    best = {(one["label"], one["shots"]): one["lr"] for one in summary if one["best"]}
    lines = []
    for label in dict.fromkeys(one["label"] for one in summary):
        runs = [row for row in rows if row["label"] == label and best.get((label, row["shots"])) == row["lr"]]
        groups = _by_pictures(runs)
        if len(groups) > 1:
            lines.append(_line(label, groups, str(runs[0]["main"]), predict))
    return {"main": rows[0]["main"], "lines": lines} if lines else None


def _by_pictures(runs: Sequence[Mapping[str, Any]]) -> dict[int, list[float]]:
    """Number of pictures to the scores of its runs; runs whose number or score is not known are left out."""
    groups: dict[int, list[float]] = {}
    for run in runs:
        count = run.get("pictures") or (run["shots"] if isinstance(run["shots"], int) else None)
        if count and run["target"] is not None:
            groups.setdefault(int(count), []).append(float(run["target"]))
    return dict(sorted(groups.items()))


def _line(label: str, groups: Mapping[int, Sequence[float]], main: str, predict: Sequence[int]) -> dict[str, Any]:
    errors = {count: [error_of(score, main) for score in scores] for count, scores in groups.items()}
    law = fit_power_law(errors)
    most = max(len(scores) for scores in groups.values())
    points = []
    for count, scores in groups.items():
        spread = spread_of(scores)
        points.append({"pictures": count} | ({} if spread is None else asdict(spread)))
    return {
        "label": label,
        "points": points,
        "law": None if law is None else {name: getattr(law, name) for name in ("a", "b", "c", "spread", "freedom")},
        "curve": [] if law is None else _drawn(law, [*groups, *predict], main),
        "forecasts": [] if law is None else [_as_score(law.forecast(count, most), main) for count in predict],
        "check": _check(errors, groups, main),
    }


def _check(
    errors: Mapping[int, Sequence[float]], groups: Mapping[int, Sequence[float]], main: str
) -> dict[str, Any] | None:
    if len(errors) < LEAST_CHECKED:
        return None
    *smaller, largest = errors
    law = fit_power_law({count: errors[count] for count in smaller})
    if law is None:
        return None
    forecast = _as_score(law.forecast(largest, len(groups[largest])), main)
    measured = sum(groups[largest]) / len(groups[largest])
    return forecast | {"measured": measured, "inside": forecast["low"] <= measured <= forecast["high"], "from": smaller}


def _drawn(law: PowerLaw, counts: Sequence[int], main: str, steps: int = 40) -> list[dict[str, float]]:
    """Points of the fitted curve, evenly spread on a logarithmic axis."""
    low, high = min(counts), max(counts)
    numbers = [low * (high / low) ** (i / (steps - 1)) for i in range(steps)]
    found = [law.forecast(round(number), _MANY) for number in numbers]
    return [{**_as_score(one, main), "pictures": number} for number, one in zip(numbers, found, strict=True)]


_MANY = 10**9
"""Runs of which the curve itself is the mean: its band has nothing of the spread of single runs."""


def error_of(score: float, main: str) -> float:
    """Returns the error that a score stands for: itself, or what it lacks to 100 %."""
    return score if is_less_better(main) else 100.0 - score


def _as_score(forecast: Forecast, main: str) -> dict[str, Any]:
    if is_less_better(main):
        return {"pictures": forecast.pictures, "score": forecast.error, "low": forecast.low, "high": forecast.high}
    scores = (100.0 - value for value in (forecast.error, forecast.high, forecast.low))
    return {"pictures": forecast.pictures} | dict(zip(("score", "low", "high"), (max(0.0, s) for s in scores),
                                                      strict=True))  # fmt: skip


def words_of(curve: Mapping[str, Any], unit: str) -> list[str]:
    """Returns the forecasts and their checks as sentences."""
    said = []
    for line in curve["lines"]:
        said += [
            f"{line['label']}: {counted(one['pictures'], 'picture')} would give about {_figure(one['score'], unit)} "
            f"({_figure(one['low'], unit)} to {_figure(one['high'], unit)})"
            for one in line["forecasts"]
        ]
        check = line["check"]
        if check is not None:
            where = "inside" if check["inside"] else "outside"
            said.append(
                f"{line['label']}: check: from {', '.join(map(str, check['from']))} pictures, "
                f"{counted(check['pictures'], 'was', 'were')} "
                f"expected to give {_figure(check['score'], unit)} ({_figure(check['low'], unit)} to "
                f"{_figure(check['high'], unit)}); they gave {_figure(check['measured'], unit)}, {where} the interval"
            )
    return said


def _figure(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}"
