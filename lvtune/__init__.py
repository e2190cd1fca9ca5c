"""lvtune: parameter-efficient language-vision tuning of frozen pose estimators.

Names are loaded when they are first used, so that ``import lvtune`` brings in neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import Any

from lvtune.core.errors import LvtuneError
from lvtune.core.version import __version__

_HOMES = {
    "AdaptReport": "lvtune.api.adapting",
    "AdapterPool": "lvtune.hub.pool",
    "Adapter": "lvtune.adapters.adapter",
    "AddToOutput": "lvtune.bases.changes",
    "Attachment": "lvtune.patcher.attaching",
    "Auto": "lvtune.patcher.automatic",
    "ExtendKeyValue": "lvtune.bases.changes",
    "Gate": "lvtune.patcher.gate",
    "InsertTokens": "lvtune.bases.changes",
    "Pose": "lvtune.prediction.pose",
    "Recipe": "lvtune.api.recipe",
    "ReplaceForward": "lvtune.bases.changes",
    "UDPHeatmap": "lvtune.data.codec",
    "VideoOptions": "lvtune.prediction.video_options",
    "adapt": "lvtune.api.adapting",
    "attach": "lvtune.patcher.attaching",
    "attached": "lvtune.patcher.attaching",
    "average": "lvtune.adapters.combining",
    "warm_start": "lvtune.hub.starts",
    "combine": "lvtune.adapters.combining",
    "compare": "lvtune.experiments.comparing",
    "convert_vitpose": "lvtune.export.foreign_models",
    "convert_vlpose": "lvtune.export.foreign_models",
    "create_adapter": "lvtune.adapters.factory",
    "detach": "lvtune.patcher.attaching",
    "evaluate": "lvtune.api.evaluating",
    "export_onnx": "lvtune.export.onnx_file",
    "export_onnx_adapters": "lvtune.export.onnx_adapters",
    "fingerprint": "lvtune.bases.fingerprint",
    "fix_sentence": "lvtune.adapters.combining",
    "grow": "lvtune.adapters.growing",
    "join": "lvtune.adapters.joining",
    "list_bases": "lvtune.bases.base_registry",
    "list_domains": "lvtune.domains",
    "list_methods": "lvtune.adapters.method_registry",
    "list_text_encoders": "lvtune.language",
    "load_adapter": "lvtune.hub.adapter_loading",
    "load_base": "lvtune.bases.base_registry",
    "merge": "lvtune.patcher.merging",
    "predict": "lvtune.api.predicting",
    "predict_stream": "lvtune.api.predicting",
    "pull_adapter": "lvtune.hub.remote",
    "push_adapter": "lvtune.hub.publish",
    "register_base": "lvtune.bases.base_registry",
    "register_domain": "lvtune.domains",
    "register_method": "lvtune.adapters.method_registry",
    "register_objective": "lvtune.training.objectives",
    "register_text_encoder": "lvtune.language",
    "reproduce": "lvtune.experiments.reproducing",
    "save_adapter": "lvtune.storage.store",
    "stack": "lvtune.adapters.combining",
    "use_adapter": "lvtune.patcher.attaching",
}

__all__ = ["LvtuneError", "__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lvtune' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    if name in ("create_adapter", "load_adapter"):
        importlib.import_module("lvtune.hub.publish")  # gives adapters their push_to_hub
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
