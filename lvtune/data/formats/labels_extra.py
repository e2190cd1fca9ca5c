"""The libraries of the extra ``labels``, imported where a format needs them."""

from __future__ import annotations

import importlib
from typing import Any

from lvtune.core.errors import DataError

_NAMES = {"sleap_io": "sleap-io", "h5py": "h5py"}


def need(module: str, what: str) -> Any:
    """Imports a library of the extra ``labels``.

    Args:
        module: ``sleap_io`` or ``h5py``.
        what: what is to be read with it, for the error.

    Raises:
        DataError: it is not installed; says what to type.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DataError(
            f"{what} without the library {_NAMES[module]}", "the extra `labels`", 'type pip install "lvtune[labels]"'
        ) from None
