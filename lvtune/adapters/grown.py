"""``grown``: an adapter with further key points; those that it had stay bit for bit. See :func:`lvtune.grow`.

The adapter that is grown (its *member*) is frozen and acts as it does alone. The new key points have rows of their own
in a second predictor, which reads what the member's predictor reads. Their heatmaps stand beside those of the member,
in the order of the wanted skeleton. Only these rows are trained, so nothing that the member computes can change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.building import MARK
from lvtune.adapters.grown_skeleton import new_keypoints_of
from lvtune.adapters.method_registry import METHODS, method_config, register_method
from lvtune.bases.base import Base
from lvtune.bases.changes import Call, Change, ReplaceForward
from lvtune.core.errors import UsageError
from lvtune.data.skeletons import Skeleton

if TYPE_CHECKING:
    from lvtune.language.bank import SentenceBank

METHOD = "grown"
MOST_TIMES = 8
"""How often an adapter may be grown again."""

_seen: ContextVar[list[Tensor] | None] = ContextVar("lvtune_seen_by_predictor", default=None)
"""Where the input of the member's predictor is noted while its head runs."""


@dataclass(frozen=True)
class GrownConfig:
    """Options of ``grown``; :func:`lvtune.grow` fills them in."""

    member: str = ""
    """Method of the adapter that was grown; empty: the bare base."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of that method."""
    skeleton: dict[str, Any] = field(default_factory=dict)
    """Its key points, as :meth:`lvtune.data.skeletons.Skeleton.to_dict` gives them; empty: those of the base."""
    mean_for: tuple[str, ...] = ()
    """Categories of the data that it was grown on for which the mean of its sentences is read: it has none for them."""

    def __post_init__(self) -> None:
        times, config = 1, self.options if self.member == METHOD else None
        while isinstance(config, Mapping):
            times += 1
            config = config.get("options") if config.get("member") == METHOD else None
        if times > MOST_TIMES or self.member == "joined":
            raise UsageError(
                f"an adapter that was grown {times} times" if times > MOST_TIMES else "a joined adapter that is grown",
                f"an adapter of one method, grown {MOST_TIMES} times at most", "grow its parts, and join them then",
            )  # fmt: skip


@register_method(METHOD, listed=False)
class Grown(Adapter):
    """A frozen adapter, and rows of a predictor for further key points."""

    Config = GrownConfig
    trains_predictor = True
    stands_alone = True
    # one linear layer behind frozen features, which takes large steps (measured; benchmarks/README.md)
    defaults: ClassVar[dict[str, Any]] = {
        "lr": 5e-3,
        "weight_decay": 0.0,
        "epochs": 3,
        "augment": {"half_body": 0.0, "shift_p": 0.0, "scale": (0.9, 1.1), "rotate": 15.0},
    }

    def __init__(
        self,
        config: GrownConfig,
        base: Base,
        *,
        bank: SentenceBank | None = None,
        skeleton: Skeleton | None = None,
    ) -> None:
        super().__init__(config)
        self.kept = Skeleton.from_dict(config.skeleton) if config.skeleton else base.skeleton
        wanted = skeleton or self.kept
        new = new_keypoints_of(self.kept, wanted)
        if not new:
            raise UsageError("a grown adapter without a new key point", "one or more that it does not predict yet",
                             "make it with lvtune.grow, or lvtune adapt --grow ADAPTER")  # fmt: skip
        place = {name: i for i, name in enumerate((*self.kept.keypoints, *new))}
        self.order = [place[name] for name in wanted.keypoints]
        self.member = _made(config, base, bank, self.kept)
        self.bank = None if self.member is None else self.member.bank
        self._mean_for = frozenset(config.mean_for)
        self.rows = _rows_like(self._kept_predictor(base), len(new), base)

    def _kept_predictor(self, base: Base) -> Any:
        """The predictor of the member: its own, or the base's."""
        own = [] if self.member is None else self.member.trained_predictors()
        return own[-1] if own else base.predictor

    @torch.no_grad()
    def start_rows(self, base: Base) -> None:
        """Lets the new rows begin as the mean of the member's, which responds wherever it sees any key point."""
        theirs = self._kept_predictor(base)
        for name, value in self.rows.named_parameters():
            value.copy_(getattr(theirs, name).detach().mean(0).expand_as(value))

    def train(self, mode: bool = True) -> Grown:
        """Sets the mode of the new rows; the member stays in evaluation."""
        super().train(mode)
        if self.member is not None:
            self.member.eval()
        return self

    def trained_predictors(self) -> list[nn.Module]:
        """Returns the new rows alone."""
        return [self.rows]

    def predictor_names(self) -> set[str]:
        """Returns the names of the parameters of the new rows."""
        return {f"rows.{name}" for name, _ in self.rows.named_parameters()}

    def blocks_in_use(self, base: Base) -> list[nn.Module]:
        """Returns those of the member."""
        return super().blocks_in_use(base) if self.member is None else self.member.blocks_in_use(base)

    def tensors(self) -> dict[str, Tensor]:
        """Returns the member's tensors, and the new rows."""
        own = {} if self.member is None else self.member.tensors()
        rows = {f"rows.{name}": value.detach() for name, value in self.rows.state_dict().items()}
        return {**{f"member.{name}": value for name, value in own.items()}, **rows}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what :meth:`tensors` gave."""
        part = {name.removeprefix("member."): v for name, v in tensors.items() if name.startswith("member.")}
        if self.member is not None:
            self.member.load_tensors(part)
        self.rows.load_state_dict({n.removeprefix("rows."): v for n, v in tensors.items() if n.startswith("rows.")})

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields the member's changes, and what puts the new heatmaps beside those of its head."""
        own = [] if self.member is None else [self._with_mean(one) for one in self.member.changes(base)]
        acts: list[tuple[Any, Callable[..., Any]]] = [(base.head, self._head)]
        if self.member is None or not self.member.trained_predictors():
            acts.append((base.predictor, _noting))
        for module, act in acts:
            inner = [one for one in own if isinstance(one, ReplaceForward) and one.module is module]
            own = [one for one in own if one not in inner]
            yield ReplaceForward(module, _around(inner, act))
        yield from own

    def _with_mean(self, change: Change) -> Change:
        """Lets the member read the mean of its sentences for categories that it has none for."""
        if not self._mean_for or not isinstance(change, ReplaceForward):
            return change

        def read(call: Call, *args: Any, **kwargs: Any) -> Any:
            names = call.categories
            if names is not None and self._mean_for.intersection(names):
                call = replace(call, categories=tuple(None if name in self._mean_for else name for name in names))
            return change.replace(call, *args, **kwargs)

        return replace(change, replace=read)

    def _head(self, call: Call, *args: Any, **kwargs: Any) -> Tensor:
        """(B, D, h, w) -> (B, K, h', w') in the order of the skeleton."""
        token = _seen.set(seen := [])
        try:
            old = call.original(*args, **kwargs)
        finally:
            _seen.reset(token)
        if not seen:
            raise UsageError(
                f"an adapter of {self.config.member} whose predictor is not known, to be grown",
                "a method that marks its predictor (lvtune.adapters.building.make_predictor)", "tune a new adapter",
            )  # fmt: skip
        new = self.rows(seen[-1].to(self.rows.weight.dtype)).to(old.dtype)
        return torch.cat([old, new], 1)[:, self.order]


def _made(config: GrownConfig, base: Base, bank: SentenceBank | None, skeleton: Skeleton) -> Adapter | None:
    """The frozen member; its predictor notes what it reads."""
    if not config.member:
        return None
    member = METHODS.get(config.member)(
        method_config(config.member, config.options), base, bank=bank, skeleton=skeleton
    )
    member.skeleton = skeleton
    member.requires_grad_(False).eval()
    for predictor in member.trained_predictors():
        predictor.register_forward_pre_hook(_note)
    return member


def _rows_like(predictor: Any, count: int, base: Base) -> nn.Conv2d:
    """A predictor of ``count`` key points that reads what another one reads."""
    rows: Any = nn.utils.skip_init(
        nn.Conv2d, predictor.in_channels, count, predictor.kernel_size, stride=predictor.stride,
        padding=predictor.padding, bias=predictor.bias is not None, device=predictor.weight.device,
        dtype=base.adapter_dtype,
    )  # fmt: skip
    for value in rows.parameters():
        nn.init.zeros_(value)
    setattr(rows, MARK, True)
    return rows


def _note(module: nn.Module, args: tuple[Any, ...]) -> None:
    seen = _seen.get()
    if seen is not None:
        seen.append(args[0])


def _noting(call: Call, features: Tensor) -> Tensor:
    """The base's own predictor, which notes what it reads."""
    seen = _seen.get()
    if seen is not None:
        seen.append(features)
    return call.original(features)


def _around(inner: Sequence[ReplaceForward], act: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a replacement that does ``act`` around what the member puts in place of the module, if anything."""

    def run(call: Call, *args: Any, **kwargs: Any) -> Any:
        compute = call.original
        for one in inner:
            compute = _bound(one.replace, replace(call, original=compute))
        return act(replace(call, original=compute), *args, **kwargs)

    return run


def _bound(change: Callable[..., Any], call: Call) -> Callable[..., Any]:
    return lambda *args, **kwargs: change(call, *args, **kwargs)
