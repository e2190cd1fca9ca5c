"""Features of an encoder that tuning does not touch: computed once for each view of a picture, then read from a file.

Where a method changes nothing in front of the head (``head``, or ``vlpose`` without visual prompts), the encoder gives
the same for the same view in every epoch. ``train.cached_views`` says how many views of each picture there are: the
random changes of epoch e are those of epoch e modulo that number. So the encoder runs in the first epochs alone.

The file is in the folder of caches, mapped into memory, and belongs to one run and one process; it is deleted with
the run. Features are held in float16. They are rounded when they are computed too, so a run that was killed and
resumed, which computes them again, ends at the same weights.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lvtune.bases.changes import hooks_of
from lvtune.bases.nested_outputs import per_entry
from lvtune.core.errors import UsageError
from lvtune.data.arrow import default_cache_dir
from lvtune.patcher.shadows import Shadow

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.config.options import TrainOptions

FIX = "leave --train.cached-views out, or choose a method that tunes the head alone: --method head"


def feature_cache(base: Base, adapter: Any, objective: Any, count: int, options: TrainOptions) -> FeatureCache | None:
    """Makes the cache that the options ask for; None if they ask for none.

    Raises:
        UsageError: the method or the objective changes what the encoder does.
    """
    if not options.cached_views:
        return None
    if not getattr(objective, "encodes_plainly", False):
        raise UsageError(
            f"cached features with the objective {getattr(objective, 'objective', type(objective).__name__)}",
            "an objective that lets the encoder see the pictures as they are: heatmap",
            "leave --train.cached-views out, or choose --objective heatmap",
        )  # fmt: skip
    size = {"count": count, "views": options.cached_views, "most_bytes": options.cache_size * 1e9}
    return FeatureCache(base, adapter, folder=default_cache_dir() / "features", **size)


class FeatureCache:
    """Stands in front of an encoder; use it as a context.

    Args:
        base: the adapter is attached, or will be.
        adapter: changes nothing in front of the head.
        count: number of pictures.
        views: of each picture.
        most_bytes: that the file may take; features that do not fit are computed in each epoch.
        folder: of caches; the file is deleted at the end.

    Raises:
        UsageError: the adapter changes the encoder.
    """

    def __init__(self, base: Base, adapter: Any, *, count: int, views: int, most_bytes: float, folder: Path) -> None:
        inside = {*base.head.modules(), *(part for module in base.tail for part in module.modules())}
        if not all(module in inside for change in adapter.changes(base) for _, module, _ in hooks_of(change)):
            raise UsageError(
                f"cached features for {getattr(adapter, 'method', 'an adapter')}, which changes the encoder",
                "a method that leaves it as it is", FIX,
            )  # fmt: skip
        self.base, self.count, self.views, self.most_bytes, self.folder = base, count, views, most_bytes, folder
        self.hits = self.misses = 0
        """Samples that were read, and that were computed."""
        self._view, self._rows, self._pixels = 0, None, None
        self._values: Tensor | None = None  # (rows, numbers), float16
        self._shapes: list[torch.Size] = []
        self._filled = torch.zeros(0, dtype=torch.bool)
        self._like: Any = None

    def __enter__(self) -> FeatureCache:
        self._undo = contextlib.ExitStack()
        self._undo.callback(Shadow(self.base.encoder, "forward", self._forward).undo)
        return self

    def __exit__(self, *exc: object) -> None:
        self._values = self._like = None  # the file is closed before it is deleted
        self._filled = self._filled[:0]
        self._undo.close()

    def start(self, epoch: int) -> int:
        """Returns which view of the pictures an epoch sees: the epoch whose random changes it repeats."""
        self._view = epoch % self.views
        return self._view

    @contextlib.contextmanager
    def reading(self, batch: dict[str, Any]) -> Iterator[None]:
        """Says inside the block which samples the pictures of ``batch`` are."""
        index = batch.get("index")
        if isinstance(index, Tensor):
            self._rows = index.cpu() * self.views + self._view
            self._pixels = batch["pixel_values"]
        try:
            yield
        finally:
            self._rows = self._pixels = None

    def _forward(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        rows = self._rows
        if rows is None or not self._is_batch(args[0] if args else kwargs.get("pixel_values")):
            return original(*args, **kwargs)  # pictures of another kind, such as a teacher's views of them
        if int(rows.max()) < len(self._filled) and bool(self._filled[rows].all()):
            self.hits += len(rows)
            return self._read(rows)
        self.misses += len(rows)
        with torch.no_grad():
            return self._note(rows, original(*args, **kwargs))

    def _is_batch(self, pixels: Any) -> bool:
        """Returns True for the pictures of the batch themselves, which nothing has changed since they were read."""
        own = self._pixels
        if not isinstance(pixels, Tensor) or own is None:
            return False
        return pixels.data_ptr() == own.data_ptr() and pixels.shape == own.shape

    def _note(self, rows: Tensor, output: Any) -> Any:
        """Keeps what the encoder gave for samples, and returns it rounded as it is kept."""
        tensors = list(_tensors(output))
        if any(not value.is_floating_point() or len(value) != len(rows) for value in tensors):
            return output
        if self._values is None:
            self._open([value.shape[1:] for value in tensors])
        flat = torch.cat([value.flatten(1) for value in tensors], 1).to(torch.float16)
        if self._values is None or not bool(torch.isfinite(flat).all()):
            return output  # too large for float16: computed in each epoch
        fits = rows < len(self._filled)
        self._values[rows[fits]] = flat[fits].cpu()
        self._filled[rows[fits]] = True
        self._like = output
        return self._shaped(flat, output)

    def _open(self, shapes: list[torch.Size]) -> None:
        self._shapes, numbers = shapes, sum(shape.numel() for shape in shapes)
        fitting = min(self.count * self.views, int(self.most_bytes // (2 * numbers)))
        if not fitting:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        room = self._undo.enter_context(tempfile.TemporaryDirectory(prefix="features-", dir=self.folder))
        file = str(Path(room) / "features.bin")
        self._values = torch.from_file(file, shared=True, size=fitting * numbers, dtype=torch.float16).view(fitting, -1)
        self._filled = torch.zeros(fitting, dtype=torch.bool)

    def _read(self, rows: Tensor) -> Any:
        values: Any = self._values
        return self._shaped(values[rows], self._like)

    def _shaped(self, flat: Tensor, like: Any) -> Any:
        parts = iter(flat.split([shape.numel() for shape in self._shapes], 1))
        return _with_tensors(like, lambda old: next(parts).to(old).view(-1, *old.shape[1:]))

    @property
    def note(self) -> str:
        """A sentence for the report."""
        whole = self.hits + self.misses
        return (
            f"features of the encoder were read in place of computed for {self.hits} of {whole} samples "
            f"({self.views} views of each picture, float16)"
        )


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif output is not None and not isinstance(output, str | int | float):
        for entry in output.values() if hasattr(output, "values") else output:
            yield from _tensors(entry)


def _with_tensors(output: Any, new: Callable[[Tensor], Tensor]) -> Any:
    """Returns a structure like ``output`` with ``new`` of each tensor in its place."""
    if isinstance(output, Tensor):
        return new(output)
    if output is None or isinstance(output, str | int | float):
        return output
    return per_entry(lambda entry: _with_tensors(entry, new), output)
