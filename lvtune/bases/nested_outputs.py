"""What modules return, which may be nested: tensors in tuples, lists, named tuples and transformers' outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Rows(list):
    """Samples of different shapes: one tensor (K_i, h, w) each, in the order of the batch."""


def per_entry(function: Callable[..., Any], *values: Any) -> Any:
    """Applies ``function`` to the matching entries of structures of one kind; returns a structure of that kind."""
    first = values[0]
    if isinstance(first, Mapping):  # transformers' outputs
        return type(first)(**{name: function(*(value[name] for value in values)) for name in first})
    entries = [function(*inner) for inner in zip(*values, strict=True)]
    return type(first)(*entries) if hasattr(first, "_fields") else type(first)(entries)


def joined(outputs: Sequence[Any]) -> Any:
    """Joins the outputs for parts of a batch: tensors along the first dimension, structures entry by entry.

    Returns:
        The structure of one output; :class:`Rows` in place of a tensor where the parts' rows differ in shape.
    """
    first = outputs[0]
    if len(outputs) == 1 or first is None:
        return first
    if any(isinstance(output, Rows) for output in outputs) or isinstance(first, Tensor):
        if all(isinstance(output, Tensor) for output in outputs) and len({output.shape[1:] for output in outputs}) == 1:
            return torch.cat(list(outputs))
        return Rows(row for output in outputs for row in output)
    return per_entry(lambda *inner: joined(inner), *outputs)


def exchanged(output: Any, old: Tensor, new: Tensor) -> Any:
    """Returns a structure like ``output`` in which ``new`` stands in place of the tensor ``old``."""
    if output is old:
        return new
    if isinstance(output, Mapping | tuple | list) and len(output):
        return per_entry(lambda entry: exchanged(entry, old, new), output)
    return output


def reordered(output: Any, order: Tensor) -> Any:
    """Puts the rows of every tensor in another order: row ``order[i]`` comes to place i."""
    if output is None:
        return None
    if isinstance(output, Tensor):
        return output[order.to(output.device)]
    if isinstance(output, Rows):
        return Rows(output[i] for i in order.tolist())
    return per_entry(lambda entry: reordered(entry, order), output)


def in_batch_order(outputs: Sequence[Any], indices: Sequence[Tensor]) -> Any:
    """Joins the outputs for groups of samples in the order of the batch.

    Args:
        outputs: one for each group, all of one structure.
        indices: for each group, the places (B_i,) of its samples in the batch.

    Returns:
        One output of the same structure; :class:`Rows`, a list, where the groups' rows differ in shape.
    """
    return reordered(joined(outputs), torch.cat(list(indices)).argsort())
