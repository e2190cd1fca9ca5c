"""A base, or a base under an adapter, as one ONNX file that needs neither lvtune nor torch.

torch's exporter is the one by ``torch.export`` (``dynamo=True``): the older one, by tracing with TorchScript, is
deprecated, and would write the size of the traced batch into the file. It needs onnxscript. What is traced is a copy:
the base, and whatever is attached to it, is not touched.
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
from typing import Any

import torch
from torch import Tensor, nn

from lvtune.bases.base import Base, as_base
from lvtune.bases.fingerprint import fingerprint
from lvtune.core.errors import LvtuneError
from lvtune.core.files import user_errors
from lvtune.export.facts import BATCH, INPUT, facts_of, to_metadata
from lvtune.export.own_sentence import reading
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.patcher.merging import merge, noise, twin_of
from lvtune.patcher.shapes import check_fit

TOLERANCE = 1e-4
"""Largest difference from PyTorch, as a share of an output's largest value, that a file may have."""
BATCHES = (1, 2, 3)
"""Sizes of the batches that are compared."""
OPSET = 18
"""Old enough for any runtime of these years; torch's exporter writes it without a conversion."""
SUFFIX, FACTS_SUFFIX = ".onnx", ".json"
_ONE_FILE = 1_900_000_000  # bytes; protobuf, and so an ONNX file, ends at 2 GiB
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class OnnxFile:
    """What :func:`export_onnx` wrote."""

    file: Path
    files: tuple[str, ...]
    """Names of the files written: the model, its facts, and for weights of 2 GB and more these by themselves."""
    bytes: int
    """All of them together."""
    merged: bool
    """Whether the adapter was written into the weights; if not, its own computation is in the graph."""
    difference: float
    """Largest difference from PyTorch over all outputs and batches."""
    largest: float
    """Largest value of the output in which that is."""
    facts: dict[str, Any]
    """As in the file: see :func:`lvtune.export.facts.facts_of`; ``checked`` is beside it alone."""


@dataclass(frozen=True)
class _Plan:
    """What is traced, and what has to come of it."""

    base: Base
    adapter: nn.Module | None
    """None also where it is merged into the base."""
    category: str | None
    cases: tuple[tuple[Tensor, dict[str, Tensor]], ...]
    """Pictures, and what base and adapter make of them in PyTorch."""


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
    """Writes ``file`` and, beside it, ``file.json`` with the facts; the base is not written.

    The model takes ``pixel_values`` (B, 3, H, W) float32, normalised, for any B, and gives ``heatmaps`` (B, K, h, w);
    of hands also ``xyz`` (B, 21, 3). It is float32 whatever the base's precision. The adapter is merged into the
    weights where its method allows that; the sentence it reads is a constant in the file. Before anything is put in
    place, the file is run by onnxruntime and compared with base and adapter in PyTorch.

    Args:
        base: a base, or a plain ``transformers.VitPoseForPoseEstimation``.
        adapter: made for that base, attached or not; None: the bare base, whatever is attached to it.
        file: ends in ``.onnx``; replaced if it exists.
        category: category whose sentence is read; None or ``mean``: the mean of the adapter's sentences.
        sentence: one of your own in its place, embedded by the text encoder of the adapter's.
        tolerance: share of an output's largest value by which the file may differ.
        batches: sizes of the batches that are compared.

    Raises:
        LvtuneError: packages missing; an adapter that does not fit; a category that the adapter does not have; a model
            that cannot be traced, or whose file differs by more than ``tolerance``; a place that cannot be written.
    """
    view, file = as_base(base), Path(file)
    if file.suffix != SUFFIX:
        raise LvtuneError(f"file '{file}' for an ONNX model", f"a name that ends in {SUFFIX}", f"say {file}{SUFFIX}")
    _check_packages()
    if adapter is not None:
        check_fit(adapter, view)
    adapter, category = reading(view, adapter, category, sentence)
    with torch.no_grad():
        plan = _planned(view, adapter, category, batches)
        facts = facts_of(view, adapter, category, plan.cases[0][1], fingerprint(view))
        program = _traced(plan, view.name if adapter is None else f"{view.name} under {adapter.method}")
    facts["merged"] = adapter is not None and plan.adapter is None
    with user_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as room:
            staged = Path(room) / file.name
            _save(program, staged, facts)
            facts["checked"] = _compared(staged, plan.cases, tolerance)
            staged.with_name(file.name + FACTS_SUFFIX).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            # weights first, the model that names them last
            names = sorted((path.name for path in Path(room).iterdir()), key=lambda name: name == file.name)
            size = sum(path.stat().st_size for path in Path(room).iterdir())
            for name in names:
                os.replace(Path(room) / name, file.with_name(name))
    worst = max(facts["checked"]["outputs"].values(), key=_share)
    return OnnxFile(file, tuple(names), size, facts["merged"], worst["difference"], worst["largest"], facts)


def _share(found: Mapping[str, float]) -> float:
    return found["difference"] / found["largest"] if found["largest"] else 0.0


def _check_packages() -> None:
    lacking = [name for name in _PACKAGES if find_spec(name) is None]
    if lacking:
        raise LvtuneError(
            f"an ONNX export without {', '.join(lacking)}", f"{', '.join(_PACKAGES)}, which write, make and check it",
            'pip install "lvtune[onnx]"',
        )  # fmt: skip


def _planned(view: Base, adapter: nn.Module | None, category: str | None, batches: Sequence[int]) -> _Plan:
    """A float32 copy on the CPU, and what base and adapter answer there to pictures of noise."""
    twin = type(view)(view.copy_model().to(device="cpu", dtype=torch.float32), view.spec).freeze()
    pictures = [noise(twin, count) for count in batches]
    if adapter is None:
        return _Plan(twin, None, None, tuple((pixels, _outputs(twin, pixels)) for pixels in pictures))
    own = twin_of(adapter).to(device="cpu", dtype=torch.float32)
    with attach(twin, own), use_adapter(twin, category=category):
        plan = _Plan(twin, own, category, tuple((pixels, _outputs(twin, pixels)) for pixels in pictures))
    try:
        return replace(plan, base=merge(twin, own, category=category).base, adapter=None)
    except LvtuneError:  # what does not come to other weights is traced as it computes
        return plan


def _outputs(base: Base, pixels: Tensor) -> dict[str, Tensor]:
    return base.named_outputs(base.model(pixels, **base.forward_kwargs(pixels)))


class _Traced(nn.Module):
    """Pictures to outputs. The adapter is inside, so that its tensors are the module's own."""

    def __init__(self, base: Base, adapter: nn.Module | None) -> None:
        super().__init__()
        self.base, self.adapter = base, adapter

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        return tuple(_outputs(self.base, pixel_values).values())


def _traced(plan: _Plan, what: str) -> Any:
    """torch's ``ONNXProgram`` of a plan, for any size of batch."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        if plan.adapter is not None:
            stack.enter_context(attach(plan.base, plan.adapter))
            stack.enter_context(use_adapter(plan.base, category=plan.category))
        try:
            program = torch.export.export(
                _Traced(plan.base, plan.adapter).eval(),
                # one picture alone would be taken for a constant
                (noise(plan.base, 2),),
                dynamic_shapes={INPUT: {0: torch.export.Dim(BATCH)}},
                strict=False,
            )
            names = {"input_names": [INPUT], "output_names": list(plan.cases[0][1])}
            axes = {INPUT: {0: BATCH}}
            found = torch.onnx.export(
                program, dynamo=True, opset_version=OPSET, dynamic_shapes=axes, verbose=False, **names
            )
        except Exception as error:  # whatever torch's compiler does not know
            raise LvtuneError(
                f"{what}, which torch {torch.__version__} cannot trace: {type(error).__name__}: "
                f"{str(error).strip().partition(chr(10))[0]}",
                "a model that computes alike for any number of pictures (x.shape[0] in place of len(x))",
                "mend the method or base named there, or use it in PyTorch",
            ) from error
    for node in found.model.graph.all_nodes():
        _forget_origin(node, *node.outputs)
    _forget_origin(found.model.graph, *found.model.graph.inputs, *found.model.graph.outputs)
    return found


def _forget_origin(*parts: Any) -> None:
    """Takes out what torch notes of the run: stack traces, with paths of this machine."""
    for part in parts:
        for name in [name for name in part.metadata_props if name.startswith("pkg.")]:
            del part.metadata_props[name]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's remarks on its own workings away: its libraries' deprecations, and constants not folded."""
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
    """How far the file is from PyTorch.

    Raises:
        LvtuneError: farther than ``tolerance``.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    found = {name: {"difference": 0.0, "largest": 0.0} for name in cases[0][1]}
    for pixels, expected in cases:
        for (name, value), given in zip(expected.items(), session.run(None, {INPUT: pixels.numpy()}), strict=True):
            difference = (
                (value - torch.from_numpy(given)).abs() if value.shape == given.shape else torch.tensor(torch.inf)
            )
            # max() of Python would pass over what is not a number
            found[name]["difference"] = torch.tensor([found[name]["difference"], difference.max()]).max().item()
            found[name]["largest"] = max(found[name]["largest"], value.abs().max().item())
    for name, told in found.items():
        if not told["difference"] <= tolerance * told["largest"]:  # nor what is not a number
            raise LvtuneError(
                f"an ONNX file whose {name} differ from PyTorch by {told['difference']:.2g} (largest value "
                f"{told['largest']:.3g})", f"at most {tolerance:g} of the largest value",
                "give a larger tolerance if that will do; nothing was written",
            )  # fmt: skip
    versions = {"onnxruntime": onnxruntime.__version__, "torch": torch.__version__}
    return {"outputs": found, "tolerance": tolerance, "batches": [len(pixels) for pixels, _ in cases], **versions}
