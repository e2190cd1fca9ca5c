"""Chooses rates and steps by what is new: a predictor for points that the base does not know, or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lvtune.core.decision import Decision
from lvtune.core.text import counted, plural

STEPS, BATCH = 300, 16
"""Steps, and pictures a step, for up to ``PICTURES`` pictures with up to ``POINTS`` key points (measured;
benchmarks/README.md)."""
PICTURES, POINTS = 100, 4
MOST_FOR_POINTS = 2.0
"""Largest factor on the steps for many key points."""
PREDICTOR_LR = 5e-3
"""Least peak learning rate of a predictor with new rows: 1x1 weights that have everything to learn."""
NEW_FACTOR = 2.0
"""Factor on the method's rate for the encoder's differences where the key points are mostly new (measured)."""
MOSTLY_NEW = 0.5
"""Share of new key points from which on the encoder is tuned at its full rate too."""
KNOWN_FACTOR = 0.4
"""Factor on the rate of the encoder's differences where the base knows most key points, as from a warm start."""


@dataclass(frozen=True)
class Plan:
    """Training options for new key points, and a line for each choice."""

    options: dict[str, Any] = field(default_factory=dict)
    """By the names of :class:`lvtune.config.options.TrainOptions`."""
    decisions: list[Decision] = field(default_factory=list)


def rates(new: int, keypoints: int, lr: float, repeats: float = 1.0) -> Plan:
    """Chooses the learning rates for a predictor with ``new`` rows of ``keypoints``.

    Args:
        new: key points that the base does not know.
        keypoints: all.
        lr: the method's own rate.
        repeats: how many times as often the run passes over the pictures as the method usually does. Where the base
            knows most key points, few pictures that come again and again would overfit what it knows: its encoder gets
            a rate that is lower by the square root, as known data sets do (:func:`lvtune.training.optim.gentle_lr`).
    """
    share = new / keypoints
    encoder = lr * (NEW_FACTOR if share >= MOSTLY_NEW else KNOWN_FACTOR / max(1.0, repeats) ** 0.5)
    encoder = float(f"{encoder:.2g}")
    predictor = max(lr, PREDICTOR_LR)
    why = f"{new} of {counted(keypoints, 'key point')} {plural(new, 'is', 'are')} new to the base"
    if share < MOSTLY_NEW:
        why += ", so its encoder is changed gently"
        why += f"; the pictures come {repeats:.0f} times as often as usual" if repeats >= 2 else ""
    value = f"{encoder:g}, predictor {predictor:g}"
    return Plan({"gentle": False, "lr": encoder, "predictor_lr": predictor}, [Decision("learning rate", value, why)])


def steps(pictures: int, new: int) -> Plan:
    """Chooses the number of steps for a predictor of which ``new`` rows are learnt anew.

    They grow with the square root of the pictures and of the new key points. Fewer pictures get no fewer steps: the
    predictor is as new with ten as with a hundred.
    """
    count = STEPS * min(max(1.0, new / POINTS) ** 0.5, MOST_FOR_POINTS) * max(1.0, pictures / PICTURES) ** 0.5
    count = 10 * round(count / 10)
    value = f"{count} of {BATCH} pictures"
    why = f"{counted(pictures, 'picture')} to tune on, {counted(new, 'new key point')}"
    return Plan({"steps": count, "batch_size": BATCH}, [Decision("steps", value, why)])
