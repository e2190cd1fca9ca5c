"""Makes ONNX models by torch's exporter, compares them with PyTorch, and puts their files in place.

The exporter is the one on ``torch.export`` (``dynamo=True``), which needs onnxscript. The older exporter, which traces
with TorchScript, is deprecated and would fix the batch size.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lvtune.core.errors import UsageError
from lvtune.core.files import sync_folder, user_errors
from lvtune.export.facts import INPUT, to_metadata

TOLERANCE = 1e-4
"""Largest allowed difference from PyTorch, as a share of an output's largest value."""
BATCHES = (1, 2, 3)
"""Sizes of the batches that are compared with PyTorch."""
OPSET = 18
"""Version of the ONNX operators; torch's exporter writes it without a conversion, and older runtimes read it."""
SUFFIX, FACTS_SUFFIX = ".onnx", ".json"
_ONE_FILE = 1_900_000_000  # bytes; protobuf limits an ONNX file to 2 GiB
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

Case = tuple[Mapping[str, Tensor], Mapping[str, Tensor]]
"""Inputs of the model by name, and what PyTorch gives for them, by name."""


def check_name(file: Path) -> None:
    """Raises a UsageError where a file is not named as an ONNX model."""
    if file.suffix != SUFFIX:
        raise UsageError(f"file '{file}' for an ONNX model", f"a name that ends in {SUFFIX}", f"say {file}{SUFFIX}")


def check_packages() -> None:
    """Raises a UsageError where a package that an export needs is missing."""
    lacking = [name for name in _PACKAGES if find_spec(name) is None]
    if lacking:
        raise UsageError(
            f"an ONNX export without {', '.join(lacking)}", f"{', '.join(_PACKAGES)}, which write, make and check it",
            'pip install "lvtune[onnx]"',
        )  # fmt: skip


def to_program(
    module: nn.Module, arguments: tuple[Any, ...], *, shapes: Mapping[str, Any], inputs: Sequence[str],
    outputs: Sequence[str], what: str,
) -> Any:  # fmt: skip
    """Returns torch's ``ONNXProgram`` of a module.

    Args:
        module: to trace; what it holds besides its arguments becomes constants.
        arguments: of its forward, for tracing.
        shapes: for each argument the axes whose length is free, as in ``torch.export.export``.
        inputs: names of the inputs.
        outputs: names of the outputs.
        what: is traced, for errors.

    Raises:
        UsageError: it cannot be traced.
    """
    with _quiet():
        try:
            program = torch.export.export(module, arguments, dynamic_shapes=dict(shapes), strict=False)
            exported: Any = torch.onnx.export(
                program, dynamo=True, opset_version=OPSET, dynamic_shapes=dict(shapes), verbose=False,
                input_names=list(inputs), output_names=list(outputs),
            )  # fmt: skip
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


def write_model(
    program: Any, file: Path, facts: dict[str, Any], cases: Sequence[Case], tolerance: float,
    beside: Callable[[Path], None] | None = None,
) -> tuple[list[str], int]:  # fmt: skip
    """Writes a model and its facts, compares it with PyTorch, and puts all files in place together.

    Args:
        program: of :func:`to_program`.
        file: of the model.
        facts: go into both files; they get ``checked``, in the JSON file alone.
        cases: that are compared.
        tolerance: largest allowed difference, as a share of an output's largest value.
        beside: writes further files into a folder.

    Returns:
        Names of the files, and their bytes.

    Raises:
        UsageError: an output differs by more; the files cannot be written.
    """
    with user_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as room:
            staged = Path(room) / file.name
            _save(program, staged, facts)
            facts["checked"] = _compared(staged, cases, tolerance)
            staged.with_name(file.name + FACTS_SUFFIX).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            if beside is not None:
                beside(Path(room))
            names = sorted((path.name for path in Path(room).iterdir()), key=lambda name: name == file.name)
            size = sum(path.stat().st_size for path in Path(room).iterdir())
            _put_in_place(Path(room), file, names)
    return names, size


def worst_of(facts: Mapping[str, Any]) -> Mapping[str, float]:
    """Returns ``difference`` and ``largest`` of the output that differs most."""
    return max(facts["checked"]["outputs"].values(), key=_share)


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


def _compared(file: Path, cases: Sequence[Case], tolerance: float) -> dict[str, Any]:
    """Runs the file with onnxruntime, and returns how much each output differs from PyTorch.

    Raises:
        LvtuneError: an output differs by more than ``tolerance``.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    outputs = {name: {"difference": 0.0, "largest": 0.0} for name in cases[0][1]}
    for given, expected in cases:
        feeds = {name: value.numpy() for name, value in given.items()}
        for (name, value), array in zip(expected.items(), session.run(None, feeds), strict=True):
            found = torch.from_numpy(cast(Any, array))
            difference = (value - found).abs() if value.shape == found.shape else torch.tensor(torch.inf)
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
    batches = sorted({len(given[INPUT]) for given, _ in cases})
    return {"outputs": outputs, "tolerance": tolerance, "batches": batches, **versions}
