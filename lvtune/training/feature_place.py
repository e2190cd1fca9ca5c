"""Where the features of a model are taken: behind the encoder, or behind the last block in front of the first change.

At that place an output is put in place of computing it. Behind the encoder this is simple. Between two blocks the
blocks in front of the place are passed over: each returns what enters it, and the last one returns the features.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.bases.changes import hooks_of
from lvtune.bases.nested_outputs import per_entry
from lvtune.patcher.shadows import Shadow

if TYPE_CHECKING:
    from lvtune.bases.base import Base


def blocks_before_changes(base: Base, adapter: Any) -> int | None:
    """Returns how many of the encoder's blocks run before anything that an adapter changes.

    None: nothing in the encoder is changed. 0: there is no block in front of the first change, or it is not known.
    """
    changed = [module for change in adapter.changes(base) for _, module, _ in hooks_of(change)]
    behind = {*base.head.modules(), *(part for module in base.tail for part in module.modules())}
    inside = [module for module in changed if module not in behind]
    if not inside:
        return None
    if not base.carries_tokens or not base.blocks:  # pyramids change the shape from block to block
        return 0
    places = [_place_of(module, base) for module in inside]
    return 0 if None in places else min(place for place in places if place is not None)


def _place_of(module: nn.Module, base: Base) -> int | None:
    """The block that a module is in; the number of blocks for the norm behind them; None: elsewhere."""
    for place, block in enumerate(base.blocks):
        if module in set(block.layer.modules()):
            return place
    return len(base.blocks) if module is base.final_norm else None


class FeaturePlace:
    """Puts features in place of what is computed in front of them.

    Args:
        base: an adapter is attached, or will be.
        blocks: as :func:`blocks_before_changes` returns it; not 0.
    """

    def __init__(self, base: Base, blocks: int | None) -> None:
        self.base, self.blocks = base, blocks
        self._given: Any = None
        self._keep: Callable[[Any], Any] | None = None

    def __str__(self) -> str:
        if self.blocks is None:
            return "the encoder"
        return f"the first {self.blocks} of {len(self.base.blocks)} blocks"

    def stand(self, forward: Callable[..., Any]) -> contextlib.ExitStack:
        """Lets ``forward(original, *args, **kwargs)`` run in place of the encoder's own; closing the result ends it."""
        stack = contextlib.ExitStack()
        stack.callback(Shadow(self.base.encoder, "forward", forward).undo)
        layers = [block.layer for block in self.base.blocks[: self.blocks or 0]]
        for place, layer in enumerate(layers):
            run = self._last if place + 1 == len(layers) else self._pass
            stack.callback(Shadow(layer, "forward", run).undo)
        return stack

    def compute(self, keep: Callable[[Any], Any], original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Runs the encoder and returns its output; what ``keep`` makes of the features goes on in their place."""
        if self.blocks is None:
            with torch.no_grad():
                return keep(original(*args, **kwargs))
        self._keep = keep
        try:
            return original(*args, **kwargs)
        finally:
            self._keep = None

    def finish(self, features: Any, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Returns the encoder's output where the features are known."""
        if self.blocks is None:
            return features
        self._given = features
        try:
            return original(*args, **kwargs)
        finally:
            self._given = None

    def _pass(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._given is None:
            return original(*args, **kwargs)
        hidden = args[0] if args else next(value for value in kwargs.values() if isinstance(value, Tensor))
        return with_tensors(self._given, lambda _: hidden)

    def _last(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._given is not None:
            return self._given
        output = original(*args, **kwargs)
        return output if self._keep is None else self._keep(output)


def tensors_of(output: Any) -> Iterator[Tensor]:
    """Yields the tensors of a nested output."""
    if isinstance(output, Tensor):
        yield output
    elif output is not None and not isinstance(output, str | int | float):
        for entry in output.values() if hasattr(output, "values") else output:
            yield from tensors_of(entry)


def with_tensors(output: Any, new: Callable[[Tensor], Tensor]) -> Any:
    """Returns a structure like ``output`` with ``new`` of each tensor in its place."""
    if isinstance(output, Tensor):
        return new(output)
    if output is None or isinstance(output, str | int | float):
        return output
    return per_entry(lambda entry: with_tensors(entry, new), output)
