"""Adapters made of adapters: weighted averages, task arithmetic, stacks. Each is an adapter like any other.

The result is attached under a name of its own, saved, loaded and mixed with others in a batch. The adapters that it was
made of stay as they are, and are no longer needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.factory import adopt, base_of
from lvtune.adapters.stack import Stack, StackConfig, joined
from lvtune.adapters.summing import same_sentences
from lvtune.bases.attachable import Attachable
from lvtune.bases.base import Base, as_base
from lvtune.bases.changes import AddToOutput, Change, ExtendKeyValue, InsertTokens, ReplaceForward
from lvtune.bases.fingerprint import fingerprint
from lvtune.config.schema import plain
from lvtune.core.errors import UsageError
from lvtune.core.tensor_file import hash_tensors
from lvtune.core.text import brief, counted
from lvtune.patcher.attaching import attach
from lvtune.patcher.merging import noise, outputs_of, twin_of
from lvtune.patcher.shapes import check_fit

if TYPE_CHECKING:
    from torch import Tensor

    from lvtune.data.skeletons import Skeleton

_ACT = {AddToOutput: "delta", ReplaceForward: "replace", ExtendKeyValue: "key_rows", InsertTokens: "tokens"}
"""Kind of change to the attribute that is called when it acts."""


def average(
    adapters: Sequence[Adapter],
    weights: Sequence[float] | None = None,
    *,
    base: nn.Module | None = None,
    rank: int | None = None,
) -> Adapter:
    """Returns the weighted average of adapters of one method: :func:`combine` with weights that sum to 1.

    Args:
        adapters: of one method, base, skeleton and, where they read any, set of sentences.
        weights: zero or more each; they are divided by their sum. None: all the same.
        base: the base that they were made for; needed if they no longer know it.
        rank: see :func:`combine`.

    Raises:
        UsageError: what :func:`combine` raises; a negative weight, or none above zero.
    """
    weights = [1.0] * len(adapters) if weights is None else list(weights)
    if any(not weight >= 0 for weight in weights) or not sum(weights) > 0:
        raise UsageError(
            f"an average with weights {', '.join(f'{w:g}' for w in weights) or 'of nothing'}",
            "weights of zero or more, one of them above zero",
            "use lvtune.combine (lvtune combine --how sum), which subtracts too",
        )  # fmt: skip
    return _sum("average", adapters, [weight / sum(weights) for weight in weights], base, rank)


def combine(
    adapters: Sequence[Adapter],
    weights: Sequence[float],
    *,
    base: nn.Module | None = None,
    rank: int | None = None,
) -> Adapter:
    """Task arithmetic (arXiv 2212.04089): returns the base plus each adapter's difference, times its weight.

    ``[1, 1]`` adds, ``[1, -1]`` subtracts the second, ``[-1]`` negates (unlearns), ``[0.5]`` scales. The changed
    weights of the base are summed, exactly. For methods that are linear in their tensors, these are summed (``bitfit``,
    ``norm``, ``ssf``; ``head``, ``last-blocks`` and ``full`` as differences from the base, statistics of BatchNorm
    included). For low-rank products (``lora``, ``vlpose-light``), the ranks are put side by side.

    Args:
        adapters: of one method, base, skeleton and, where they read any, set of sentences.
        weights: one for each adapter.
        base: the base that they were made for; needed if they no longer know it.
        rank: of the result, for low-rank methods, which is then the best approximation; None: the sum of the ranks.

    Raises:
        UsageError: adapters of several methods, options, bases, skeletons or sets of sentences; a method whose
            adapters do not add up; weights that are not one for each adapter, or not finite.
    """
    return _sum("combine", adapters, list(weights), base, rank)


def stack(adapters: Sequence[Adapter], *, base: nn.Module | None = None) -> Adapter:
    """Makes one adapter of several; the first is next to the base (:mod:`lvtune.adapters.stack`).

    It is an error if a part of a member cannot act because of the others; the base is run on one picture to find out.
    Where several members bring a predictor, the last one's is used.

    Args:
        adapters: of any methods, but one base and one skeleton; those that read sentences read the same ones.
        base: the base that they were made for; needed if they no longer know it.

    Raises:
        UsageError: bases, skeletons or sentences differ; a part of a member cannot act.
    """
    _check_loaded(adapters)
    lone = next((one.method for one in adapters if one.stands_alone), None)
    if lone is not None:
        raise UsageError(f"a {lone} adapter as a member of a stack", "adapters of one method each",
                         "join it with the others: lvtune.join, or lvtune combine --how join")  # fmt: skip
    members = [one for adapter in adapters for one in (adapter.members if isinstance(adapter, Stack) else [adapter])]
    view = common_base(members, adapters, base)
    same_sentences(members)
    reader = next((member for member in members if member.bank is not None), None)
    options = {f"{i}.{k}": v for i, member in enumerate(members, 1) for k, v in plain(member.config).items()}
    config = StackConfig(tuple(member.method for member in members), options)
    with torch.random.fork_rng(devices=[]):
        made = Stack(config, view, bank=None if reader is None else reader.bank, skeleton=adapters[0].skeleton)
    made.load_tensors({f"{i}.{n}": v for i, member in enumerate(members, 1) for n, v in member.tensors().items()})
    check_all_act(made, view)
    return finished(made, "stack", adapters, [None] * len(adapters), view)


def fix_sentence(adapter: Adapter, category: str | None = None, *, base: nn.Module | None = None) -> Adapter:
    """Returns what an adapter does for one sentence, as an adapter of its method that reads none.

    Such adapters add up and stack even if they once read different sentences, those of two domains for example.

    Args:
        adapter: of a method that folds a sentence into its tensors (``vlpose-light``).
        category: category of the sentence; None: the mean of its sentences.
        base: the base that it was made for; needed if it no longer knows it.

    Raises:
        UsageError: an adapter that reads no sentences, has none for ``category``, or cannot do without; a base that is
            gone, or another one.
    """
    view = common_base([adapter], [adapter], base)
    result = None
    if adapter.bank is not None:
        if category is not None:
            adapter.bank.index(category)
        with torch.no_grad():
            result = twin_of(adapter).fixed(view, category)
    if result is None:
        what = "reads no sentences" if adapter.bank is None else "cannot do without"
        raise UsageError(
            f"a fixed sentence for {adapter.method}, which {what}", "an adapter of vlpose-light with language",
            "use the adapter as it is",
        )  # fmt: skip
    return finished(result, f"fix_sentence {category or 'mean'}", [adapter], [None], view)


def _sum(
    kind: str, adapters: Sequence[Adapter], weights: list[float], base: nn.Module | None, rank: int | None
) -> Adapter:
    if len(weights) != len(adapters) or not all(math.isfinite(weight) for weight in weights):
        raise UsageError(
            f"weights {', '.join(f'{w:g}' for w in weights) or '(none)'} for {counted(len(adapters), 'adapter')}",
            "a finite number for each", "give as many weights as adapters",
        )  # fmt: skip
    if rank is not None and rank < 1:
        raise UsageError(f"rank {rank}", "1 or more, or None for the exact sum", "leave rank out")
    _check_loaded(adapters)
    view = common_base(adapters, adapters, base)
    methods = sorted({adapter.method for adapter in adapters})
    if len(methods) > 1:
        raise UsageError(
            f"a sum of adapters of {', '.join(methods)}",
            "adapters of one method",
            "stack them: lvtune.stack([...]), or lvtune combine --how stack",
        )
    same_sentences(adapters)
    with torch.no_grad():
        result = type(adapters[0]).summed(adapters, weights, view, rank)
    return finished(result, kind, adapters, weights, view)


def _check_loaded(adapters: Sequence[Adapter]) -> None:
    wrong = next((one for one in adapters if not isinstance(one, Adapter)), None)
    if wrong is not None:
        raise UsageError(f"{brief(wrong)} among adapters", "loaded adapters", "lvtune.load_adapter(folder, base) first")


def finished(
    result: Adapter,
    kind: str,
    adapters: Sequence[Adapter],
    weights: Sequence[float | None],
    view: Base,
    skeleton: Skeleton | None = None,
) -> Adapter:
    """Notes what a new adapter was made of, for its file; a domain that all share is its domain."""
    domains = {adapter.domain for adapter in adapters}
    made_of = [
        {"method": a.method, "domain": a.domain, "weight": w, "tensors_sha256": hash_tensors(a.tensors().items())}
        for a, w in zip(adapters, weights, strict=True)
    ]
    result.saved_with = {"training": {"combination": {"kind": kind, "of": made_of}}}
    return adopt(result, view, domains.pop() if len(domains) == 1 else None, skeleton or adapters[0].skeleton).eval()


def common_base(
    parts: Sequence[Adapter], adapters: Sequence[Adapter], base: nn.Module | None, *, same_keypoints: bool = True
) -> Base:
    """Returns the base that all were made for.

    Args:
        parts: of what is made; there must be some.
        adapters: that it is made of.
        base: as the caller gave it.
        same_keypoints: all must predict the same key points.

    Raises:
        UsageError: no adapter at all; bases or skeletons that differ; no base is known.
    """
    if not parts:
        raise UsageError("no adapter", "one or more", "give a list of adapters")
    found = [base_of(adapter) for adapter in adapters]
    known = [one for one in found if one is not None]
    if base is None and len(known) < len(found):
        raise UsageError("adapters whose base is gone", "the base they were made for", "add base=...")
    view = as_base(base) if base is not None else known[0]
    others = {id(one.model): one for one in known if one.model is not view.model}
    if others and {fingerprint(one.model) for one in others.values()} != {fingerprint(view.model)}:
        raise UsageError(
            f"adapters for several bases ({', '.join(sorted({one.name for one in [view, *others.values()]}))})",
            "adapters of one base with the same weights", "load them all for one base",
        )  # fmt: skip
    skeletons = [adapter.skeleton for adapter in adapters]
    other = next((one for one in skeletons if one.keypoints != skeletons[0].keypoints), None)
    if other is not None and same_keypoints:
        raise UsageError(
            f"adapters for key points of {skeletons[0].name} and of {other.name}", "adapters of one skeleton",
            "join them (lvtune.join, lvtune combine --how join), or choose one per picture: adapters=[...]",
        )  # fmt: skip
    for adapter in adapters:
        check_fit(adapter, view)
    return view


class _Watched(Attachable):
    """An adapter made of given changes, which notes those that act."""

    def __init__(self, members: Sequence[Sequence[Change]]) -> None:
        super().__init__()
        self.lists, self.seen = members, set()

    def changes(self, base: Base) -> Iterator[Change]:
        return joined([self._noting(change, (i, n)) for n, change in enumerate(m)] for i, m in enumerate(self.lists))

    def _noting(self, change: Change, key: tuple[int, int]) -> Change:
        name = _ACT[type(change)]
        act = getattr(change, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            self.seen.add(key)
            return act(*args, **kwargs)

        return replace(change, **{name: noted})


def check_all_act(adapter: Stack, base: Base) -> None:
    """Checks that every change that acts while its member is alone acts in the stack too; runs a copy of ``base``.

    Raises:
        UsageError: one does not, and it is not a predictor that a later member replaces.
    """
    twin = type(base)(base.copy_model(), base.spec).freeze()
    own = twin_of(adapter).to(device=twin.device, dtype=twin.adapter_dtype)
    lists = [list(member.changes(twin)) for member in own.members]
    pixels = noise(twin, 1)
    alone = set()
    for i, changes in enumerate(lists):
        alone |= {(i, n) for _, n in _acting([changes], twin, pixels)}
    last = len(lists) - 1
    for i, n in sorted(alone - _acting(lists, twin, pixels)):
        change = lists[i][n]
        place = next(getattr(change, name) for name in ("module", "key", "first") if hasattr(change, name))
        if i == last or place is not twin.predictor:
            methods = [member.method for member in own.members]
            where = next(name for name, module in twin.model.named_modules() if module is place)
            raise UsageError(
                f"a stack of {', '.join(methods)}, in which the change of {methods[i]} (number {i + 1}) at {where} "
                "never acts, since another member replaces it", "members that do not replace each other's parts",
                "put the member that brings the head last, or leave one out",
            )  # fmt: skip


def _acting(lists: Sequence[Sequence[Change]], twin: Base, pixels: Tensor) -> set[tuple[int, int]]:
    watched = _Watched(lists)
    with torch.no_grad(), attach(twin, watched, "watched"):
        outputs_of(twin, pixels)
    return watched.seen


__all__ = ["average", "combine", "stack"]
