"""Makes an 8-bit ONNX model of a float32 one by onnxruntime's static quantisation.

Weights become int8 (one scale a channel), activations uint8, with scales from pictures of the user's own. Products of
two activations, inside the attention, stay float32: there quantising costs accuracy and gains nothing
(benchmarks/README.md). Layer norms, softmax and the head's transposed convolutions stay float32 too.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvtune.core.errors import UsageError
from lvtune.core.files import user_errors
from lvtune.export.facts import INPUT
from lvtune.export.onnx_writing import check_packages

_KINDS = ("MatMul", "Gemm", "Conv")


class OnnxModel:
    """An ONNX file in onnxruntime, on as many threads as torch has."""

    def __init__(self, file: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def heatmaps(self, pixels: np.ndarray) -> np.ndarray:
        """Returns heatmaps (B, K, h, w) of normalised pictures (B, 3, H, W) float32."""
        return np.asarray(self._session.run(None, {INPUT: pixels})[0])


def quantise(model: Path, file: Path, batches: Sequence[np.ndarray]) -> Path:
    """Writes the 8-bit model of a float32 one.

    Args:
        model: of :func:`lvtune.export.onnx_file.export_onnx`.
        file: to write; replaced in one step.
        batches: normalised pictures (B, 3, H, W) float32, from which the ranges of the activations are taken.

    Raises:
        UsageError: a package is missing; no pictures; the file cannot be written.
    """
    check_packages()
    if not sum(len(batch) for batch in batches):
        raise UsageError(
            "no pictures to calibrate with", "some of those that the model will see", "give --calibrate DIR"
        )
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with user_errors(file), tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as room:
        prepared, made = Path(room) / "prepared.onnx", Path(room) / file.name
        with _quiet():
            quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
            kept = _products_of_activations(onnx.load(str(prepared), load_external_data=False))
            quantize_static(
                str(prepared), str(made), _reader(batches), quant_format=QuantFormat.QDQ, per_channel=True,
                op_types_to_quantize=list(_KINDS), weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
                nodes_to_exclude=kept,
            )  # fmt: skip
        _copy_facts(onnx, model, made)
        os.replace(made, file)
    return file


def _products_of_activations(model: Any) -> list[str]:
    """Names of the products in which neither side is a weight."""
    weights = {one.name for one in model.graph.initializer}
    return [n.name for n in model.graph.node if n.op_type in ("MatMul", "Gemm") and not weights & set(n.input)]


def _reader(batches: Sequence[np.ndarray]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._waiting = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._waiting, None)
            return None if batch is None else {INPUT: batch}

    return Reader()


def _copy_facts(onnx: Any, model: Path, made: Path) -> None:
    """The quantiser drops the entries that say how to use the model."""
    entries = onnx.load(str(model), load_external_data=False).metadata_props
    new = onnx.load(str(made))
    kept = {one.key for one in new.metadata_props}
    onnx.helper.set_model_props(
        new,
        {one.key: one.value for one in new.metadata_props}
        | {one.key: one.value for one in entries if one.key not in kept},
    )
    onnx.save(new, str(made))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides the quantiser's own messages."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
