"""Turns adapters into tensors that a model takes as inputs, beside its pictures.

An adapter that can be merged equals other weights of the base. Where these are weights of a linear layer, the
difference has a low rank, and two small matrices hold it: ``down`` (R, in) and ``up`` (out, R). Norms, biases and the
predictor are given whole. So one model serves adapters of different methods, ranks and key points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from lvtune.adapters.adapter import Adapter
from lvtune.bases.base import Base
from lvtune.core.errors import UsageError
from lvtune.patcher.merging import fold, is_mergeable, twin_of

MOST_RANK = 64
"""Largest rank of a change of a linear layer that is given as two small matrices."""
MOST_WHOLE = 100_000
"""Most numbers of a tensor that is given whole."""
DOWN, UP = "down", "up"
_NOTHING = 1e-9  # share of the largest singular value below which one is rounding, in float64


@dataclass(frozen=True)
class AdapterInputs:
    """The inputs that stand for some adapters.

    Args:
        ranks: name of a linear layer of the model to the rank that its inputs have.
        whole: names of the tensors that are given whole.
        values: for each adapter, and last for the bare base, input name to tensor (float32).
        free: names of inputs whose first axis is the number of key points, which differs.
    """

    ranks: dict[str, int]
    whole: list[str]
    values: list[dict[str, Tensor]]
    free: list[str]

    @property
    def names(self) -> list[str]:
        """Names of the inputs, in their order."""
        return list(self.values[-1])


def adapter_inputs(base: Base, adapters: Sequence[Adapter], categories: Sequence[str | None]) -> AdapterInputs:
    """Returns the inputs that stand for adapters; the base is not changed.

    Args:
        base: in any precision; everything is computed in float64.
        adapters: made for that base.
        categories: for each the category whose sentence it reads; None: the mean of its sentences.

    Raises:
        UsageError: an adapter that cannot be merged, or that changes too much to be an input.
    """
    twin = type(base)(base.copy_model().to(device="cpu", dtype=torch.float64), base.spec).freeze()
    own: dict[str, Tensor] = twin.model.state_dict()
    changes = [_changed(twin, adapter, own, category) for adapter, category in zip(adapters, categories, strict=True)]
    names = sorted({name for change in changes for name in change})
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for name in names:
        whole = [change.get(name, own[name]) for change in changes]
        if _is_linear(twin.model, name) and all(value.shape == own[name].shape for value in whole):
            parts[name] = [_halves(value - own[name]) for value in whole]
    ranks = {name: max(1, *(len(down) for down, _ in found)) for name, found in parts.items()}
    large = [
        name for name in names if ranks.get(name, 0) > MOST_RANK or (name not in ranks and _is_large(name, changes))
    ]
    if large:
        raise _too_large(adapters, changes, large[0], ranks)
    values = [_inputs_of(change, place, names, parts, ranks, own) for place, change in enumerate(changes)]
    values.append(_inputs_of({}, None, names, parts, ranks, own))
    free = [name for name in values[0] if len({value[name].shape for value in values}) > 1]
    layers = {name.removesuffix(".weight"): rank for name, rank in ranks.items()}
    return AdapterInputs(layers, [name for name in names if name not in ranks], values, free)


class Beside(nn.Module):
    """A linear layer with a low-rank change beside it, whose matrices are buffers that a call may replace."""

    down: Tensor
    up: Tensor

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear
        self.register_buffer(DOWN, linear.weight.new_zeros(rank, linear.in_features))
        self.register_buffer(UP, linear.weight.new_zeros(linear.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., in) to (..., out)."""
        return self.linear(x) + nn.functional.linear(nn.functional.linear(x, self.down), self.up)


def place_beside(model: nn.Module, ranks: Mapping[str, int]) -> None:
    """Puts a :class:`Beside` in the place of each linear layer that is named; the model is changed."""
    for name, rank in ranks.items():
        room, _, leaf = name.rpartition(".")
        linear = cast(nn.Linear, model.get_submodule(name))
        setattr(model.get_submodule(room), leaf, Beside(linear, rank))


def tensor_name(name: str, ranks: Mapping[str, int]) -> str:
    """Returns under which name :func:`place_beside` leaves a tensor of the model that is an input."""
    room, _, leaf = name.rpartition(".")
    return f"{room}.linear.{leaf}" if room in ranks and leaf not in (DOWN, UP) else name


def _changed(base: Base, adapter: Adapter, own: Mapping[str, Tensor], category: str | None) -> dict[str, Tensor]:
    """The tensors of the model that an adapter changes, by name."""
    if not is_mergeable(adapter, base):
        raise UsageError(
            f"{adapter.method} as an input of an ONNX model, though it does not equal other weights of the base",
            "an adapter that can be merged, such as lora or vlpose-light",
            "export it by itself: lvtune export --adapter FOLDER",
        )  # fmt: skip
    twin = cast(Adapter, twin_of(adapter)).to(device="cpu", dtype=torch.float64)
    places = {module: name for name, module in base.model.named_modules()}
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for module, tensors in fold(twin, base, category).items():
            for leaf, value in tensors.items():
                name = f"{places[module]}.{leaf}" if places[module] else leaf
                if name not in own or value.shape != own[name].shape or not torch.equal(value, own[name]):
                    found[name] = value
    new = next((name for name in found if name not in own), None)
    if new is not None:
        raise UsageError(
            f"{adapter.method}, which adds {new} to the base, as an input of an ONNX model",
            "an adapter that changes what the base has", "export it by itself: lvtune export --adapter FOLDER",
        )  # fmt: skip
    return found


def _is_linear(model: nn.Module, name: str) -> bool:
    room, _, leaf = name.rpartition(".")
    return leaf == "weight" and type(model.get_submodule(room)) is nn.Linear


def _is_large(name: str, changes: Sequence[Mapping[str, Tensor]]) -> bool:
    return any(name in change and change[name].numel() > MOST_WHOLE for change in changes)


def _halves(change: Tensor) -> tuple[Tensor, Tensor]:
    """``down`` (R, in) and ``up`` (out, R) whose product is the change (out, in), for its own rank R."""
    u, s, v = torch.linalg.svd(change, full_matrices=False)
    rank = int((s > _NOTHING * s[0]).sum()) if s[0] > 0 else 0
    root = s[:rank].sqrt()
    return root[:, None] * v[:rank], u[:, :rank] * root


def _inputs_of(
    change: Mapping[str, Tensor],
    place: int | None,
    names: Sequence[str],
    parts: Mapping[str, Sequence[tuple[Tensor, Tensor]]],
    ranks: Mapping[str, int],
    own: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name in names:
        if name not in ranks:
            found[name] = change.get(name, own[name]).float().contiguous()
            continue
        layer, (out, into) = name.removesuffix(".weight"), own[name].shape
        down, up = torch.zeros(ranks[name], into), torch.zeros(out, ranks[name])
        if place is not None:
            own_down, own_up = parts[name][place]
            down[: len(own_down)], up[:, : len(own_down)] = own_down.float(), own_up.float()
        found |= {f"{layer}.{DOWN}": down, f"{layer}.{UP}": up}
    return found


def _too_large(
    adapters: Sequence[Adapter], changes: Sequence[Mapping[str, Tensor]], name: str, ranks: Mapping[str, int]
) -> UsageError:
    method = next(adapter.method for adapter, change in zip(adapters, changes, strict=True) if name in change)
    how = f"by a matrix of rank {ranks[name]}" if name in ranks else "as a whole"
    return UsageError(
        f"{method} as an input of an ONNX model, though it changes {name} {how}",
        f"changes of rank {MOST_RANK} at most, and tensors of at most {MOST_WHOLE:,} numbers",
        "export it by itself: lvtune export --adapter FOLDER",
    )
