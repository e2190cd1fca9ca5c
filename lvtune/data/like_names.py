"""Finds for a new key point the known ones that are named like it, or mean the like on another body.

``snout`` is like ``nose``, ``left_ear_base`` like ``left_ear``, ``left_forepaw`` like ``left_wrist``. A name without a
side is like both sides of a known one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lvtune.data.sides import MIDDLE, split_words
from lvtune.data.skeletons import Skeleton

_MEANINGS: dict[str, str] = {
    "nose": "nose snout muzzle beak bill rostrum nosetip noze nostril nostrils trunk mouth lip lips chin jaw nares",
    "eye": "eye eyes pupil eyelid",
    "ear": "ear ears earbase eartip pinna antenna antennae horn",
    "head": "head skull crown forehead headtop headcenter headcentre face hat",
    "neck": "neck throat nape withers collar cervical",
    "shoulder": "shoulder shoulders scapula humerus armbase wing wingbase",
    "elbow": "elbow elbows",
    "wrist": "wrist wrists hand hands palm carpus forepaw forepaws frontpaw forefoot frontfoot finger wingtip",
    "hip": "hip hips pelvis rump croup haunch tailbase tailroot tailstart tailset coccyx",
    "knee": "knee knees stifle",
    "ankle": "ankle ankles foot feet hindpaw hindpaws backpaw backpaws rearpaw hindfoot hock heel toe toes tarsus",
}
"""Part of a body to words for it, or for its like on other bodies."""
_PART_OF = {word: part for part, words in _MEANINGS.items() for word in words.split()}
_LIMB_ENDS = frozenset(("paw", "paws", "hoof", "hooves", "claw", "limb", "leg", "legs"))
_FRONT = frozenset(("front", "fore", "anterior", "lf", "rf", "f"))  # paw2LF: left front
_HIND = frozenset(("hind", "rear", "back", "posterior", "lh", "rh", "h"))
_TAIL_BASE = frozenset(("base", "root", "start", "set"))
_NEAREST: dict[str, tuple[str, ...]] = {
    "nose": ("head",), "eye": ("nose", "head"), "ear": ("eye", "head"), "head": ("nose", "eye", "ear"),
    "neck": ("shoulder",), "shoulder": ("neck",),
}  # fmt: skip
"""Part to the parts that take its place where a skeleton lacks it, the nearest first."""
_GENERIC = frozenset((
    "base", "tip", "top", "bottom", "left", "right", "front", "back", "middle", "mid", "center", "centre", "upper",
    "lower", "inner", "outer", "fore", "hind", "rear", "start", "end", "point", "joint", "of", "the", "a", "marker",
    "kp", "keypoint",
))  # fmt: skip
"""Words that say nothing of the part of the body."""
LEAST_ALIKE = 0.5
"""Cosine of two names' sentences from which on they count as of like meaning."""


@dataclass(frozen=True)
class LikeRow:
    """The known key points that a new one is like."""

    sources: tuple[int, ...]
    """Indices of the known ones; several are averaged."""
    how: str
    """``name``, ``part`` (of the body) or ``sentence``."""


Likeness = Callable[[Sequence[str], Sequence[str]], np.ndarray]
"""(N names, M names) to their cosines (N, M)."""


def like_rows(wanted: Skeleton, known: Skeleton, likeness: Likeness | None = None) -> dict[int, LikeRow]:
    """Finds the known key points that the new ones are like; a name that both have is not new.

    Args:
        wanted: the skeleton with new key points.
        known: the skeleton of the base.
        likeness: asked for the names of which neither words nor parts say anything.

    Returns:
        Index of each new key point to what it is like; those without a like are left out.
    """
    new = [i for i, name in enumerate(wanted.keypoints) if name not in known.keypoints]
    found: dict[int, LikeRow] = {}
    for i in new:
        for how, names in (("name", _same_words(wanted.sideless[i], known)), ("part", _same_part(wanted, i, known))):
            if names and i not in found:
                found[i] = LikeRow(_of_side(names, wanted.sides[i], known), how)
    open_names = [i for i in new if i not in found]
    if likeness is None or not open_names:
        return found
    cosines = likeness([_plain(wanted.sideless[i]) for i in open_names], [_plain(n) for n in known.sideless])
    for i, row in zip(open_names, cosines, strict=True):
        best = float(row.max())
        if best >= LEAST_ALIKE:
            alike = [k for k in range(len(row)) if row[k] >= best - 1e-6]
            found[i] = LikeRow(_of_side(alike, wanted.sides[i], known), "sentence")
    return found


def _plain(name: str) -> str:
    return " ".join(_words(name)) or name


def _words(name: str) -> list[str]:
    return [word.casefold() for word in split_words(name) if not word.isdigit()]


def _same_words(name: str, known: Skeleton) -> list[int]:
    """Known key points all of whose telling words are in a name, or the other way round; the most words first."""
    own = set(_words(name)) - _GENERIC
    shared = {i: set(_words(other)) - _GENERIC for i, other in enumerate(known.sideless)}
    fitting = {i: len(own & words) for i, words in shared.items() if own and words and (own <= words or words <= own)}
    most = max(fitting.values(), default=0)
    return [i for i, count in fitting.items() if count == most]


def parts_of(name: str) -> list[str]:
    """Returns the parts of a body that a name without its side may mean, the likeliest first; [] for none."""
    words = _words(name)
    every = set(words)
    joined = ["".join(words[i : i + 2]) for i in range(len(words) - 1)]
    if every & _LIMB_ENDS:
        return ["wrist"] if every & _FRONT else ["ankle"] if every & _HIND else ["wrist", "ankle"]
    if "tail" in every:
        return ["hip"] if every & _TAIL_BASE else []
    found = [_PART_OF[word] for word in (*joined, *words) if word in _PART_OF]
    if found and found[0] in ("wrist", "ankle") and every & (_FRONT | _HIND):
        found[0] = "wrist" if every & _FRONT else "ankle"
    return found[:1]


def _same_part(wanted: Skeleton, index: int, known: Skeleton) -> list[int]:
    """Known key points of the part that a new one means, or of the nearest part that the skeleton has."""
    parts = parts_of(wanted.sideless[index])
    of = [parts_of(name)[:1] for name in known.sideless]
    tried = [parts, *([near] for part in parts[:1] for near in _NEAREST.get(part, ()))]
    return next((found for one in tried if (found := [i for i, p in enumerate(of) if set(p) & set(one)])), [])


def _of_side(indices: Sequence[int], side: str, known: Skeleton) -> tuple[int, ...]:
    """Those of the side, where there are any; else all."""
    same = tuple(i for i in indices if side != MIDDLE and known.sides[i] == side)
    return same or tuple(indices)
