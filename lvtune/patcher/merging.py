"""Writes an adapter into a copy of its base: a plain model that answers as base and adapter together do.

Each change has a ``fold`` that gives the new weights of its module (:mod:`lvtune.bases.changes`). Sums are computed in
float32, whatever the base's precision, and rounded once. The base itself is neither written nor attached to.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lvtune.bases.attachable import Attachable
from lvtune.bases.base import Base, as_base
from lvtune.bases.changes import (
    AddToOutput,
    Change,
    ExtendKeyValue,
    Fold,
    InsertTokens,
    ReplaceForward,
    RunSeveral,
    hooks_of,
)
from lvtune.core.errors import UsageError
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.patcher.shapes import check_fit

A = TypeVar("A", bound=Attachable)

_WORDS: dict[type, str] = {
    AddToOutput: "adds what is no linear map of a layer's input",
    ExtendKeyValue: "appends rows of keys and values",
    InsertTokens: "inserts tokens",
    ReplaceForward: "puts a computation of its own in a module's place",
    RunSeveral: "runs the model several times",
}
"""What each kind of change does, for errors about changes that have no fold."""


@dataclass(frozen=True)
class Merged:
    """A copy of a base with an adapter written into it."""

    base: Base
    """The copy; it predicts the adapter's key points."""
    deviation: float
    """Largest difference between the outputs of the copy and of base and adapter, over the pictures tried."""
    largest: float
    """Largest absolute value among the outputs of base and adapter."""

    @property
    def model(self) -> nn.Module:
        """The copy as a plain model of the base's class, such as ``transformers.VitPoseForPoseEstimation``."""
        return self.base.model

    def state_dict(self) -> dict[str, Tensor]:
        """The copy's weights under the base's own names."""
        return self.model.state_dict()


def merge(
    base: nn.Module, adapter: Attachable, *, category: str | None = None, pixel_values: Tensor | None = None
) -> Merged:
    """Makes a copy of ``base`` that gives by itself what ``base`` gives under ``adapter``; neither is written.

    It is exact up to rounding for methods whose changes equal other weights: the LoRA family, ``vlpose-light`` for one
    sentence, ``ssf``, ``bitfit``, ``norm``, ``head``, ``last-blocks``, ``full``, and peft's tuners through peft's own
    merge.

    Args:
        base: a base or plain model; in half precision, weights are added in float32 and rounded once.
        adapter: made for that base; attached or not.
        category: category whose sentence is folded in; None: the mean of the adapter's sentences.
        pixel_values: pictures (B, 3, H, W) to compare on; None: two pictures of noise.

    Raises:
        UsageError: a method that cannot be merged (the error says what to use instead); an adapter that does not fit
            the base; a category for an adapter that reads no sentences; weights that overflow the base's precision.
    """
    view = as_base(base)
    _check_category(adapter, category)
    check_fit(adapter, view)
    twin = type(view)(view.copy_model(), view.spec).freeze()
    own = twin_of(adapter).to(device=view.device, dtype=torch.promote_types(view.dtype, torch.float32))
    pixels = noise(view) if pixel_values is None else pixel_values.to(device=view.device, dtype=view.dtype)
    with torch.no_grad():
        weights = fold(own, twin, category)
        with attach(twin, own), use_adapter(twin, category=category):
            expected = outputs_of(twin, pixels)
        for module, values in weights.items():
            _put(module, values)
        _check_finite(twin, view)
        twin.note_skeleton(own.skeleton)
        spec = view.spec.with_(skeleton=own.skeleton, hub_id=None, revision=None)
        merged = type(view)(twin.model, spec).freeze()
        return Merged(merged, *compare(expected, outputs_of(merged, pixels)))


def is_mergeable(adapter: Attachable, base: Base) -> bool:
    """Returns True if all changes of an adapter can be folded into weights, so that :func:`merge` accepts it."""
    return all(getattr(change, "fold", None) is not None for change in adapter.changes(base))


def twin_of(adapter: A) -> A:
    """Returns a copy in evaluation mode; it shares the embedded sentences, which are only read."""
    return copy.deepcopy(adapter, {id(adapter.bank): adapter.bank}).eval()


def fold(adapter: Attachable, base: Base, category: str | None) -> dict[nn.Module, dict[str, Tensor]]:
    """Computes the weights that modules of ``base`` have with an adapter's changes in them; nothing is written.

    Args:
        adapter: on the base's device, in the precision to compute in.
        base: the base whose modules are looked at.
        category: category whose sentence is folded in; None: the mean.

    Returns:
        Module to tensors, in the order to write them: what replaces a whole module comes after what changes modules
        inside it.

    Raises:
        UsageError: a change that does not equal other weights.
    """
    names = {module: name for name, module in base.model.named_modules()}
    folds: dict[nn.Module, list[tuple[bool, Fold]]] = {}
    for change in adapter.changes(base):
        if not isinstance(change, AddToOutput | ReplaceForward) or change.fold is None:
            raise _refused(adapter, change, names)
        # an addition to a module's output comes after a replacement of its forward
        folds.setdefault(change.module, []).append((isinstance(change, AddToOutput), change.fold))
    deepest = sorted(folds, key=lambda module: -names[module].count("."))
    dtype = torch.promote_types(base.dtype, torch.float32)
    return {module: _folded(module, folds[module], category, dtype) for module in deepest}


def _folded(
    module: nn.Module, folds: list[tuple[bool, Fold]], category: str | None, dtype: torch.dtype
) -> dict[str, Tensor]:
    own = {n: v.to(dtype) if v.is_floating_point() else v for n, v in module.state_dict().items()}
    for _, one in sorted(folds, key=lambda pair: pair[0]):
        own |= one(own, category)
    return own


def _refused(adapter: Attachable, change: Change, names: Mapping[nn.Module, str]) -> UsageError:
    place = hooks_of(change)[0][1]
    return UsageError(
        f"merging {adapter.method}, which {_WORDS[type(change)]} (at {names[place]})",
        "a method whose changes equal other weights, such as lora, ssf, norm or head",
        "attach it (lvtune.attach), or export base and adapter together: lvtune export --format onnx",
    )


def _check_category(adapter: Attachable, category: str | None) -> None:
    if category is None:
        return
    if adapter.bank is None:
        raise UsageError(
            f"category '{category}' for {adapter.method}, which reads no sentences",
            "no category",
            "leave the category out",
        )
    adapter.bank.index(category)


def _put(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Writes weights; one that is new to the module, or has another shape (key points), becomes a new parameter."""
    for name, value in values.items():
        room, _, leaf = name.rpartition(".")
        part = module.get_submodule(room)
        old = getattr(part, leaf)
        if old is not None and old.shape == value.shape:
            old.copy_(value)
            continue
        like = next(part.parameters())
        setattr(part, leaf, nn.Parameter(value.to(like, copy=True), requires_grad=False))
        if isinstance(part, nn.Conv2d):
            part.out_channels = len(value)


def _check_finite(twin: Base, base: Base) -> None:
    bad = next((n for n, v in twin.model.state_dict().items() if not torch.isfinite(v).all()), None)
    if bad is not None:
        raise UsageError(
            f"merged weights {bad} that are not finite in {str(base.dtype).removeprefix('torch.')}",
            "weights that fit the base's precision", "load the base in float32 and merge there",
        )  # fmt: skip


def noise(base: Base, count: int = 2) -> Tensor:
    """Returns pictures (B, 3, H, W) of normal noise, always the same, in the base's precision and on its device."""
    pixels = torch.randn(count, 3, *base.input_size, generator=torch.Generator().manual_seed(0))
    return pixels.to(device=base.device, dtype=base.dtype)


def outputs_of(base: Base, pixels: Tensor) -> list[Tensor]:
    """Returns all tensors of the model's output: heatmaps, and others (a hand's joints in space)."""
    return list(_tensors(base.model(pixels, **base.forward_kwargs(pixels))))


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        yield from _tensors(tuple(output.values()))
    elif isinstance(output, Iterable) and not isinstance(output, str):
        for part in output:
            yield from _tensors(part)


def compare(expected: list[Tensor], found: list[Tensor]) -> tuple[float, float]:
    """Returns (largest difference, largest expected value) over all tensors."""
    pairs = [(a.float(), b.float()) for a, b in zip(expected, found, strict=True)]
    return max(float((a - b).abs().max()) for a, b in pairs), max(float(a.abs().max()) for a, _ in pairs)
