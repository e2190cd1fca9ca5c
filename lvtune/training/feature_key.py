"""What cached features depend on: the base, the precision, the data, the transform and the libraries."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from lvtune.bases.fingerprint import fingerprint
from lvtune.core.version import __version__

if TYPE_CHECKING:
    from lvtune.bases.base import Base

LIBRARIES = ("torch", "transformers", "timm", "opencv-python-headless")
"""Their versions may change pixels or features."""


def described(base: Base, data: Any, precision: str) -> dict[str, Any]:
    """Returns facts that name an entry of the cache; the pixels themselves are marked in each row.

    Args:
        base: its weights count, those of its head too.
        data: ``fingerprint`` describes pictures and transform where it is there, else class and length.
        precision: mixed precision of the run.
    """
    mark = getattr(data, "fingerprint", None)
    return {
        "base": base.name,
        "fingerprint": fingerprint(base),
        "input_size": list(base.input_size),
        "precision": [precision, str(base.dtype), base.device.type],
        "data": mark if isinstance(mark, str) else f"{type(data).__name__} of {len(data)}",
        "libraries": {"lvtune": __version__, **{name: _version(name) for name in LIBRARIES}},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
