"""Knows every label format by name, and finds out which one a path holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lvtune.core.errors import DataError, LvtuneError
from lvtune.core.registry import Registry
from lvtune.core.text import printable, short
from lvtune.data.formats.json_files import forget
from lvtune.data.formats.label_project import LabelProject


@dataclass(frozen=True)
class LabelFormat:
    """One tool's files."""

    title: str
    """Name of the tool."""
    looks_for: str
    """The files that it is recognised by, for errors and docs."""
    entry: Callable[[Path], Path | None]
    """Returns the file or folder to read, for a path that may hold this format; None: it does not."""
    read: Callable[[Path, Sequence[Path]], LabelProject]
    """Reads what `entry` returned; pictures may also lie in further folders."""


FORMATS: Registry[LabelFormat] = Registry("label format", listing="lvtune convert --help")
"""Format name to format, in the order in which they are tried."""


def detect(path: str | Path) -> tuple[str, Path] | None:
    """Finds out which format a file or folder holds.

    Args:
        path: a project folder, or one of its files.

    Returns:
        (name in `FORMATS`, file or folder to read); None where nothing is recognised.
    """
    given = Path(path)
    for name in FORMATS.names():
        entry = FORMATS.get(name).entry(given)
        if entry is not None:
            return name, entry
    return None


def read_project(path: str | Path, pictures: str | Path | None = None) -> LabelProject:
    """Reads the labels of whatever tool the files are from; the files stay as they are.

    Args:
        path: a project folder, or one of its files.
        pictures: folder with the pictures, where it is not that of the labels.

    Raises:
        DataError: no such path; no format is recognised (what was looked for is named); a fault of the files; the
            extra `labels` is needed and not installed.
    """
    given = Path(path)
    if not given.exists():
        raise DataError(f"no file or folder at {given}", "a labelled project", "check the path")
    try:
        found = detect(given)
    except LvtuneError:
        raise
    except Exception as error:
        raise _unreadable(given, "a labelling tool", error) from error
    if found is None:
        raise DataError(
            f"{given}, in which no labels were recognised",
            "one of: " + "; ".join(f"{one.title} ({one.looks_for})" for one in map(FORMATS.get, FORMATS.names())),
            "give the folder that holds the labels, or COCO's JSON by --annotations FILE.json",
        )
    name, entry = found
    try:
        return FORMATS.get(name).read(entry, [] if pictures is None else [Path(pictures)])
    except LvtuneError:
        raise
    except Exception as error:
        raise _unreadable(entry, FORMATS.get(name).title, error) from error
    finally:
        forget()


def _unreadable(path: Path, tool: str, error: Exception) -> DataError:
    """The error of labels with damage that no reader has thought of; readers name what they do know."""
    return DataError(
        f"labels in {printable(str(path))} that are not as {tool} writes them "
        f"({type(error).__name__}: {short(error, quote=False)})", "undamaged labels",
        "copy them again, or export them anew from the tool",
    )  # fmt: skip
