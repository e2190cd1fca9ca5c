"""The one form that the label files of every tool are read into: key points, pictures, instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lvtune.core.text import counted

PARTS = ("train", "val", "test")
"""Names of the parts that a project may be split into."""


@dataclass(frozen=True)
class Picture:
    """One picture file that exists."""

    path: Path
    """Absolute path of the file."""
    name: str
    """Name relative to the project, with forward slashes; each once."""
    width: int
    """Pixels, turned as EXIF says."""
    height: int
    """Pixels, turned as EXIF says."""
    group: str = ""
    """The video or folder that it comes from."""
    category: str = ""
    """Category of the whole picture, where the labels name one."""
    description: str = ""
    """Caption, where the labels have one."""


@dataclass(frozen=True, eq=False)
class Instance:
    """One animal, person or hand in one picture."""

    picture: int
    """Place of its picture among the pictures of the project."""
    keypoints: np.ndarray
    """(K, 2) x, y in pixels of the picture; 0 where not labelled."""
    visibility: np.ndarray
    """(K,) 0 not labelled, 1 hidden, 2 visible."""
    category: str = ""
    """What it is, where the labels say so."""
    individual: str = ""
    """Which one it is, where the labels tell individuals apart."""
    box: tuple[float, float, float, float] | None = None
    """Drawn box as x, y, width, height in pixels; None: no box was drawn."""
    area: float | None = None
    """Square pixels; None: that of the box."""
    is_crowd: bool = False
    """True for a group that nobody annotated one by one."""


@dataclass(frozen=True)
class LabelProject:
    """All labels of one project."""

    format: str
    """Name of the tool, such as "DeepLabCut"."""
    root: Path
    """Folder that the names of the pictures are relative to."""
    keypoints: tuple[str, ...]
    """K names in the order of the project."""
    pictures: tuple[Picture, ...]
    """Pictures with and without instances."""
    instances: tuple[Instance, ...]
    """Every instance has a labelled point or a drawn box."""
    links: tuple[tuple[int, int], ...] = ()
    """Lines of the skeleton as pairs of places from 0."""
    flip_pairs: tuple[tuple[int, int], ...] | None = None
    """Key points that change places in a mirror image; None: the labels do not say."""
    splits: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Part (train, val, test) to places of its pictures; empty: the project has no split of its own."""
    categories: tuple[str, ...] = ()
    """Categories of the instances, those of all parts."""
    notes: tuple[str, ...] = ()
    """What was decided or left out on reading, one sentence each."""

    def part(self, part: str) -> LabelProject:
        """Returns the pictures of one part of `splits` and their instances.

        Raises:
            KeyError: no such part.
        """
        places = self.splits[part]
        new = {old: place for place, old in enumerate(places)}
        kept = [replace(item, picture=new[item.picture]) for item in self.instances if item.picture in new]
        pictures = tuple(self.pictures[place] for place in places)
        return replace(self, pictures=pictures, instances=tuple(kept), splits={})

    @property
    def counts(self) -> str:
        """Pictures, instances and labelled points in words."""
        points = sum(int((item.visibility > 0).sum()) for item in self.instances)
        return (
            f"{counted(len(self.pictures), 'picture', spec=',')}, "
            f"{counted(len(self.instances), 'instance', spec=',')}, "
            f"{counted(points, 'labelled point', spec=',')} of {counted(len(self.keypoints), 'key point')}"
        )
