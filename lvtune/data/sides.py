"""Reads the side of the body from key point names, and pairs each name with its mirror image.

Three readings are tried in this order; each pairs only names that both exist:

1. side words that stand alone: ``left_ear``, ``EarLeft``, ``LHip``, ``eye.L``, ``Rt hip``, ``oreille gauche``;
2. side words that are glued to the rest of the name: ``leftear``, ``eyeleft``;
3. side letters that are glued: ``leye``, ``hipr``, ``pawLF``.

``lower`` or ``rear`` never become a side by themselves: the third reading needs the other name (``rower``, ``lear``).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEFT, MIDDLE, RIGHT = "left", "middle", "right"
_OTHER = {LEFT: RIGHT, RIGHT: LEFT}

_LEFT_WORDS = (
    "left lft lt l links linke linker linkes linken gauche izquierdo izquierda izq sinistro sinistra sx "
    "esquerdo esquerda esq vänster venstre lewy lewa lewe vasen левый левая левое лев 左 왼쪽 왼"
)
_RIGHT_WORDS = (
    "right rgt rt r rechts rechte rechter rechtes rechten droit droite derecho derecha der dcha destro destra dx "
    "direito direita dir höger højre prawy prawa prawe oikea правый правая правое прав 右 오른쪽 오른"
)
_SIDE_OF = {word: LEFT for word in _LEFT_WORDS.split()} | {word: RIGHT for word in _RIGHT_WORDS.split()}
_GLUED = sorted((word for word in _SIDE_OF if len(word) >= 5 or not word.isascii() or word == "left"), key=len)[::-1]
_LETTERS = {"l": LEFT, "r": RIGHT}
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_HUMP = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

Token = tuple[str, str]
"""(side or "", word in lower case)."""
Reading = tuple[Token, ...]


@dataclass(frozen=True)
class NamedSides:
    """What K names say of their sides."""

    pairs: tuple[tuple[int, int], ...]
    """(left, right) indices of names that mirror each other."""
    unpaired: tuple[int, ...]
    """Indices of names that say a side and have no partner."""


def split_words(name: str) -> list[str]:
    """Splits a name at separators, digits and humps: ``LEye_top2`` -> L, Eye, top, 2."""
    return [word for token in _TOKEN.findall(unicodedata.normalize("NFC", name)) for word in _HUMP.split(token)]


def read_side_words(name: str) -> Reading:
    """Reads side words that stand alone: ``LeftEye`` -> (left, ""), ("", eye)."""
    words = [word.casefold() for word in split_words(name)]
    return tuple((_SIDE_OF[word], "") if word in _SIDE_OF else ("", word) for word in words)


def _read_glued_words(name: str) -> Reading:
    """As `read_side_words`, and side words at an end of a word: ``eyeleft`` -> ("", eye), (left, "")."""
    tokens: list[Token] = []
    for side, word in read_side_words(name):
        tokens += [(side, word)] if side else _unglue(word)
    return tuple(tokens)


def _unglue(word: str) -> list[Token]:
    for glued in _GLUED:
        if word.startswith(glued) and len(word) > len(glued):
            return [(_SIDE_OF[glued], ""), ("", word[len(glued) :])]
        if word.endswith(glued) and len(word) > len(glued):
            return [("", word[: -len(glued)]), (_SIDE_OF[glued], "")]
    return [("", word)]


def _letter_readings(name: str) -> list[Reading]:
    """Readings of a name without side words, one for each word that begins or ends with ``l`` or ``r``."""
    words = [word.casefold() for word in split_words(name)]
    found: list[Reading] = []
    for place, word in enumerate(words):
        if len(word) < 2:
            continue
        before, after = [("", w) for w in words[:place]], [("", w) for w in words[place + 1 :]]
        if word[0] in _LETTERS:
            found.append((*before, (_LETTERS[word[0]], ""), ("", word[1:]), *after))
        if word[-1] in _LETTERS:
            found.append((*before, ("", word[:-1]), (_LETTERS[word[-1]], ""), *after))
    return found


def _mirrored(reading: Reading) -> Reading:
    return tuple((_OTHER.get(side, ""), word) for side, word in reading)


def _sides(reading: Reading) -> set[str]:
    return {side for side, _ in reading if side}


def _without_digits(reading: Reading) -> Reading:
    return tuple(token for token in reading if not token[1].isdigit())


def _in_any_order(reading: Reading) -> Reading:
    return tuple(sorted(reading))


def _match(
    open_names: set[int], readings: dict[int, list[Reading]], key: Callable[[Reading], Reading]
) -> list[tuple[int, int]]:
    """Pairs of names of which each is the only mirror image of the other under ``key``."""
    owners: dict[Reading, set[int]] = {}
    for name in sorted(open_names):
        for reading in readings[name]:
            owners.setdefault(key(reading), set()).add(name)
    partners: dict[int, set[int]] = {}
    for name in open_names:
        sided = [reading for reading in readings[name] if _sides(reading)]
        partners[name] = set().union(*(owners.get(key(_mirrored(reading)), set()) for reading in sided)) - {name}
    return [
        (a, b) for a in sorted(open_names) for b in partners[a] if a < b and partners[a] == {b} and partners[b] == {a}
    ]


def _identity(reading: Reading) -> Reading:
    return reading


def read_sides(names: Sequence[str]) -> NamedSides:
    """Pairs the names that mirror each other.

    Every side word of a name is mirrored: ``LeftEyeLeftCorner`` belongs to ``RightEyeRightCorner``. Spellings may
    differ within a pair (``l_hip``, ``Right Hip``), and so may digits where nothing else does (``paw1LH``,
    ``paw4RH``).

    Args:
        names: K key point names.

    Returns:
        The pairs as (left, right) in the order of their first names, and the names with a side but no partner.
    """
    words = {i: [read_side_words(name)] for i, name in enumerate(names)}
    glued = {i: [_read_glued_words(name)] for i, name in enumerate(names)}
    letters = {
        i: _letter_readings(name) if not _sides(glued[i][0]) else glued[i] for i, name in enumerate(names)
    }  # a name whose side is read already has no second one in its letters
    rest = set(range(len(names)))
    chosen: dict[int, tuple[Reading, int]] = {}
    for readings in (words, glued, letters):
        for key in (_identity, _in_any_order, _without_digits):
            for a, b in _match(rest, readings, key):
                reading = next(r for r in readings[a] if any(key(_mirrored(r)) == key(other) for other in readings[b]))
                chosen[a] = (reading, b)
                rest -= {a, b}
    pairs = tuple(
        (a, b) if next(side for side, _ in reading if side) == LEFT else (b, a)
        for a, (reading, b) in sorted(chosen.items())
    )
    return NamedSides(pairs, _unpaired(names, rest, pairs, glued))


def _unpaired(
    names: Sequence[str], rest: set[int], pairs: Sequence[tuple[int, int]], glued: dict[int, list[Reading]]
) -> tuple[int, ...]:
    """Names that say one side and have no partner.

    A word such as ``left`` counts wherever it stands alone. A lone letter, or a glued word, counts only where pairs of
    this skeleton are written in the same way: ``cleft`` or ``vitamin L`` is no side.
    """
    ways = {_way(names[end], glued[end][0]) for pair in pairs for end in pair} | {"word"}
    return tuple(i for i in sorted(rest) if len(_sides(glued[i][0])) == 1 and _way(names[i], glued[i][0]) in ways)


def _way(name: str, glued: Reading) -> str:
    """How a name says its side: ``word``, ``glued`` word or ``letter``."""
    alone = [word for word in split_words(name) if word.casefold() in _SIDE_OF]
    if any(len(word) > 1 or not word.isascii() for word in alone):
        return "word"
    return "glued" if _sides(glued) and not alone else "letter"


def sideless(name: str) -> str:
    """The name without its side words, in lower case, joined by ``_``: ``frontLeftPaw`` -> ``front_paw``."""
    pieces = re.split(r"[\W_]+", unicodedata.normalize("NFC", name))
    return "_".join(filter(None, (_joined(_read_glued_words(piece)) for piece in pieces)))


def sideless_names(names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """`sideless` of K names; side letters that are glued are taken off the names in ``pairs`` only."""
    plain = [sideless(name) for name in names]
    for left, right in pairs:
        if plain[left] != plain[right]:
            both = [{_joined(reading) for reading in _letter_readings(names[end])} for end in (left, right)]
            for shared in sorted(both[0] & both[1]):
                plain[left] = plain[right] = shared
    return tuple(plain)


def _joined(reading: Reading) -> str:
    """The words without the sides; a number stays glued to what stands before it."""
    return re.sub(r"_(?=\d)", "", "_".join(word for side, word in reading if not side))


def repeated(names: Sequence[str]) -> list[str]:
    """Names that stand more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)
