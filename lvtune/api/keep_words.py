"""The line on what ``--keep`` took, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvtune.core.decision import Decision
from lvtune.evaluation.metrics import metric_name


def keep_decision(found: Mapping[str, Any]) -> Decision:
    """Returns the line.

    Args:
        found: ``keep`` of a report.
    """
    name, left_out = metric_name(found["metric"]), found["left_out"]
    points = {point["share"]: point for point in found["curve"]}
    whole = points[1.0]
    here = next((p for p in found["parts"] if p["left_out"] == left_out), points[found["share"]])
    value = f"{found['share']:.0%} of the change is kept"
    if left_out is not None:
        value = f"{found['share']:.0%} of the change is kept" if found["share"] < 1 else "the change is kept"
        value += f", without that of the {left_out}"
    if not found["holds"]:
        value += f", and {found['asked']:g} % of the source is NOT held; lvtune takes the share with the best sum"
        value += " of both scores"
    measured = f"source {name}" if found["labels"] else "agreement with the base's own answers"
    kept, chance = _percent(here["kept"]), _percent(here["chance"])
    why = f"on {found['source_pictures']} pictures kept out: {measured} {kept} of the base's (± {chance} by chance; "
    why += f"{found['sure']:.0%} sure is asked for"
    why += f", and at most {found['most']:.0%} of the change" if found["most"] < 1 else ""
    why += ")"
    if here is not whole:
        why += f", {_percent(whole['kept'])} with the whole change"
    why += f"; target {_number(here['target'])}"
    if here is not whole:
        why += f", {_number(whole['target'])} with the whole change"
    return Decision(f"keep {found['asked']:g}", value, why)


def keep_tested(asked: float, kept: float | None) -> Decision | None:
    """Returns the line on the source's test pictures, which decided nothing.

    Args:
        asked: percent of the source score.
        kept: share of it that remains on the test pictures; None: it was not measured.
    """
    if kept is None:
        return None
    value = f"{_percent(kept)} of the source score remain"
    if 100 * kept >= asked:
        return Decision(f"keep {asked:g}, test pictures", value, "they decided nothing")
    why = "they decided nothing; a higher --keep, or --keep-sure 0.9, takes less of the change"
    return Decision(f"keep {asked:g}, test pictures", f"{value}: LESS than asked for", why)


def _percent(value: float | None) -> str:
    return "nothing" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"
