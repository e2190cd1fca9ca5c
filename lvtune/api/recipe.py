"""The recipe: all that decides a run, as frozen dataclasses that YAML and the command line are views of.

Its parts are in :mod:`lvtune.config.options`, reading it from files in :mod:`lvtune.config.yaml_files`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from lvtune.config.keep_options import KeepOptions
from lvtune.config.options import (
    AS_SAID,
    AUGMENT_FALLBACK,
    TRAIN_FALLBACK,
    AugmentOptions,
    BaseOptions,
    DataOptions,
    EvaluateOptions,
    LanguageOptions,
    TrainOptions,
)
from lvtune.config.schema import Problem, build, plain, raise_problems, rivals_of, with_new_names
from lvtune.config.yaml_files import read_yaml
from lvtune.core.errors import LvtuneError, UsageError

_TABLES = ("base_options", "language", "data", "train", "evaluate", "keeping")
"""Fields that hold options of their own."""


@dataclass(frozen=True)
class Recipe:
    """One run of `lvtune adapt`."""

    base: str = "vitpose-ti"
    """The frozen pose estimator; `lvtune list bases` shows the names."""
    weights: str = "pretrained"
    """Weights of the base: pretrained, random, a path or a Hub id."""
    base_options: BaseOptions = BaseOptions()
    """How the base is loaded."""
    domain: str = "demo-art"
    """The domain to adapt to: a name (`lvtune list domains` shows them) or a YAML file that `lvtune init-domain` wrote.
    If you give only `data` or `annotations`, it is custom: your own data."""
    method: str = ""
    """How to adapt; `lvtune list methods` shows the names. Left out: the domain's own: vlpose for humanart, coco and
    coco+humanart; else vlpose-light."""
    settings: Literal["auto", "published", "own"] = "auto"
    """Options that you do not give are those of the method's publication (published) or the method's own for a short
    tuning (own). auto: published, if the domain chooses the method and it has them; else own."""
    method_options: dict[str, Any] = field(default_factory=dict)
    """Options of the method; on the command line `--method.NAME VALUE`."""
    start: str = "auto"
    """Warm start: an adapter at which tuning begins (a folder, file or Hub id, or a name of `lvtune list starts`).
    shipped: the one that ships for base and method. auto: that one, if it helps on the pictures to tune on. none: no
    warm start; the new adapter changes nothing at first."""
    grow: str | None = None
    """Adapter (folder, file or Hub id) that learns the further key points of the data; base: the bare base. Its answers
    for its own key points do not change, bit for bit: only new rows of the predictor are tuned. None: a new adapter is
    tuned."""
    after: str | None = None
    """Adapter (folder, file or Hub id) that learns a further domain and keeps those that it knows. Base, method and
    sentences are taken over. The objective keeps the earlier domains: replay, ewc, lwf, lfl; plain: nothing does.
    None: a new adapter is tuned."""
    earlier_data: dict[str, str] = field(default_factory=dict)
    """With `after`: where pictures of its earlier domains are, as DOMAIN=FOLDER,...; for own data a folder or labels.
    None: where it was tuned with them, or with those of the new domain."""
    earlier_pictures: int = field(default=200, metadata={"at_least": 0})
    """With `after`: so many training pictures of the earlier domains may be shown again, equally many of each."""
    text_only: bool = False
    """Tune on pictures of the source domain. Of the target, only the sentences are used for tuning; its pictures are
    used for testing only."""
    unlabelled: str | None = None
    """Pictures without labels to learn from as well: a folder, a video, or a COCO file whose boxes are used. train: the
    domain's own training pictures, their labels left out. With `shots` 0, or if nothing else is given, from these
    alone."""
    unlabelled_frames: int = field(default=200, metadata={"at_least": 1})
    """Largest number of frames, evenly spread, that are taken of a video given as `unlabelled`."""
    objective: str | None = None
    """What training minimises; `lvtune list objectives` shows the names. None: mean-teacher with `unlabelled`,
    text-contrast with `text_only`, replay with `after`, else the one that suits the base."""
    objective_options: dict[str, Any] = field(default_factory=dict)
    """Options of the objective that you name; on the command line `--objective.NAME VALUE`."""
    language: LanguageOptions = LanguageOptions()
    """Which sentences about the domain the adapter reads."""
    data: DataOptions = DataOptions()
    """Where the pictures and their key points are."""
    train: TrainOptions = TrainOptions()
    """How the adapter is tuned."""
    evaluate: EvaluateOptions = EvaluateOptions()
    """How predictions are made and scored."""
    calibrate: Literal["auto", "keep-out", "none"] = "auto"
    """Pictures on which the confidence is fitted. auto: the domain's validation pictures, if they differ from the test
    pictures; else, of your own data with 64 or more pictures to tune on and without `shots`, 15 % of them; else the
    confidence is not calibrated. keep-out: 15 % of the pictures to tune on. none: no pictures; `lvtune compare` does
    this unless you give another. 15 % are more where key points are few: see `calibrate_share`."""
    calibrate_share: float | None = field(default=None, metadata={"above": 0, "at_most": 0.9})
    """Share of the pictures to tune on that is kept out, at most 600 pictures; nothing is kept out if that is fewer
    than 10. If you give it, `calibrate: auto` is keep-out. None: 0.15, at most 100 pictures; where these have fewer
    than 200 labelled key points, more of them, up to a half. More pictures make the confidence truer, and leave fewer
    to tune on."""
    calibrate_px: float | None = field(default=None, metadata={"above": 0})
    """Error in pixels up to which a key point counts as right in the calibrated confidence. None: that of PCK@0.2 where
    the key points have a torso; else 5 % of the boxes' median diagonal."""
    gate: bool = True
    """Store in the adapter file what its pictures look like to the frozen base. predict then chooses among several
    adapters without another network (docs/choosing.md). `--no-gate`: store nothing."""
    keep: float | None = field(default=None, metadata={"at_least": 50, "at_most": 100})
    """Percent of the source score that must remain with the adapter on, such as 99. lvtune keeps the largest share of
    the change for which this holds on source pictures that are neither tuned on nor scored. Source pictures are
    replayed only with `replay_weight` or `replay_pictures`. None: the whole change."""
    keeping: KeepOptions = KeepOptions()
    """How `keep` holds the source."""
    look: tuple[str, ...] = field(default=(), metadata={"repeats": True})
    """Picture, or folder of pictures, that the report shows before and after, without a score; repeat --look for
    more."""
    out: str | None = None
    """Folder to write into. None: ./lvtune-out/<base>-<domain>-<method>."""
    resume: bool | None = None
    """Go on from the checkpoint in the output folder; it must be there. `--no-resume`: start anew. None: go on if there
    is a checkpoint of the same run."""
    track: Literal["tensorboard", "wandb", "mlflow", "trackio"] | None = None
    """Send loss, learning rate, scores, pictures and this recipe to a tracker. tensorboard writes into the output
    folder; the others need an account or a server of yours. None: no tracker."""
    seed: int = field(default=0, metadata={"at_least": 0, "at_most": 2**32 - 1})
    """Seed of everything that is random."""
    device: str = "auto"
    """Device to compute on: auto, cpu, cuda, cuda:1, mps."""

    def __post_init__(self) -> None:
        """Fills in what the domain and the publication say; a recipe that is whole stays as it is."""
        tables = [name for name in _TABLES if isinstance(getattr(self, name), Mapping)]
        if tables:
            raise UsageError(f"Recipe({tables[0]}={{...}})", "options as objects, or a recipe of plain tables",
                             f"give lvtune.Recipe.from_dict({{..., {tables[0]!r}: {{...}}}})")  # fmt: skip
        from lvtune.api.after_choice import check_after
        from lvtune.api.grow_choice import check_grow
        from lvtune.api.keep_check import check_keeping
        from lvtune.api.method_choice import chosen

        check_grow(self)
        check_after(self)
        check_keeping(self)
        for name, value in chosen(self).items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """A recipe from nested tables of values.

        Raises:
            LvtuneError: unknown options (the closest is named), wrong types or ranges, options that the
                method does not have; all of them in one error.
        """
        if values.get("text_only") in (True, "true") and not values.get("objective"):
            values = {**values, "objective": UNLABELLED_OBJECTIVE if values.get("unlabelled") else TEXT_ONLY}
        elif values.get("unlabelled") and not values.get("objective"):
            values = {**values, "objective": UNLABELLED_OBJECTIVE}
        if values.get("grow"):
            from lvtune.api.grow_choice import base_of_grown

            values = {**values, **base_of_grown(values)}
        if values.get("after"):
            from lvtune.api.after_choice import taken_over

            values = {**values, **taken_over(values)}
        recipe, problems = build(cls, values)
        typed: dict[str, Any] = {}
        for kind, config_of in (("method", _method_config), ("objective", _objective_config)):
            options = values.get(f"{kind}_options")
            if options and isinstance(options, Mapping):
                typed[f"{kind}_options"], more = _typed(config_of, getattr(recipe, kind, values.get(kind)), options)
                problems += more
        raise_problems(problems)
        recipe = replace(recipe, **typed)
        if (recipe.data.annotations or recipe.data.data) and "domain" not in values:
            recipe = replace(recipe, domain="custom")
        elif recipe.unlabelled and "domain" not in values and not recipe.text_only:
            recipe = replace(recipe, domain="unlabelled", data=replace(recipe.data, shots=0))
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
    def has_target_labels(self) -> bool:
        """True if the labels that are tuned on are the target's; else they are the source's, or there are none."""
        return not self.text_only and self.data.shots != 0

    @property
    def folder(self) -> Path:
        """The folder written into."""
        is_file = self.domain.lower().endswith((".yaml", ".yml"))
        parts = (self.base, Path(self.domain).stem if is_file else self.domain, self.method)
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
        # but without a label of the target the guard stays, unless the recipe itself turns it off
        is_blind = self.unlabelled is not None and not self.has_target_labels
        said = [replace(AS_SAID, guard=None) if is_blind else AS_SAID] if is_said else []
        said += [TrainOptions(gentle=False)] if self.train.lr is not None else []
        train = _fill(self.train, *said, checked, TRAIN_FALLBACK)
        return replace(self, train=replace(train, augment=augment))


TEXT_ONLY = "text-contrast"
"""Objective where the target is known by its sentences alone, unless the recipe says otherwise."""

UNLABELLED_OBJECTIVE = "mean-teacher"
"""Objective with pictures without labels, unless the recipe says otherwise."""


def _fill(options: Any, *others: Any) -> Any:
    """Returns ``options`` with each None taken from the first of ``others`` that has a value.

    An option stays None if another one takes its place: with ``steps``, ``epochs`` gets no value.
    """
    rivals = rivals_of(type(options))
    for other in others:
        given = {f.name for f in fields(options) if getattr(options, f.name) is not None}
        names = [f.name for f in fields(options) if f.name not in given and not rivals[f.name] & given]
        values = {name: getattr(other, name) for name in names}
        options = replace(options, **{name: value for name, value in values.items() if value is not None})
    return options


def _typed(
    config_of: Callable[[Any, Mapping[str, Any]], Any], name: Any, options: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """``options`` as the dataclass of their owner types them, and what is wrong with them."""
    try:
        config = config_of(None if name is None else str(name), options)
    except LvtuneError as error:
        return {}, [(error.given, error.expected, error.fix)]
    names, _ = with_new_names(type(config), options)
    return {name: plain(getattr(config, name)) for name in names}, []


def _method_config(method: str, options: Mapping[str, Any]) -> Any:
    # imported here, so that a recipe without such options is read without torch
    from lvtune.adapters.method_registry import method_config

    return method_config(method, options)


def _objective_config(objective: str | None, options: Mapping[str, Any]) -> Any:
    from lvtune.training.objectives import objective_config

    return objective_config(objective, options)
