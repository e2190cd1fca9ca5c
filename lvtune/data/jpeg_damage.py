"""Hears what the JPEG decoder says of a damaged picture, and tells it once, with the picture's name.

libjpeg decodes a JPEG whose middle is damaged as well as it can, and returns a picture of which a part is wrong. It
says so on stderr alone ("Corrupt JPEG data: premature end of data segment"), and OpenCV hands nothing on. So stderr is
a file while a JPEG is decoded. What anybody else wrote there meanwhile is written to stderr afterwards.

JPEG has no checksum: damage that happens to decode is not noticed. Some cameras write bytes behind the last pixel; of
those libjpeg says the same as of some damage, which is why a run goes on by default.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from lvtune.core.errors import DataError
from lvtune.core.text import printable

Damaged = Literal["note", "stop"]
"""What is done with a picture that the decoder calls damaged: a note, and the run goes on; or an error."""

_STDERR = 2
_MARKS = (b"Corrupt JPEG data", b"Premature end of JPEG file", b"Invalid JPEG file")
_ACTION, _PLACE = "LVTUNE_DAMAGED_PICTURES", "LVTUNE_DAMAGED_LIST"
"""Environment variables, since processes that read pictures see nothing else of the run."""
_lock = threading.Lock()  # one stderr for the whole process
_told: set[str] = set()
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def damaged_pictures(action: Damaged) -> Iterator[Callable[[], list[str]]]:
    """Says what is done inside with damaged pictures, by the processes that read pictures too.

    Yields:
        A function that returns a sentence on each damaged picture so far.
    """
    before = {name: os.environ.get(name) for name in (_ACTION, _PLACE)}
    _told.clear()
    with tempfile.TemporaryDirectory(prefix="lvtune-") as folder:
        place = Path(folder) / "damaged.txt"
        os.environ |= {_ACTION: action, _PLACE: str(place)}
        try:
            yield lambda: _listed(place)
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def decoded(decode: Callable[[], Any], path: str | Path) -> Any:
    """Runs a decoder of a JPEG and returns its result; what libjpeg says is wrong is noted once for each picture.

    Raises:
        DataError: it says something, and the run is to stop at damaged pictures (:func:`damaged_pictures`).
    """
    result, said = listen(decode)
    if said and result is not None:  # None: whoever asked says that it is no picture
        name = printable(str(path))
        if os.environ.get(_ACTION) == "stop":
            raise DataError(
                f"{name}: damaged; the decoder says: {said}", "a whole picture",
                "copy or download it again, save it anew, or take it with --data.damaged note",
            )  # fmt: skip
        _tell(str(path), f"{name} may be damaged, so that a part of it looks wrong (the decoder says: {said})")
    return result


def listen(decode: Callable[[], Any]) -> tuple[Any, str]:
    """Runs a decoder; returns its result and what libjpeg said is wrong, in one line; empty where nothing is."""
    with _lock:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # no stderr at all
            return decode(), ""
        lines: list[bytes] = []
        try:
            with tempfile.TemporaryFile() as file:
                os.dup2(file.fileno(), _STDERR)
                try:
                    result = decode()
                finally:
                    os.dup2(kept, _STDERR)
                    if os.fstat(file.fileno()).st_size:
                        file.seek(0)
                        lines = file.read(2**16).splitlines(keepends=True)
        finally:
            others = b"".join(line for line in lines if not line.startswith(_MARKS))
            if others:
                with contextlib.suppress(OSError):
                    os.write(kept, others)
            os.close(kept)
    said = next((line for line in lines if line.startswith(_MARKS)), b"")
    return result, said.decode(errors="replace").strip()


def _tell(path: str, text: str) -> None:
    if path in _told:
        return
    _told.add(path)
    _log.warning("note: %s", text)
    place = os.environ.get(_PLACE)
    if place:
        with contextlib.suppress(OSError), Path(place).open("a", encoding="utf-8", errors="replace") as file:
            file.write(text.replace("\n", " ") + "\n")


def _listed(place: Path) -> list[str]:
    try:
        return list(dict.fromkeys(place.read_text(encoding="utf-8").splitlines()))
    except OSError:
        return []
