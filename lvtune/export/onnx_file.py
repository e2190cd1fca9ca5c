"""Writes a base, or a base with an adapter, as one ONNX file that needs neither lvtune nor torch.

A copy is traced; the base and the adapters attached to it are not changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lvtune.adapters.adapter import Adapter
from lvtune.bases.base import Base, as_base
from lvtune.bases.fingerprint import fingerprint
from lvtune.export.facts import BATCH, INPUT, facts_of
from lvtune.export.onnx_writing import BATCHES, TOLERANCE, check_name, check_packages, to_program, worst_of, write_model
from lvtune.export.own_sentence import resolve_sentence
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.patcher.merging import is_mergeable, merge, noise, twin_of
from lvtune.patcher.shapes import check_fit
from lvtune.storage.base_calibration import AUTO, calibration_for


@dataclass(frozen=True)
class OnnxFile:
    """The result of :func:`export_onnx`."""

    file: Path
    files: tuple[str, ...]
    """Names of the files: the model, its facts, and a file of the weights if they have 2 GB or more."""
    bytes: int
    """Size of all files together."""
    merged: bool
    """True if the adapter was merged into the weights; False if its computation is part of the graph."""
    difference: float
    """Largest difference from PyTorch over all outputs and batches."""
    largest: float
    """Largest value of the output that has this difference."""
    facts: dict[str, Any]
    """The facts of :func:`lvtune.export.facts.facts_of`, and ``checked``, which is in the JSON file only."""


@dataclass(frozen=True)
class _Plan:
    """The model to trace, and the outputs that it must have."""

    base: Base
    adapter: Adapter | None
    """None for a bare base, and for an adapter that is merged into the base."""
    category: str | None
    cases: tuple[tuple[Tensor, dict[str, Tensor]], ...]
    """Pictures, and the outputs of base and adapter in PyTorch."""


def export_onnx(
    base: nn.Module,
    adapter: nn.Module | None,
    file: str | Path,
    *,
    category: str | None = None,
    sentence: str | None = None,
    tolerance: float = TOLERANCE,
    batches: Sequence[int] = BATCHES,
    calibration: str | Path = AUTO,
) -> OnnxFile:
    """Writes an ONNX model and, beside it, ``<file>.json`` with its facts; the base is not changed.

    The model takes ``pixel_values`` (B, 3, H, W) float32, normalised, for any B, and returns ``heatmaps``
    (B, K, h, w); for hands also ``xyz`` (B, 21, 3). It is float32 whatever the precision of the base. The adapter is
    merged into the weights if its method allows it. The sentence that it reads is a constant in the file. The file is
    run by onnxruntime and compared with PyTorch before it is put in place.

    Args:
        base: a base, or a plain ``transformers.VitPoseForPoseEstimation``.
        adapter: made for that base, attached or not; None: the bare base, without what is attached to it.
        file: path that ends in ``.onnx``; an existing file is replaced.
        category: category whose sentence the model reads; None or ``mean``: the mean of the adapter's sentences.
        sentence: your own sentence in its place, embedded by the adapter's text encoder.
        tolerance: largest allowed difference, as a share of an output's largest value.
        batches: sizes of the batches that are compared.
        calibration: what is written of the confidence. ``auto``: the adapter's own, or the one that ships with a bare
            base; ``none``: nothing; a file of ``lvtune evaluate --save-calibration``, for a bare base.

    Raises:
        LvtuneError: a package is missing; the adapter does not fit the base, or does not have the category; the model
            cannot be traced; the file differs by more than ``tolerance``, or cannot be written.
    """
    view, file = as_base(base), Path(file)
    check_name(file)
    check_packages()
    own = cast("Adapter | None", adapter)
    if own is not None:
        check_fit(own, view)
    own, category = resolve_sentence(view, own, category, sentence)
    sure = calibration_for(view, own, calibration)  # of an adapter with a sentence of the user's there is none
    with torch.no_grad():
        plan = _planned(view, own, category, batches)
        facts = facts_of(view, own, category, plan.cases[0][1], fingerprint(view), sure)
        program = _traced(plan, view.name if own is None else f"{view.name} under {own.method}")
    facts["merged"] = own is not None and plan.adapter is None
    cases = [({INPUT: pixels}, expected) for pixels, expected in plan.cases]
    names, size = write_model(program, file, facts, cases, tolerance)
    worst = worst_of(facts)
    return OnnxFile(file, tuple(names), size, facts["merged"], worst["difference"], worst["largest"], facts)


def _planned(view: Base, adapter: Adapter | None, category: str | None, batches: Sequence[int]) -> _Plan:
    """Copies base and adapter in float32 to the CPU, and computes their outputs for pictures of noise there."""
    twin = type(view)(view.copy_model().to(device="cpu", dtype=torch.float32), view.spec).freeze()
    pictures = [noise(twin, count) for count in batches]
    if adapter is None:
        return _Plan(twin, None, None, tuple((pixels, _outputs(twin, pixels)) for pixels in pictures))
    own = cast(Adapter, twin_of(adapter)).to(device="cpu", dtype=torch.float32)
    with attach(twin, own), use_adapter(twin, category=category):
        plan = _Plan(twin, own, category, tuple((pixels, _outputs(twin, pixels)) for pixels in pictures))
    if not is_mergeable(own, twin):
        return plan
    return replace(plan, base=merge(twin, own, category=category).base, adapter=None)


def _outputs(base: Base, pixels: Tensor) -> dict[str, Tensor]:
    return base.named_outputs(base.model(pixels, **base.forward_kwargs(pixels)))


class _Traced(nn.Module):
    """Maps pictures to outputs. The adapter is a submodule, so that its tensors become part of the graph."""

    def __init__(self, base: Base, adapter: nn.Module | None) -> None:
        super().__init__()
        self.base, self.adapter = base, adapter

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        return tuple(_outputs(self.base, pixel_values).values())


def _traced(plan: _Plan, what: str) -> Any:
    """Returns torch's ``ONNXProgram`` of a plan, for any batch size."""
    with contextlib.ExitStack() as stack:
        if plan.adapter is not None:
            stack.enter_context(attach(plan.base, plan.adapter))
            stack.enter_context(use_adapter(plan.base, category=plan.category))
        return to_program(
            _Traced(plan.base, plan.adapter).eval(),
            (noise(plan.base, 2),),  # torch would take a batch of one for a constant
            shapes={INPUT: {0: torch.export.Dim(BATCH)}}, inputs=[INPUT], outputs=list(plan.cases[0][1]), what=what,
        )  # fmt: skip
