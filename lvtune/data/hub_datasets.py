"""Data sets of the Hugging Face Hub, and local ones in the same form (parquet, image folders), through `datasets`.

A row is a picture with the persons in it, or one person with its picture. Its fields are COCO's:

- ``image``: the picture.
- ``objects``: the persons, a list of tables or a table of lists, each with ``keypoints`` (x, y, v per key point, flat
  or nested) and, where there are any, ``bbox`` (x, y, width, height in pixels), ``area``, ``iscrowd``, ``category``.
  A row without ``objects`` has these fields itself and is one person.
- ``file_name`` and ``category`` of the picture, where there are any.

The names of the key points stand in ``skeleton.json`` beside the data (a category of COCO: ``keypoints``, and where
there are any ``skeleton``, ``flip_pairs``), or the user names a known skeleton.

The rows are read once, as a stream, and written into the cache as COCO's JSON and a folder of pictures; the data set is
never held whole in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvtune.core.errors import DataError, NetworkError
from lvtune.core.network import why_unreachable
from lvtune.core.text import counted, one_line
from lvtune.data.arrow import default_cache_dir
from lvtune.data.dataset_rows import HOW, write_part
from lvtune.data.skeletons import Skeleton

SCHEME = "hf://"
SKELETON_FILE = "skeleton.json"
PARTS = {"train": ("train", "training"), "val": ("validation", "valid", "val", "dev"), "test": ("test",)}
"""Part to the names that it may have as a split."""
_TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


@dataclass(frozen=True)
class CocoCopy:
    """A data set as COCO files in the cache."""

    pictures: Path
    """Folder that ``file_name`` in the annotations is relative to."""
    annotations: Mapping[str, Path]
    """Part (train, val, test) to its JSON file."""
    notes: tuple[str, ...] = ()


def is_dataset(source: str | Path | None) -> bool:
    """Returns True for ``hf://owner/name``, a folder of parquet files, or an image folder with its table."""
    if source is None or str(source).startswith(SCHEME):
        return source is not None
    folder = Path(source)
    return folder.is_dir() and (any(folder.rglob("*.parquet")) or any(next(folder.rglob(t), None) for t in _TABLES))


def read_dataset(source: str, skeleton: Skeleton | None = None, cache: Path | None = None) -> CocoCopy:
    """Reads a data set once and returns its copy in COCO's form; a later call finds the copy.

    Args:
        source: ``hf://owner/name``, ``hf://owner/name@revision``, or a folder.
        skeleton: the key points; None: those of ``skeleton.json``.
        cache: folder of the copies; None: ``datasets`` in the cache folder of lvtune.

    Raises:
        DataError: not such a data set; fields that are missing or of the wrong form; no names of key points.
        NetworkError: the Hub cannot be reached, or has no such data set.
    """
    opened = _Remote(source) if source.startswith(SCHEME) else _Local(Path(source))
    names = _skeleton(opened, skeleton)
    key = hashlib.sha256(json.dumps([opened.key(), names], sort_keys=True).encode()).hexdigest()[:24]
    folder = (cache or default_cache_dir() / "datasets") / key
    done = _done(folder)
    if done is None:
        _copy(opened, names, folder)
        done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
    return CocoCopy(folder, {part: folder / f"{part}.json" for part in done["parts"]}, tuple(done["notes"]))


def _done(folder: Path) -> dict[str, list[str]] | None:
    """What a whole copy says of itself; None where there is none, or where its record is damaged."""
    try:
        found = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        return {name: [str(value) for value in found[name]] for name in ("parts", "notes")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


class _Local:
    """A folder of parquet files, or an image folder with a table of metadata."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, str(folder)
        self.notes: list[str] = []
        self.parquet = sorted(folder.rglob("*.parquet"))
        self.parquet = [file for file in self.parquet if file.name != "metadata.parquet"]

    def key(self) -> Any:
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        return [[str(f.relative_to(self.folder)), f.stat().st_size, f.stat().st_mtime_ns] for f in files]

    def skeleton_file(self) -> Path | None:
        file = self.folder / SKELETON_FILE
        return file if file.is_file() else None

    def parts(self) -> dict[str, Iterable[dict[str, Any]]]:
        from datasets import load_dataset

        if self.parquet:
            streams: Any = load_dataset("parquet", data_files=self._files(), streaming=True)
        else:
            streams = load_dataset("imagefolder", data_dir=str(self.folder), streaming=True)
        return _by_part(streams, self.notes)

    def _files(self) -> dict[str, list[str]]:
        """The parquet files of each part that have rows; a note says which names tell no part."""
        filled = [file for file in self.parquet if _row_count(file)]
        if not filled:
            raise DataError(f"{self.name}, whose parquet files have no rows", HOW, "check the folder")
        found = {part: [f for f in filled if _names(f, self.folder, words)] for part, words in PARTS.items()}
        other = [f for f in filled if not any(f in files for files in found.values())]
        names = ", ".join(str(file.relative_to(self.folder)) for file in other[:3]) + ", ..." * (len(other) > 3)
        if other and found["train"]:
            self.notes.append(
                f"{counted(len(other), 'parquet file')} left out, whose names say no part (train, val, test): {names}"
            )
        elif other:
            said = len(other) < len(filled)
            self.notes += [f"parquet files whose names say no part are read as train: {names}"] if said else []
            found["train"] = other
        return {part: [str(file) for file in files] for part, files in found.items() if files}


class _Remote:
    """A data set of the Hub."""

    def __init__(self, source: str) -> None:
        self.repo, _, revision = source.removeprefix(SCHEME).partition("@")
        self.revision, self.name = revision or None, source
        self.notes: list[str] = []
        if self.repo.count("/") != 1 or not all(self.repo.split("/")):
            raise DataError(f"data '{source}'", "hf://owner/name or hf://owner/name@revision", "check the name")
        reason = why_unreachable(self.repo)
        if reason is not None:
            raise NetworkError(f"data set {source}: {reason}", "a connection to the Hub", "go online, or give a folder")

    def _ask(self) -> Any:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        try:
            return HfApi(library_name="lvtune").dataset_info(self.repo, revision=self.revision)
        except (HfHubHTTPError, OSError) as error:
            reason = " ".join(str(error).split())[:160]
            raise NetworkError(
                f"data set {self.name}: {reason}", "a data set of the Hub that you may read",
                "check the name; for a private one type `hf auth login`",
            ) from error  # fmt: skip

    def key(self) -> Any:
        return [self.repo, self._ask().sha]

    def skeleton_file(self) -> Path | None:
        from huggingface_hub import hf_hub_download

        if SKELETON_FILE not in {sibling.rfilename for sibling in self._ask().siblings or ()}:
            return None
        return Path(hf_hub_download(self.repo, SKELETON_FILE, repo_type="dataset", revision=self.revision))

    def parts(self) -> dict[str, Iterable[dict[str, Any]]]:
        from datasets import load_dataset

        streams: Any = load_dataset(self.repo, revision=self.revision, streaming=True)
        return _by_part(streams, self.notes)


def _names(file: Path, folder: Path, words: Sequence[str]) -> bool:
    """Returns True if a file belongs to a part by its name: ``train-00000-of-00002.parquet``, ``train/0.parquet``."""
    relative = file.relative_to(folder)
    heads = [part.lower().replace("_", "-").split("-")[0] for part in (*relative.parts[:-1], relative.stem)]
    return any(head in words for head in heads)


def _row_count(file: Path) -> int:
    """The rows of a parquet file, from its end.

    Raises:
        DataError: it is cut off, or no parquet file.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_metadata(file).num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file}, which cannot be read ({one_line(str(error))[:160]})", "a whole parquet file",
                        "copy or download it again") from error  # fmt: skip


def _by_part(streams: Mapping[str, Any], notes: list[str]) -> dict[str, Iterable[dict[str, Any]]]:
    """Streams under the names that lvtune has for their splits, pictures left as the bytes that they are.

    A note counts the splits that are left out.
    """
    from datasets import Image

    found = {part: next((s for s in words if s in streams), None) for part, words in PARTS.items()}
    found = {part: name for part, name in found.items() if name} or {"train": next(iter(streams))}
    if other := [str(name) for name in streams if name not in found.values()]:
        notes.append(f"{counted(len(other), 'split')} left out, whose names are not known: {', '.join(other[:5])}")
    return {part: streams[name].cast_column("image", Image(decode=False)) for part, name in found.items()}


def _skeleton(opened: _Local | _Remote, given: Skeleton | None) -> dict[str, Any]:
    """The category of COCO that says the names of the key points."""
    if given is not None:
        return {"keypoints": list(given.keypoints), "skeleton": [[a + 1, b + 1] for a, b in given.links]}
    file = opened.skeleton_file()
    if file is None:
        raise DataError(
            f"data set {opened.name} without {SKELETON_FILE}", 'names of the key points: {"keypoints": ["nose", ...]}',
            f"add {SKELETON_FILE} to the data set, or give --skeleton NAME (`lvtune list skeletons`)",
        )  # fmt: skip
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        names = [str(name) for name in found["keypoints"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{SKELETON_FILE} of {opened.name}: {type(error).__name__}",
            '{"keypoints": ["nose", ...]}',
            "correct the file",
        ) from error
    return {**{key: found[key] for key in ("skeleton", "flip_pairs", "sigmas") if key in found}, "keypoints": names}


def _copy(opened: _Local | _Remote, names: dict[str, Any], folder: Path) -> None:
    """Writes all parts into a folder of another name, then gives it its own: a kill leaves no half copy."""
    staged = folder.with_name(f"{folder.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    parts, notes = [], []
    try:
        for part, rows in opened.parts().items():
            people, pictures = write_part(opened.name, rows, names, staged, part)
            parts.append(part)
            notes.append(f"{part}: {people:,} instances in {pictures:,} pictures read from {opened.name}")
        notes += opened.notes
        (staged / "done.json").write_text(json.dumps({"parts": parts, "notes": notes}), encoding="utf-8")
        if _done(folder) is None:  # another process may have been faster
            shutil.rmtree(folder, ignore_errors=True)
            staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
