"""``joined``: the key points of several adapters in one prediction; see :func:`lvtune.join`.

The base runs once for each adapter, so each heatmap is bit for bit what its adapter gives alone; this takes the time of
as many predictions. Adapters that change features differently cannot share a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.joined_sentences import PartOfBank, part_of_bank
from lvtune.adapters.method_registry import METHODS, method_config, register_method
from lvtune.bases.base import Base
from lvtune.bases.changes import Change, Pass, RunSeveral
from lvtune.core.errors import UsageError
from lvtune.data.skeletons import Skeleton

if TYPE_CHECKING:
    from lvtune.language.bank import SentenceBank

METHOD = "joined"
MOST_MEMBERS = 8
"""Adapters that can be joined: each takes a run of the base."""


@dataclass(frozen=True)
class JoinedConfig:
    """Options of ``joined``; :func:`lvtune.join` fills them in."""

    members: tuple[str, ...] = ()
    """Methods of the adapters; empty for the bare base."""
    options: dict[str, Any] = field(default_factory=dict)
    """Their options, by place (from 1)."""
    skeletons: dict[str, Any] = field(default_factory=dict)
    """Their key points, by place, as :meth:`lvtune.data.skeletons.Skeleton.to_dict` gives them."""
    sentences: dict[str, Any] = field(default_factory=dict)
    """Which of the sentences those read that read any, by place; see :mod:`lvtune.adapters.joined_sentences`."""
    points: tuple[int, ...] = ()
    """The place of the adapter that gives each key point."""

    def __post_init__(self) -> None:
        count = len(self.members)
        places = {str(place) for place in range(1, count + 1)}
        given = {*self.options, *self.skeletons, *self.sentences}
        if count > MOST_MEMBERS or METHOD in self.members:
            raise UsageError(
                f"{count} adapters to be joined" if METHOD not in self.members else "a joined adapter to be joined",
                f"at most {MOST_MEMBERS}, none of them joined", "give the adapters that it was made of",
            )  # fmt: skip
        if given - places or any(not 1 <= place <= count for place in self.points):
            raise UsageError(f"joined adapters without place {', '.join(sorted(given - places)) or 'for a key point'}",
                             f"places from 1 to {count}", "make it with lvtune.join")  # fmt: skip


@register_method(METHOD, listed=False)
class Joined(Adapter):
    """Several adapters, each in a run of its own."""

    Config = JoinedConfig
    trains_predictor = True
    stands_alone = True

    def __init__(
        self,
        config: JoinedConfig,
        base: Base,
        *,
        bank: SentenceBank | None = None,
        skeleton: Skeleton | None = None,
    ) -> None:
        super().__init__(config)
        self.bank = bank
        self.members: Any = nn.ModuleDict()
        self.parts: dict[str, PartOfBank] = {}
        places: list[tuple[int, str]] = []
        for place, method in enumerate(config.members, 1):
            own = Skeleton.from_dict(config.skeletons[str(place)]) if str(place) in config.skeletons else base.skeleton
            places += [(place, name) for name in own.keypoints]
            if str(place) in config.sentences:
                self.parts[str(place)] = part_of_bank(bank, config.sentences[str(place)])
            if method:
                self.members[str(place)] = self._made(str(place), method, own, base)
        wanted = skeleton or base.skeleton
        points = list(zip(config.points, wanted.keypoints, strict=False))
        if len(config.points) != len(wanted.keypoints) or not set(points) <= set(places):
            raise UsageError(
                f"joined adapters for {len(wanted.keypoints)} key points, of which {len(config.points)} have a place",
                "each key point, and an adapter that predicts it", "make it with lvtune.join",
            )  # fmt: skip
        self.order = [places.index(point) for point in points]

    def _made(self, place: str, method: str, skeleton: Skeleton, base: Base) -> Adapter:
        cls, part = METHODS.get(method), self.parts.get(place)
        options = method_config(method, self.config.options.get(place) or {})
        member = cls(options, base, bank=None if part is None else part.bank, skeleton=skeleton)
        member.skeleton = skeleton
        return member.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Joined:
        """Sets the mode of the whole; the members stay in evaluation."""
        super().train(mode)
        self.members.eval()
        return self

    def tensors(self) -> dict[str, Tensor]:
        """Returns the members' tensors; a name begins with the member's place."""
        return {f"{i}.{n}": v for i, member in self.members.items() for n, v in member.tensors().items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what :meth:`tensors` gave."""
        for place, member in self.members.items():
            prefix = f"{place}."
            member.load_tensors({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields the one change that lets the base run once for each adapter."""
        passes = [
            Pass(tuple(self.members[str(place)].changes(base)) if method else (), self._category(str(place)))
            for place, method in enumerate(self.config.members, 1)
        ]
        yield RunSeveral(base.model, tuple(passes), self._joined)

    def _category(self, place: str) -> Callable[[str], str | None]:
        """Returns which category a member reads, of one that the caller chose; None: the mean of its sentences."""
        part = self.parts.get(place)

        def read(category: str) -> str | None:
            if self.bank is not None:
                self.bank.index(category)  # an unknown one is an error
            return None if part is None else part.own(category)

        return read

    def _joined(self, heatmaps: Sequence[Tensor]) -> Tensor:
        """(B, K_i, h, w) of each adapter -> (B, K, h, w)."""
        return torch.cat(list(heatmaps), 1)[:, self.order]
