"""Activation checkpointing: a block's activations are computed again in the backward pass and not kept until then.

The memory of a step then holds what enters each block, and the inside of one block at a time; a step takes longer by
about the forward pass of the blocks that gradients reach. Blocks in front of the first change keep nothing anyway.
Source: Chen et al., arXiv 1604.06174; it is done by ``torch.utils.checkpoint``.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from torch.utils.checkpoint import checkpoint

from lvtune.core.errors import UsageError
from lvtune.core.linear_products import recomputation_contexts
from lvtune.patcher.shadows import Shadow

if TYPE_CHECKING:
    from torch import nn

    from lvtune.bases.base import Base


@contextlib.contextmanager
def recomputed_blocks(base: Base, adapter: Any) -> Iterator[None]:
    """Inside the block, the blocks that the adapter's changes run through are computed again for the gradient.

    Args:
        base: with the adapter attached.
        adapter: says by ``blocks_in_use`` which blocks are run; others run the base's own.

    Raises:
        UsageError: the base has no blocks that are known here.
    """
    named = getattr(adapter, "blocks_in_use", None)
    layers: list[nn.Module] = [block.layer for block in base.blocks] if named is None else named(base)
    if not layers:
        raise UsageError(
            f"activation checkpointing for {base.name}, which has no blocks that are known here",
            "an encoder with blocks (ViT, Swin, PVT)", "leave --train.checkpointing out",
        )  # fmt: skip
    with contextlib.ExitStack() as stack:
        for layer in dict.fromkeys(layers):
            stack.callback(Shadow(layer, "forward", _checkpointed).undo)
        yield


def _checkpointed(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Runs a block so that its activations are not kept.

    The adapter chosen for the call, and the part of the step, are context variables: the block runs again in a copy of
    the context that it ran in first. On a GPU that happens in another thread.
    """
    context = contextvars.copy_context()

    def run(*given: Any, **named: Any) -> Any:
        return context.copy().run(original, *given, **named)

    return checkpoint(run, *args, use_reentrant=False, context_fn=recomputation_contexts, **kwargs)
