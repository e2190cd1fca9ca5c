"""Writes the model card: ``README.md`` of an adapter, with the metadata that the Hub reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from lvtune.evaluation.metrics import METRICS, imitation, main_of, meaning_of, metric_name, without_nulls
from lvtune.storage.adapter_config import shareable
from lvtune.storage.made_of import made_of

_STATES = {"before": "before", "after_on": "adapter on", "after_off": "adapter off"}
_MADE = re.compile(r"(.*\n)\n<!-- made by lvtune ([0-9a-f]{16}) -->\n", re.DOTALL)
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#~&])")


@dataclass(frozen=True)
class Publication:
    """What a card says about where and how the adapter is published."""

    repo: str | None = None
    """``user/repo``, or ``user/repo@branch``; None: a folder on disk."""
    license: str | None = None
    """The Hub's name of a licence, such as ``apache-2.0``."""
    base_model: str | None = None
    """The base's Hub id where it differs from the one in the config."""
    picture: str | None = None
    """File beside the card that shows the base alone and with the adapter."""
    own_picture: bool = False
    """True if the publisher chose the picture; False if `lvtune adapt` picked it by how much changed."""
    tags: tuple[str, ...] = ()
    """Further tags."""


LOCAL = Publication()


def model_card(config: Mapping[str, Any], report: Mapping[str, Any], at: Publication = LOCAL) -> str:
    """Returns the card of an adapter.

    Args:
        config: of the adapter file.
        report: ``report.json``; what it lacks is left out.
        at: where it is published.

    Returns:
        Markdown with a YAML head.
    """
    parts = [
        f"---\n{card_data(config, report, at).to_yaml()}\n---",
        f"# {plain_text(_title(config))}",
        _summary(config, report),
        _picture(at),
        _usage(config, at),
        _scores(report),
        _sentences(config),
        _tuning(config, report),
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    return f"{text}\n<!-- made by lvtune {_digest(text)} -->\n"


def is_untouched(card: str) -> bool:
    """Returns True if nobody wrote in a card since :func:`model_card`, of whatever version, made it."""
    match = _MADE.fullmatch(card)
    return match is not None and match[2] == _digest(match[1])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def card_data(config: Mapping[str, Any], report: Mapping[str, Any], at: Publication = LOCAL) -> ModelCardData:
    """Returns the metadata of the card; see :func:`model_card`."""
    base, domain = config["base"], config.get("domain")
    base_model = at.base_model or base.get("hub_id")
    # stated explicitly: the Hub guesses the relation for peft's adapters alone
    relation: dict[str, Any] = {"base_model_relation": "adapter"} if base_model else {}
    after = (report.get("target") or {}).get("after_on") or {}
    results = [
        EvalResult(
            task_type="keypoint-detection",
            task_name="Pose estimation",
            dataset_type=_slug(domain or "custom"),
            dataset_name=str(report.get("target_name") or domain or "custom"),
            metric_type=key,
            metric_name=metric_name(key, report),
            metric_value=round(after[key], 2),
        )
        for key in METRICS
        if after.get(key) is not None
    ]
    tags = ["lvtune", "pose-estimation", "adapter", config["method"], *([_slug(domain)] if domain else []), *at.tags]
    return ModelCardData(
        license=at.license,
        base_model=base_model,
        **relation,
        library_name="lvtune",
        pipeline_tag="keypoint-detection",
        tags=list(dict.fromkeys(tags)),
        model_name=_title(config) if results else None,
        eval_results=results or None,
    )


def _title(config: Mapping[str, Any]) -> str:
    domain = f" on {config['domain']}" if config.get("domain") else ""
    return f"{config['method']} adapter for {config['base']['name']}{domain}"


def _summary(config: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    base, adapter = config["base"], report.get("adapter") or {}
    height, width = base["input_size"]
    size = ""
    if adapter.get("parameters") is not None:
        size = f" It has {adapter['parameters']:,} parameters"
        share = adapter.get("share_of_base")
        size += f", {100 * share:.1f} % of the base." if share is not None else "."
    text = (
        f"An lvtune adapter for the frozen pose estimator `{code(base['name'])}` ({height}×{width} pixels). "
        f"Without the adapter, the estimator is the same as before, bit for bit.{size}"
    )
    imitated = imitation(report)
    if imitated is not None:
        text += f"\n\n> **{imitated[0]}.** {imitated[1]}"
    return text


def _scores(report: Mapping[str, Any]) -> str:
    rows, main, reasons = [], main_of(report), report.get("reasons") or {}
    told = [state for state in _STATES if any((report.get(w) or {}).get(state) for w in ("target", "source"))]
    for where in ("target", "source"):
        sides = report.get(where) or {}
        name = report.get(f"{where}_name")
        for key in METRICS:
            values = [(sides.get(state) or {}).get(key) for state in told]
            if any(value is not None for value in values):
                label = f"{where}: {plain_text(name)}" if name else where
                cells = ("–" if value is None else f"{value:.1f}" for value in values)
                rows.append([label, metric_name(key, report, where), *cells])
    if not rows:
        return ""
    lines = [
        "## Scores",
        "",
        f"Scores on the test split, in percent, pixels or mm. {meaning_of(report)}",
        "",
    ]
    lines += table(["data", "metric", *(_STATES[state] for state in told)], rows)
    if reasons.get("target.before"):
        lines += ["", f"There is no score before tuning: {plain_text(reasons['target.before'])}."]
    gap = report.get("gap_closed")
    if gap is not None:
        lines += ["", f"{100 * gap:.1f} % of the gap between target and source {metric_name(main, report)} is closed."]
    return "\n".join(lines)


def _picture(at: Publication) -> str:
    if at.picture is None:
        return ""
    if at.own_picture:
        return f"![Without and with the adapter]({at.picture})"
    words = "Test pictures whose key points moved most, better or worse."
    return f"![The base alone (left) and with the adapter (right)]({at.picture})\n\n{words}"


def _usage(config: Mapping[str, Any], at: Publication) -> str:
    name, size = code(config["base"]["name"]), tuple(config["base"]["input_size"])
    categories = list(config.get("prompts") or {})
    category = f', category="{code(categories[0])}"' if categories else ""
    hint = "  # without category: the mean of all sentences" if categories else ""
    source = code(at.repo or "path/to/this/folder")
    return f"""## Use

```python
import lvtune
base = lvtune.load_base("{name}", input_size={size})
adapter = lvtune.load_adapter("{source}", base)
with lvtune.attach(base, adapter):
    heatmaps = base(pixel_values{category}){hint}
```

```sh
lvtune predict PICTURE --adapter {source}
```"""


def _sentences(config: Mapping[str, Any]) -> str:
    sentences = config.get("prompts")
    if not sentences:
        return ""
    rows = [[plain_text(category), plain_text(sentence)] for category, sentence in sentences.items()]
    encoder = code(config.get("text_encoder") or "unknown")
    lines = [
        "## Sentences",
        "",
        f"Embedded by `{encoder}` and stored in the file; no text encoder is needed.",
        "",
    ]
    return "\n".join([*lines, *table(["category", "sentence"], rows)])


def _tuning(config: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    import yaml

    training = config.get("training") or {}
    # the report's stands in the order in which options are explained, the config's in that of the alphabet
    recipe = without_nulls(shareable(report.get("recipe") or training.get("recipe") or {}))
    lines = ["## How it was made", ""]
    prints = config["base"].get("fingerprint") or {}
    lines += [f"- base fingerprint ({code(name)}): `{code(value)}`" for name, value in sorted(prints.items())]
    kind, *parts = made_of(config) or [""]
    if kind:
        lines.append(f"- {code(kind)} of " + ", ".join(f"`{code(part)}`" for part in parts))
    if training.get("data_fingerprint"):
        lines.append(f"- data fingerprint: `{code(training['data_fingerprint'])}`")
    if training.get("start", "none") != "none":
        lines.append(f"- tuning began at {plain_text(training['start'])}")
    versions = report.get("versions") or {}
    if versions:
        lines.append("- versions: " + ", ".join(f"{code(name)} {code(value)}" for name, value in versions.items()))
    if recipe:
        text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100).replace("```", "'''")
        lines += [
            "",
            "The recipe (`lvtune adapt --config recipe.yaml`):",
            "",
            "```yaml",
            text.rstrip(),
            "```",
        ]
    return "\n".join(lines)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Returns the lines of a Markdown table; the cells must be escaped already."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def plain_text(text: object) -> str:
    """Returns foreign text for Markdown: on one line, its markup escaped."""
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def code(text: object) -> str:
    """Returns foreign text for code spans and blocks: on one line, without back ticks and quotes."""
    return re.sub(r"[`\"\\]", "'", " ".join(str(text).split()))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "custom"
