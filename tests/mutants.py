"""Seeded damage: files with changed bytes, and JSON values with other values in places."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator

ODD = [
    None, True, -1, 0, 10**9, 2**70, 1e300, -0.5, "", "x", "x" * 5000, "\u0000", "\ud800", "\u001b[2J", [], {}, [[]],
    ["x"], {"x": 1}, [None], "(a+)+$", "../../etc/passwd", [1] * 50, {"format_version": 2},
]  # fmt: skip
"""Values that no reader expects."""


def mutants(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """``count`` damaged copies: flipped bits, other bytes, parts cut out, doubled, moved or cut off."""
    rng = random.Random(seed)
    for _ in range(count):
        broken = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            kind, at = rng.randrange(7), rng.randrange(max(1, len(broken)))
            end = min(len(broken), at + rng.choice((1, 2, 4, 8, 64)))
            if not broken:
                break
            if kind == 0:
                broken[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                broken[at] = rng.choice((0, 0xFF, 0x7F, 0x80, ord("["), ord("{"), ord('"'), rng.randrange(256)))
            elif kind == 2:
                del broken[at:end]
            elif kind == 3:
                broken[at:at] = broken[at:end] * rng.choice((1, 2, 50))
            elif kind == 4:
                broken[at:end] = bytes(rng.randrange(256) for _ in range(end - at))
            elif kind == 5:
                del broken[at:]
            else:
                broken[at:end] = broken[-(end - at) :]
        yield bytes(broken)


def changed_values(value: object, count: int, seed: int) -> Iterator[object]:
    """``count`` copies of a JSON value in each of which one or two places hold something odd, or are gone."""
    rng = random.Random(seed)
    for _ in range(count):
        changed = copy.deepcopy(value)
        for _ in range(rng.choice((1, 1, 2))):
            place = rng.choice(list(_places(changed)) or [None])
            if place is None:
                break
            holder, key = place
            if rng.random() < 0.15:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(rng.choice(ODD))
        yield changed


def _places(value: object) -> Iterator[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)
