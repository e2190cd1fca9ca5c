"""Imports Python files of the user, given by ``--import FILE``, before a command runs."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from lvtune.core.errors import UsageError


def import_files(argv: Sequence[str]) -> None:
    """Imports every file that ``--import`` names in ``argv``, in this order.

    They are imported before the command line is parsed, because a method registers its options when it is imported.

    Raises:
        UsageError: a file is missing or raises an error.
    """
    scan = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    scan.add_argument("--import", action="append", dest="files", default=[])
    try:
        files = scan.parse_known_args(argv)[0].files
    except argparse.ArgumentError:
        return  # a value is missing; the command's own parser says so
    for file in files:
        _import(file)


def _import(file: str) -> None:
    path = Path(file).expanduser()
    if path.suffix != ".py" or not path.is_file():
        what = "which does not exist" if path.suffix == ".py" else "which is no Python file"
        raise UsageError(f"--import {file}, {what}", "a Python file", "give the path of a file that ends in .py")
    path = path.resolve()
    # a name of its own, so that a file called torch.py stands in nobody's way
    name = f"lvtune_import_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--import {file}, for which Python has no loader", "a Python file", "give another file")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # the file may import its neighbours; they hide no other module
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        # stdout holds the command's answer alone
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise UsageError(
            f"--import {file}, which fails with {reason}{_line(error, path)}",
            "a Python file that runs without an error",
            "correct the file; --debug shows the traceback",
        ) from error


def _line(error: BaseException, path: Path) -> str:
    """Names the last line of the file that was running."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f" (line {lines[-1]})" if lines else ""
