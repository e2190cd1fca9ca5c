"""Gathers pictures and instances while a reader goes through the label files, and counts what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted, plural
from lvtune.data.formats.label_project import Instance, LabelProject, Picture
from lvtune.data.formats.picture_finder import PictureFinder, picture_size

_SHOWN = 3
Odd = Counter[tuple[str, str]]
"""How many things were left out or changed: name of one thing and the words that follow it, to their number."""


class ProjectBuilder:
    """Makes a :class:`LabelProject`.

    Args:
        tool: name of the tool, for errors and notes.
        root: folder that the names of the pictures are relative to.
        keypoints: K names in the order of the project.
        finder: looks for the pictures.
    """

    def __init__(self, tool: str, root: Path, keypoints: Sequence[str], finder: PictureFinder) -> None:
        self.tool, self.root, self.keypoints, self.finder = tool, root.resolve(), tuple(keypoints), finder
        self.notes: list[str] = []
        self.lost_instances = self.points = self.lost_points = 0
        self._expected = 0
        self._pictures: list[Picture] = []
        self._scale: list[tuple[float, float]] = []
        self._rescaled = 0
        self._known: dict[Path, int] = {}
        self._names: dict[Path, list[str]] = {}
        self._guessed: set[Path] = set()
        """Files that were found by another name than the labels give."""
        self._missing: dict[str, str] = {}
        """What the spellings of a picture have in common, to the first of them."""
        self._instances: list[Instance] = []
        twice = sorted({name for name in self.keypoints if self.keypoints.count(name) > 1})
        if twice or not self.keypoints:
            fault = f"two key points named '{twice[0]}'" if twice else "no names of key points"
            raise DataError(
                f"{tool} labels in {root} with {fault}", "names, each once", "correct the names in the project"
            )

    def picture(
        self, name: str, *, path: Path | None = None, size: tuple[int, int] | None = None, group: str = "",
        category: str = "", description: str = "", search: bool = True,
    ) -> int | None:  # fmt: skip
        """Adds a picture; returns its place, or None where the file is missing (it is counted).

        Args:
            name: as the labels give it.
            path: the file, where it is known.
            size: width and height that the labels give; where the file is larger or smaller by one factor, the
                points are scaled.
            group: video or folder; None of the parts of the path is taken by itself.
            category: of the whole picture.
            description: caption.
            search: False: without `path` the file is missing.

        Raises:
            DataError: the file is no picture, or its sides have another ratio than the labels say.
        """
        guesses, key = self.finder.guesses, self.finder.key(name)
        found = path or (self.finder.find(name) if search else None)
        is_guess = self.finder.guesses > guesses
        if found is None:
            self._missing.setdefault(key, name)
            return None
        found = found.resolve() if ".." in found.parts else found.absolute()
        if found in self._known:
            if (is_guess or found in self._guessed) and key not in self._names[found]:
                raise DataError(
                    f"{self.tool} labels of {self._names[found][0]} and {name}, for which {found} alone is there",
                    "a picture for each", "keep the folders that the labels name",
                )  # fmt: skip
            return self._known[found]
        self._names[found] = [key]
        self._guessed |= {found} if is_guess else set()
        width, height = picture_size(found)
        self._scale.append(self._factor(name, size, (width, height)))
        self._pictures.append(Picture(found, self._name(found), width, height, group, category, description))
        self._known[found] = len(self._pictures) - 1
        return self._known[found]

    def _factor(self, name: str, told: tuple[int, int] | None, real: tuple[int, int]) -> tuple[float, float]:
        if told is None or tuple(told) == real:
            return 1.0, 1.0
        factor = (real[0] / max(1, told[0]), real[1] / max(1, told[1]))
        if abs(told[0] * factor[1] - real[0]) > max(1.0, factor[1]) and abs(told[1] * factor[0] - real[1]) > max(
            1.0, factor[0]
        ):
            raise DataError(
                f"picture {name} of {real[0]}x{real[1]} pixels, labelled at {told[0]}x{told[1]}",
                "the picture that was labelled, or one of the same shape", "give the labelled pictures",
            )  # fmt: skip
        self._rescaled += 1
        return factor

    def _name(self, path: Path) -> str:
        """Returns the name relative to the root; for a file elsewhere its last two parts, each name once."""
        resolved = path.resolve()
        for base, file in ((self.root, path), (self.root, resolved)):
            if file.is_relative_to(base):
                return file.relative_to(base).as_posix()
        name = "/".join(path.parts[-2:])
        taken = {picture.name for picture in self._pictures}
        count, unique = 2, name
        while unique in taken:
            unique, count = f"{count}/{name}", count + 1
        return unique

    def add(
        self, picture: int | None, points: np.ndarray, visibility: np.ndarray, *, category: str = "",
        individual: str = "", box: Sequence[float] | None = None, area: float | None = None, is_crowd: bool = False,
    ) -> bool:  # fmt: skip
        """Adds an instance; returns False where it has neither points nor a box, or its picture is missing.

        Args:
            picture: what :meth:`picture` returned.
            points: (K, 2) x, y in pixels of the labelled picture; NaN and infinity are unlabelled.
            visibility: (K,) above 0 where labelled.
            category: what it is.
            individual: which one it is.
            box: drawn box as x, y, width, height in pixels.
            area: square pixels.
            is_crowd: True for a group.
        """
        points = np.asarray(points, np.float64).reshape(len(self.keypoints), 2)
        seen = np.where(np.isfinite(points).all(1), np.asarray(visibility).reshape(-1), 0).astype(np.int64)
        if not (seen > 0).any() and box is None:
            return False
        labelled = int((seen > 0).sum())
        if picture is None:
            self.lost_instances += 1
            self.lost_points += labelled
            return False
        self.points += labelled
        factor = np.array(self._scale[picture])
        points = np.where(seen[:, None] > 0, np.nan_to_num(points, posinf=0, neginf=0) * factor, 0.0)
        if box is not None:
            x, y, width, height = (float(value) for value in box)
            box = (x * factor[0], y * factor[1], width * factor[0], height * factor[1])
        scaled = None if area is None else float(area) * float(factor.prod())
        drawn = None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
        self._instances.append(Instance(picture, points, seen, category, individual, drawn, scaled, is_crowd))
        return True

    def size(self, picture: int) -> tuple[int, int]:
        """Returns width and height in pixels that the points of a picture are given in."""
        made, factor = self._pictures[picture], self._scale[picture]
        return round(made.width / factor[0]), round(made.height / factor[1])

    def expect_points(self, count: int, file: Path) -> None:
        """Compares the points that a file holds with those that were read from it since the last call.

        Raises:
            DataError: the numbers differ.
        """
        read = self.points + self.lost_points - self._expected
        self._expected = self.points + self.lost_points
        if read != count:
            raise DataError(
                f"{file} with {count} labelled points, of which {read} could be read", "every point",
                f"please report it with the first lines of the file; {self.tool} may have written it in a new way",
            )  # fmt: skip

    @property
    def instances(self) -> int:
        """How many instances were added so far."""
        return len(self._instances)

    def finish(
        self, *, links: Sequence[tuple[int, int]] = (), flip_pairs: Sequence[tuple[int, int]] | None = None,
        splits: Mapping[str, Sequence[int]] | None = None,
    ) -> LabelProject:  # fmt: skip
        """Returns the project.

        Args:
            links: pairs of places among the key points.
            flip_pairs: key points that change places in a mirror image.
            splits: part to places of pictures.

        Raises:
            DataError: no picture was found, or no instance is labelled.
        """
        where = f"{self.tool} labels in {self.root}"
        if self._missing and not self._pictures:
            first = next(iter(self._missing.values()))
            raise DataError(
                f"{where}: none of the {counted(len(self._missing), 'picture')} is there, such as {first}",
                f"the pictures below {', '.join(str(root) for root in self.finder.roots)}",
                "copy the pictures to where the labels are, or give the folder that holds both",
            )
        if not self._instances:
            raise DataError(
                f"{where} with {counted(len(self._pictures), 'picture')} and no labelled point",
                "at least one labelled instance",
                "label some pictures, and save",
            )  # fmt: skip
        project = LabelProject(
            self.tool, self.root, self.keypoints, tuple(self._pictures), tuple(self._instances), tuple(links),
            None if flip_pairs is None else tuple(flip_pairs),
            {part: tuple(dict.fromkeys(places)) for part, places in (splits or {}).items() if places},
            tuple(dict.fromkeys(item.category for item in self._instances)),
        )  # fmt: skip
        return replace(project, notes=(f"read as {self.tool}: {project.counts}", *self._counted(), *self.notes))

    def _counted(self) -> list[str]:
        notes = []
        if self._missing:
            first = ", ".join(list(self._missing.values())[:_SHOWN])
            total = len(self._missing) + len(self._pictures)
            notes.append(
                f"{len(self._missing)} of {counted(total, 'labelled picture')} "
                f"{plural(len(self._missing), 'is', 'are')} missing and left out with "
                f"{counted(self.lost_instances, 'instance')}: {first}"
                + (", ..." if len(self._missing) > _SHOWN else "")
            )
        if self.finder.moved:
            notes.append(
                f"{counted(self.finder.moved, 'picture was', 'pictures were')} found by name, "
                "in other folders than the labels say"
            )
        if self._rescaled:
            notes.append(
                f"{counted(self._rescaled, 'picture has', 'pictures have')} another size than at labelling: "
                "points scaled"
            )
        return notes
