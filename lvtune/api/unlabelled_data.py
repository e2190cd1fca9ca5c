"""Opens the pictures without labels that a recipe names, and what is scored where no picture has a label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.found_boxes import is_whole, with_found_boxes
from lvtune.api.own_defaults import new_keypoints
from lvtune.api.report_data import box_statistics
from lvtune.core.errors import UsageError
from lvtune.core.text import shell_word
from lvtune.data.pose_table import PoseTable
from lvtune.data.skeletons import HAND_21, Skeleton
from lvtune.data.unlabelled import HiddenLabels, read_unlabelled
from lvtune.domains import Domain, Split, get_domain
from lvtune.domains.domain import NO_BOXES, missing
from lvtune.domains.own_domain import UNLABELLED
from lvtune.domains.source import source_split
from lvtune.evaluation.inference import split_dataset
from lvtune.evaluation.metrics import SMALL_BOXES
from lvtune.hub.adapter_loading import load_adapter
from lvtune.hub.starts import start_place
from lvtune.language.sentences import sentence_for

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.config.options import DataOptions
    from lvtune.hub.starts import WarmStart

OWN_TRAIN = "train"
"""In place of a path: the domain's own training pictures, their labels left out."""
_SHIPPED = "demo-art"
"""Domain whose source ships, to be scored where nothing of the target can be."""


def open_unlabelled(recipe: Recipe, domain: Domain, skeleton: Skeleton) -> Split | None:
    """Opens the pictures without labels; None: the recipe names none.

    Args:
        recipe: says which.
        domain: the target.
        skeleton: the key points that are to be found.

    Raises:
        LvtuneError: they cannot be read.
    """
    given = recipe.unlabelled
    if given is None:
        return None
    if domain.name == UNLABELLED:
        _check_start(recipe, skeleton)
    if given != OWN_TRAIN:
        table = read_unlabelled(given, skeleton, recipe.unlabelled_frames)
        return Split(table, f"pictures without labels ({Path(given).name})")
    if domain.name == UNLABELLED:
        raise UsageError("--unlabelled train without a domain", "a domain whose training pictures are meant",
                         "give --domain NAME, or --unlabelled FOLDER")  # fmt: skip
    own = domain.open("train", replace(recipe.data, boxes=NO_BOXES))
    name = f"{own.name}, training pictures without their labels"
    table = own.table.without_labels() if isinstance(own.table, PoseTable) else own.table
    if isinstance(table, PoseTable):
        table = table.with_note("training pictures as pictures without labels: their boxes are used, no key point is")
    return replace(own, table=table, name=name)


def _check_start(recipe: Recipe, skeleton: Skeleton) -> None:
    """Checks that the adapter that the tuning begins at predicts what is scored in place of the target.

    Raises:
        UsageError: it predicts other key points, of which no picture has a label here.
    """
    from lvtune.storage.adapter_file import read_config

    place = start_place(recipe.base, recipe.method, recipe.start)
    config = None if place is None else read_config(place)
    known = ((config or {}).get("skeleton") or {}).get("keypoints") or list(skeleton.keypoints)
    if tuple(known) == HAND_21.keypoints != skeleton.keypoints:
        raise UsageError(
            f"hands without labels for --start {shell_word(recipe.start)}, and nothing to score on",
            "a domain of hands",
            f"give --domain hand-figures/wild --shots 0 --unlabelled {shell_word(str(recipe.unlabelled))}",
        )  # fmt: skip
    if list(known) != list(skeleton.keypoints):
        raise UsageError(
            f"--start {shell_word(recipe.start)}, which predicts {len(known)} key points that {recipe.base} does not "
            f"know ({known[0]}, ...), with pictures without labels and nothing else",
            "some labelled pictures of these key points, to score on",
            f"give the data that it was tuned on: lvtune adapt DATA --shots 0 --unlabelled "
            f"{shell_word(str(recipe.unlabelled))} --start {shell_word(recipe.start)}",
        )  # fmt: skip


def unlabelled_samples(base: Base, split: Split, seed: int = 0) -> Any:
    """Returns the samples of pictures without labels, each as it is: what changes is up to the objective."""
    return HiddenLabels(split_dataset(base, split, seed=seed, cache=True))


def boxed(base: Base, recipe: Recipe, pool: Split | None, begun: WarmStart | None, train: Split) -> Split | None:
    """Returns the pictures without labels with the boxes that they need.

    Where tuning begins at an adapter that was tuned on small boxes, it finds the boxes of whole pictures. Where the
    labelled pictures have small boxes and there is no such adapter, a note says that whole pictures do not look alike.

    Args:
        base: that the adapter is for.
        recipe: of the run.
        pool: pictures without labels; None: there are none.
        begun: where the tuning begins.
        train: what is tuned on with labels, if anything.
    """
    if pool is None or recipe.unlabelled == OWN_TRAIN or not isinstance(pool.table, PoseTable):
        return pool
    if base.task == "hand3d":
        note = "each picture without labels is taken for one of a right hand: mirror those of left hands"
        return replace(pool, table=pool.table.with_note(note))
    if begun is not None and begun.is_chosen and (place := start_place(base.name, recipe.method, recipe.start)):
        start = load_adapter(place, base, any_input_size=True)
        return replace(pool, table=with_found_boxes(pool.table, base, start, recipe.device))
    share = (box_statistics(train) or {}).get("median_share") if recipe.has_target_labels else None
    if share is not None and share < SMALL_BOXES and is_whole(pool.table).any():
        note = (
            f"pictures without labels are taken whole, and the labelled ones have boxes of {100 * share:.0f} % of the "
            "picture: they do not look alike; tune without --unlabelled first, then give --start with that adapter: it "
            "finds the boxes"
        )
        return replace(pool, table=pool.table.with_note(note))
    return pool


def unlabelled_domain() -> Domain:
    """Returns the domain of a recipe that names pictures without labels and nothing else.

    Nothing of the target can be scored. The source's pictures are scored in its place, and every report says so.
    """
    return Domain(
        name=UNLABELLED, title="pictures without labels; the source is scored in their place",
        skeleton=get_domain(_SHIPPED).get_skeleton(), categories=("default",),
        sentences={"default": sentence_for("default")}, reader=_read, source="pictures without labels",
        splits=("test",),
    )  # fmt: skip


def _read(domain: Domain, split: str, data: DataOptions) -> Split:
    named = source_split(domain, split, data)
    found = named or source_split(get_domain(_SHIPPED), split, data)
    if found is None:
        raise missing(domain, "no picture with labels that could be scored")
    note = "no picture of the target has a label: the scores are those of the source"
    table = found.table.with_note(note) if isinstance(found.table, PoseTable) else found.table
    return replace(found, table=table, name=f"source in place of the target ({found.name})")


def check_unlabelled(recipe: Recipe, objective: Any) -> None:
    """Checks that pictures without labels and objective fit each other.

    Raises:
        UsageError: an objective that does not learn from them; 0 labelled pictures and none without labels.
    """
    if recipe.unlabelled is not None and not getattr(objective, "takes_unlabelled", False):
        raise UsageError(
            f"--unlabelled with objective {recipe.objective}, which does not learn from pictures without labels",
            "an objective such as mean-teacher", "leave --objective out",
        )  # fmt: skip
    if recipe.data.shots == 0 and recipe.unlabelled is None:
        raise UsageError("0 shots: no picture to tune on", "labelled pictures, or pictures without labels",
                         "give --unlabelled FOLDER too, or leave --shots out")  # fmt: skip
    if recipe.data.shots == 0 and recipe.text_only:
        raise UsageError("--text-only and --shots 0", "one of them: the source's pictures, or none with labels",
                         "leave one of them out")  # fmt: skip


def check_known(base: Base, train: Split, recipe: Recipe, begun: Any) -> None:
    """Checks that without labels only key points are asked for that base or start know.

    Raises:
        UsageError: key points that nothing could be learnt of.
    """
    if recipe.data.shots == 0 and new_keypoints(base, train) and (begun is None or not begun.is_chosen):
        names = train.table.skeleton.keypoints
        raise UsageError(
            f"pictures without labels for {len(names)} key points that {base.name} does not know ({names[0]}, ...)",
            "some labelled pictures, or an adapter that knows them", "give --start ADAPTER, or --shots 10",
        )  # fmt: skip
