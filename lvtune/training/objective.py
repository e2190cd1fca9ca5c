"""Objectives: what is minimised. An objective knows bases and batches, never methods or domains.

An objective is a class with a ``Config`` dataclass (an option a field), registered under a name; an instance maps
(base, batch) to a scalar loss. Most derive from :class:`Objective`; those that add to another one from
:class:`lvtune.training.objective_wrapper.ObjectiveWrapper`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lvtune.config.schema import make
from lvtune.core.errors import UsageError
from lvtune.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.data import Dataset

    from lvtune.bases.base import Base
    from lvtune.core.decision import Decision


def _set_name(name: str, cls: type) -> None:
    if not isinstance(cls, type):
        raise UsageError(f"{cls!r} as objective '{name}'", "a class with a Config", "register the class")
    cls.objective = name


OBJECTIVES: Registry[type] = Registry("objective", group="lvtune.objectives", prepare=_set_name)
"""Name to class."""


def register_objective(name: str) -> Callable[[type], type]:
    """Decorator that makes an objective known to recipes under ``name``, from other packages too."""
    return OBJECTIVES.register(name)


@dataclass(frozen=True)
class ObjectiveContext:
    """What an objective may know of its run."""

    base: Base
    """On the device of the run."""
    domain: str = ""
    """Name of the target."""
    sentences: Mapping[str, str] = field(default_factory=dict)
    """The target's categories and their sentences."""
    source_sentences: tuple[str, ...] = ()
    """Sentences about the training pictures, if these are not the target's."""
    plain: Callable[[], Dataset] | None = None
    """Makes the training samples without augmentation, in the same order."""
    data_key: str = ""
    """Identifies the training samples by their labels."""
    pictures_key: Callable[[], str] = str
    """Identifies the content of their pictures; called only where vectors of pictures are cached."""
    adapter: nn.Module | None = None
    """That is tuned; a teacher is a mean of its weights."""
    unlabelled: Callable[[], Dataset] | None = None
    """Makes the samples of pictures without labels; None: there are none."""
    unlabelled_only: bool = False
    """True if the training samples are these, and none has a label."""
    text_only: bool = False
    """True if the training pictures are the source's, and only sentences are known of the target."""
    seed: int = 0
    earlier: Callable[[], Dataset] | None = None
    """Makes the samples of earlier domains' training pictures, augmented; None: there are none."""


class Objective:
    """Base class of objectives. By default there is nothing to prepare, and only the adapter is trained."""

    trained: Any = None
    """A module that is trained with the adapter; it is not saved, and not used afterwards."""
    notes: tuple[str, ...] = ()
    """Sentences for the report."""
    terms: Mapping[str, Any] = MappingProxyType({})
    """The parts of the last loss by name, detached: they say which one was not finite. Empty: it is one term."""
    decisions: tuple[Decision, ...] = ()
    """What it chose for the user."""
    active_negatives: Tensor | None = None
    """Of a contrast with a margin: the share of the last batch's negatives that it moved, a scalar."""
    takes_unlabelled: bool = False
    """True if it learns from pictures without labels."""
    column: str = ""
    """Its column in a table of ways to tune on one domain after another; empty: it is not made for that."""
    needs_earlier: bool = False
    """True if it cannot do without pictures of the earlier domains."""
    encodes_plainly: bool = False
    """True if it lets the encoder do nothing but encode the pictures of a batch, so that its features may be cached."""
    compares: str = ""
    """What it takes from the other samples of a batch, such as "negatives"; empty: each sample counts by itself."""

    def prepare(self, context: ObjectiveContext) -> None:
        """Called once before the first batch.

        Raises:
            LvtuneError: the objective does not fit the run.
        """

    def finish(self, adapter: nn.Module) -> None:
        """Called after the last step, with the adapter as it was tuned; it may leave other weights in it."""

    def counts(self, batch: Mapping[str, Any]) -> dict[str, float]:
        """Returns how much there is, in a batch, of what its loss takes means over beside samples.

        A mean over the hands that have labels in space, say, is weighted by
        :func:`lvtune.core.step_part.weight_of_mean`, so that it is one over the whole step where this is divided.
        """
        return {}


def objective_config(objective: str | None, options: Mapping[str, Any]) -> Any:
    """Makes the config of an objective, an instance of its own dataclass.

    Raises:
        LvtuneError: no objective is named; unknown objective or options, wrong types or ranges.
    """
    if objective is None:
        raise UsageError(
            f"option 'objective.{next(iter(options))}' without an objective",
            f"its name: {', '.join(OBJECTIVES.names())}", "give --objective NAME too",
        )  # fmt: skip
    return make(OBJECTIVES.get(objective).Config, options, "objective.")
