"""Damages files of every kind: only errors of lvtune's come out, and what has a checksum is never silently wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from mutants import changed_values, mutants

from attacks.file_kinds import Kind
from attacks.tally import Tally, in_child
from lvtune.data.formats import hdf5_check


def damaged(kind: Kind, count: int, seed: int, folder: Path) -> Tally:
    """Reads ``count`` damaged copies of a file; JSON gets other values in every other trial.

    Where a file has a checksum, each must be refused, made again, or give what was written.
    """
    place = folder / kind.name.replace(" ", "-").replace(":", "").replace(",", "")
    place.mkdir(parents=True)

    def work(tally: Tally) -> None:
        sound = kind.make(place)
        whole = sound.file.read_bytes()
        # warm, and sound at all
        right = sound.exact or (lambda found: True)
        assert right(sound.read()), f"{kind.name} is not read at all"
        hdf5_check.SECONDS = 5.0  # a refusal is right in any case, and the library loops in some of these files
        with hdf5_check.one_reader():  # else one is started for each
            for number, broken in enumerate(_copies(whole, count, seed)):
                if broken == whole:
                    continue
                sound.before()
                # a new file each time: what is mapped into memory must not change under its reader
                sound.file.unlink(missing_ok=True)
                sound.file.write_bytes(broken)
                tally.only_ours(f"{kind.name}, seed {seed}, trial {number}", sound.read, right)

    try:
        return in_child(kind.name, work)
    finally:
        shutil.rmtree(place, ignore_errors=True)


TEXT_BOMBS = (
    b"[" * 20_000, b'{"a":' * 20_000, b"a:\n" + b"".join(b" " * i + b"a:\n" for i in range(300)),
    b'{"seed": ' + b"9" * 5000 + b"}", b"seed: " + b"9" * 5000, b"[1e400, NaN, -Infinity]", b'{"a": "\\ud800"}',
    b"\x00",
    b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % (c, c, *[c - 1] * 8) for c in b"bcdefghij"),
    b"a: 2001-99-99\n", b"? [a, b]\n: c\n", b"a: !!python/object/apply:os.getcwd []\n", b"x" * 300_000,
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">'
    + b"".join(b'<!ENTITY b%d "%s">' % (i, b"&b%s;" % (b"%d" % (i - 1) if i else b"") * 10) for i in range(9))
    + b"]><annotations>&b8;</annotations>", b"<a>" * 20_000,
)  # fmt: skip
"""Nesting, aliases, entities, numbers, dates and texts that exhaust a reader; each reader of text gets them all."""


def _copies(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    if whole[:2_000].isascii() and b"\x00" not in whole:
        yield from TEXT_BOMBS
    try:
        values = json.loads(whole)
    except ValueError:
        yield from mutants(whole, count, seed)
        return
    yield from mutants(whole, count - count // 2, seed)
    for changed in changed_values(values, count // 2, seed):
        yield json.dumps(changed).encode("utf-8", "surrogatepass")
