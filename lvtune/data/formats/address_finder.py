"""Finds the picture that an address of Label Studio means: as it stands, or with percent signs decoded.

Label Studio decodes the addresses of its own pictures (`/data/local-files/?d=`, `/data/upload/`), and those that it
makes are encoded: `a b.png` is `a%20b.png`. Tasks that a person wrote need not be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from lvtune.core.text import counted
from lvtune.data.formats.picture_finder import PictureFinder, plain_name

_LOCAL = re.compile(r"^.*/data/local-files/?\?d=")
_SERVER = re.compile(r"^https?://[^/]*(?=/data/upload/)", re.IGNORECASE)
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")


class AddressFinder(PictureFinder):
    """Looks for pictures by their addresses, also without the eight letters that an upload puts before a name."""

    _is_encoded = False

    def learn(self, addresses: Iterable[str]) -> list[str]:
        """Finds out whether percent signs stand for other characters, where both readings are a picture.

        Addresses of one export are written in one way: those that are a picture in one reading alone decide.

        Returns:
            A sentence about addresses that could be two pictures.
        """
        encoded = plain = 0
        unclear = []
        for address in dict.fromkeys(one for one in addresses if "%" in one):
            name = _path(address)
            as_it_is, decoded = self._look(name), self._look(_decoded(name))
            if as_it_is is not None and decoded is not None and as_it_is != decoded:
                unclear.append(address)
            elif as_it_is != decoded:
                encoded += as_it_is is None
                plain += decoded is None
        self._is_encoded = encoded > 0 and plain == 0
        if not unclear:
            return []
        how = (
            "decoded, as those of the others" if self._is_encoded else "read as they stand; rename one of the two files"
        )
        return [
            f"{counted(len(unclear), 'address', 'addresses')} could be two pictures each, such as {unclear[0]}: "
            f"percent signs are {how}"
        ]

    def find(self, name: str, least: int = 1) -> Path | None:
        """Returns the file, or None."""
        path = _path(name)
        tries = [_decoded(path), path] if self._is_encoded else [path, _decoded(path)]
        for text in dict.fromkeys(tries):
            guesses, found = self.guesses, self._found(text, least)
            if found is not None:
                # a decoded name is another one than the labels give, and the picture of that name may be there too
                self.guesses = max(self.guesses, guesses + (text != path))
                return found
        return None

    def key(self, name: str) -> str:
        """Returns the address without its server and without Label Studio's own path."""
        return plain_name(_path(name))

    def _look(self, text: str) -> Path | None:
        """The file, uncounted."""
        before = self.moved, self.guesses
        found = self._found(text, 1)
        self.moved, self.guesses = before
        return found

    def _found(self, text: str, least: int) -> Path | None:
        found = super().find(text, least)
        folder, slash, last = text.rpartition("/")
        if found is None and _UPLOADED.match(last):
            found = super().find(folder + slash + _UPLOADED.sub("", last), least)
        return found


def _path(address: str) -> str:
    return _SERVER.sub("", _LOCAL.sub("", address))


def _decoded(path: str) -> str:
    # names that are no text in UTF-8 are written as they lie on the disk
    return path if "://" in path else unquote(path, errors="surrogateescape")
