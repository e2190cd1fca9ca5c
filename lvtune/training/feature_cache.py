"""Features that tuning does not touch: computed once for each view of a picture, then read from a file.

Where a method changes nothing in front of the head (``head``, or ``vlpose`` without visual prompts), the encoder gives
the same for the same view in every epoch; where it changes the last blocks alone, the blocks in front of them do.
``train.cached_views`` says how many views of each picture there are: the random changes of epoch e are those of epoch e
modulo that number. So the encoder runs in the first epochs alone.

The file is an entry of the folder of caches (:mod:`lvtune.data.feature_folder`), which later runs and other processes
with the same base, data and transform read and write too. Each row has the mark of the pixels that it was computed
from. A picture that was replaced under its name, or a transform that changed, makes other pixels, and is computed anew.
The first batch of a run is computed in any case and compared with what the entry holds. Features are held in float16.
They are rounded when they are computed too, so a run that was killed and resumed ends at the same weights.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lvtune.core.errors import TrainingError, UsageError
from lvtune.data.arrow import default_cache_dir
from lvtune.data.feature_folder import Opened, discard, open_entry
from lvtune.data.feature_rows import mark_of, row_bytes
from lvtune.data.known_features import MARKS, PLACE, KnownFeatures
from lvtune.training.feature_key import described
from lvtune.training.feature_place import FeaturePlace, blocks_before_changes, tensors_of, with_tensors

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.config.options import TrainOptions

FIX = "leave --train.cached-views out, or choose a method that tunes the head alone: --method head"
MOST_APART = 0.05
"""Norm of the difference between features that are kept and computed, over their norm; float16 alone gives 0.001."""


def feature_cache(
    base: Base, adapter: Any, objective: Any, data: Any, options: TrainOptions, *, precision: str = "no"
) -> FeatureCache | None:
    """Makes the cache that the options ask for; None if they ask for none.

    Args:
        base: of the run.
        adapter: that is tuned.
        objective: that it is tuned with.
        data: the pictures; ``fingerprint`` describes them and what is done with them, where they have one.
        options: of the run.
        precision: mixed precision that the run computes in.

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
    size = {"count": len(data), "views": options.cached_views, "most_bytes": options.cache_size * 1e9}
    cache = FeatureCache(base, adapter, folder=default_cache_dir() / "features", keep=options.keep_features, **size)
    cache.about, cache.data = described(base, data, precision), KnownFeatures(data, options.cached_views)
    return cache


class FeatureCache:
    """Stands in front of an encoder; use it as a context.

    Args:
        base: the adapter is attached, or will be.
        adapter: leaves the first blocks of the encoder, or all of it, as they are.
        count: number of pictures.
        views: of each picture.
        most_bytes: that all features in the folder may take; what does not fit is computed in each epoch.
        folder: of caches.
        keep: leave the features for later runs; False removes them at the end.

    Raises:
        UsageError: the adapter changes the encoder from its first block on.
    """

    def __init__(
        self, base: Base, adapter: Any, *, count: int, views: int, most_bytes: float, folder: Path, keep: bool = True
    ) -> None:
        blocks = blocks_before_changes(base, adapter)
        if blocks == 0:
            raise UsageError(
                f"cached features for {getattr(adapter, 'method', 'an adapter')}, which changes the encoder",
                "a method that leaves it, or its first blocks, as they are", FIX,
            )  # fmt: skip
        self.base, self.count, self.views, self.most_bytes, self.folder = base, count, views, most_bytes, folder
        self.keep, self.place = keep, FeaturePlace(base, blocks)
        self.about: Mapping[str, Any] = {}
        """What the features depend on; empty: they are of this run alone."""
        self.data: KnownFeatures | None = None
        """What a loader reads from: the pictures, without pixels that are not needed; None: they have them always."""
        self.hits = self.misses = self.earlier = 0
        """Samples that were read, that were computed, and that were read but not written by this process."""
        self.notes: list[str] = []
        self._view = 0
        self._rows: np.ndarray | None = None
        self._index: np.ndarray | None = None
        self._pixels: Tensor | None = None
        self._marks: list[int] = []
        self._unread: list[int] = []
        self._opened: Opened | None = None
        self._shapes: list[torch.Size] = []
        self._own = np.zeros(count * views, bool)
        self._seen: dict[int, int] = {}  # row to the mark of its pixels, for samples that come without them
        self._like: Any = None
        self._is_full = False
        self._said = 0

    def __enter__(self) -> FeatureCache:
        self._undo, self._files = self.place.stand(self._forward), contextlib.ExitStack()
        return self

    def __exit__(self, *exc: object) -> None:
        place = None if self._opened is None else self._opened.place
        self._undo.close()
        self._close()
        self._like = None
        if place is not None and not self.keep:
            discard(place)

    def start(self, epoch: int) -> int:
        """Returns which view of the pictures an epoch sees: the epoch whose random changes it repeats."""
        self._view = epoch % self.views
        if self.data is not None:
            self.data.view.fill_(self._view)
        return self._view

    @contextlib.contextmanager
    def reading(self, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Says inside the block which samples the pictures of ``batch`` are; yields the batch to be used there."""
        index, pixels = batch.get(PLACE, batch.get("index")), self.base.in_own_type(batch["pixel_values"])
        if isinstance(index, Tensor):
            self._index, self._pixels = index.cpu().numpy(), pixels
            # view after view: a run with more views finds those of a run with fewer
            self._rows = self._index + self._view * self.count
            marks = batch.get(MARKS) or [mark_of(one) for one in batch["pixel_values"].cpu().float().numpy()]
            self._unread = [place for place, mark in enumerate(marks) if mark is None]
            self._marks = [
                self._seen[row] if mark is None else mark for row, mark in zip(self._rows.tolist(), marks, strict=True)
            ]
        try:
            yield {**batch, "pixel_values": pixels}
        finally:
            self._rows = self._pixels = self._index = None
            self._unread = []

    def _read_pixels(self) -> None:
        """Reads the pictures of the samples that came without them: their features are gone."""
        index, own, data = self._index, self._pixels, self.data
        if index is None or own is None or data is None:
            return
        for place in self._unread:
            pixels = data.data[int(index[place])]["pixel_values"]
            self._marks[place] = mark_of(pixels.numpy())
            own[place] = pixels.to(own)
        self._unread = []

    def _know(self, rows: np.ndarray, marks: Sequence[int]) -> None:
        """Notes that features of these rows can be read, so that their pixels are not needed any more."""
        self._seen.update(zip(rows.tolist(), marks, strict=True))
        if self.data is not None:
            self.data.known.view(-1)[torch.from_numpy(rows)] = True

    def _forward(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        rows, marks = self._rows, self._marks
        if rows is None or not self._is_batch(args[0] if args else kwargs.get("pixel_values")):
            if self._unread:
                raise TrainingError(
                    "an objective that changes pictures while their features are read from a file",
                    "pictures as they are", "leave --train.cached-views out",
                )  # fmt: skip
            return original(*args, **kwargs)  # pictures of another kind, such as a teacher's views of them
        there, values = np.zeros(len(rows), bool), None
        if self._like is not None and self._opened is not None:
            there, values = self._opened.rows.read(rows, marks)
        number = int(there.sum())
        self._know(rows[there], [marks[i] for i in np.flatnonzero(there).tolist()])
        if number < len(rows):
            self._read_pixels()
        if number == len(rows) or (number and self.place.blocks is None):
            flat = torch.from_numpy(values)
            if number < len(rows):
                flat = self._filled(flat, rows, np.flatnonzero(~there), original, args, kwargs)
            if flat is not None:
                self.hits, self.misses = self.hits + number, self.misses + len(rows) - number
                self.earlier += int((~self._own[rows[there]]).sum())
                return self.place.finish(self._shaped(flat), original, *args, **kwargs)
        self.misses += len(rows)
        return self.place.compute(lambda output: self._note(rows, marks, output), original, *args, **kwargs)

    def _filled(
        self, flat: Tensor, rows: np.ndarray, missing: np.ndarray, original: Any, args: Any, kwargs: Any
    ) -> Tensor | None:
        """Computes the samples of a batch that are not there, and puts them beside the others; None: too large."""
        count, at = len(flat), torch.from_numpy(missing)

        def part(value: Any) -> Any:
            is_of_samples = isinstance(value, Tensor) and value.dim() and len(value) == count
            return value[at.to(value.device)] if is_of_samples else value

        with torch.no_grad():
            output = original(*map(part, args), **{name: part(value) for name, value in kwargs.items()})
        found = self._flat(output, len(missing))
        if found is None:
            return None
        self._write(rows[missing], [self._marks[i] for i in missing.tolist()], found)
        flat = flat.to(found.device, copy=True)
        flat[at.to(found.device)] = found
        return flat

    def _is_batch(self, pixels: Any) -> bool:
        """Returns True for the pictures of the batch themselves, which nothing has changed since they were read."""
        own = self._pixels
        if not isinstance(pixels, Tensor) or own is None:
            return False
        return pixels.data_ptr() == own.data_ptr() and pixels.shape == own.shape

    def _note(self, rows: np.ndarray, marks: Sequence[int], output: Any) -> Any:
        """Keeps what was computed for samples, and returns it rounded as it is kept."""
        flat = self._flat(output, len(rows))
        if flat is None:
            return output
        there = np.zeros(len(rows), bool)
        if self._like is None:
            self._shapes, self._like = [value.shape[1:] for value in tensors_of(output)], output
            self._open(flat.shape[1])
            there = self._compare(rows, marks, flat)
            self._know(rows[there], [marks[i] for i in np.flatnonzero(there).tolist()])
        new = np.flatnonzero(~there)
        self._write(rows[new], [marks[i] for i in new.tolist()], flat[torch.from_numpy(new).to(flat.device)])
        return self._shaped(flat)

    def _flat(self, output: Any, count: int) -> Tensor | None:
        """Returns (count, numbers) float16; None for what cannot be kept: it is computed in each epoch."""
        tensors = list(tensors_of(output))
        if any(not value.is_floating_point() or len(value) != count for value in tensors):
            return None
        flat = torch.cat([value.detach().flatten(1) for value in tensors], 1).to(torch.float16)
        return flat if bool(torch.isfinite(flat).all()) else None

    def _write(self, rows: np.ndarray, marks: Sequence[int], flat: Tensor) -> None:
        if self._opened is not None:
            written = self._opened.rows.write(rows, marks, flat.cpu().numpy())
            self._know(rows[written], [marks[i] for i in np.flatnonzero(written).tolist()])
            self._own[rows] = True
            if self._opened.rows.is_full and not self._is_full:
                self._is_full = True
                self.notes.append(f"no room is left for features in {self.folder}: the others are computed each time")

    def _open(self, numbers: int) -> None:
        about = dict(self.about)
        if not (about and self.keep):
            about["run"] = uuid.uuid4().hex
        size = {"numbers": numbers, "count": self.count * self.views, "most_bytes": self.most_bytes}
        try:
            self._opened = self._files.enter_context(open_entry(self.folder, about, **size))
        except (OSError, NotImplementedError, UsageError) as error:  # no room, no permission, no locks
            self.notes.append(f"features cannot be kept in {self.folder} ({error}): they are computed in each epoch")
            return
        asked = f"{size['count']:,} samples, {size['count'] * row_bytes(numbers) / 1e9:.2g} GB"
        if self._opened is None:
            self.notes.append(
                f"features are not kept: {self.folder} has no room for one of {asked} (all runs together may take "
                f"{self.most_bytes / 1e9:g} GB, --train.cache-size); they are computed in each epoch"
            )
            return
        self.notes += [*self._opened.notes, self._place_note]
        fitting = self._opened.rows.count
        if fitting < size["count"]:
            self.notes.append(f"features of {fitting:,} of {asked}, fit: the others are computed in each epoch")

    def _close(self) -> None:
        self._opened = None
        self._files.close()

    def _compare(self, rows: np.ndarray, marks: Sequence[int], flat: Tensor) -> np.ndarray:
        """Compares features that an earlier run has kept with those that were computed now; starts anew if they differ.

        The entry's name holds all that features depend on, as far as it is known. This finds what is not. Returns (n,)
        which rows are there; they are put into ``flat``, so that a resumed run goes on with the same bits.
        """
        if self._opened is None or self._opened.is_new:
            return np.zeros(len(rows), bool)
        there, values = self._opened.rows.read(rows, marks)
        kept, now = values[there].astype(np.float32), flat.float().cpu().numpy()[there]
        apart = np.linalg.norm(kept - now, axis=1) / np.maximum(np.linalg.norm(now, axis=1), 1e-12)
        if not len(apart) or apart.max() <= MOST_APART:
            flat[torch.from_numpy(there).to(flat.device)] = torch.from_numpy(values[there]).to(flat.device)
            return there
        place = self._opened.place
        self.notes.append(f"features that were kept in {place} are not those of this base now; they were removed")
        self._close()
        discard(place)
        self._open(flat.shape[1])
        return np.zeros(len(rows), bool)

    def _shaped(self, flat: Tensor) -> Any:
        parts = iter(flat.split([shape.numel() for shape in self._shapes], 1))
        return with_tensors(self._like, lambda old: next(parts).to(old).view(-1, *old.shape[1:]))

    @property
    def note(self) -> str:
        """A sentence for the report."""
        whole = self.hits + self.misses
        said = f"features of {self.place} were read in place of computed for {self.hits} of {whole} samples "
        said += f"({self.views} views of each picture, float16)"
        if self.earlier:
            said += f"; {self.earlier} of them were written by an earlier run or another process"
        return said

    def new_notes(self) -> list[str]:
        """Returns what was noted since the last call."""
        found, self._said = self.notes[self._said :], len(self.notes)
        return found

    @property
    def _place_note(self) -> str:
        """A sentence on where they are."""
        most = f"at most {self.most_bytes / 1e9:g} GB with those of other runs (--train.cache-size)"
        if not self.keep:
            return f"features of {self.place} are kept in {self.folder} until the end of the run, {most}"
        later = "later runs with the same base, data and transform read them (--train.keep-features no removes them)"
        return f"features of {self.place} are kept in {self.folder}, {most}; {later}"
