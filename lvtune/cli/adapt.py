"""``lvtune adapt``: tunes an adapter and reports the scores before and after."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from lvtune.api.after_choice import REPLAY
from lvtune.api.method_choice import AUTO, PUBLISHED, method_of
from lvtune.api.recipe import TEXT_ONLY, UNLABELLED_OBJECTIVE, Recipe
from lvtune.cli.after_lines import after_lines
from lvtune.cli.data_argument import add_data_argument, place_data
from lvtune.cli.outcome import Outcome, say
from lvtune.cli.output import alike, number, outline, table, tensor_rows
from lvtune.cli.parser import Parser, add_options, nested, wrong_usage
from lvtune.cli.score_lines import adapted_text, calibration_line
from lvtune.config.options import AUGMENT_FALLBACK, TRAIN_FALLBACK
from lvtune.config.schema import options_of
from lvtune.config.tables import merge
from lvtune.config.yaml_files import read_yaml
from lvtune.core.text import shell_word
from lvtune.evaluation.metrics import SMALL_BOXES


def parser(argv: Sequence[str], summary: str, command: str = "adapt") -> Parser:
    """Adds the options of the recipe; those of method and objective too, if they are used or for the help."""
    result = Parser(command, summary)
    add_data_argument(result)
    result.add_argument("--config", metavar="YAML", help="recipe file, or the name of a shipped recipe")
    if command == "adapt":
        result.add_argument("--dry-run", action="store_true", help="print what would be tuned, and stop")
    asks_help = any(token in ("-h", "--help") for token in argv)
    method = _named("method", argv) if asks_help or any(t.startswith("--method.") for t in argv) else None
    published = _published(argv, method) if asks_help else {}
    objective = _named("objective", argv) if any(t.startswith("--objective.") for t in argv) or asks_help else None
    defaults = _defaults(published or (method.defaults if method else {})) if asks_help else {}
    hide = ("method_options", "objective_options")
    add_options(result, Recipe, title="what to adapt", hide=hide, defaults=defaults)
    if method is not None:
        add_options(result, method.Config, prefix="method.", title=f"options of method {method.method}")
    if objective is not None:
        title = f"options of objective {objective.objective}"
        add_options(result, objective.Config, prefix="objective.", title=title)
    return result


def _named(kind: str, argv: Sequence[str]) -> Any:
    """Returns the class of the method or objective that the command line or the recipe file names, or the default."""
    from lvtune.adapters.method_registry import METHODS
    from lvtune.training.objectives import OBJECTIVES

    known, default = {"method": METHODS, "objective": OBJECTIVES}[kind], getattr(Recipe, kind)
    values = _scanned(argv, (kind, "domain"))
    text_only = "--text-only" in argv or values.get("text_only")
    has_after = any(t.partition("=")[0] == "--after" for t in argv) or values.get("after")
    has_unlabelled = any(t.partition("=")[0] == "--unlabelled" for t in argv) or values.get("unlabelled")
    if kind == "objective" and has_after:
        default = REPLAY
    elif kind == "objective" and has_unlabelled:
        default = UNLABELLED_OBJECTIVE
    elif kind == "objective" and text_only:
        default = TEXT_ONLY
    elif kind == "method":
        default = method_of(str(values.get("domain") or Recipe.domain), bool(text_only))
    name = values.get(kind) or default
    return None if name is None else known.get(str(name))


def _scanned(argv: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Returns what the recipe file says, with the values of some options of the command line over it."""
    scan = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("config", *names):
        scan.add_argument(f"--{name}")
    try:
        found, _ = scan.parse_known_args(argv)
    except argparse.ArgumentError:
        return {}  # a value is missing; the full parser says so
    given = {name: value for name, value in vars(found).items() if value is not None and name != "config"}
    return (read_yaml(found.config) if found.config else {}) | given


def _published(argv: Sequence[str], method: Any) -> Mapping[str, Any]:
    """Returns the training options of the publication where they are the defaults; else none."""
    values = _scanned(argv, ("method", "domain", "settings"))
    settings = values.get("settings") or AUTO
    is_chosen = settings == PUBLISHED or (settings == AUTO and not values.get("method"))
    return method.published.get("train", {}) if method is not None and is_chosen else {}


def _defaults(of_method: Mapping[str, Any]) -> dict[str, Any]:
    """Returns option path to the default that the help shows: the method's, or else the fallback."""
    shown: dict[str, Any] = {}
    for prefix, fallback in (("train.", TRAIN_FALLBACK), ("train.augment.", AUGMENT_FALLBACK)):
        own = of_method if prefix == "train." else of_method.get("augment") or {}
        for option in options_of(type(fallback)):
            if "." not in option.path:
                value = own.get(option.path, getattr(fallback, option.path))
                shown[prefix + option.path] = option.default if value is None else value
    return shown


def recipe_of(args: argparse.Namespace) -> Recipe:
    """Makes the recipe from the file and the options; the options count more.

    Raises:
        CommandLineError: unknown options or wrong values in either.
    """
    place_data(args)
    values = read_yaml(args.config) if args.config else {}
    over = nested(args, Recipe)
    for kind in ("method", "objective"):
        prefix = f"{kind}."
        options = {n.removeprefix(prefix): v for n, v in vars(args).items() if n.startswith(prefix)}
        if options:
            over[f"{kind}_options"] = options
    with wrong_usage():
        return Recipe.from_dict(merge(values, over, Recipe))


def run(args: argparse.Namespace) -> Outcome:
    """Adapts; with ``--dry-run``, only says what would be done."""
    recipe = recipe_of(args)
    if args.dry_run:
        from lvtune.api.inspecting import dry_run

        values = dry_run(recipe)
        return Outcome(values, _plan(values))
    import lvtune

    report = lvtune.adapt(recipe, say=say)
    values = report.to_dict()
    return Outcome(values, f"{summary_of(values)}\n\n{_next(report.folder, values, args.imports)}")


def _plan(values: Mapping[str, Any]) -> str:
    share = 100 * values["share_of_base"]
    return "\n\n".join(
        [
            outline(values["recipe"]),
            table(["trainable", "shape", "parameters each", "count"], tensor_rows(values["tree"], "parameters")),
            table(["attaches to", "count"], [[name, len(places)] for name, places in alike(values["targets"])]),
            f"{values['trainable']:,} trainable parameters, {share:.1f} % of the base; "
            f"about {values['memory_mb']:.0f} MB of memory",
            *_decided(values["decisions"]),
            *([f"warm start: {values['start']}"] if values.get("start") else []),
            *(f"missing here: {what}" for what in values.get("missing", ())),
        ]
    )


def _decided(decisions: Sequence[Mapping[str, str]]) -> list[str]:
    """Returns what was chosen for the user as one block of lines, if anything was."""
    lines = [f"{d['what']}: {d['value']} ({d['why']})" for d in decisions]
    return ["\n".join(["chosen for you:", *lines])] if lines else []


def summary_of(values: Mapping[str, Any]) -> str:
    """Returns the report in a few lines: scores before and after, the gap closed, size and seconds."""
    adapter, seconds = values["adapter"], values["seconds"]
    same = values["base"]["fingerprint_before"] == values["base"]["fingerprint_after"]
    lines = [adapted_text(values), ""]
    sure = calibration_line(values.get("calibration"))
    lines += [sure] if sure else []
    if values.get("gap_closed") is not None:
        lines.append(f"gap closed: {100 * values['gap_closed']:.1f} %")
    lines += after_lines(values.get("after"))
    lines += [
        f"adapter: {adapter['parameters']:,} parameters, {100 * adapter['share_of_base']:.1f} % of the base, "
        f"{adapter['bytes'] / 1e6:.1f} MB",
        f"base: {'unchanged, bit for bit' if same else 'CHANGED'}",
        f"time: {', '.join(f'{name} {number(float(value))} s' for name, value in seconds.items())}",
        *_memory(values.get("memory")),
    ]
    active = values.get("active_negatives")
    if active:
        shares = [f"{100 * active[part]:.0f} %" for part in ("mean", "first", "last")]
        lines.append("active negatives of the contrast: {} of the batch (at first {}, at last {})".format(*shares))
    return "\n".join(lines)


def _memory(memory: Mapping[str, Any] | None) -> list[str]:
    if not memory:
        return []
    device = "" if memory["device_mb"] is None else f", {memory['device_mb']:,.0f} MB on the GPU"
    return [f"memory: peak {memory['peak_mb']:,.0f} MB, {memory['above_imports_mb']:,.0f} MB above imports{device}"]


def _next(folder: Any, values: Mapping[str, Any], imports: Sequence[str] = ()) -> str:
    base, weights = values["base"]["name"], (values.get("recipe") or {}).get("weights", Recipe.weights)
    own = "" if weights == Recipe.weights else f" --weights {shell_word(weights)}"
    return (
        f"written to {folder}; open {folder}/report.html\n"
        f"try: lvtune predict PICTURE --base {shell_word(base)}{own} --adapter {shell_word(folder)}{_boxes(values)}"
        + "".join(f" --import {shell_word(file)}" for file in imports)
    )


def _boxes(values: Mapping[str, Any]) -> str:
    """Returns the option for boxes if the adapter was tuned on boxes much smaller than their pictures."""
    share = (values.get("boxes") or {}).get("median_share")
    if share is None or share >= SMALL_BOXES:
        return ""
    words = f"it was tuned on boxes of {100 * share:.0f} % of the picture; whole pictures do not look like them"
    return f" --find pose\n({words}; --boxes BOXES.json, if you have boxes)"
