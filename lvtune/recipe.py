"""The recipe: all that decides a run, as frozen dataclasses that YAML and the command line are views of.

``None`` in :class:`TrainOptions` means "what the method says, else the fallback here";
see :meth:`Recipe.resolved`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from lvtune.errors import LvtuneError
from lvtune.registry import suggest
from lvtune.schema import Problem, build, make, plain, raise_problems


@dataclass(frozen=True)
class DataOptions:
    """Where the pictures and their key points lie. Paths; None: what ships with the domain."""

    data: str | None = None
    """Folder of the pictures (own data) or of the data set in its published layout (a named domain)."""
    annotations: str | None = None
    """COCO-style JSON of your own pictures (split 80/20), or a folder with train.json and test.json."""
    test_annotations: str | None = None
    """COCO-style JSON to test on; None: the test part of `annotations` or of the domain."""
    source_data: str | None = None
    """Folder of pictures of the source domain, to measure what is kept there."""
    source_annotations: str | None = None
    """COCO-style JSON of the source pictures; None: the domain's own source, if it has one."""
    source_domain: str | None = None
    """Domain whose layout `source_data` has; None: the one that the base was trained on."""
    mix: str | None = None
    """Share of each part of a mixture such as coco+humanart, 1:1 for as many of each; None: all persons of each."""
    boxes: str | None = None
    """Detector boxes to test with besides the annotated ones: a JSON file, or published: that of the data set's
    own layout, of the source too; None: the annotated boxes alone."""
    box_format: Literal["auto", "xywh", "xyxy"] = "auto"
    """How the detector boxes are written; auto decides by which reading stays inside the pictures."""
    skeleton: str | None = None
    """Name of a known skeleton for own data; None: read from the annotation file's category."""
    limit: int | None = field(default=None, metadata={"at_least": 1})
    """Use at most this many persons of each part, for a quick try; None: all."""
    shots: int | Literal["all"] = field(default="all", metadata={"at_least": 1})
    """Tune on so many annotated pictures, drawn by the seed, each kind alike; fewer are among more; or all."""
    hand_root: Literal["palm", "wrist"] = "palm"
    """Joint 0 of hands: the palm, half-way from the wrist to the middle finger's base, or the wrist itself."""
    mirror_left: bool = True
    """Show left hands mirrored, as right ones; else a base of hands is told the side."""
    hand_crop: Literal["joints", "picture"] = "joints"
    """Crop hands to their labelled joints, or take whole pictures; rendered figures come whole."""


@dataclass(frozen=True)
class AugmentOptions:
    """Random changes of the training pictures. None: what the method says, else the fallback."""

    flip: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a left-right flip."""
    half_body: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a crop on the upper or lower body only."""
    shift: float | None = field(default=None, metadata={"at_least": 0})
    """Largest shift of the box, as a share of its size."""
    shift_p: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a shift."""
    scale: tuple[float, float] | None = field(default=None, metadata={"above": 0})
    """Smallest and largest factor on the box."""
    rotate: float | None = field(default=None, metadata={"at_least": 0})
    """Largest rotation, in degrees."""
    rotate_p: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a rotation."""
    color: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Strength of brightness, contrast and saturation jitter; 0 is off."""


@dataclass(frozen=True)
class TrainOptions:
    """How the adapter is tuned. None: what the method says, else the fallback."""

    epochs: float | None = field(default=None, metadata={"above": 0})
    """Passes over the training data."""
    stop_after: int | None = field(default=None, metadata={"at_least": 1})
    """Stop after so many epochs, the learning rate falling as if to run on; None: run to the end."""
    steps: int | None = field(default=None, metadata={"at_least": 0})
    """Optimiser steps, in place of `epochs`; 0 saves the adapter as created."""
    min_steps: int | None = field(default=None, metadata={"at_least": 0})
    """Steps at least where the default number of epochs would give fewer; 0 where you say `epochs` or `steps`."""
    max_epochs: float | None = field(default=None, metadata={"above": 0})
    """Passes over few pictures at most, for the sake of `min_steps`."""
    guard: int | None = field(default=None, metadata={"at_least": 0})
    """With at most so many pictures, first see by tuning on half of them whether that helps the other half, and keep
    so much of the change as does; 0: never, as where you say `epochs` or `steps`."""
    batch_size: int | None = field(default=None, metadata={"at_least": 1})
    """Pictures per step, over all processes together."""
    optimizer: Literal["adamw", "adam"] | None = None
    """Optimiser, with betas 0.9 and 0.999; adam adds the weight decay to the gradient, adamw does not."""
    lr: float | None = field(default=None, metadata={"above": 0})
    """Peak learning rate."""
    gentle: bool | None = None
    """Where `min_steps` makes more passes over few pictures than `epochs` says, lower the learning rate by the square
    root of how many more; not where you say `lr`."""
    weight_decay: float | None = field(default=None, metadata={"at_least": 0})
    """Weight decay, on weight matrices only."""
    warmup: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Share of the steps in which the learning rate rises from 0.001 of its peak."""
    warmup_steps: int | None = field(default=None, metadata={"at_least": 0})
    """The same as a number of steps, in place of `warmup`."""
    schedule: Literal["cosine", "step", "constant"] | None = None
    """How the learning rate falls; step: tenfold at 81 and 95 % of the steps."""
    clip: float | None = field(default=None, metadata={"above": 0})
    """Largest norm of the gradient."""
    layer_decay: float | None = field(default=None, metadata={"above": 0, "at_most": 1})
    """Factor on the learning rate per block down from the head, where base weights train."""
    ema: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Decay of a running mean of the weights, which is then saved; 0 is off."""
    augment: AugmentOptions = AugmentOptions()
    """Random changes of the training pictures."""
    workers: int = field(default=0, metadata={"at_least": 0})
    """Processes that read pictures; 0 reads in the main one."""
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """Mixed precision; auto: bf16 where the device is fast at it, else none."""
    checkpoint_every: int | None = field(default=None, metadata={"at_least": 1})
    """Write a checkpoint to resume from every so many epochs; None: never."""


@dataclass(frozen=True)
class EvaluateOptions:
    """How predictions are made and scored."""

    split: Literal["test", "val"] = "test"
    """Part of the data that is scored, before and after."""
    also: tuple[str, ...] = ()
    """Further domains, or parts such as lsp-art/unseen, scored before and after but not tuned on."""
    flip_test: bool = True
    """Average over the picture and its mirror image."""
    batch_size: int = field(default=64, metadata={"at_least": 1})
    """Pictures per forward pass."""
    prompt: str | None = None
    """Whose sentence the adapter reads: a category, own (as annotated), auto (CLIP ranks them for each picture),
    shuffled (as annotated, permuted over the persons: an ablation), or mean; None: the mean of all."""
    ranker: str = "openai/clip-vit-base-patch32"
    """CLIP or SigLIP for the prompt auto: a Hub id or a folder."""


@dataclass(frozen=True)
class LanguageOptions:
    """What the adapter is told about the domain."""

    encoder: str = "minilm"
    """Text encoder of the sentences; the built-in sentences ship embedded and need none."""
    mode: Literal["category", "human", "none", "keypoints", "caption", "random", "random-each-call"] = "category"
    """What is read: a sentence per category; "a photo of a human" or the word "None" for all; a sentence per key point;
    each picture's caption; or random tokens, fixed or drawn anew each time (for ablations)."""
    sentences: dict[str, str] | str | None = None
    """In place of the domain's own: category=sentence,...; a YAML or JSON file of these; one sentence for all."""


@dataclass(frozen=True)
class Recipe:
    """One run of `lvtune adapt`."""

    base: str = "vitpose-ti"
    """The frozen pose estimator; `lvtune list bases`."""
    weights: str = "pretrained"
    """Weights of the base: pretrained, random, a path or a Hub id."""
    domain: str = "demo-art"
    """The domain to adapt to; `lvtune list domains`. With `data` or `annotations` alone: custom, your own."""
    method: str = "vlpose-light"
    """How to adapt; `lvtune list methods`."""
    method_options: dict[str, Any] = field(default_factory=dict)
    """Options of the method; on the command line `--method.NAME VALUE`."""
    start: str | None = None
    """Where the adapter's tuning begins: an adapter that was tuned before (folder, file or Hub id); shipped: the one
    that ships for base and method; none: the base's own answer; None: shipped where there is one and it helps."""
    text_only: bool = False
    """Tune on the source's pictures; the target is known by its sentences alone, its pictures only test."""
    objective: str | None = None
    """What is minimised; `lvtune list objectives`. None: what suits the base, text-contrast with `text_only`."""
    objective_options: dict[str, Any] = field(default_factory=dict)
    """Options of the objective named; on the command line `--objective.NAME VALUE`."""
    language: LanguageOptions = LanguageOptions()
    """What the adapter is told about the domain."""
    data: DataOptions = DataOptions()
    """Where the pictures and their key points lie."""
    train: TrainOptions = TrainOptions()
    """How the adapter is tuned."""
    evaluate: EvaluateOptions = EvaluateOptions()
    """How predictions are made and scored."""
    look: tuple[str, ...] = field(default=(), metadata={"repeats": True})
    """Pictures, or folders of them, that the report shows before and after, not scored; one --look each."""
    out: str | None = None
    """Folder to write into; None: ./lvtune-out/<base>-<domain>-<method>."""
    seed: int = field(default=0, metadata={"at_least": 0})
    """Seed of everything random."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """A recipe from nested tables of values.

        Raises:
            LvtuneError: unknown options (the closest is named), wrong types or ranges, options that the
                method does not have; all of them in one error.
        """
        if values.get("text_only") in (True, "true") and not values.get("objective"):
            values = {**values, "objective": TEXT_ONLY}
        recipe, problems = build(cls, values)
        typed: dict[str, Any] = {}
        for kind, config_of in (("method", method_config), ("objective", objective_config)):
            options = values.get(f"{kind}_options")
            if options and isinstance(options, Mapping):
                typed[f"{kind}_options"], more = _typed(config_of, values.get(kind, getattr(cls, kind)), options)
                problems += more
        raise_problems(problems)
        recipe = replace(recipe, **typed)
        if (recipe.data.annotations or recipe.data.data) and "domain" not in values:
            recipe = replace(recipe, domain="custom")
        return recipe

    @classmethod
    def from_yaml(cls, path: str | Path) -> Recipe:
        """A recipe from a YAML file, or from a shipped one by its name; see :func:`read_yaml`."""
        return cls.from_dict(read_yaml(path))

    def to_dict(self) -> dict[str, Any]:
        """Nested tables that JSON and YAML can hold; ``from_dict`` gives the same recipe back."""
        return plain(self)

    def to_yaml(self) -> str:
        """The recipe as YAML text."""
        import yaml

        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    @property
    def folder(self) -> Path:
        """The folder written into."""
        parts = (self.base, self.domain, self.method)
        name = "-".join(part.replace("/", "-").replace(":", "-") for part in parts)
        return Path(self.out) if self.out else Path("lvtune-out") / name

    def resolved(self, method_defaults: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe with no None left in ``train`` that has a meaning.

        Args:
            method_defaults: the method's training defaults, by the names of :class:`TrainOptions`;
                ``augment`` may be a table of :class:`AugmentOptions` names.

        Raises:
            LvtuneError: the method names a training option that does not exist.
        """
        given = dict(method_defaults or {})
        given_augment = given.pop("augment", None) or {}
        checked, problems = build(TrainOptions, given, "defaults.")
        augment, more = build(AugmentOptions, given_augment, "defaults.augment.")
        raise_problems(problems + more)
        augment = _fill(self.train.augment, augment, AUGMENT_FALLBACK)
        # who says how long to tune gets that; else it is suited to the number of pictures
        is_said = self.train.epochs is not None or self.train.steps is not None
        said = [AS_SAID] if is_said else []
        said += [TrainOptions(gentle=False)] if self.train.lr is not None else []
        train = _fill(self.train, *said, checked, TRAIN_FALLBACK)
        return replace(self, train=replace(train, augment=augment))


TEXT_ONLY = "text-contrast"
"""Objective where the target is known by its sentences alone, unless the recipe says otherwise."""

AS_SAID = TrainOptions(min_steps=0, guard=0)
"""What follows for a recipe that says how long to tune."""

TRAIN_FALLBACK = TrainOptions(
    epochs=10.0,
    min_steps=200,
    max_epochs=100.0,
    guard=100,
    batch_size=32,
    optimizer="adamw",
    lr=5e-4,
    gentle=True,
    weight_decay=0.1,
    warmup=0.05,
    schedule="cosine",
    clip=1.0,
    layer_decay=1.0,
    ema=0.0,
)
"""Training options where neither the recipe nor the method says anything."""

AUGMENT_FALLBACK = AugmentOptions(
    flip=0.5, half_body=0.3, shift=0.16, shift_p=0.3, scale=(0.5, 1.5), rotate=80.0, rotate_p=0.6, color=0.0
)
"""The published augmentation (spec of ViTPose and VLPose)."""


def _fill(options: Any, *others: Any) -> Any:
    """``options`` with each None taken from the first of ``others`` that has a value."""
    empty = [f.name for f in fields(options) if getattr(options, f.name) is None]
    values = {n: [getattr(o, n) for o in others if getattr(o, n) is not None] for n in empty}
    return replace(options, **{name: found[0] for name, found in values.items() if found})


def method_config(method: str, options: Mapping[str, Any]) -> Any:
    """The config of a method, an instance of its own dataclass.

    Raises:
        LvtuneError: unknown method or options, wrong types or ranges.
    """
    from lvtune.adapters import METHODS

    return make(METHODS.get(method).Config, options, "method.")


def objective_config(objective: str | None, options: Mapping[str, Any]) -> Any:
    """The config of an objective, an instance of its own dataclass.

    Raises:
        LvtuneError: no objective is named; unknown objective or options, wrong types or ranges.
    """
    from lvtune.training.objectives import OBJECTIVES

    if objective is None:
        raise LvtuneError(
            f"option 'objective.{next(iter(options))}' without an objective",
            f"its name: {', '.join(OBJECTIVES.names())}", "give --objective NAME too",
        )  # fmt: skip
    return make(OBJECTIVES.get(objective).Config, options, "objective.")


def _typed(
    config_of: Callable[[Any, Mapping[str, Any]], Any], name: Any, options: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """``options`` as the dataclass of their owner types them, and what is wrong with them."""
    try:
        config = config_of(None if name is None else str(name), options)
    except LvtuneError as error:
        return {}, [(error.given, error.expected, error.fix)]
    return {name: plain(getattr(config, name)) for name in options}, []


def recipe_folders() -> list[Path]:
    """Where shipped recipes lie: in the wheel, and in a source tree."""
    inside, tree = Path(__file__).parent / "recipes", Path(__file__).parents[1]
    # beside an installed package, a folder "recipes" would be somebody else's
    folders = [inside, tree / "recipes"] if (tree / "pyproject.toml").is_file() else [inside]
    return [folder for folder in folders if folder.is_dir()]


def list_recipes() -> list[str]:
    """Names of the shipped recipes."""
    alone = {file.stem for folder in recipe_folders() for file in folder.glob("*.yaml")}
    rows = {f"{f.parent.name}/{f.stem}" for folder in recipe_folders() for f in folder.glob("*/*.yaml")}
    return sorted(alone) + sorted(name for name in rows if not name.endswith("/table"))


ROW_KEYS = ("row", "reference")
"""Keys of a recipe that is a row of a table; they say nothing about the run itself (:mod:`lvtune.tables`)."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The options in a YAML recipe.

    Args:
        path: a file, or the name of a shipped recipe; a row of a table is ``TABLE/ROW``.

    Raises:
        LvtuneError: no such file, not YAML, or not a table.
    """
    return {name: value for name, value in read_whole_yaml(path).items() if name not in ROW_KEYS}


def read_whole_yaml(path: str | Path) -> dict[str, Any]:
    """All that a YAML file of :func:`read_yaml` holds, the facts of a table's row included.

    Args:
        path: a file, or the name of a shipped recipe.

    Raises:
        LvtuneError: no such file, not YAML, or not a table.
    """
    import yaml

    name = str(path).removesuffix(".yaml")
    candidates = [Path(path)] + [folder / f"{name}.yaml" for folder in recipe_folders()]
    file = next((c for c in candidates if c.is_file()), None)
    if file is None:
        known = list_recipes()
        raise LvtuneError(
            f"recipe '{path}', which does not exist",
            f"a YAML file, or a shipped recipe: {', '.join(known) or 'none here'}",
            suggest(name, known, "check the path"),
        )
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise LvtuneError(f"recipe {file}: {reason}", "a YAML file", "mend the file there") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise LvtuneError(f"recipe {file}", "a table such as `base: vitpose-b`", "write `name: value` lines")
    return values
