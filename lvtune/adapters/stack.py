"""``stack``: several methods on one base at once, as one adapter with one name and one file.

The first member is next to the base: the next member changes a layer as the first has left it. Additions to one layer
are summed. Where several members bring a predictor, the last one's is used. So a member that brings a whole head
(``vlpose``, ``head``, ``full``) comes last.

Sources: stacking of adapters as in MAD-X (arXiv 2005.00052) and in the ``adapters`` library. There members follow each
other behind a layer; here they meet at the layers that they change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.method_registry import METHODS, method_config, register_method
from lvtune.bases.base import Base
from lvtune.bases.changes import (
    AddToOutput,
    Call,
    Change,
    ExtendKeyValue,
    Fold,
    InsertTokens,
    ReplaceForward,
    RunSeveral,
)
from lvtune.config.schema import hints_of
from lvtune.core.errors import UsageError
from lvtune.data.skeletons import Skeleton

if TYPE_CHECKING:
    from lvtune.config.options import TrainOptions
    from lvtune.language.bank import SentenceBank


MOST_MEMBERS = 32


@dataclass(frozen=True)
class StackConfig:
    """Options of ``stack``."""

    members: tuple[str, ...] = ("lora", "vlpose")
    """Methods; the first is next to the base."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the members, by place and name: ``1.r=4,2.visual_prompts=10``. Others are the method's own; but a
    member before the last trains no predictor, where that is an option."""

    def __post_init__(self) -> None:
        if len(self.members) > MOST_MEMBERS:
            raise UsageError(
                f"a stack of {len(self.members):,} methods", f"at most {MOST_MEMBERS}", "name fewer --method.members"
            )
        places = [str(place) for place in range(1, len(self.members) + 1)]
        wrong = next((name for name in self.options if name.partition(".")[0] not in places), None)
        if not self.members or "stack" in self.members:
            raise UsageError(
                f"a stack of {', '.join(self.members) or 'nothing'}", "one method or more, none of them a stack",
                "set --method.members lora,vlpose",
            )  # fmt: skip
        if wrong is not None:
            raise UsageError(
                f"option '{wrong}' of a stack of {', '.join(self.members)}",
                f"a place ({', '.join(places)}) and the name of an option of the method there", "such as 1.r=4",
            )  # fmt: skip

    def of_member(self, index: int) -> Any:
        """Returns the config of a member, an instance of its method's own.

        Raises:
            UsageError: unknown method or options.
        """
        method, prefix = self.members[index], f"{index + 1}."
        given = {name.removeprefix(prefix): v for name, v in self.options.items() if name.startswith(prefix)}
        if index + 1 < len(self.members) and "predictor" in hints_of(METHODS.get(method).Config):
            given = {"predictor": False} | given
        return method_config(method, given)


@register_method("stack")
class Stack(Adapter):
    """Members of several methods, applied in their order."""

    Config = StackConfig
    trains_predictor = True
    reads_language = True
    defaults: ClassVar[dict[str, Any]] = {"lr": 1e-3, "weight_decay": 0.0}

    def __init__(
        self,
        config: StackConfig,
        base: Base,
        *,
        bank: SentenceBank | None = None,
        skeleton: Skeleton | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        configs = [config.of_member(i) for i in range(len(config.members))]
        self.members: Any = nn.ModuleList()
        predicting = 0
        for method, options in zip(config.members, configs, strict=True):
            cls = METHODS.get(method)
            predicts = cls.trains_predictor and getattr(options, "predictor", True)
            predicting += predicts
            self.members.append(cls(options, base, bank=bank, skeleton=skeleton if predicts else None))
        self.bank = next((member.bank for member in self.members if member.bank is not None), None)
        other = skeleton is not None and skeleton.keypoints != base.skeleton.keypoints
        if other and not predicting:
            raise UsageError(
                f"a stack of {', '.join(config.members)} for key points that the base does not predict",
                "a member that trains a predictor", "set predictor true for the last member",
            )  # fmt: skip

    def lr_scale(self, name: str, options: TrainOptions) -> float:
        """Returns the member's own factor, times the member's learning rate divided by the stack's."""
        _, place, rest = name.split(".", 2)
        member = self.members[int(place)]
        usual = self.defaults["lr"]
        return member.lr_scale(rest, options) * member.defaults.get("lr", usual) / usual

    def undecayed(self) -> Iterable[nn.Parameter]:
        """Returns those of the members."""
        for member in self.members:
            yield from member.undecayed()

    def changes(self, base: Base) -> Iterator[Change]:
        """Returns those of the members, joined where they meet."""
        return joined(member.changes(base) for member in self.members)

    def tensors(self) -> dict[str, Tensor]:
        """Returns the members' tensors; a name begins with the member's place."""
        return {f"{i}.{n}": v for i, member in enumerate(self.members, 1) for n, v in member.tensors().items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what :meth:`tensors` gave."""
        for i, member in enumerate(self.members, 1):
            prefix = f"{i}."
            own = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
            member.load_tensors(own)


def joined(members: Iterable[Iterable[Change]]) -> Iterator[Change]:
    """Yields the changes of several members as changes of one adapter; the first member is next to the base."""
    layers: dict[nn.Module, list[AddToOutput | ReplaceForward]] = {}
    rows: dict[tuple[nn.Module, nn.Module], list[ExtendKeyValue]] = {}
    tokens: dict[tuple[nn.Module, nn.Module], list[InsertTokens]] = {}
    for change in (change for changes in members for change in changes):
        match change:
            case ExtendKeyValue(key, value):
                rows.setdefault((key, value), []).append(change)
            case InsertTokens(first, last):
                tokens.setdefault((first, last), []).append(change)
            case RunSeveral():
                raise UsageError(
                    "joined adapters as a part of another adapter", "members that change the base in one run",
                    "join last: lvtune combine A B --how join",
                )  # fmt: skip
            case _:
                layers.setdefault(change.module, []).append(change)
    for module, changes in layers.items():
        if any(isinstance(change, ReplaceForward) for change in changes):
            yield (
                changes[0] if len(changes) == 1 else ReplaceForward(module, _one_by_one(changes), fold=_folded(changes))
            )
        else:
            yield from changes
    for changes in rows.values():
        yield _extended(changes)
    for (first, last), changes in tokens.items():
        # each member puts its own in front of what it finds
        yield InsertTokens(first, last, _side_by_side([change.tokens for change in reversed(changes)]))


def _one_by_one(changes: Sequence[AddToOutput | ReplaceForward]) -> Any:
    """Returns a replacement that makes each change to what the changes before it have made of the module."""

    def run(call: Call, *args: Any, **kwargs: Any) -> Any:
        compute = call.original
        for change in changes:
            compute = _changed(change, replace(call, original=compute))
        return compute(*args, **kwargs)

    return run


def _changed(change: AddToOutput | ReplaceForward, call: Call) -> Any:
    if isinstance(change, ReplaceForward):
        return lambda *args, **kwargs: change.replace(call, *args, **kwargs)
    return lambda x, *args, **kwargs: call.original(x, *args, **kwargs) + change.delta(x)


def _folded(changes: Sequence[AddToOutput | ReplaceForward]) -> Fold | None:
    folds = [change.fold for change in changes if change.fold is not None]
    if len(folds) < len(changes):
        return None

    def fold(own: Mapping[str, Tensor], category: str | None) -> dict[str, Tensor]:
        own = dict(own)
        for one in folds:
            own |= one(own, category)
        return own

    return fold


def _extended(changes: Sequence[ExtendKeyValue]) -> ExtendKeyValue:
    first = changes[0]
    attention = first.attention if all(change.attention is first.attention for change in changes) else None
    key_rows = _side_by_side([change.key_rows for change in changes])
    value_rows = _side_by_side([change.value_rows for change in changes])
    return ExtendKeyValue(first.key, first.value, key_rows, value_rows, attention)


def _side_by_side(several: Sequence[Any]) -> Any:
    return several[0] if len(several) == 1 else lambda: torch.cat([rows() for rows in several])
