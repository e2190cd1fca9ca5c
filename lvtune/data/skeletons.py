"""Skeletons: the key points of a body, their mirror pairs, OKS sigmas and links."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lvtune.core.errors import LvtuneError
from lvtune.core.registry import Registry

# COCO's per-key-point constants (cocodataset.org, keypoint evaluation), by name without the side;
# neck, head and top of the head as in CrowdPose; finger and toe as in Human-Art (arXiv:2303.02760).
_SIGMA = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
    "neck": 0.079,
    "head": 0.079,
    "head_top": 0.079,
    "top_head": 0.079,
    "finger": 0.089,
    "toe": 0.089,
}
#: Sigma of a key point that no published table names: that of the shoulder, COCO's middling value.
UNKNOWN_SIGMA = 0.079
_UPPER = {"shoulder", "elbow", "wrist", "head", "neck", "nose", "eye", "ear", "finger"}
_SIDE = re.compile(r"(^|[_\s-])(left|right|l|r)(?=$|[_\s-])|^(left|right)(?=[A-Za-z])", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}


def _mirror_name(name: str) -> str:
    """The name on the other side of the body; the name itself when it has no side."""

    def swap(match: re.Match[str]) -> str:
        word = match.group(2) or match.group(3)
        other = _OTHER[word.lower()]
        if word.isupper():
            other = other.upper()
        elif word[0].isupper():
            other = other.capitalize()
        return (match.group(1) or "") + other

    return _SIDE.sub(swap, name, count=1)


def _sideless(name: str) -> str:
    return _SIDE.sub("", name, count=1).strip("_- ").lower().replace(" ", "_").replace("-", "_")


@dataclass(frozen=True)
class Skeleton:
    """K key points and what is known of them.

    Args:
        name: how the skeleton is called, such as ``coco-17``.
        keypoints: K names; ``left_``/``right_`` (or ``l_``/``r_``) makes mirror pairs.
        sigmas: K OKS sigmas (the constants k_i / 2 of COCO's evaluation).
        links: pairs of 0-based indices, for drawing.

    Raises:
        LvtuneError: no key points, a name twice, sigmas of another count, a link out of range.
    """

    name: str
    keypoints: tuple[str, ...]
    sigmas: tuple[float, ...]
    links: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        count = len(self.keypoints)
        twice = sorted({name for name in self.keypoints if self.keypoints.count(name) > 1})
        if not count or twice:
            fault = f"two key points named '{twice[0]}'" if twice else "no key points"
            raise LvtuneError(
                f"skeleton '{self.name}' with {fault}",
                "at least one key point, each name once",
                "mend `keypoints` in the annotation file's category",
            )
        if len(self.sigmas) != count or not all(sigma > 0 for sigma in self.sigmas):
            raise LvtuneError(
                f"{len(self.sigmas)} sigmas for the {count} key points of skeleton '{self.name}'",
                f"{count} positive numbers",
                "give one sigma for each key point, or none to take the published ones",
            )
        wrong = [link for link in self.links if len(link) != 2 or not all(0 <= end < count for end in link)]
        if wrong:
            raise LvtuneError(
                f"link {wrong[0]} in skeleton '{self.name}'",
                f"pairs of key point indices from 0 to {count - 1}",
                "mend the links (a COCO file's `skeleton` counts from 1)",
            )

    @cached_property
    def flip_index(self) -> tuple[int, ...]:
        """For each key point the index of its mirror image; its own where it has none."""
        index = {name: i for i, name in enumerate(self.keypoints)}
        return tuple(index.get(_mirror_name(name), i) for i, name in enumerate(self.keypoints))

    @property
    def has_sides(self) -> bool:
        """True if some key points are each other's mirror image; else a mirrored picture has no true labels."""
        return self.flip_index != tuple(range(len(self.keypoints)))

    @cached_property
    def upper(self) -> tuple[int, ...]:
        """Indices of the upper body: head, neck, shoulders, arms. May be empty (hands)."""
        return tuple(i for i, name in enumerate(self.keypoints) if set(_sideless(name).split("_")) & _UPPER)

    @cached_property
    def torso(self) -> tuple[int, int] | None:
        """(left shoulder, right hip), whose distance normalises PCK; None where either is lacking."""
        names = [name.lower() for name in self.keypoints]
        if "left_shoulder" in names and "right_hip" in names:
            return names.index("left_shoulder"), names.index("right_hip")
        return None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` reads it back."""
        return {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "sigmas": list(self.sigmas),
            "links": [list(link) for link in self.links],
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Skeleton:
        """Inverse of `to_dict`.

        Raises:
            LvtuneError: a field is missing or of the wrong kind.
        """
        try:
            return cls(
                str(fields["name"]),
                tuple(str(name) for name in fields["keypoints"]),
                tuple(float(sigma) for sigma in fields["sigmas"]),
                tuple((int(a), int(b)) for a, b in fields.get("links", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LvtuneError(
                f"a skeleton that cannot be read ({type(error).__name__}: {error})",
                "the fields name, keypoints, sigmas, links",
                "write it with Skeleton.to_dict()",
            ) from None

    @classmethod
    def from_category(cls, category: Mapping[str, Any], sigmas: Sequence[float] | None = None) -> Skeleton:
        """The skeleton that a COCO category describes.

        Args:
            category: with ``keypoints`` (names) and, if at hand, ``skeleton`` (links counted from 1).
            sigmas: K OKS sigmas. Without them those of a known skeleton with the same key points, else
                each key point's published sigma by its name, else `UNKNOWN_SIGMA`.

        Raises:
            LvtuneError: the category has no key points, or see `Skeleton`.
        """
        names = category.get("keypoints")
        if not isinstance(names, list | tuple) or not names:
            raise LvtuneError(
                f"category '{category.get('name', '?')}' without `keypoints`",
                "a COCO key point category: a list of key point names",
                "use a key point annotation file (person_keypoints_*.json, not instances_*.json)",
            )
        names = tuple(str(name) for name in names)
        if sigmas is None:
            for known in (get_skeleton(name) for name in list_skeletons()):
                if known.keypoints == names:
                    return known
            sigmas = [_SIGMA.get(_sideless(name), UNKNOWN_SIGMA) for name in names]
        try:
            links = tuple((int(a) - 1, int(b) - 1) for a, b in category.get("skeleton") or ())
        except (TypeError, ValueError):
            raise LvtuneError(
                f"`skeleton` of category '{category.get('name', '?')}' that is not a list of pairs",
                "pairs of key point numbers, counted from 1",
                "mend or drop `skeleton` in the annotation file",
            ) from None
        return cls(f"{category.get('name', 'custom')}-{len(names)}", names, tuple(map(float, sigmas)), links)


#: ScoreCache skeletons; `register` adds one.
SKELETONS: Registry[Skeleton] = Registry("skeleton")


def get_skeleton(name: str) -> Skeleton:
    """A known skeleton by name (``coco-17`` or ``coco_17``).

    Raises:
        LvtuneError: no such name.
    """
    return SKELETONS.get(name.lower().replace("_", "-"))


def list_skeletons() -> list[str]:
    """Names of the known skeletons."""
    return SKELETONS.names()


def _known(
    name: str, keypoints: str, links: Sequence[tuple[int, int]], sigma: Mapping[str, float] = _SIGMA
) -> Skeleton:
    names = tuple(keypoints.split())
    sigmas = tuple(sigma[_sideless(point)] for point in names)
    return SKELETONS.register(name)(Skeleton(name, names, sigmas, tuple((a - 1, b - 1) for a, b in links)))


_COCO_NAMES = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
    "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
_COCO_LINKS = (
    (16, 14),
    (14, 12),
    (17, 15),
    (15, 13),
    (12, 13),
    (6, 12),
    (7, 13),
    (6, 7),
    (6, 8),
    (7, 9),
    (8, 10),
    (9, 11),
    (2, 3),
    (1, 2),
    (1, 3),
    (2, 4),
    (3, 5),
    (4, 6),
    (5, 7),
)
COCO_17 = _known("coco-17", _COCO_NAMES, _COCO_LINKS)
HUMANART_21 = _known(
    "humanart-21",
    _COCO_NAMES + " left_finger right_finger left_toe right_toe",
    (*_COCO_LINKS, (10, 18), (11, 19), (20, 16), (21, 17)),
)
LSP_14 = _known(
    "lsp-14",
    "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow "
    "right_shoulder left_shoulder left_elbow left_wrist neck head_top",
    ((1, 2), (2, 3), (3, 13), (4, 13), (4, 5), (5, 6), (7, 8), (8, 9), (9, 13), (10, 13), (10, 11), (11, 12), (13, 14)),
)
# FreiHAND's order, wrist first and each finger from base to tip. Names and sigmas as in COCO-WholeBody (Jin et al.,
# ECCV 2020); hands are mirrored as a whole, so no key point has a side.
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
HAND_21 = SKELETONS.register("hand-21")(
    Skeleton(
        "hand-21",
        ("wrist", *(f"{finger}{joint}" for finger in _FINGERS for joint in range(1, 5))),
        (
            0.029,
            0.022,
            0.035,
            0.037,
            0.047,
            0.026,
            0.025,
            0.024,
            0.035,
            0.018,
            0.024,
            0.022,
            0.026,
            0.017,
            0.021,
            0.021,
            0.032,
            0.020,
            0.019,
            0.022,
            0.031,
        ),
        tuple((0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21)),
    )
)
# Key points and links as in AP-10K's annotations (arXiv:2108.12617). The paper gives no sigmas; these are those of
# MMPose 1.x, with which figures are published (MMPose 0.x has the same numbers in another order of the limbs).
AP10K_17 = _known(
    "ap10k-17",
    "left_eye right_eye nose neck root_of_tail left_shoulder left_elbow left_front_paw right_shoulder right_elbow "
    "right_front_paw left_hip left_knee left_back_paw right_hip right_knee right_back_paw",
    (
        (1, 2),
        (1, 3),
        (2, 3),
        (3, 4),
        (4, 5),
        (4, 6),
        (6, 7),
        (7, 8),
        (4, 9),
        (9, 10),
        (10, 11),
        (5, 12),
        (12, 13),
        (13, 14),
        (5, 15),
        (15, 16),
        (16, 17),
    ),
    _SIGMA | {"neck": 0.035, "root_of_tail": 0.035, "front_paw": 0.062, "back_paw": 0.089},
)
