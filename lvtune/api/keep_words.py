"""The line on what ``--keep`` took, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lvtune.core.decision import Decision
from lvtune.evaluation.metrics import is_less_better, metric_name
from lvtune.evaluation.task import retention
from lvtune.viz.score_words import late_words

if TYPE_CHECKING:
    from lvtune.api.scoring import Scoring


def keep_decision(found: Mapping[str, Any]) -> Decision:
    """Returns the line.

    Args:
        found: ``keep`` of a report.
    """
    name = metric_name(found["metric"])
    whole = next(point for point in found["curve"] if point["share"] == 1)
    here = taken_of(found)
    value = f"{found['share']:.0%} of the change is kept" + f", {late_words(found['late'])}" * (found["late"] != 1)
    if found["largest"] != found["share"] and found["holds"]:
        value += f" ({found['largest']:.0%} would hold, and is no better for the target)"
    if not found["holds"]:
        value += f", and {found['asked']:g} % of the source is NOT held; lvtune takes the share with the best sum"
        value += " of both scores"
    measured = f"source {name}" if found["labels"] else "agreement with the base's own answers"
    out = {1: " kept out", 2: " kept out of a first run"}.get(found["runs"], ", each kept out of one of two first runs")
    why = f"on {found['source_pictures']} pictures{out}: {measured} {_percent(here['kept'])} of the base's"
    if here["moved"] is not None:
        why += f", {_percent(here['moved'])} of the points moved"
    why += (
        f"; {_percent(here['expected'])} ± {_percent(here['chance'])} are expected ({found['sure']:.0%} sure is asked"
    )
    why += f" for, and at most {found['most']:.0%} of the change)" if found["most"] < 1 else " for)"
    if here is not whole:
        why += f", {_percent(whole['expected'])} with the whole change"
    why += f"; target {_number(here['target'])}"
    if here is not whole:
        why += f", {_number(whole['target'])} with the whole change"
    return Decision(f"keep {found['asked']:g}", value, why)


def taken_of(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the point of ``keep`` of a report that was taken."""
    points = (*found["curve"], *found["others"])
    return next(point for point in points if (point["share"], point["late"]) == (found["share"], found["late"]))


def tested_values(scoring: Scoring) -> dict[str, float | None]:
    """Returns what the test pictures, which decided nothing, say of ``--keep``; for the report.

    ``test_kept`` and ``test_target`` are the share of the source score that remains and the target's score;
    ``test_kept_whole`` and ``test_target_whole`` are those of the whole change.
    """
    on = {"source": scoring.source.after_on, "target": scoring.target.after_on}
    found: dict[str, float | None] = {}
    for name, scores in (("", on), ("_whole", scoring.whole or on)):
        source, target, before = scores.get("source"), scores.get("target"), scoring.source.before
        kept = None
        if source is not None and before is not None:
            main = source.main
            kept = retention(before.values.get(main), source.values.get(main), is_less_better(main))
        found[f"test_kept{name}"] = kept
        found[f"test_target{name}"] = None if target is None else target.values.get(target.main)
    return found


def keep_tested(asked: float, found: Mapping[str, float | None]) -> Decision | None:
    """Returns the line on the test pictures, which decided nothing.

    Args:
        asked: percent of the source score.
        found: as of :func:`tested_values`; None where nothing of the source was measured.
    """
    kept, whole = found["test_kept"], found["test_kept_whole"]
    if kept is None:
        return None
    value = f"{_percent(kept)} of the source score remain, target {_number(found['test_target'])}"
    if (whole, found["test_target_whole"]) != (kept, found["test_target"]):
        value += f" (with the whole change: {_percent(whole)}, {_number(found['test_target_whole'])})"
    if 100 * kept >= asked:
        return Decision(f"keep {asked:g}, test pictures", value, "they decided nothing")
    why = "they decided nothing; a higher --keep, or --keep-sure 0.9, takes less of the change"
    return Decision(f"keep {asked:g}, test pictures", f"{value}: LESS than asked for", why)


def _percent(value: float | None) -> str:
    return "nothing" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"
