"""Helpers that methods are built with: predictors, copies of heads, replaced modules, names of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lvtune.bases.changes import ReplaceForward
from lvtune.core.errors import UsageError

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.bases.changes import Call, Change
    from lvtune.data.skeletons import Skeleton


MARK = "is_trained_predictor"
"""Attribute of a predictor that an adapter trains, since its learning rate may differ. An attribute and no class of its
own: a fully tuned model has the very modules of its base."""


def make_predictor(base: Base, skeleton: Skeleton) -> nn.Conv2d:
    """Makes a trainable predictor for ``skeleton``; rows of key points that the base has by name are copies of its own.

    The other rows start as the mean of the base's rows, which responds wherever the base sees any key point.
    """
    old = base.predictor
    known = {name: i for i, name in enumerate(base.skeleton.keypoints)}
    same = skeleton.keypoints == base.skeleton.keypoints
    rows = [i if same else known.get(name) for i, name in enumerate(skeleton.keypoints)]
    # a new module, since a copy of the old one would carry the hooks of adapters that are attached
    new: Any = nn.utils.skip_init(
        nn.Conv2d, old.in_channels, len(rows), old.kernel_size, stride=old.stride, padding=old.padding,
        bias=old.bias is not None, device=old.weight.device, dtype=base.adapter_dtype,
    )  # fmt: skip
    with torch.no_grad():
        for kind, value in old.named_parameters():
            mean = value.mean(0)
            getattr(new, kind).copy_(torch.stack([mean if row is None else value[row] for row in rows]))
    setattr(new, MARK, True)
    return new


def own_predictor(method: str, base: Base, skeleton: Skeleton | None, wanted: bool) -> nn.Conv2d | None:
    """Makes a predictor for a method whose predictor is an option (``wanted``); None where it is not wanted.

    Raises:
        UsageError: it is not wanted, but the base does not predict these key points.
    """
    if wanted:
        return make_predictor(base, skeleton or base.skeleton)
    if skeleton is not None and skeleton.keypoints != base.skeleton.keypoints:
        raise UsageError(
            f"{method} without a predictor for key points that the base does not predict", "predictor true",
            "set --method.predictor true",
        )  # fmt: skip
    return None


def copy_of_model(base: Base) -> nn.Module:
    """Copies the base's model in the precision of adapters; trainable parts are taken from the copy."""
    return base.copy_model().to(dtype=base.adapter_dtype)


def copy_of_head(base: Base, model: nn.Module, skeleton: Skeleton | None) -> nn.Module:
    """Returns the trainable head of ``model``, which :func:`copy_of_model` made, with a predictor for ``skeleton``."""
    _, head = base.parts_of(model)
    name = next(n for n, m in base.head.named_modules() if m is base.predictor)
    head.set_submodule(name, make_predictor(base, skeleton or base.skeleton))
    return head.requires_grad_(True)


def copy_of_tail(base: Base, model: nn.Module) -> nn.ModuleList:
    """Returns trainable copies of the modules behind the base's head, out of ``model`` (:func:`copy_of_model`)."""
    return nn.ModuleList(base.tail_of(model)).requires_grad_(True)


def tail_changes(base: Base, copies: nn.ModuleList) -> Iterator[Change]:
    """Yields the changes that put copies in place of the modules behind the head."""
    for module, copy in zip(base.tail, copies, strict=True):
        yield replaced(module, copy)


def instead(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function for ``ReplaceForward`` that calls ``compute`` in place of the module's own forward."""

    def replace(call: Call, *args: Any, **kwargs: Any) -> Any:
        return compute(*args, **kwargs)

    return replace


def replaced(module: nn.Module, copy: nn.Module, compute: Callable[..., Any] | None = None) -> ReplaceForward:
    """Returns the change that puts ``copy`` in place of a module of the same kind.

    Args:
        module: of the base.
        copy: its weights are what the change folds into.
        compute: what is called; ``copy`` if left out.
    """
    return ReplaceForward(module, instead(compute or copy), fold=lambda own, category: copy.state_dict())


def plus(own: Mapping[str, Tensor], **deltas: Tensor) -> dict[str, Tensor]:
    """Adds ``deltas`` to a module's tensors, for folding; a tensor that the module does not have counts as zero."""
    return {name: own[name] + delta if name in own else delta for name, delta in deltas.items()}


def embeddings_of(module: nn.Module) -> Iterator[nn.Parameter]:
    """Yields parameters that belong to no layer: positions, class tokens, tables of position biases, norms."""
    for part in module.modules():
        if not isinstance(part, nn.Linear | nn.modules.conv._ConvNd):
            yield from part.parameters(recurse=False)


def freeze_batchnorm(module: nn.Module) -> None:
    """Puts every BatchNorm inside in evaluation mode, so that its statistics stay."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


BLOCK_LAYERS = ("norm", "query", "key", "value", "out", "norm2", "fc1", "fc2")
"""Names of the layers of a block, first to last."""


def layers_of_blocks(method: str, base: Base, parts: Iterable[str]) -> list[Any]:
    """Returns the named parts of all blocks, block by block; a matrix that several parts share comes once.

    Args:
        method: name of the method, for the error.
        base: the base with the blocks.
        parts: names out of ``BLOCK_LAYERS``.

    Raises:
        UsageError: the base has no blocks.
    """
    if not base.blocks:
        raise UsageError(
            f"{method} for {base.name}, which has no attention blocks that are known here",
            "an encoder with attention (ViT, Swin, PVT)", "choose --method head, norm, bitfit or full",
        )  # fmt: skip
    return list(dict.fromkeys(getattr(block, part) for block in base.blocks for part in parts))


def name_of(base: Base, module: nn.Module) -> str:
    """Returns the name of a module of the base; the wrapper of a compiled part does not count."""
    name = _names.get(module)
    if name is None or not _is_at(base.model, name, module):
        name = _names[module] = next(name for name, other in base.model.named_modules() if other is module)
    return name.replace("_orig_mod.", "")


_names: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
"""Where modules were found last: an adapter asks for many of them, and to search for each is slow."""


def _is_at(model: nn.Module, name: str, module: nn.Module) -> bool:
    try:
        return model.get_submodule(name) is module
    except AttributeError:
        return False


def modules_by_key(base: Base, kinds: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    """Yields the base's modules of these classes, under keys that a ``ModuleDict`` accepts (dots become slashes).

    Layers that do more than their class (a normalisation with an activation inside) are left out.
    """
    for name, module in base.model.named_modules():
        if isinstance(module, kinds) and base.is_plain(module):
            # a compiled part has a wrapper in its name
            yield name.replace("_orig_mod.", "").replace(".", "/"), module


def layer_scale(layer: int, layers: int, decay: float | None) -> float:
    """Returns the layer-wise decay ``decay^(layers + 1 - layer)``.

    Args:
        layer: 0 for embeddings, i + 1 for block i, ``layers`` + 1 for the head.
        layers: number of blocks.
        decay: None: 1, no decay.
    """
    return 1.0 if decay is None else decay ** (layers + 1 - layer)
