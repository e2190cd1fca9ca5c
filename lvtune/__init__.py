"""lvtune: parameter-efficient language-vision tuning of frozen pose estimators.

Names are loaded when they are first used, so that ``import lvtune`` brings in neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import Any

from lvtune.errors import LvtuneError

__version__ = "0.1.0"

_HOMES = {
    "AdaptReport": "lvtune.api",
    "AdapterPool": "lvtune.hub.pool",
    "Attachment": "lvtune.patcher",
    "Auto": "lvtune.automatic",
    "Pose": "lvtune.api",
    "Recipe": "lvtune.recipe",
    "UDPHeatmap": "lvtune.data.codec",
    "adapt": "lvtune.api",
    "attach": "lvtune.patcher",
    "attached": "lvtune.patcher",
    "average": "lvtune.combining",
    "begin": "lvtune.starts",
    "combine": "lvtune.combining",
    "compare": "lvtune.api.comparing",
    "convert_vitpose": "lvtune.convert",
    "convert_vlpose": "lvtune.convert",
    "create_adapter": "lvtune.adapters",
    "detach": "lvtune.patcher",
    "evaluate": "lvtune.api",
    "export_onnx": "lvtune.export.onnx_file",
    "fingerprint": "lvtune.hub.fingerprint",
    "fix_prompt": "lvtune.combining",
    "list_bases": "lvtune.bases",
    "list_domains": "lvtune.domains",
    "list_methods": "lvtune.adapters",
    "list_text_encoders": "lvtune.language",
    "load_adapter": "lvtune.hub.store",
    "load_base": "lvtune.bases",
    "merge": "lvtune.merging",
    "predict": "lvtune.api",
    "pull_adapter": "lvtune.hub.remote",
    "push_adapter": "lvtune.hub.publish",
    "register_base": "lvtune.bases",
    "register_domain": "lvtune.domains",
    "register_method": "lvtune.adapters",
    "register_text_encoder": "lvtune.language",
    "reproduce": "lvtune.api.reproducing",
    "save_adapter": "lvtune.hub.store",
    "stack": "lvtune.combining",
    "use_adapter": "lvtune.patcher",
}

__all__ = ["LvtuneError", "__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lvtune' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
