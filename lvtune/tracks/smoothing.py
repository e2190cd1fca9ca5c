"""Smooths the path of each key point in time; off unless it is asked for, and gaps stay gaps.

The one-euro filter: Casiez, Roussel and Vogel, "1 € Filter", CHI 2012. It looks back only and allows for uneven times.
Savitzky-Golay: scipy's filter, for even times; it looks both ways.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lvtune.core.registry import Registry

SMOOTHERS: Registry[Callable[[np.ndarray, np.ndarray], np.ndarray]] = Registry("smoothing")
"""Name to a function of times (N,) in seconds and places (N, 2) without gaps; returns places (N, 2)."""
_CUTOFF, _SPEED, _SPEED_CUTOFF = 1.5, 0.02, 1.0  # Hz, Hz per pixel a second, Hz
_WINDOW, _ORDER = 7, 2
_UNEVEN = 0.1


def smooth(times: np.ndarray, places: np.ndarray, frames: np.ndarray, name: str, step: int = 1) -> np.ndarray:
    """Returns the smoothed path of one key point of one track.

    Args:
        times: (N,) seconds.
        places: (N, 2) in pixels; NaN where the key point was not found.
        frames: (N,) frame numbers; where the next is not ``step`` further there is a gap.
        name: of :data:`SMOOTHERS`.
        step: from one frame that was looked at to the next.

    Returns:
        (N, 2); NaN stays NaN. What lies before a gap does not touch what comes after it.
    """
    run, out = SMOOTHERS.get(name), np.array(places, float)
    known = np.asarray(np.isfinite(out).all(1))
    breaks = np.flatnonzero((np.diff(frames) != step) | (known[1:] != known[:-1])) + 1
    for part in np.split(np.arange(len(out)), breaks):
        if len(part) and known[part[0]]:
            out[part] = run(times[part], out[part])
    return out


@SMOOTHERS.register("one-euro")
def one_euro(times: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The one-euro filter: strong for a point that rests, weak for one that moves fast."""
    out = np.array(places, float)
    speed = np.zeros(2)
    for i in range(1, len(out)):
        step = float(times[i] - times[i - 1])
        speed += _weight(_SPEED_CUTOFF, step) * ((places[i] - places[i - 1]) / step - speed)
        weight = _weight(_CUTOFF + _SPEED * float(np.hypot(*speed)), step)
        out[i] = out[i - 1] + weight * (places[i] - out[i - 1])
    return out


def unsuitable(steps: np.ndarray, name: str) -> list[str]:
    """Returns a note where a filter leaves a path as it is, because its times are uneven.

    Args:
        steps: seconds from each frame to the next, without the gaps.
        name: of the filter.
    """
    if name != "savgol" or len(steps) < 2 or _is_even(steps):
        return []
    return [
        "savgol needs frames at even times: parts with uneven times are not smoothed; --smooth one-euro takes any times"
    ]


def _is_even(steps: np.ndarray) -> bool:
    return bool(np.ptp(steps) <= _UNEVEN * np.median(steps))


def _weight(cutoff: float, step: float) -> float:
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


@SMOOTHERS.register("savgol")
def savitzky_golay(times: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A parabola through each frame and its three neighbours on either side; shorter parts stay as they are."""
    from scipy.signal import savgol_filter

    if len(places) < _WINDOW or not _is_even(np.diff(times)):
        return places
    return np.asarray(savgol_filter(places, _WINDOW, _ORDER, axis=0))
