"""The base class of every adapter: all that the rest of the toolkit may ask of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from lvtune.adapters.building import Predictor
from lvtune.adapters.summing import exact_only, no_sum, sum_of_linear
from lvtune.core.errors import LvtuneError

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.bases.changes import Change
    from lvtune.config.options import TrainOptions
    from lvtune.data.skeletons import Skeleton
    from lvtune.language.bank import SentenceBank


class Adapter(nn.Module):
    """Trained tensors and where they attach to a base.

    A method derives from this class, registers under a name, sets ``Config`` and ``config``, and defines
    :meth:`changes`. It overrides the rest only where its answer differs from the default here. The patcher, the
    tuning loop and the adapter file use nothing else. The constructor takes
    ``(config, base, *, bank=None, skeleton=None)``.
    """

    Config: ClassVar[type]
    """Frozen dataclass of the method's options, a docstring per field."""
    method: ClassVar[str] = ""
    """The name that the method is registered under; the registry sets it."""
    defaults: ClassVar[dict[str, Any]] = {}
    """Training options that suit the method (fields of ``TrainOptions``)."""
    trains_predictor: ClassVar[bool] = False
    """True if the adapter brings a predictor of its own, and so may predict other key points than the base."""
    reads_language: ClassVar[bool] = False
    """True if it needs a bank of embedded sentences."""
    needs_storage: ClassVar[bool] = False
    """True if it can be made only for a base with real weights; a dry run then makes random ones."""
    linear: ClassVar[bool] = False
    """True if the weights that it gives the base are linear in its tensors: adapters then add up tensor by tensor."""
    publisher: ClassVar[Callable[..., Any] | None] = None
    """Puts an adapter on the Hub; :mod:`lvtune.hub.publish` sets it when it is imported."""

    config: Any
    """An instance of ``Config``."""
    bank: SentenceBank | None = None
    """The embedded sentences that it reads, or None."""
    domain: str | None = None
    """Name of the domain that it was made for; the factory sets it."""
    skeleton: Skeleton
    """The key points that it predicts; the factory sets it."""
    base_shapes: dict[str, tuple[int, ...]] | None = None
    """Names and shapes of the parameters of the base that it was made for; None: it does not say."""
    made_for: Any = None
    """(weak reference to the model, family, spec) of that base; the factory sets it."""
    saved_with: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed in place
    """Further entries of its file's config (``training``, ``metrics``), kept for saving it again."""

    def changes(self, base: Base) -> Iterable[Change]:
        """Where it attaches: primitive changes to modules of ``base``."""
        raise NotImplementedError(f"{type(self).__name__}.changes")

    def tensors(self) -> dict[str, Tensor]:
        """All that must be saved beside the embedded sentences; by default the state dict."""
        return {name: value.detach() for name, value in self.state_dict().items()}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Takes back what :meth:`tensors` gave; names and shapes have been checked."""
        self.load_state_dict(tensors)

    def lr_scale(self, name: str, options: TrainOptions) -> float:
        """Factor on the learning rate of the parameter ``name``."""
        return 1.0

    def predictor_names(self) -> set[str]:
        """Names of the parameters of the predictor that it brings; none where it brings none."""
        found = [(name, module) for name, module in self.named_modules() if isinstance(module, Predictor)]
        return {f"{name}.{part}" for name, module in found for part, _ in module.named_parameters()}

    def undecayed(self) -> Iterable[nn.Parameter]:
        """Parameters without weight decay beside biases and norms, such as positions and visual prompts."""
        return ()

    @classmethod
    def adds_up(cls) -> bool:
        """Returns True if adapters of this method have a sum."""
        return cls.linear or cls.summed.__func__ is not Adapter.summed.__func__

    @classmethod
    def summed(
        cls, adapters: Sequence[Adapter], weights: Sequence[float], base: Base, rank: int | None = None
    ) -> Adapter:
        """θ₀ + Σ wᵢ (θᵢ − θ₀) of adapters of this method, as a new one; see :mod:`lvtune.adapters.summing`.

        Raises:
            LvtuneError: adapters of this method have no sum; a rank where there is none; options that differ.
        """
        exact_only(cls.method, rank)
        if not cls.linear:
            raise no_sum(cls.method)
        return sum_of_linear(adapters, weights, base)

    def fixed(self, base: Base, category: str | None) -> Adapter | None:
        """What it does for one sentence, as an adapter that reads none; None: the method cannot do without.

        Args:
            base: that it was made for.
            category: whose sentence; None: the mean of all.
        """
        return None

    def take_over(self, start: Adapter, base: Base) -> None:
        """Takes over what another adapter for ``base`` was tuned to, as where the tuning begins.

        Args:
            start: of the same method and shapes, unless the method can read others too.
            base: of both.

        Raises:
            LvtuneError: it does not fit; nothing was taken over.
        """
        if type(start) is not type(self):
            raise LvtuneError(
                f"a start of method {start.method} for {self.method}", f"an adapter of {self.method}",
                f"choose --method {start.method}, or give --start none",
            )  # fmt: skip
        own, theirs = self.tensors(), start.tensors()
        for name in sorted(own.keys() | theirs.keys()):
            sizes = [tuple(t[name].shape) if name in t else "not there" for t in (theirs, own)]
            if sizes[0] != sizes[1]:
                raise LvtuneError(
                    f"a start whose {name} is {sizes[0]}", f"{sizes[1]}, as the options of {self.method} have it",
                    "give the options that the start was tuned with, or --start none",
                )  # fmt: skip
        self.load_tensors(theirs)

    def peft_config(self, base: Base) -> dict[str, Any] | None:
        """``adapter_config.json`` for peft, where peft can load the tensors; else None."""
        return None

    def push_to_hub(self, repo: str, **options: Any) -> Any:
        """Puts the adapter on the Hub with a model card; see :func:`lvtune.push_adapter` for the options.

        Raises:
            LvtuneError: what :func:`lvtune.push_adapter` raises.
        """
        publish = type(self).publisher
        if publish is None:
            raise LvtuneError(
                "push_to_hub before the Hub's part of lvtune is loaded", "lvtune.push_adapter",
                "use lvtune.push_adapter(adapter, repo)",
            )  # fmt: skip
        return publish(self, repo, **options)
