"""What is minimised. An objective knows bases and batches, never methods or domains.

An objective is a class with a ``Config`` dataclass (an option a field), registered under a name; an instance maps
(base, batch) to a scalar loss. Most derive from :class:`Objective`; those that add to another one from
:class:`lvtune.training.objective_wrapper.ObjectiveWrapper`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from lvtune.config.schema import make
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.core.registry import Registry

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from lvtune.bases.base import Base


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
    """What an objective may know of the run that it is part of."""

    base: Base
    """On the device of the run."""
    domain: str = ""
    """Name of the target."""
    sentences: Mapping[str, str] = field(default_factory=dict)
    """The target's categories and their sentences."""
    source_sentences: tuple[str, ...] = ()
    """What the training pictures look like where they are not the target's."""
    plain: Callable[[], Dataset] | None = None
    """Makes the training samples without augmentation, in the same order."""
    data_key: str = ""
    """Identifies the training samples."""
    text_only: bool = False
    """Whether the training pictures are the source's, and the target is known by its sentences alone."""
    seed: int = 0


class Objective:
    """What most objectives are: nothing to prepare and nothing trained beside the adapter."""

    trained: nn.Module | None = None
    """Trained along with the adapter; neither saved nor there when the adapter is used."""
    notes: tuple[str, ...] = ()
    """What a reader of the report must know."""

    def prepare(self, setting: ObjectiveContext) -> None:
        """Called once before the first batch.

        Raises:
            LvtuneError: it does not fit the run.
        """


def objective_config(objective: str | None, options: Mapping[str, Any]) -> Any:
    """The config of an objective, an instance of its own dataclass.

    Raises:
        LvtuneError: no objective is named; unknown objective or options, wrong types or ranges.
    """
    if objective is None:
        raise LvtuneError(
            f"option 'objective.{next(iter(options))}' without an objective",
            f"its name: {', '.join(OBJECTIVES.names())}", "give --objective NAME too",
        )  # fmt: skip
    return make(OBJECTIVES.get(objective).Config, options, "objective.")
