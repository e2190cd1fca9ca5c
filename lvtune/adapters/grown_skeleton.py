"""The key points of a grown adapter: what data must say so that those it had keep their names and mirror images."""

from __future__ import annotations

from dataclasses import replace

from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.data.skeletons import Skeleton

_SHOWN = 6


def grown_skeleton(kept: Skeleton, wanted: Skeleton) -> Skeleton:
    """Returns ``wanted`` with mirror pairs by which the key points of ``kept`` are mirrored as before.

    Args:
        kept: of the adapter that is grown.
        wanted: of the data: all key points of ``kept``, by name and in any order, and at least one more.

    Raises:
        UsageError: a key point is missing, none is new, or a mirror pair is another one.
    """
    new = new_keypoints_of(kept, wanted)
    if not new:
        raise UsageError(
            f"data with the {len(kept.keypoints)} key points that the adapter predicts, and no other",
            "at least one more", "leave --grow out; --start ADAPTER goes on tuning it",
        )  # fmt: skip
    before, now = _partners(kept), _partners(wanted)
    for name in kept.keypoints:
        if kept.mirrors and now[name] != before[name] and wanted.mirrors:
            raise UsageError(
                f"data that mirror '{name}' to '{now[name]}', where the adapter mirrors it to '{before[name]}'",
                "the same mirror pairs, by which predictions are averaged with those of the mirrored picture",
                f"give --flip-pairs with '{name}:{before[name]}'" if name != before[name] else "give --flip-pairs",
            )  # fmt: skip
    if kept.mirrors and not wanted.mirrors:
        raise UsageError(
            f"data without mirror pairs ({wanted.mirror_note or 'none are known'}), where the adapter has some",
            "pairs for the new key points too: else its own would no longer be averaged with the mirrored picture",
            "give --flip-pairs LEFT:RIGHT,... with all pairs (a point that is in none is its own mirror image)",
        )  # fmt: skip
    return replace(wanted, flip_pairs=wanted.pairs) if kept.mirrors else wanted


def new_keypoints_of(kept: Skeleton, wanted: Skeleton) -> tuple[str, ...]:
    """Returns the names that ``wanted`` has beside those of ``kept``, in its order.

    Raises:
        UsageError: a key point of ``kept`` is missing.
    """
    known = set(wanted.keypoints)
    missing = [name for name in kept.keypoints if name not in known]
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        raise UsageError(
            f"data without the key point{'s' * (len(missing) > 1)} {shown} of the adapter that is grown",
            "all of its key points, by the same names and in any order",
            suggest(missing[0], list(wanted.keypoints), "name them in the data too")
            + " (those that nobody labelled have visibility 0)",
        )  # fmt: skip
    return tuple(name for name in wanted.keypoints if name not in kept.keypoints)


def _partners(skeleton: Skeleton) -> dict[str, str]:
    names = skeleton.keypoints
    return {name: names[skeleton.flip_index[i]] for i, name in enumerate(names)}
