"""Writes results line by line as they come, so that a run that was interrupted can go on where it stopped.

``poses.jsonl``: the first line says which run it is, then comes one line per frame, and after each chunk of frames a
line that says how many are done, with a checksum over the chunk. Lines behind the last of these belong to a chunk that
was not finished; they are cut off when the run goes on. Chunks begin at the same frames in every run, so the results
are the same to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from lvtune.core.errors import DataError, UsageError
from lvtune.core.files import user_errors
from lvtune.data.skeletons import Skeleton
from lvtune.prediction.frames import Frame
from lvtune.prediction.pose import FramePoses, Pose

JOURNAL_FILE = "poses.jsonl"
_NEW = "leave --resume out to start again"


class Journal:
    """The results of one run in a folder.

    Args:
        folder: existing folder.
        run: what the results depend on, in JSON types; a run goes on only if all of it is equal.
        skeletons: by name, those that poses may have.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any], skeletons: Mapping[str, Skeleton]) -> None:
        self.path = folder / JOURNAL_FILE
        self.run = json.loads(json.dumps(run))
        self.skeletons = dict(skeletons)
        self.done = 0
        """Frames whose results are kept."""
        self.is_complete = False
        self._file: IO[str] | None = None
        self._end: int | None = None

    def look(self) -> None:
        """Looks how far the run there has come, to go on with it; without one, :meth:`begin` begins anew.

        Raises:
            LvtuneError: the run there is another one, or damaged.
        """
        if self.path.is_file():
            self._end, self.done, self.is_complete = self._scan()

    def begin(self) -> None:
        """Opens the file behind what :meth:`look` found; without that, what another run left there is dropped."""
        with user_errors(self.path):
            if self._end is not None:
                self._file = self.path.open("r+", encoding="utf-8", newline="\n")
                self._file.truncate(self._end)
                self._file.seek(0, os.SEEK_END)
            else:
                self._file = self.path.open("w", encoding="utf-8", newline="\n")
                self._file.write(json.dumps({"run": self.run}) + "\n")
                self._sync()

    def unfinished(self) -> int | None:
        """Returns how many frames an unfinished run there has done; None where there is none."""
        if not self.path.is_file():
            return None
        try:
            _, done, complete = self._scan(compare=False)
        except (DataError, UsageError):
            return None
        return None if complete else done

    def write(self, results: Sequence[FramePoses]) -> None:
        """Keeps the results of a chunk; they outlast a kill as soon as this returns."""
        assert self._file is not None
        with user_errors(self.path):
            lines = [json.dumps(_to_line(result)) + "\n" for result in results]
            self.done += len(results)
            check = hashlib.sha256("".join(lines).encode()).hexdigest()
            self._file.writelines([*lines, json.dumps({"done": self.done, "check": check}) + "\n"])
            self._sync()

    def finish(self) -> None:
        """Marks the run as complete."""
        assert self._file is not None
        if not self.is_complete:
            with user_errors(self.path):
                self._file.write(json.dumps({"complete": self.done}) + "\n")
                self._sync()
        self.is_complete = True
        self.close()

    def close(self) -> None:
        """Closes the file; what is there stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def results(self) -> Iterator[FramePoses]:
        """Reads the results of all finished chunks, frame by frame; frames come without pixels."""
        with self.path.open("rb") as file:  # what was not finished may be no text at all
            next(file)
            seen = 0
            for line in file:
                if seen >= self.done:
                    return
                values = json.loads(line)
                if "picture" in values:
                    seen += 1
                    yield _from_line(values, self.skeletons)

    def _sync(self) -> None:
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())

    def _scan(self, compare: bool = True) -> tuple[int, int, bool]:
        """Returns where the last finished chunk ends, in bytes, the frames until there, and whether it is the end."""
        with self.path.open("rb") as file:
            head = file.readline()
            if compare:
                self._check(head)
            place = end = len(head)
            done, complete = 0, False
            chunk, frames = hashlib.sha256(), 0
            for line in file:
                place += len(line)
                if not line.endswith(b"\n"):
                    break
                if line.startswith(b'{"done": '):
                    if _end_of_chunk(line) != (done + frames, chunk.hexdigest()):
                        raise DataError(
                            f"{self.path}, damaged after frame {done}", "the file as predict wrote it", _NEW
                        )
                    end, done = place, done + frames
                    chunk, frames = hashlib.sha256(), 0
                elif line.startswith(b'{"complete": ') and not frames:
                    end, complete = place, True
                else:
                    chunk.update(line)
                    frames += 1
        return end, done, complete

    def _check(self, head: bytes) -> None:
        try:
            found = json.loads(head)["run"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DataError(f"{self.path}, which no run of predict began", "a run that was interrupted", _NEW) from None
        if not isinstance(found, dict):
            raise DataError(f"{self.path}, which no run of predict began", "a run that was interrupted", _NEW)
        other = [name for name in {**found, **self.run} if found.get(name) != self.run.get(name)]
        if other:
            name = sorted(other)[0]
            words = f"{_short(found.get(name))}, now {_short(self.run.get(name))}"
            raise UsageError(f"--resume of a run with other settings ({name}: {words})",
                             "the same pictures and options as at its beginning", _NEW)  # fmt: skip


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _end_of_chunk(line: bytes) -> tuple[Any, Any]:
    """The frames done and the checksum in the line behind a chunk; (None, None) for a damaged line."""
    try:
        values = json.loads(line)
        return values["done"], values["check"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, None


def _to_line(result: FramePoses) -> dict[str, Any]:
    frame = result.frame
    values: dict[str, Any] = {"picture": str(frame.picture), "index": frame.index}
    more = {"file": frame.file, "size": frame.size, "number": frame.number, "time": frame.time, "error": frame.error,
            "marks": result.marks}  # fmt: skip
    values |= {name: value for name, value in more.items() if value not in (None, "", {})}
    return {**values, "poses": [_pose_values(pose) for pose in result]}


def _pose_values(pose: Pose) -> dict[str, Any]:
    points = np.column_stack([pose.keypoints, pose.scores]).astype(float)
    values: dict[str, Any] = {"bbox": list(pose.bbox), "keypoints": points.tolist(), "skeleton": pose.skeleton.name}
    more = {"category": pose.category, "unit": pose.unit or None, "frame": pose.frame, "time": pose.time,
            "track": pose.track, "label": pose.label, "expected_oks": pose.expected_oks, "sure": pose.sure,
            **{name: None if one is None else np.asarray(one, float).tolist()
               for name, one in (("raw_scores", pose.raw_scores), ("radii", pose.radii))},
            "xyz": None if pose.xyz is None else np.asarray(pose.xyz, float).tolist()}  # fmt: skip
    values |= {name: value for name, value in more.items() if value is not None}
    if pose.adapter != "":
        values["adapter"] = pose.adapter
    return {**values, "box_score": pose.box_score}


def _from_line(values: Mapping[str, Any], skeletons: Mapping[str, Skeleton]) -> FramePoses:
    frame = Frame(
        values["index"], Path(values["picture"]), None, values.get("number"), values.get("time"), values.get("error"),
        values.get("file", ""), _pair(values.get("size")),
    )  # fmt: skip
    poses = [_pose(one, frame.image, skeletons) for one in values["poses"]]
    return FramePoses(frame, poses, marks=values.get("marks"))


def _pair(value: Any) -> tuple[int, int] | None:
    return None if value is None else (int(value[0]), int(value[1]))


def _pose(values: Mapping[str, Any], image: str, skeletons: Mapping[str, Skeleton]) -> Pose:
    points = np.array(values["keypoints"], float).reshape(-1, 3)
    xyz = values.get("xyz")
    x, y, width, height = values["bbox"]
    return Pose(
        image, (x, y, width, height), points[:, :2], points[:, 2], skeletons[values["skeleton"]],
        None if xyz is None else np.array(xyz, float), values.get("category"), values.get("adapter", ""),
        values.get("unit", ""), values["box_score"], values.get("frame"), values.get("time"), values.get("track"),
        values.get("label"), raw_scores=_array(values.get("raw_scores")), radii=_array(values.get("radii")),
        expected_oks=values.get("expected_oks"), sure=values.get("sure"),
    )  # fmt: skip


def _array(values: Any) -> np.ndarray | None:
    return None if values is None else np.array(values, float)
