"""What adapters are built from: predictors, copies of heads, replaced modules, names of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.bases.changes import ReplaceForward
from lvtune.core.errors import LvtuneError

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.bases.changes import Call, Change
    from lvtune.data.skeletons import Skeleton


class Predictor(nn.Conv2d):
    """A trained predictor, (B, C, h, w) -> (B, K, h, w); a class of its own, so that it gets its own learning rate."""


def make_predictor(base: Base, skeleton: Skeleton) -> nn.Conv2d:
    """A trainable predictor for ``skeleton``: rows of key points that the base knows by name are copies of its own.

    The other rows start as the mean of the base's, which is a blob wherever the base sees any key point.
    """
    old = base.predictor
    known = {name: i for i, name in enumerate(base.skeleton.keypoints)}
    same = skeleton.keypoints == base.skeleton.keypoints
    rows = [i if same else known.get(name) for i, name in enumerate(skeleton.keypoints)]
    # a new module, since a copy of the old one would carry the hooks of adapters that are attached
    new: Any = nn.utils.skip_init(
        Predictor, old.in_channels, len(rows), old.kernel_size, stride=old.stride, padding=old.padding,
        bias=old.bias is not None, device=old.weight.device, dtype=base.adapter_dtype,
    )  # fmt: skip
    with torch.no_grad():
        for kind, value in old.named_parameters():
            mean = value.mean(0)
            getattr(new, kind).copy_(torch.stack([mean if row is None else value[row] for row in rows]))
    return new


def own_predictor(method: str, base: Base, skeleton: Skeleton | None, wanted: bool) -> nn.Conv2d | None:
    """:func:`make_predictor` for a method whose predictor is an option; None where it is not wanted.

    Raises:
        LvtuneError: not wanted, but the base does not predict these key points.
    """
    if wanted:
        return make_predictor(base, skeleton or base.skeleton)
    if skeleton is not None and skeleton.keypoints != base.skeleton.keypoints:
        raise LvtuneError(
            f"{method} without a predictor for key points that the base does not predict", "predictor true",
            "set --method.predictor true",
        )  # fmt: skip
    return None


def copy_of_model(base: Base) -> Any:
    """A second model of the base's weights, in the precision of adapters; to take trainable parts from."""
    return base.copy_model().to(dtype=base.adapter_dtype)


def copy_of_head(base: Base, model: Any, skeleton: Skeleton | None) -> Any:
    """The trainable head of ``model``, made by :func:`copy_of_model`, with a predictor for ``skeleton``."""
    _, head = base.parts_of(model)
    name = next(n for n, m in base.head.named_modules() if m is base.predictor)
    head.set_submodule(name, make_predictor(base, skeleton or base.skeleton))
    return head.requires_grad_(True)


def copy_of_tail(base: Base, model: Any) -> nn.ModuleList:
    """Trainable copies of the modules behind the base's head; ``model`` is made by :func:`copy_of_model`."""
    return nn.ModuleList(base.tail_of(model)).requires_grad_(True)


def tail_changes(base: Base, copies: nn.ModuleList) -> Iterator[Change]:
    """The copies in place of the modules behind the head."""
    for module, copy in zip(base.tail, copies, strict=True):
        yield replaced(module, copy)


def instead(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Makes what ``ReplaceForward`` takes: ``compute`` runs in place of the module's own forward."""

    def replace(call: Call, *args: Any, **kwargs: Any) -> Any:
        return compute(*args, **kwargs)

    return replace


def replaced(module: Any, copy: nn.Module, compute: Callable[..., Any] | None = None) -> ReplaceForward:
    """``copy``, a module like the base's ``module``, in its place; ``compute`` is called, ``copy`` if left out."""
    return ReplaceForward(module, instead(compute or copy), fold=lambda own, category: copy.state_dict())


def plus(own: Mapping[str, Tensor], **deltas: Tensor) -> dict[str, Tensor]:
    """For folding: tensors of a module with something added; one that it does not have counts as zero."""
    return {name: own[name] + delta if name in own else delta for name, delta in deltas.items()}


def embeddings_of(module: Any) -> Iterator[nn.Parameter]:
    """Parameters inside that are no layer's weight or bias: positions, class tokens, tables of position biases."""
    for part in module.modules():
        if not isinstance(part, nn.Linear | nn.modules.conv._ConvNd):
            yield from part.parameters(recurse=False)


def freeze_batchnorm(module: Any) -> None:
    """Puts all BatchNorm inside in eval, so that its statistics stay."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


BLOCK_LAYERS = ("norm", "query", "key", "value", "out", "norm2", "fc1", "fc2")
"""The layers of a block, first to last."""


def layers_of_blocks(method: str, base: Base, parts: Iterable[str]) -> list[Any]:
    """These parts of all blocks, block by block; a matrix that several parts share comes once.

    Args:
        method: for the error.
        base: whose blocks.
        parts: of ``BLOCK_LAYERS``.

    Raises:
        LvtuneError: the base has no blocks.
    """
    if not base.blocks:
        raise LvtuneError(
            f"{method} for {base.name}, which has no attention blocks that are known here",
            "an encoder with attention (ViT, Swin, PVT)", "choose --method head, norm, bitfit or full",
        )  # fmt: skip
    return list(dict.fromkeys(getattr(block, part) for block in base.blocks for part in parts))


def name_of(base: Base, module: Any) -> str:
    """The name of one of the base's modules; of a part that is compiled in place, without the wrapper's."""
    name = next(name for name, other in base.model.named_modules() if other is module)
    return name.replace("_orig_mod.", "")


def modules_by_key(base: Base, kinds: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    """The base's modules of these classes under keys that a ``ModuleDict`` accepts (dots become slashes).

    Layers that do more than their class (a normalisation with an activation inside) are left out.
    """
    for name, module in base.model.named_modules():
        if isinstance(module, kinds) and base.is_plain(module):
            # a part that is compiled in place has a wrapper in its name
            yield name.replace("_orig_mod.", "").replace(".", "/"), module


def layer_scale(layer: int, layers: int, decay: float | None) -> float:
    """Layer-wise decay ``decay^(layers + 1 - layer)``: embeddings 0, block i is i + 1, head is layers + 1."""
    return 1.0 if decay is None else decay ** (layers + 1 - layer)
