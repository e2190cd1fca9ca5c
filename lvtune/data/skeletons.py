"""Skeletons: the key points of a body, their mirror pairs, OKS sigmas and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lvtune.core.errors import DataError
from lvtune.core.registry import Registry
from lvtune.data import skeleton_tables as tables
from lvtune.data.flip_pairs import check_pairs, pairs_of_category
from lvtune.data.sides import LEFT, MIDDLE, RIGHT, NamedSides, read_sides, repeated, sideless_names
from lvtune.data.skeleton_links import read_links
from lvtune.data.skeleton_tables import UNKNOWN_SIGMA

_UPPER = {"shoulder", "elbow", "wrist", "head", "neck", "nose", "eye", "ear", "finger"}
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Skeleton:
    """K key points and what is known of them.

    Args:
        name: how the skeleton is called, such as ``coco-17``.
        keypoints: K names.
        sigmas: K OKS sigmas (the constants k_i / 2 of COCO's evaluation).
        links: pairs of 0-based indices, for drawing.
        flip_pairs: (left, right) indices of the key points that mirror each other; None reads them from the names,
            see :func:`lvtune.data.sides.read_sides`. An empty tuple says that each key point mirrors itself.

    Raises:
        DataError: no key points, a name twice, sigmas of another count, a link or pair out of range.
    """

    name: str
    keypoints: tuple[str, ...]
    sigmas: tuple[float, ...]
    links: Pairs = ()
    flip_pairs: Pairs | None = None

    def __post_init__(self) -> None:
        count = len(self.keypoints)
        twice = repeated(self.keypoints)
        if not count or twice:
            fault = f"two key points named '{twice[0]}'" if twice else "no key points"
            raise DataError(
                f"skeleton '{self.name}' with {fault}",
                "at least one key point, each name once",
                "correct `keypoints` in the annotation file's category",
            )
        if len(self.sigmas) != count or not all(sigma > 0 for sigma in self.sigmas):
            raise DataError(
                f"{len(self.sigmas)} sigmas for the {count} key points of skeleton '{self.name}'",
                f"{count} positive numbers",
                "give one sigma for each key point, or none to take the published ones",
            )
        wrong = [link for link in self.links if len(link) != 2 or not all(0 <= end < count for end in link)]
        if wrong:
            raise DataError(
                f"link {wrong[0]} in skeleton '{self.name}'",
                f"pairs of key point indices from 0 to {count - 1}",
                "correct the links (a COCO file's `skeleton` counts from 1)",
            )
        if self.flip_pairs is not None:
            check_pairs(self.flip_pairs, count, f"skeleton '{self.name}'")

    @cached_property
    def _named(self) -> NamedSides:
        return read_sides(self.keypoints)

    @cached_property
    def pairs(self) -> Pairs:
        """(left, right) indices of the key points that mirror each other: as given, else as the names say."""
        return self._named.pairs if self.flip_pairs is None else self.flip_pairs

    @cached_property
    def mirrors(self) -> bool:
        """Returns True if a mirrored picture can be labelled, so that flips may be used.

        Pairs that are given always allow it. Without them the names must make at least one pair, and no name may say
        a side without having a partner.
        """
        return self.flip_pairs is not None or (bool(self._named.pairs) and not self._named.unpaired)

    @cached_property
    def mirror_note(self) -> str | None:
        """One sentence on why pictures are not flipped; None where they are."""
        if self.mirrors:
            return None
        if self._named.unpaired:
            lone = ", ".join(self.keypoints[i] for i in self._named.unpaired[:4])
            why = f"{lone} without a key point of the other side"
        else:
            why = "no left and right in the key point names"
        return (
            f"pictures are not flipped, neither in training nor in the flip test: {why} "
            "(--flip-pairs LEFT:RIGHT,... names the pairs)"
        )

    @cached_property
    def flip_index(self) -> tuple[int, ...]:
        """For each key point the index of its mirror image; its own where it has none."""
        mirror = {a: b for pair in self.pairs for a, b in (pair, pair[::-1])}
        return tuple(mirror.get(i, i) for i in range(len(self.keypoints)))

    @cached_property
    def sides(self) -> tuple[str, ...]:
        """``left``, ``right`` or ``middle`` for each of the K key points."""
        side = {left: LEFT for left, _ in self.pairs} | {right: RIGHT for _, right in self.pairs}
        return tuple(side.get(i, MIDDLE) for i in range(len(self.keypoints)))

    @cached_property
    def sideless(self) -> tuple[str, ...]:
        """K names in lower case without their sides: ``frontLeftPaw`` is ``front_paw``."""
        return sideless_names(self.keypoints, self._named.pairs)

    @cached_property
    def upper(self) -> tuple[int, ...]:
        """Indices of the upper body: head, neck, shoulders, arms. May be empty (hands)."""
        return tuple(i for i, name in enumerate(self.sideless) if set(name.split("_")) & _UPPER)

    @cached_property
    def torso(self) -> tuple[int, int] | None:
        """(left shoulder, right hip), whose distance normalises PCK; None where either is lacking."""
        place = {(side, name): i for i, (side, name) in enumerate(zip(self.sides, self.sideless, strict=True))}
        ends = place.get((LEFT, "shoulder")), place.get((RIGHT, "hip"))
        return None if ends[0] is None or ends[1] is None else (ends[0], ends[1])

    def with_pairs(self, pairs: Pairs | None) -> Skeleton:
        """The same skeleton with other mirror pairs; None reads them from the names."""
        return replace(self, flip_pairs=pairs)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` reads it back. ``flip_pairs`` stands there only where it was given."""
        fields: dict[str, Any] = {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "sigmas": list(self.sigmas),
            "links": [list(link) for link in self.links],
        }
        if self.flip_pairs != _known_pairs(self.keypoints):
            fields["flip_pairs"] = None if self.flip_pairs is None else [list(pair) for pair in self.flip_pairs]
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Skeleton:
        """Inverse of `to_dict`.

        Raises:
            DataError: a field is missing or of the wrong kind.
        """
        try:
            names = tuple(str(name) for name in fields["keypoints"])
            pairs = fields.get("flip_pairs", _known_pairs(names))
            return cls(
                str(fields["name"]),
                names,
                tuple(float(sigma) for sigma in fields["sigmas"]),
                tuple((int(a), int(b)) for a, b in fields.get("links", ())),
                None if pairs is None else tuple((int(a), int(b)) for a, b in pairs),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(
                f"a skeleton that cannot be read ({type(error).__name__}: {error})",
                "the fields name, keypoints, sigmas, links",
                "write it with Skeleton.to_dict()",
            ) from None

    @classmethod
    def from_category(
        cls, category: Mapping[str, Any], sigmas: Sequence[float] | None = None, notes: list[str] | None = None
    ) -> Skeleton:
        """The skeleton that a COCO category describes.

        Args:
            category: with ``keypoints`` (names) and, if at hand, ``skeleton`` (links counted from 1, or from 0 where
                one of them is 0), ``sigmas``, and mirror pairs as ``flip_idx``, ``flip_pairs`` or
                ``keypoint_flip_map``.
            sigmas: K OKS sigmas. Without them those of the category; of a known skeleton with the same key points; or
                each key point's published sigma by its name, else `UNKNOWN_SIGMA`.
            notes: gets a sentence on each thing that is dropped or taken for granted.

        Raises:
            DataError: the category has no key points, its mirror pairs are none, or see `Skeleton`.
        """
        names = category.get("keypoints")
        title = str(category.get("name", "?"))
        notes = [] if notes is None else notes
        if not isinstance(names, list | tuple) or not names:
            raise DataError(
                f"category '{title}' without `keypoints`",
                "a COCO key point category: a list of key point names",
                "use a key point annotation file (person_keypoints_*.json, not instances_*.json)",
            )
        names = tuple(str(name) for name in names)
        pairs = pairs_of_category(category, names, notes)
        links = read_links(category.get("skeleton"), len(names), notes)
        given = sigmas if sigmas is not None else _own_sigmas(category, len(names), notes)
        known = next((s for s in map(get_skeleton, list_skeletons()) if s.keypoints == names), None)
        if known is not None and given is None:
            return known if pairs is None or set(pairs) == set(known.pairs) else known.with_pairs(pairs)
        if given is None:
            by_name = sideless_names(names, read_sides(names).pairs)
            given = [tables.SIGMAS.get(name, UNKNOWN_SIGMA) for name in by_name]
        pairs = known.flip_pairs if pairs is None and known is not None else pairs
        return cls(f"{category.get('name', 'custom')}-{len(names)}", names, tuple(map(float, given)), links, pairs)


def _own_sigmas(category: Mapping[str, Any], count: int, notes: list[str]) -> list[float] | None:
    """``sigmas`` of a category; None where there are none, or not K positive numbers."""
    values = category.get("sigmas")
    if values is None:
        return None
    is_sound = isinstance(values, list | tuple) and len(values) == count
    if is_sound and all(isinstance(v, int | float) and 0 < v < 10 for v in values):
        notes.append("OKS sigmas are taken from the annotation file's category")
        return [float(value) for value in values]
    notes.append(f"`sigmas` of the category are not {count} positive numbers: not read")
    return None


SKELETONS: Registry[Skeleton] = Registry("skeleton")
"""The known skeletons; `register` adds one."""


def get_skeleton(name: str) -> Skeleton:
    """A known skeleton by name (``coco-17`` or ``coco_17``).

    Raises:
        LvtuneError: no such name.
    """
    return SKELETONS.get(name.lower().replace("_", "-"))


def list_skeletons() -> list[str]:
    """Names of the known skeletons."""
    return SKELETONS.names()


def _known_pairs(keypoints: tuple[str, ...]) -> Pairs | None:
    """Mirror pairs that a known skeleton of these key points was given; None where its names say them."""
    return next((s.flip_pairs for s in map(get_skeleton, list_skeletons()) if s.keypoints == keypoints), None)


def _register(
    name: str,
    keypoints: str,
    links: Sequence[tuple[int, int]],
    sigmas: Mapping[str, float] | Sequence[float] = tables.SIGMAS,
    flip_pairs: Pairs | None = None,
) -> Skeleton:
    """Registers a skeleton; ``links`` count from 1, ``sigmas`` may be by name without the side."""
    names = tuple(keypoints.split())
    if isinstance(sigmas, Mapping):
        sigmas = [sigmas[plain] for plain in sideless_names(names, read_sides(names).pairs)]
    from_zero = tuple((a - 1, b - 1) for a, b in links)
    return SKELETONS.register(name)(Skeleton(name, names, tuple(sigmas), from_zero, flip_pairs))


COCO_17 = _register("coco-17", tables.COCO_NAMES, tables.COCO_LINKS)
HUMANART_21 = _register("humanart-21", tables.HUMANART_NAMES, tables.HUMANART_LINKS)
LSP_14 = _register("lsp-14", tables.LSP_NAMES, tables.LSP_LINKS)
# A mirrored hand is a hand of the other side in the same order: flips are sound, and no key point has a partner.
HAND_21 = _register("hand-21", tables.HAND_NAMES, tables.HAND_LINKS, tables.HAND_SIGMAS, flip_pairs=())
AP10K_17 = _register("ap10k-17", tables.AP10K_NAMES, tables.AP10K_LINKS, tables.AP10K_SIGMAS)
