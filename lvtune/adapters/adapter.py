"""The base class of every adapter: all that the rest of the toolkit may ask of one. See docs/write-a-method.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from lvtune.adapters.building import MARK
from lvtune.adapters.summing import exact_only, no_sum, sum_of_linear
from lvtune.bases.attachable import Attachable
from lvtune.core.errors import LvtuneError, UsageError

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.config.options import TrainOptions
    from lvtune.data.skeletons import Skeleton
    from lvtune.language.bank import SentenceBank


@dataclass(frozen=True)
class NoOptions:
    """Options of a method that has none."""


class Adapter(Attachable):
    """Trained tensors, and where they attach to a base.

    A method derives from this class, registers under a name (:func:`lvtune.register_method`), makes its parameters in
    the constructor, and says in :meth:`changes` where they act. It overrides the rest only where the default here does
    not suit it. The patcher, the tuning loop, the adapter file and the Hub use nothing else.

    Weights are float32 over a base in half precision. What :meth:`changes` returns then gets its inputs in float32,
    and its results are converted to the base's type. Only a weight of the base that is read directly needs care: it is
    of the base's type.

    Args:
        config: an instance of ``Config``; None: all options as they are by default.
        base: the base that it is made for; it is looked at and not kept.
        bank: embedded sentences; given where ``reads_language`` is set.
        skeleton: the key points to predict, other than the base's only where ``trains_predictor`` is set.
    """

    Config: ClassVar[type] = NoOptions
    """Frozen dataclass of the method's options, each with a default, a type and a docstring."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Training options that suit the method: fields of :class:`lvtune.config.options.TrainOptions` by name."""
    published: ClassVar[Mapping[str, Any]] = {}
    """Settings of the method's publication, as nested tables of a recipe (``method_options``, ``language``, ``train``,
    ``evaluate``); empty where there are none. They are taken where a domain chooses the method."""
    trains_predictor: ClassVar[bool] = False
    """True if the adapter brings a predictor of its own, and so may predict other key points than the base."""
    reads_language: ClassVar[bool] = False
    """True if it needs a bank of embedded sentences."""
    needs_storage: ClassVar[bool] = False
    """True if it can be made only for a base with real weights; a dry run then makes random ones."""
    linear: ClassVar[bool] = False
    """True if the weights that it gives the base are linear in its tensors: adapters then add up tensor by tensor."""
    stands_alone: ClassVar[bool] = False
    """True if it cannot be a member of a stack, since it runs others by itself."""
    publisher: ClassVar[Callable[..., Any] | None] = None
    """Puts an adapter on the Hub; :mod:`lvtune.hub.publish` sets it when it is imported."""

    config: Any
    """An instance of ``Config``."""
    made_for: Any = None
    """(weak reference to the model, family, spec) of the base it was made for; the factory sets it."""
    saved_with: Mapping[str, Any] = {}
    """Further entries of its file's config (``training``, ``metrics``), kept for saving it again."""

    def __init__(
        self,
        config: Any = None,
        base: Base | None = None,
        *,
        bank: SentenceBank | None = None,
        skeleton: Skeleton | None = None,
    ) -> None:
        super().__init__()
        self.config = self.Config() if config is None else config
        self.bank = bank if self.reads_language else None

    def tensors(self) -> dict[str, Tensor]:
        """Returns all that must be saved beside the embedded sentences; by default the state dict."""
        return {name: value.detach() for name, value in self.state_dict().items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what :meth:`tensors` gave; names and shapes have been checked."""
        self.load_state_dict(dict(tensors))

    @classmethod
    def options_for_conflicts(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns options that suit a domain which labels the same picture in different ways, by category.

        Args:
            given: options that the user set.

        Returns:
            Nothing where the method, with these options, reads no sentences.
        """
        return {}

    def lr_scale(self, name: str, options: TrainOptions) -> float:
        """Returns the factor on the learning rate of the parameter ``name``."""
        return 1.0

    def trained_predictors(self) -> list[nn.Module]:
        """Returns the predictors that it brings and trains; none where it brings none."""
        return [module for module in self.modules() if hasattr(module, MARK)]

    def predictor_names(self) -> set[str]:
        """Returns the names of the parameters of the predictor that it brings; none where it brings none."""
        found = [(name, module) for name, module in self.named_modules() if hasattr(module, MARK)]
        return {f"{name}.{part}" for name, module in found for part, _ in module.named_parameters()}

    def undecayed(self) -> Iterable[nn.Parameter]:
        """Returns parameters without weight decay beside biases and norms: positions, visual prompts."""
        return ()

    def blocks_in_use(self, base: Base) -> list[nn.Module]:
        """Returns the blocks that run in a call under this adapter: the base's own, unless it brings others."""
        return [block.layer for block in base.blocks]

    @classmethod
    def adds_up(cls) -> bool:
        """Returns True if adapters of this method have a sum."""
        return cls.linear or cls.summed.__func__ is not Adapter.summed.__func__

    @classmethod
    def summed(cls, adapters: Sequence[Any], weights: Sequence[float], base: Base, rank: int | None = None) -> Adapter:
        """Returns θ₀ + Σ wᵢ (θᵢ − θ₀) of adapters of this method as a new one; see :mod:`lvtune.adapters.summing`.

        Args:
            adapters: θᵢ, all of this method and one base.
            weights: wᵢ.
            base: θ₀.
            rank: of the result, where the method is a low-rank one.

        Raises:
            UsageError: adapters of this method have no sum; a rank where there is none; options that differ.
        """
        exact_only(cls.method, rank)
        if not cls.linear:
            raise no_sum(cls.method)
        return sum_of_linear(adapters, weights, base)

    def fixed(self, base: Base, category: str | None) -> Adapter | None:
        """Returns what it does for one sentence, as an adapter that reads none; None: the method cannot.

        Args:
            base: the base that it was made for.
            category: the category whose sentence is meant; None: the mean of all sentences.
        """
        return None

    def start_misfit(self, start: Adapter) -> LvtuneError | None:
        """Returns the error that says why tuning cannot begin at another adapter; None if it can.

        Args:
            start: an adapter for the same base.
        """
        if type(start) is not type(self):
            return UsageError(
                f"a start of method {start.method} for {self.method}", f"an adapter of {self.method}",
                f"choose --method {start.method}, or give --start none",
            )  # fmt: skip
        own, theirs = self.tensors(), start.tensors()
        for name in sorted(own.keys() | theirs.keys()):
            sizes = [tuple(t[name].shape) if name in t else "not there" for t in (theirs, own)]
            if sizes[0] != sizes[1]:
                return UsageError(
                    f"a start whose {name} is {sizes[0]}", f"{sizes[1]}, as the options of {self.method} have it",
                    "give the options that the start was tuned with, or --start none",
                )  # fmt: skip
        return None

    def take_over(self, start: Adapter, base: Base) -> None:
        """Takes over what another adapter was tuned to (a warm start).

        Args:
            start: of the same method and shapes, unless the method can read others too.
            base: the base of both.

        Raises:
            LvtuneError: it does not fit, see :meth:`start_misfit`; nothing was taken over.
        """
        misfit = self.start_misfit(start)
        if misfit is not None:
            raise misfit
        self.load_tensors(start.tensors())

    def peft_config(self, base: Base) -> dict[str, Any] | None:
        """Returns ``adapter_config.json`` for peft, where peft can load the tensors; else None."""
        return None

    def push_to_hub(self, repo: str, **options: Any) -> Any:
        """Puts the adapter on the Hub with a model card; see :func:`lvtune.push_adapter` for the options.

        Raises:
            LvtuneError: what :func:`lvtune.push_adapter` raises.
        """
        publish = type(self).publisher
        if publish is None:
            raise UsageError(
                "push_to_hub before the Hub's part of lvtune is loaded", "lvtune.push_adapter",
                "use lvtune.push_adapter(adapter, repo)",
            )  # fmt: skip
        return publish(self, repo, **options)
