"""Writes a base, or a base with an adapter, as one ONNX file that needs neither lvtune nor torch.

The file is made by torch's exporter on ``torch.export`` (``dynamo=True``), which needs onnxscript. The older exporter,
which traces with TorchScript, is deprecated and would fix the batch size. A copy is traced; the base and the adapters
attached to it are not changed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lvtune.adapters.adapter import Adapter
from lvtune.bases.base import Base, as_base
from lvtune.bases.fingerprint import fingerprint
from lvtune.core.errors import UsageError
from lvtune.core.files import sync_folder, user_errors
from lvtune.export.facts import BATCH, INPUT, facts_of, to_metadata
from lvtune.export.own_sentence import resolve_sentence
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.patcher.merging import is_mergeable, merge, noise, twin_of
from lvtune.patcher.shapes import check_fit

TOLERANCE = 1e-4
"""Largest allowed difference from PyTorch, as a share of an output's largest value."""
BATCHES = (1, 2, 3)
"""Sizes of the batches that are compared with PyTorch."""
OPSET = 18
"""Version of the ONNX operators; torch's exporter writes it without a conversion, and older runtimes read it."""
SUFFIX, FACTS_SUFFIX = ".onnx", ".json"
_ONE_FILE = 1_900_000_000  # bytes; protobuf limits an ONNX file to 2 GiB
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


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

    Raises:
        LvtuneError: a package is missing; the adapter does not fit the base, or does not have the category; the model
            cannot be traced; the file differs by more than ``tolerance``, or cannot be written.
    """
    view, file = as_base(base), Path(file)
    if file.suffix != SUFFIX:
        raise UsageError(f"file '{file}' for an ONNX model", f"a name that ends in {SUFFIX}", f"say {file}{SUFFIX}")
    check_packages()
    own = cast("Adapter | None", adapter)
    if own is not None:
        check_fit(own, view)
    own, category = resolve_sentence(view, own, category, sentence)
    with torch.no_grad():
        plan = _planned(view, own, category, batches)
        facts = facts_of(view, own, category, plan.cases[0][1], fingerprint(view))
        program = _traced(plan, view.name if own is None else f"{view.name} under {own.method}")
    facts["merged"] = own is not None and plan.adapter is None
    with user_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as room:
            staged = Path(room) / file.name
            _save(program, staged, facts)
            facts["checked"] = _compared(staged, plan.cases, tolerance)
            staged.with_name(file.name + FACTS_SUFFIX).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            names = sorted((path.name for path in Path(room).iterdir()), key=lambda name: name == file.name)
            size = sum(path.stat().st_size for path in Path(room).iterdir())
            _put_in_place(Path(room), file, names)
    worst = max(facts["checked"]["outputs"].values(), key=_share)
    return OnnxFile(file, tuple(names), size, facts["merged"], worst["difference"], worst["largest"], facts)


def _put_in_place(room: Path, file: Path, names: Sequence[str]) -> None:
    """Renames the files; a kill at any moment leaves no model beside the facts or the weights of another one."""
    facts = file.name + FACTS_SUFFIX
    file.with_name(facts).unlink(missing_ok=True)
    if set(names) - {file.name, facts}:  # weights of their own, to which the model refers
        file.unlink(missing_ok=True)
    sync_folder(file.parent)
    for name in sorted(names, key=lambda name: (name == facts, name == file.name)):
        os.replace(room / name, file.with_name(name))
    sync_folder(file.parent)


def _share(output: Mapping[str, float]) -> float:
    return output["difference"] / output["largest"] if output["largest"] else 0.0


def check_packages() -> None:
    """Raises a UsageError where a package that an export needs is missing."""
    lacking = [name for name in _PACKAGES if find_spec(name) is None]
    if lacking:
        raise UsageError(
            f"an ONNX export without {', '.join(lacking)}", f"{', '.join(_PACKAGES)}, which write, make and check it",
            'pip install "lvtune[onnx]"',
        )  # fmt: skip


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
        stack.enter_context(_quiet())
        if plan.adapter is not None:
            stack.enter_context(attach(plan.base, plan.adapter))
            stack.enter_context(use_adapter(plan.base, category=plan.category))
        try:
            program = torch.export.export(
                _Traced(plan.base, plan.adapter).eval(),
                # torch would take a batch of one for a constant
                (noise(plan.base, 2),),
                dynamic_shapes={INPUT: {0: torch.export.Dim(BATCH)}},
                strict=False,
            )
            exported: Any = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes={INPUT: {0: BATCH}},
                verbose=False,
                input_names=[INPUT],
                output_names=list(plan.cases[0][1]),
            )
        except Exception as error:  # torch's compiler raises many kinds
            raise UsageError(
                f"{what}, which torch {torch.__version__} cannot trace: {type(error).__name__}: "
                f"{str(error).strip().partition(chr(10))[0]}",
                "a model whose computation is the same for any number of pictures (x.shape[0] in place of len(x))",
                "correct the method or base named there, or use it in PyTorch",
            ) from error
    for node in exported.model.graph.all_nodes():
        _forget_origin(node, *node.outputs)
    _forget_origin(exported.model.graph, *exported.model.graph.inputs, *exported.model.graph.outputs)
    return exported


def _forget_origin(*parts: Any) -> None:
    """Removes torch's notes about the export: stack traces, with paths of this machine."""
    for part in parts:
        for name in [name for name in part.metadata_props if name.startswith("pkg.")]:
            del part.metadata_props[name]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides the exporter's own messages: deprecations of its libraries, and constants that it did not fold."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _save(program: Any, file: Path, facts: Mapping[str, Any]) -> None:
    program.model.metadata_props.update(to_metadata(facts))
    weights = sum(value.const_value.nbytes for value in program.model.graph.initializers.values())
    program.save(str(file), external_data=weights > _ONE_FILE)


def _compared(file: Path, cases: Sequence[tuple[Tensor, Mapping[str, Tensor]]], tolerance: float) -> dict[str, Any]:
    """Runs the file with onnxruntime, and returns how much each output differs from PyTorch.

    Raises:
        LvtuneError: an output differs by more than ``tolerance``.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    outputs = {name: {"difference": 0.0, "largest": 0.0} for name in cases[0][1]}
    for pixels, expected in cases:
        for (name, value), array in zip(expected.items(), session.run(None, {INPUT: pixels.numpy()}), strict=True):
            given = torch.from_numpy(cast(Any, array))
            difference = (value - given).abs() if value.shape == given.shape else torch.tensor(torch.inf)
            # Python's max() would ignore NaN
            outputs[name]["difference"] = torch.tensor([outputs[name]["difference"], difference.max()]).max().item()
            outputs[name]["largest"] = max(outputs[name]["largest"], value.abs().max().item())
    for name, one in outputs.items():
        if not one["difference"] <= tolerance * one["largest"]:  # true for NaN too
            raise UsageError(
                f"an ONNX file whose {name} differ from PyTorch by {one['difference']:.2g} (largest value "
                f"{one['largest']:.3g})", f"at most {tolerance:g} of the largest value",
                "give a larger tolerance if that is acceptable; nothing was written",
            )  # fmt: skip
    versions = {"onnxruntime": onnxruntime.__version__, "torch": torch.__version__}
    return {"outputs": outputs, "tolerance": tolerance, "batches": [len(pixels) for pixels, _ in cases], **versions}
