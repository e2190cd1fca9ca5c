"""The facts of an exported model: how to prepare a picture for it, and how to read key points from its outputs.

They are written into the ONNX file (metadata entries ``lvtune.*``, each a JSON value), and into a JSON file beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lvtune.data.codec import CEILING, FLOOR
from lvtune.data.crop import PADDING

if TYPE_CHECKING:
    from torch import Tensor

    from lvtune.adapters.adapter import Adapter
    from lvtune.bases.base import Base
    from lvtune.evaluation.calibration import Calibration

FORMAT_VERSION = 1
PREFIX = "lvtune."
"""Beginning of the names of the metadata entries."""
INPUT = "pixel_values"
BATCH = "batch"
"""Name of the axis of samples."""


def facts_of(
    base: Base,
    adapter: Adapter | None,
    category: str | None,
    outputs: Mapping[str, Tensor],
    fingerprint: str,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """Returns the facts of an exported model, as JSON can hold them.

    Args:
        base: the exported base.
        adapter: exported with it, or None.
        category: category whose sentence the model reads; None: the mean of the adapter's sentences, if it reads any.
        outputs: outputs by name, for a batch of any size.
        fingerprint: fingerprint of the base.
        calibration: of the adapter, or of the base alone: ``maps.plain`` is for the model's heatmaps as they are
            (docs/confidence.md). None: its scores are maxima of heatmaps.
    """
    from lvtune.core.version import __version__

    skeleton = base.skeleton if adapter is None else adapter.skeleton
    codec = base.codec
    return {
        "format_version": FORMAT_VERSION,
        "lvtune_version": __version__,
        "task": base.task,
        "base": {"name": base.name, "hub_id": base.spec.hub_id, "fingerprint": fingerprint},
        "adapter": None if adapter is None else _adapter(adapter, category),
        "input": {
            "name": INPUT,
            "shape": [BATCH, 3, *base.input_size],
            "type": "float32",
            "channels": "RGB",
            "scale": [0, 1],
            "mean": list(base.mean),
            "std": list(base.std),
            "note": base.input_note,
        },
        "crop": {
            "method": "udp",
            "padding": PADDING,
            "padding_of_whole_pictures": 1.0,
            "interpolation": "bilinear",
            "outside": 0,
        },
        "outputs": {name: {"shape": [BATCH, *value.shape[1:]]} for name, value in outputs.items()},
        "decode": {
            "method": "udp-dark",
            "sigma": codec.sigma,
            "blur_kernel": codec.blur_kernel,
            "floor": FLOOR,
            "ceiling": CEILING,
        },
        "calibration": None if calibration is None else calibration.to_dict(),
        "skeleton": {**skeleton.to_dict(), "flip": list(skeleton.flip_index) if skeleton.mirrors else None},
    }


def _adapter(adapter: Adapter, category: str | None) -> dict[str, Any]:
    bank = adapter.bank
    sentence = None if bank is None or category is None else bank.sentences[bank.index(category)]
    return {
        "method": adapter.method,
        "domain": adapter.domain,
        "category": None if bank is None else category or "mean",
        "sentence": sentence,
    }


def to_metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    """Returns the facts as entries of an ONNX file."""
    return {f"{PREFIX}{name}": json.dumps(value) for name, value in facts.items()}


def from_metadata(entries: Mapping[str, str]) -> dict[str, Any]:
    """Returns the facts from entries that :func:`to_metadata` made; other entries are ignored.

    Args:
        entries: entries of a file, such as onnxruntime's ``session.get_modelmeta().custom_metadata_map``.
    """
    return {name[len(PREFIX) :]: json.loads(value) for name, value in entries.items() if name.startswith(PREFIX)}
