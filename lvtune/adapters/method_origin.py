"""Which package or file a method of an adapter comes from, kept in the adapter file for those who lack it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.adapters.method_registry import METHODS
from lvtune.core.errors import AdapterFileError
from lvtune.core.text import short

if TYPE_CHECKING:
    from torch import nn

ORIGINS = "method_from"
"""Field of an adapter file: method to its origin, for methods that are not lvtune's own. It is left out if empty."""

_OWN = __name__.partition(".")[0]
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FILE = re.compile(r"[\w][\w .-]{0,99}\.py")


def origins_of(adapter: nn.Module) -> dict[str, dict[str, dict[str, str]]]:
    """Returns the entry ``method_from`` of the file of ``adapter``, or nothing if all its methods are lvtune's own.

    An origin is ``{"package": NAME, "version": VERSION}`` of an installed package, or ``{"file": NAME}`` of a file that
    was run by ``--import``. It holds no folder of this machine.
    """
    classes = {type(part) for part in adapter.modules()}
    named = {method: cls for cls in classes if (method := getattr(cls, "method", None)) and method in METHODS}
    found = {name: _origin(cls, name) for name, cls in sorted(named.items()) if not _is_own(cls)}
    return {ORIGINS: found} if found else {}


def _is_own(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == _OWN


def _origin(cls: type, method: str) -> dict[str, str]:
    from importlib.metadata import entry_points, packages_distributions, version

    root = cls.__module__.partition(".")[0]
    packages = [p.dist.name for p in entry_points(group=METHODS.group) if p.name == method and p.dist is not None]
    packages = packages or packages_distributions().get(root, [])
    if packages:
        return {"package": packages[0], "version": version(packages[0])}
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return {"file": Path(file).name} if file else {}


def check_methods(config: Mapping[str, Any]) -> None:
    """Checks that every method which an adapter file needs is known here.

    Args:
        config: of the adapter file.

    Raises:
        AdapterFileError: a method is not known; the error names the package or file that the adapter says it is from.
    """
    stored = config.get(ORIGINS)
    origins: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {}
    for method in dict.fromkeys((*origins, config["method"])):
        if method not in METHODS:
            raise _unknown(method, origins.get(method))


def _unknown(method: str, origin: Any) -> AdapterFileError:
    origin = origin if isinstance(origin, Mapping) else {}
    # the file may come from anyone: nothing but plain names is repeated as something to type
    package, file = _plain(origin.get("package"), _PACKAGE), _plain(origin.get("file"), _FILE)
    version = _plain(origin.get("version"), _PACKAGE)
    given = f"an adapter of method {short(method)}, which is not known here"
    if package:
        release = f"{package} {version}".strip()
        fix = f"if you trust that package, type `pip install {package}`"
        return AdapterFileError(given, f"the package {release}, which the adapter says it was made with", fix)
    if file:
        fix = f"get the file from the maker of the adapter; if you trust it, add `--import {file}`"
        return AdapterFileError(given, f"the file {file}, which the adapter says it was made with", fix)
    return AdapterFileError(
        given, "a method that `lvtune list methods` shows",
        "ask the maker of the adapter for the package or file with the method; then install it or add --import FILE",
    )  # fmt: skip


def _plain(text: Any, pattern: re.Pattern[str]) -> str:
    return text if isinstance(text, str) and pattern.fullmatch(text) else ""
