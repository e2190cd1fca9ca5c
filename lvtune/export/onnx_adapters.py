"""Writes one ONNX model that takes an adapter as inputs beside the pictures, and a small file for each adapter.

Merged models cost no time, but each is as large as the base. Here many adapters share the base's weights: a program
holds one session and hands it the tensors of the adapter that is wanted, each time it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lvtune.adapters.adapter import Adapter
from lvtune.bases.base import Base, as_base
from lvtune.bases.fingerprint import fingerprint
from lvtune.core.errors import UsageError
from lvtune.export.adapter_inputs import AdapterInputs, adapter_inputs, place_beside, tensor_name
from lvtune.export.facts import BATCH, INPUT, facts_of, to_metadata
from lvtune.export.onnx_writing import (
    BATCHES,
    TOLERANCE,
    Case,
    check_name,
    check_packages,
    to_program,
    worst_of,
    write_model,
)
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.patcher.merging import noise, twin_of
from lvtune.patcher.shapes import check_fit
from lvtune.storage.base_calibration import calibration_for

NONE = "none"
"""Name of the file that stands for the bare base."""
KEYPOINTS = "keypoints"
"""Name of the axis of key points, where adapters have different ones."""


@dataclass(frozen=True)
class OnnxAdapters:
    """The result of :func:`export_onnx_adapters`."""

    file: Path
    files: tuple[str, ...]
    """Names of the files: the model, its facts, one for each adapter."""
    bytes: dict[str, int]
    """Name to size."""
    inputs: int
    """Inputs that stand for an adapter."""
    difference: float
    """Largest difference from PyTorch over all adapters, outputs and batches."""
    largest: float
    """Largest value of the output that has this difference."""
    facts: dict[str, Any]


def export_onnx_adapters(
    base: nn.Module,
    adapters: Mapping[str, nn.Module],
    file: str | Path,
    *,
    categories: Mapping[str, str] | None = None,
    tolerance: float = TOLERANCE,
    batches: Sequence[int] = BATCHES,
) -> OnnxAdapters:
    """Writes ``file``, its facts, and ``<stem>.<name>.safetensors`` for each adapter and for the bare base (``none``).

    The model takes ``pixel_values`` (B, 3, H, W) as :func:`lvtune.export_onnx` says, and the tensors of one of these
    files under their own names. The facts of an adapter, such as its key points, are in its file's metadata. Every
    adapter is run by onnxruntime and compared with PyTorch before anything is put in place.

    Args:
        base: a base, or a plain ``transformers.VitPoseForPoseEstimation``; it is not changed.
        adapters: name to adapter made for that base; each must be one that can be merged.
        file: path that ends in ``.onnx``.
        categories: name to the category whose sentence an adapter reads; where it is left out: the mean.
        tolerance: largest allowed difference, as a share of an output's largest value.
        batches: sizes of the batches that are compared.

    Raises:
        LvtuneError: a package is missing; an adapter does not fit the base, cannot be merged, or changes too much; a
            name that cannot be part of a file's name; the file differs by more than ``tolerance``.
    """
    view, file = as_base(base), Path(file)
    check_name(file)
    check_packages()
    _check_names(list(adapters))
    own = [cast(Adapter, adapter) for adapter in adapters.values()]
    for adapter in own:
        check_fit(adapter, view)
    chosen = [_category(adapter, (categories or {}).get(name)) for name, adapter in zip(adapters, own, strict=True)]
    names = [*adapters, NONE]
    with torch.no_grad():
        inputs = adapter_inputs(view, own, chosen)
        every = list(zip([*own, None], [*chosen, None], strict=True))
        answers = [_answers(view, adapter, kind, batches) for adapter, kind in every]
        program = _program(view, inputs, list(answers[0][0][1]))
    mark = fingerprint(view)
    each = {
        name: facts_of(view, adapter, kind, answer[0][1], mark, calibration_for(view, adapter))
        for name, (adapter, kind), answer in zip(names, every, answers, strict=True)
    }
    facts = {**each[NONE], "adapter_inputs": {name: list(value.shape) for name, value in inputs.values[-1].items()}}

    def beside(room: Path) -> None:
        for name, values in zip(names, inputs.values, strict=True):
            tensors = {key: value.contiguous() for key, value in values.items()}
            save_file(tensors, room / f"{file.stem}.{name}.safetensors", to_metadata(each[name]))

    files, _ = write_model(program, file, facts, _cases(inputs, answers), tolerance, beside)
    sizes = {name: file.with_name(name).stat().st_size for name in files}
    worst = worst_of(facts)
    return OnnxAdapters(file, tuple(files), sizes, len(inputs.names), worst["difference"], worst["largest"], facts)


def _cases(inputs: AdapterInputs, answers: Sequence[Sequence[tuple[Tensor, dict[str, Tensor]]]]) -> list[Case]:
    """What the model is given, and what it must answer, for each adapter and batch."""
    return [
        ({INPUT: pixels, **values}, expected)
        for values, answer in zip(inputs.values, answers, strict=True)
        for pixels, expected in answer
    ]


class _Given(nn.Module):
    """Maps pictures and an adapter's tensors to outputs."""

    def __init__(self, base: Base, inputs: AdapterInputs) -> None:
        super().__init__()
        self._names = {name: f"model.{tensor_name(name, inputs.ranks)}" for name in inputs.names}
        self._part = _Named(base)

    def forward(self, pixel_values: Tensor, adapter: dict[str, Tensor]) -> tuple[Tensor, ...]:
        tensors = {self._names[name]: value for name, value in adapter.items()}
        return torch.func.functional_call(self._part, tensors, (pixel_values,))


class _Named(nn.Module):
    """Maps pictures to a base's outputs."""

    def __init__(self, base: Base) -> None:
        super().__init__()
        self.model, self._base = base.model, [base]

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        (base,) = self._base
        return tuple(base.named_outputs(self.model(pixel_values, **base.forward_kwargs(pixel_values))).values())


def _program(view: Base, inputs: AdapterInputs, outputs: list[str]) -> Any:
    twin = type(view)(view.copy_model().to(device="cpu", dtype=torch.float32), view.spec).freeze()
    place_beside(twin.model, inputs.ranks)
    count = torch.export.Dim(KEYPOINTS)
    shapes = {
        INPUT: {0: torch.export.Dim(BATCH)},
        "adapter": {name: {0: count} if name in inputs.free else {} for name in inputs.names},
    }
    return to_program(
        _Given(twin, inputs).eval(), (noise(twin, 2), inputs.values[0]), shapes=shapes,
        inputs=[INPUT, *inputs.names], outputs=outputs, what=f"{view.name} with adapters as inputs",
    )  # fmt: skip


def _answers(
    view: Base, adapter: Adapter | None, category: str | None, batches: Sequence[int]
) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Pictures of noise, and what base and adapter give for them in PyTorch, in float32 on the CPU."""
    twin = type(view)(view.copy_model().to(device="cpu", dtype=torch.float32), view.spec).freeze()
    outputs = _Named(twin)
    names = list(twin.named_outputs(twin.model(noise(twin, 1), **twin.forward_kwargs(noise(twin, 1)))))
    pictures = [noise(twin, count) for count in batches]
    if adapter is None:
        return [(pixels, dict(zip(names, outputs(pixels), strict=True))) for pixels in pictures]
    own = cast(Adapter, twin_of(adapter)).to(device="cpu", dtype=torch.float32)
    with attach(twin, own), use_adapter(twin, category=category):
        return [(pixels, dict(zip(names, outputs(pixels), strict=True))) for pixels in pictures]


def _category(adapter: Adapter, category: str | None) -> str | None:
    """The category to fold in, which must be one of the adapter's; None: the mean of its sentences."""
    if category is None or category == "mean":
        return None
    if adapter.bank is None:
        raise UsageError(f"category '{category}' for {adapter.method}, which reads no sentences", "no category",
                         "leave the category out")  # fmt: skip
    adapter.bank.index(category)
    return category


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise UsageError("no adapter as an input of an ONNX model", "one adapter or more", "give --adapters A,B")
    for name in names:
        if name == NONE or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise UsageError(f"adapter name '{name}' for a file", f"letters, digits, '-', '_' and '.', not '{NONE}'",
                             "give the adapter another name")  # fmt: skip
