"""A recipe with everything that it names opened."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from lvtune.adapters.factory import create_adapter
from lvtune.adapters.method_registry import METHODS
from lvtune.api.after_choice import after_decisions, check_pictures, with_earlier_sentences
from lvtune.api.conflict_defaults import for_conflicting_labels
from lvtune.api.encoder_choice import embedded
from lvtune.api.grow_choice import grow_decision, grown_adapter, mirrored_as_before
from lvtune.api.kept_out import KeptOut, as_many_steps, keep_out
from lvtune.api.method_choice import method_decisions
from lvtune.api.open_data import OpenedData, data_decisions, open_domain, open_own, recorded_data, with_source
from lvtune.api.own_defaults import chosen_defaults, new_keypoints
from lvtune.api.recipe import TEXT_ONLY
from lvtune.api.replay_samples import augmented, with_replay
from lvtune.api.shared_pictures import with_parts_apart
from lvtune.api.size_choice import step_timer
from lvtune.api.unlabelled_data import boxed, check_known, check_unlabelled, unlabelled_samples
from lvtune.api.unlearnt import unlearnt_decisions
from lvtune.bases.base_registry import known_spec, load_base
from lvtune.bases.input_size import parse_size
from lvtune.core.decision import Decision
from lvtune.data.earlier_samples import EarlierSamples
from lvtune.data.picture_marks import pictures_mark
from lvtune.domains import Split
from lvtune.domains.own_domain import CUSTOM, is_own_data
from lvtune.evaluation.choosing import choose
from lvtune.evaluation.inference import split_dataset
from lvtune.hub.starts import WarmStart, warm_start
from lvtune.language.captions import CAPTION, captions_of, read_captions
from lvtune.language.sentences import SENTENCES, own_sentences, sentences_of
from lvtune.training.engine import resolve_device
from lvtune.training.objectives import OBJECTIVES, ObjectiveContext, objective_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvtune.adapters.adapter import Adapter
    from lvtune.api.domain_chain import EarlierDomain
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.config.options import TrainOptions
    from lvtune.domains import Domain
    from lvtune.language.bank import SentenceBank


FROM_START = 0.4
"""Factor on the learning rate from a start, unless the recipe says the rate (measured; benchmarks/README.md)."""

BLIND = 0.1
"""Factor in its place where no label of the target is tuned on: one run at 0.4, with other settings too, did harm
(benchmarks/README.md)."""

CHECKED = 64
"""Persons of the source on whom the base is scored where the adapter predicts other key points."""


@dataclass
class Job:
    """Base, domain, splits and a fresh adapter."""

    recipe: Recipe
    base: Base
    domain: Domain
    train: Split
    test: Split
    source: Split | None
    adapter: Adapter
    objective: Any
    opened: OpenedData
    """The data before captions were read, the source was cut and pictures were kept out."""
    kept_out: KeptOut
    """Pictures that are neither tuned nor tested on."""
    category: Any = None
    """What the target is read with, see :mod:`lvtune.evaluation.choosing`."""
    also: dict[str, Split] = field(default_factory=dict)
    """Further domains to score, by name."""
    warm_start: WarmStart | None = None
    """Where the adapter's tuning begins; None: as created."""
    decisions: list[Decision] = field(default_factory=list)
    """What was chosen for the user."""
    earlier: list[EarlierDomain] = field(default_factory=list)
    """The domains that the adapter knows already, with their pictures."""
    second: Any = None
    """Objective of a second part with pictures without labels, see :mod:`lvtune.api.second_part`; None: none comes."""
    refuses: bool = True
    """Whether tuning with pictures without labels is taken back where nothing shows that it helps."""
    boxed: Split | None = None
    """The pictures without labels with the boxes that the start found; None: as they were opened."""

    @property
    def new_keypoints(self) -> int:
        """Key points that the base does not know, whose predictor is learnt anew."""
        return new_keypoints(self.base, self.train)

    @property
    def unlabelled(self) -> Split | None:
        """Pictures without labels; None: there are none."""
        return self.opened.unlabelled if self.boxed is None else self.boxed

    @property
    def table_notes(self) -> list[str]:
        """What was left out or decided on reading the target's pictures, labelled or not; each sentence once."""
        pool = [] if self.unlabelled is None else self.unlabelled.table.notes
        return list(dict.fromkeys([*self.train.table.notes, *self.test.table.notes, *pool]))

    @property
    def splits(self) -> list[Split | None]:
        """All splits of the run."""
        return [self.train, self.test, self.source, self.unlabelled, *self.also.values(), *self.kept_out.needed,
                *(split for one in self.earlier for split in (one.train, one.test))]  # fmt: skip

    @property
    def missing_source(self) -> str:
        """Why there is no source, where there is none."""
        return self.opened.source.missing

    @property
    def options(self) -> TrainOptions:
        """How to tune: as the recipe says, more gently from a start, where most is learnt already."""
        train = self.recipe.train
        if self.warm_start is None or self.warm_start.misfit or not train.gentle:
            return train
        is_blind = self.unlabelled is not None and not self.recipe.has_target_labels
        return replace(train, lr=(train.lr or 0.0) * (BLIND if is_blind else FROM_START))


def prepare(recipe: Recipe) -> Job:
    """Loads the base, opens the domain and makes the adapter; nothing is tuned or written.

    Raises:
        LvtuneError: whatever does not exist or does not fit.
    """
    method, given = METHODS.get(recipe.method), recipe
    given = replace(given, data=recorded_data(given.domain, given.data))
    recipe = given.resolved(method.defaults)
    device, input_size = resolve_device(recipe.device), parse_size(recipe.base_options.input_size)
    # the data first: what is missing is told before weights are loaded
    domain, spec = open_domain(recipe.domain, recipe.data), known_spec(recipe.base)
    own = open_own(recipe, domain)
    opened = None if spec is None else with_source(own, recipe, domain, spec)
    base = load_base(recipe.base, recipe.weights, seed=recipe.seed, input_size=input_size)
    base.model.to(device)
    opened = opened or with_source(own, recipe, domain, base.spec)
    _check_look(recipe)  # now, for the same reason as the category below
    chosen = recipe.objective or (TEXT_ONLY if recipe.text_only else base.objective)
    given, recipe = (replace(one, objective=chosen) for one in (given, recipe))
    objective = _objective(recipe, chosen, opened)
    kept_out = keep_out(recipe, domain, opened, base.spec)
    opened = with_parts_apart(opened, recipe, kept_out.train, kept_out.target)
    train, test, source, also = kept_out.train, opened.test, opened.source, opened.also
    bank, more = None, []
    if method.reads_language:
        recipe, bank, more = embedded(recipe, lambda one: embed(one, domain, base, (train, test)))
    bank, earlier, lines = with_earlier_sentences(recipe, base, bank, opened.earlier)
    more += lines
    language, timer = recipe.language, step_timer(recipe, domain.name, bank)
    recipe, decisions = chosen_defaults(given, base, train, method.defaults, timer)
    recipe, conflicts = for_conflicting_labels(replace(recipe, language=language), method, train)
    recipe, kept_out = as_many_steps(given, recipe, opened, kept_out)
    decisions = [*method_decisions(recipe), *data_decisions(test, source), *decisions, *conflicts, *more,
                 *kept_out.decisions, *after_decisions(recipe, objective, earlier),
                 *unlearnt_decisions(recipe, base, train)]  # fmt: skip
    if source.split is not None and is_own_data(recipe.domain) and new_keypoints(base, train):
        source = replace(source, split=_only_checked(source.split))
    train = read_captions(train) if bank is not None and recipe.language.mode == CAPTION else train
    adapter, recipe, lines = _adapter(recipe, base, domain, (train, test), bank)
    adapter.to(device)
    begun = warm_start(adapter, base, recipe.start)
    # now: a category that cannot be had must not be told after the tuning
    options = recipe.evaluate
    category = choose(options.category, adapter, ranker=options.ranker, seed=recipe.seed, device=device)
    context = replace(objective_context(recipe, base, domain, train), adapter=adapter)
    pool = boxed(base, recipe, opened.unlabelled, begun, train)
    train = pool if recipe.data.shots == 0 and pool is not None else train
    context = _with_unlabelled(context, recipe, pool, train, begun)
    if any(one.train is not None for one in earlier):
        context = replace(context, earlier=partial(earlier_samples, recipe, base, earlier))
    objective.prepare(context)
    decisions += [*lines, *getattr(objective, "decisions", ())]
    in_parts = pool is not None and recipe.has_target_labels and getattr(objective.config, "part", 0) > 0
    objective, second = (objective.pose, objective) if in_parts else (objective, None)
    objective = with_replay(objective, recipe, base, adapter, kept_out.source)
    return Job(
        recipe, base, domain, train, test, source.split, adapter, objective, opened, kept_out, category, also, begun,
        decisions, earlier, second, given.train.guard != 0, pool,
    )  # fmt: skip


def _objective(recipe: Recipe, name: str, opened: OpenedData) -> Any:
    """The objective of that name, which the pictures must suit."""
    objective = OBJECTIVES.get(name)(objective_config(name, recipe.objective_options))
    check_unlabelled(recipe, objective)
    check_pictures(recipe, objective, opened.earlier)
    return objective


def _check_look(recipe: Recipe) -> None:
    if recipe.look:
        from lvtune.data.find_images import find_images

        find_images(recipe.look)


def earlier_samples(recipe: Recipe, base: Base, earlier: Sequence[EarlierDomain]) -> EarlierSamples:
    """The earlier domains' training pictures that are shown again, augmented as those of the new domain."""
    return EarlierSamples([
        (augmented(recipe, base, one.train), one.link.categories)
        for one in earlier if one.train is not None
    ])  # fmt: skip


def _adapter(
    recipe: Recipe, base: Base, domain: Domain, splits: Sequence[Split], bank: SentenceBank | None
) -> tuple[Any, Recipe, list[Decision]]:
    """A fresh adapter, or the one that is to be grown with the key points of the data; the recipe, and what to say."""
    if recipe.grow is not None:
        adapter, flip_test = grown_adapter(recipe.grow, base, splits)
        adapter.domain = domain.name
        recipe, lines = mirrored_as_before(recipe, flip_test)
        return adapter, recipe, [grow_decision(recipe, adapter), *lines]
    made = create_adapter(
        recipe.method, base, domain=domain.name, skeleton=splits[0].table.skeleton, bank=bank, seed=recipe.seed,
        **recipe.method_options,
    )  # fmt: skip
    return made, recipe, _own_sentence(recipe, domain, bank)


def _own_sentence(recipe: Recipe, domain: Domain, bank: SentenceBank | None) -> list[Decision]:
    """Says which sentence is read of own data where the command gave none."""
    if not is_own_data(recipe.domain) or bank is None or recipe.language.sentences is not None:
        return []
    value = ", ".join(f'"{sentence}"' for sentence in dict.fromkeys(bank.sentences))
    why = "no other was given" if domain.name == CUSTOM else "of the domain file, or made of the category's name"
    return [Decision("sentence", value, f"{why}; --language.sentences gives one of your own")]


def _with_unlabelled(
    context: ObjectiveContext, recipe: Recipe, pool: Split | None, train: Split, begun: WarmStart | None
) -> ObjectiveContext:
    """Adds the pictures without labels, if there are any, to what the objective may know."""
    if pool is None:
        return context
    check_known(context.base, train, recipe, begun)
    return replace(
        context, unlabelled_only=recipe.data.shots == 0,
        unlabelled=partial(unlabelled_samples, context.base, pool, recipe.seed),
    )  # fmt: skip


def _only_checked(source: Split) -> Split:
    """A few persons of the source, where an adapter with other key points leaves nothing to be scored but the base.

    They show that the base answers as before, bit for bit.
    """
    if len(source.table) <= CHECKED:
        return source
    return replace(source.first(CHECKED), name=f"{source.name}, first {CHECKED} instances")


def objective_context(recipe: Recipe, base: Base, domain: Domain, train: Split) -> ObjectiveContext:
    """What the objective may know: the target's sentences, and what the training pictures look like."""
    sentences = sentences_for(recipe, domain)
    seen = [name for name in (train.views or sorted(set(map(str, train.table.column("category"))))) if name]
    whole = (recipe.data.source_domain or base.spec.trained_on) if recipe.text_only else ""
    own = (sentences_of(whole) if whole.partition("/")[0] in SENTENCES else {}) | sentences
    # where source and target are parts of one domain, the target is what is not trained on
    target = {name: text for name, text in sentences.items() if name not in seen} or sentences
    return ObjectiveContext(
        base,
        domain=domain.name,
        sentences=target,
        source_sentences=tuple(own[name] for name in seen if name in own),
        plain=lambda: split_dataset(base, train),
        data_key=f"{train.table.fingerprint} {train.name} {train.views}",
        pictures_key=lambda: pictures_mark(train.table),
        text_only=recipe.text_only,
        seed=recipe.seed,
    )


def sentences_for(recipe: Recipe, domain: Domain) -> dict[str, str]:
    """Category to sentence: the domain's, or the recipe's own."""
    return own_sentences(domain.sentences, recipe.language.sentences)


def embed(recipe: Recipe, domain: Domain, base: Base, splits: Sequence[Split]) -> SentenceBank:
    """What the recipe has the adapter read, as the text encoder's token states.

    Raises:
        LvtuneError: what :func:`lvtune.language.bank.get_bank` raises; captions wanted of pictures that have none.
    """
    from lvtune.language import get_bank

    options = recipe.language
    return get_bank(
        sentences_for(recipe, domain),
        options.encoder,
        mode=options.mode,
        keypoints=splits[0].table.skeleton.keypoints,
        captions=captions_of(*splits) if options.mode == CAPTION else (),
        width=base.width,
        seed=recipe.seed,
    )


def training_data(job: Job) -> Any:
    """The training split, augmented as the recipe says; pictures without labels as they are."""
    if job.recipe.data.shots == 0:  # the objective makes its own views
        return unlabelled_samples(job.base, job.train, job.recipe.seed)
    return augmented(job.recipe, job.base, job.train)
