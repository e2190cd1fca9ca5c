"""Fits a calibration on labelled pictures, and measures how well probabilities are calibrated."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from lvtune.evaluation.calibration import NOT_LEARNT, RADIUS_LEVEL, CalibrationMap, Confidence, Logistic, features_of

LEAST_PICTURES, LEAST_POINTS = 10, 50
"""Fewer pictures or labelled key points than this are too few to fit on."""
FOLDS = 5
"""Parts of the pictures, each of which is left out once."""
BINS = 15
"""Of the expected calibration error, as in Guo et al. (ICML 2017, arXiv 1706.04599)."""
_SIGNS = (1.0, -1.0)
_OFFSET_PRIOR, _WEIGHT_PRIOR = 8.0, 4.0
"""Precisions of the priors: a key point's offset has a standard deviation of 0.35, a standardised weight one of a half.
Points with little data get the answer of all, and few pictures a flatter map (benchmarks/README.md, "Confidence")."""
_ROUNDS = 50


@dataclass(frozen=True)
class Observed:
    """Predictions for N labelled instances, and how right they are."""

    peaks: np.ndarray
    """(N, K) maxima of the heatmaps."""
    spreads: np.ndarray
    """(N, K) of :func:`lvtune.evaluation.calibration.spread_of`."""
    hits: np.ndarray
    """(N, K) True where the error is within the threshold."""
    counted: np.ndarray
    """(N, K) True where the point is labelled and the threshold can be measured."""
    oks: np.ndarray
    """(N, K) similarity of each key point (OKS before its mean); NaN where the point is not labelled."""
    errors: np.ndarray
    """(N, K) as a share of the crop's height; NaN where the point is not labelled."""

    def some(self, rows: np.ndarray) -> Observed:
        """Returns the instances where ``rows`` (N,) is true."""
        return Observed(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


def fit_map(seen: Observed) -> CalibrationMap:
    """Fits the map from peak and spread to probability, expected OKS and radius."""
    features = features_of(seen.peaks, seen.spreads)
    hit = _fit_logistic(features, seen.hits.astype(float), seen.counted)
    oks = _fit_logistic(features, np.nan_to_num(seen.oks), ~np.isnan(seen.oks))
    used = seen.counted & np.isfinite(seen.errors)
    logits, logs = hit.logit(features)[used], np.log(np.maximum(seen.errors[used], 1e-4))
    centred = logits - logits.mean()
    slope = min(0.0, float(centred @ logs / max(centred @ centred, 1e-9)))
    # so much above the line that the share asked for lies below it; with few points a little more, since other
    # pictures lie above the largest of these too (split conformal prediction, Lei et al., JASA 2018)
    level = min(1.0, np.ceil((len(logs) + 1) * RADIUS_LEVEL) / len(logs))
    offset = float(np.quantile(logs - slope * logits, level, method="inverted_cdf"))
    return CalibrationMap(hit, oks, (offset, slope), (float(logits.min()), float(logits.max())))


def without_keypoints(found: CalibrationMap, learnt: np.ndarray) -> CalibrationMap:
    """Returns the map with a probability of 0 for the key points where ``learnt`` (K,) is false."""
    parts = {
        name: replace(part, offsets=tuple(np.where(learnt, part.offsets, NOT_LEARNT).tolist()))
        for name, part in (("hit", found.hit), ("oks", found.oks))
    }
    return replace(found, **parts)


def left_out(seen: Observed, pictures: np.ndarray) -> Confidence | None:
    """Returns what maps say of pictures that they were not fitted on: each fifth by a map of the other four.

    This is how good a map of all of them may be on further pictures of the same kind.

    Args:
        seen: N instances.
        pictures: (N,) name of each one's picture; the instances of one stay together.

    Returns:
        For all N; None where the pictures are too few to be divided.
    """
    names, which = np.unique(pictures, return_inverse=True)
    part = np.random.default_rng(len(names)).permutation(len(names))[which] % FOLDS
    count, kinds = seen.peaks.shape
    found = Confidence(np.zeros((count, kinds)), np.zeros((count, kinds)), np.zeros(count))
    for fold in range(FOLDS):
        rest, out = seen.some(part != fold), part == fold
        if not (rest.counted & np.isfinite(rest.errors)).any():
            return None
        said = fit_map(rest)(seen.peaks[out], seen.spreads[out])
        found.scores[out], found.radii[out], found.oks[out] = said.scores, said.radii, said.oks
    return found


def _fit_logistic(features: np.ndarray, targets: np.ndarray, counted: np.ndarray) -> Logistic:
    """Fits by Newton steps; a feature whose weight has the wrong sign is left out, which keeps the map monotone.

    Args:
        features: (N, K, F).
        targets: (N, K) from 0 to 1.
        counted: (N, K) True where there is a target.
    """
    count = features.shape[1]
    rows, x, y = np.nonzero(counted)[1], features[counted], targets[counted]
    mean, deviation = x.mean(0), np.maximum(x.std(0), 1e-6)
    x, y = (x - mean) / deviation, (y * len(y) + 0.5) / (len(y) + 1)
    kept = list(range(x.shape[1]))
    while True:
        values = _newton(x[:, kept], y, rows, count)
        wrong = [f for f, value in zip(kept, values[1:], strict=False) if value * _SIGNS[f] < 0]
        if not wrong:
            break
        kept = [feature for feature in kept if feature not in wrong]
    weights = np.zeros(len(mean))
    weights[kept] = values[1 : 1 + len(kept)] / deviation[kept]
    intercept, offsets = values[0] - float(weights @ mean), values[1 + len(kept) :]
    return Logistic(round(float(intercept), 6), tuple(round(float(w), 6) + 0.0 for w in weights),
                    tuple(round(float(o), 6) for o in offsets))  # fmt: skip


def _newton(x: np.ndarray, y: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Returns intercept, weights and offsets (1 + F + count,) of the penalised likelihood's maximum."""
    own = np.zeros((len(x), count))
    own[np.arange(len(x)), rows] = 1
    design = np.hstack([np.ones((len(x), 1)), x, own])
    prior = np.array([1e-6] + [_WEIGHT_PRIOR] * x.shape[1] + [_OFFSET_PRIOR] * count)
    values = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(design @ values, -30, 30)))
        gradient = design.T @ (y - p) - prior * values
        curvature = (design * np.maximum(p * (1 - p), 1e-4)[:, None]).T @ design + np.diag(prior)
        step = np.linalg.solve(curvature, gradient)
        step *= min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))  # a long step may overshoot
        values += step
        if np.abs(step).max() < 1e-8:
            break
    return values


def expected_calibration_error(probabilities: np.ndarray, hits: np.ndarray, bins: int = BINS) -> float | None:
    """Returns the mean difference between probability and share of hits over equal bins, in percent.

    Args:
        probabilities: (M,) from 0 to 1; larger values count as 1.
        hits: (M,) True where right.
        bins: of equal width, weighted by their number of points.
    """
    table = reliability(probabilities, hits, bins)
    total = sum(row["points"] for row in table)
    gap = sum(row["points"] * abs(row["mean"] - row["hits"]) for row in table)
    return 100 * gap / total if total else None


def reliability(probabilities: np.ndarray, hits: np.ndarray, bins: int = BINS) -> list[dict[str, Any]]:
    """Returns, for each bin with points, ``points``, their ``mean`` probability and the share of ``hits``."""
    p, hits = np.clip(np.asarray(probabilities, float), 0, 1), np.asarray(hits, float)
    place = np.minimum((p * bins).astype(int), bins - 1)
    return [
        {"points": int((place == b).sum()), "mean": float(p[place == b].mean()), "hits": float(hits[place == b].mean())}
        for b in range(bins)
        if (place == b).any()
    ]


def quality(seen: Observed, found: Confidence) -> dict[str, Any]:
    """Returns how good probabilities are: ECE with and without the calibration, coverage of the radius, the bins.

    Args:
        seen: predictions for labelled pictures that the calibration was not fitted on.
        found: what it says of them.

    Returns:
        ``points``; ``ece`` and ``ece_raw`` in percent; ``in_radius``, percent of the labelled points within their
        radius; ``bins`` and ``bins_raw`` of :func:`reliability`.
    """
    used, raw = seen.counted, np.clip(seen.peaks, 0, 1)
    labelled = np.isfinite(seen.errors)
    inside = (seen.errors <= found.radii)[labelled]
    return {
        "points": int(used.sum()),
        "ece": expected_calibration_error(found.scores[used], seen.hits[used]),
        "ece_raw": expected_calibration_error(raw[used], seen.hits[used]),
        "in_radius": 100 * float(inside.mean()) if len(inside) else None,
        "bins": reliability(found.scores[used], seen.hits[used]),
        "bins_raw": reliability(raw[used], seen.hits[used]),
    }
