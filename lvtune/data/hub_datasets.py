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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvtune.core.errors import DataError, NetworkError
from lvtune.core.network import why_unreachable
from lvtune.data.arrow import default_cache_dir
from lvtune.data.image_header import read_header, refuse_large
from lvtune.data.images import MAX_PIXELS
from lvtune.data.skeletons import Skeleton

SCHEME = "hf://"
SKELETON_FILE = "skeleton.json"
PARTS = {"train": ("train",), "val": ("validation", "valid", "val", "dev"), "test": ("test",)}
"""Part to the names that it may have as a split."""
_FIELDS = ("bbox", "area", "iscrowd", "category", "category_id", "num_keypoints")
_TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_HOW = "a row a picture with image and objects (bbox, keypoints), see docs/own-data-fields.md"


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
            files = {
                part: [str(f) for f in self.parquet if _names(f, self.folder, words)] for part, words in PARTS.items()
            }
            files = {part: found for part, found in files.items() if found} or {"train": [str(f) for f in self.parquet]}
            streams: Any = load_dataset("parquet", data_files=files, streaming=True)
        else:
            streams = load_dataset("imagefolder", data_dir=str(self.folder), streaming=True)
        return _by_part(streams)


class _Remote:
    """A data set of the Hub."""

    def __init__(self, source: str) -> None:
        self.repo, _, revision = source.removeprefix(SCHEME).partition("@")
        self.revision, self.name = revision or None, source
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
        return _by_part(streams)


def _names(file: Path, folder: Path, words: Sequence[str]) -> bool:
    """Returns True if a file belongs to a part by its name: ``train-00000-of-00002.parquet``, ``train/0.parquet``."""
    relative = file.relative_to(folder)
    heads = [part.lower().replace("_", "-").split("-")[0] for part in (*relative.parts[:-1], relative.stem)]
    return any(head in words for head in heads)


def _by_part(streams: Mapping[str, Any]) -> dict[str, Iterable[dict[str, Any]]]:
    """Streams under the names that lvtune has for their splits, pictures left as the bytes that they are."""
    from datasets import Image

    found = {part: next((s for s in words if s in streams), None) for part, words in PARTS.items()}
    found = {part: name for part, name in found.items() if name} or {"train": next(iter(streams))}
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
            people, pictures = _write_part(opened, rows, names, staged, part)
            parts.append(part)
            notes.append(f"{part}: {people:,} instances in {pictures:,} pictures read from {opened.name}")
        (staged / "done.json").write_text(json.dumps({"parts": parts, "notes": notes}), encoding="utf-8")
        if _done(folder) is None:  # another process may have been faster
            shutil.rmtree(folder, ignore_errors=True)
            staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _write_part(
    opened: _Local | _Remote, rows: Iterable[dict[str, Any]], names: dict[str, Any], staged: Path, part: str
) -> tuple[int, int]:
    """Writes the pictures and the annotations of a part; returns the numbers of instances and pictures."""
    (staged / "images" / part).mkdir(parents=True)
    images: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for place, row in enumerate(rows):
        data = _bytes(opened, row, place)
        mark = hashlib.sha256(data).hexdigest()
        if mark not in images:  # rows of several persons may hold one picture
            file = f"images/{part}/{len(images):07d}{_suffix(data)}"
            (staged / file).write_bytes(data)
            width, height = _size(opened, data, place)
            images[mark] = {"id": len(images) + 1, "file_name": file, "width": width, "height": height}
            if row.get("category") is not None and "objects" in row:
                images[mark]["category"] = str(row["category"])
        for person in _people(opened, row, place):
            known = {key: person[key] for key in _FIELDS if person.get(key) is not None}
            points = _points(opened, person.get("keypoints"), len(names["keypoints"]), place)
            annotations.append(
                {**known, "id": len(annotations) + 1, "image_id": images[mark]["id"], "category_id": 1,
                 "keypoints": points}
            )  # fmt: skip
    category = {"id": 1, "name": "instance", **names}
    text = json.dumps({"images": list(images.values()), "annotations": annotations, "categories": [category]})
    (staged / f"{part}.json").write_text(text, encoding="utf-8")
    return len(annotations), len(images)


def _bytes(opened: _Local | _Remote, row: Mapping[str, Any], place: int) -> bytes:
    image = row.get("image")
    if not isinstance(image, Mapping) or not (image.get("bytes") or image.get("path")):
        raise DataError(f"row {place} of {opened.name} without a picture in `image`", _HOW, "correct the data set")
    return image["bytes"] or Path(image["path"]).read_bytes()


def _people(opened: _Local | _Remote, row: Mapping[str, Any], place: int) -> Iterator[Mapping[str, Any]]:
    """The persons of a row: of a list of tables, of a table of lists, or the row itself."""
    objects = row.get("objects")
    if objects is None:
        if "keypoints" not in row:
            raise DataError(
                f"row {place} of {opened.name} without `objects` or `keypoints`", _HOW, "correct the data set"
            )
        yield row
    elif isinstance(objects, Mapping):
        count = len(objects.get("keypoints") or ())
        for i in range(count):
            yield {key: values[i] for key, values in objects.items() if values is not None and len(values) == count}
    else:
        yield from objects


def _points(opened: _Local | _Remote, points: Any, count: int, place: int) -> list[float]:
    """x, y, v of each key point, flat; points of two numbers are labelled where they are numbers at all."""
    rows: list[Any] = list(points if points is not None else ())
    if rows and isinstance(rows[0], Sequence):
        rows = [value for row in rows for value in (row if len(row) == 3 else [*row, 2 if None not in row else 0])]
    if len(rows) != 3 * count:
        raise DataError(
            f"row {place} of {opened.name} with {len(rows)} numbers in `keypoints`",
            f"x, y, v of {count} key points, {3 * count} numbers", "correct the data set, or name another skeleton",
        )  # fmt: skip
    return [0 if value is None else value for value in rows]


def _size(opened: _Local | _Remote, data: bytes, place: int) -> tuple[int, int]:
    """Width and height in pixels of the upright picture, from its header."""
    header = read_header(data)
    if header is None:
        raise DataError(
            f"row {place} of {opened.name} without a picture", "a picture in `image`", "correct the data set"
        )
    refuse_large(header, f"row {place} of {opened.name}", MAX_PIXELS)
    return header.upright


def _suffix(data: bytes) -> str:
    heads = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp", b"BM": ".bmp", b"II*": ".tif", b"MM": ".tif"}
    return next((suffix for head, suffix in heads.items() if data.startswith(head)), ".img")
