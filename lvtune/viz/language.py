"""Draws the features of a joint encoder: a map of pictures and sentences, and pictures ranked by a steered feature.

Both follow figures 3 and 4 of Lee et al., Image-free Domain Generalization via CLIP for 3D Hand Pose Estimation, WACV
2023.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lvtune.core.errors import DataError, UsageError
from lvtune.viz.colours import SERIES
from lvtune.viz.overlay import contact_sheet

_MARKS = ("o", "^", "s", "D", "v", "P", "X", "*")
LARGEST_PERPLEXITY = 30.0


def embed_in_plane(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places vectors in the plane by t-SNE (van der Maaten and Hinton, JMLR 2008), after scaling them to length 1.

    Args:
        vectors: (N, D).
        seed: seed of t-SNE.

    Returns:
        (N, 2) float32, without a unit.

    Raises:
        LvtuneError: scikit-learn is not installed; there are fewer than five vectors.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise UsageError("a map of features without scikit-learn", "scikit-learn, which computes it",
                         "pip install scikit-learn, or lvtune[figures]") from error  # fmt: skip
    if len(vectors) < 5:
        raise DataError(f"a map of {len(vectors)} features", "at least five", "take more pictures (--count)")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    perplexity = min(LARGEST_PERPLEXITY, (len(vectors) - 1) / 3)
    plane = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(unit.astype(np.float64))
    return plane.astype(np.float32)


def feature_map(groups: Mapping[str, np.ndarray], title: str = "", seed: int = 0) -> np.ndarray:
    """Draws all vectors in the plane, each group in its colour.

    Args:
        groups: label in the legend to vectors (N, D); later groups are drawn on top.
        title: above the map.
        seed: seed of t-SNE.

    Returns:
        (H, W, 3) RGB uint8.

    Raises:
        LvtuneError: see :func:`embed_in_plane`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plane = embed_in_plane(np.concatenate(list(groups.values())), seed)
    figure = Figure(figsize=(8, 6), dpi=140, layout="constrained")
    axes, start = figure.add_subplot(), 0
    for i, (name, vectors) in enumerate(groups.items()):
        x, y = plane[start : start + len(vectors)].T
        style: dict[str, Any] = {"color": SERIES[i % len(SERIES)], "marker": _MARKS[i % len(_MARKS)]}
        axes.scatter(x, y, s=22, alpha=0.7, linewidths=0, label=f"{name} ({len(vectors)})", **style)
        start += len(vectors)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("\n".join(textwrap.wrap(title, 90)), fontsize=10)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def ranked(
    queries: np.ndarray, vectors: np.ndarray, exclude: Sequence[int], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the vectors nearest to each query.

    Args:
        queries: (Q, D).
        vectors: (N, D).
        exclude: (Q,) row of ``vectors`` that each query was made from; it is left out.
        count: number of vectors to find, at most N - 1.

    Returns:
        Rows of ``vectors`` and their cosines, both (Q, count), the nearest first.
    """
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12)  # noqa: E731
    cosines = unit(queries) @ unit(vectors).T
    cosines[np.arange(len(queries)), list(exclude)] = -np.inf
    order = np.argsort(-cosines, axis=1, kind="stable")[:, : min(count, len(vectors) - 1)]
    return order, np.take_along_axis(cosines, order, 1)


def retrieval_sheet(
    pictures: Sequence[np.ndarray],
    rows: Sequence[tuple[int, str, Sequence[int], Sequence[float]]],
    *,
    cell: int = 150,
) -> np.ndarray:
    """Draws rows of a picture, the sentence that its feature was steered by, and the pictures nearest to the result.

    Args:
        pictures: (H, W, 3) RGB uint8 each.
        rows: index of the steered picture, sentence, indices of the nearest pictures, their cosines.
        cell: length of a picture's longer side, in pixels.

    Returns:
        (H, W, 3) RGB uint8.
    """
    parts = []
    for source, sentence, places, cosines in rows:
        words = ["steered", *(f"{number}: {cosine:.2f}" for number, cosine in enumerate(cosines, 1))]
        body = contact_sheet([[pictures[source], *(pictures[i] for i in places)]], [words], cell=cell)
        width = body.shape[1]
        # a sentence is longer than a picture is wide, so it has a line of its own
        line = contact_sheet([[np.full((1, width, 3), 255, np.uint8)]], [[f"+ {sentence}"]], cell=width, gap=0)
        parts += [line, body]
    return np.concatenate([_padded(part, max(part.shape[1] for part in parts)) for part in parts])


def _padded(picture: np.ndarray, width: int) -> np.ndarray:
    return np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=255)


def cover(target: np.ndarray, of: np.ndarray) -> float:
    """Returns how well vectors cover a target: the mean cosine of each target vector to its nearest other; at most 1.

    Args:
        target: (N, D).
        of: (M, D).
    """
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12)  # noqa: E731
    return float((unit(target) @ unit(of).T).max(1).mean())
