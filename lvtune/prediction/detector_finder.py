"""Finds boxes with an object detector of transformers: RT-DETR, DETR, YOLOS, Conditional DETR, ... by its classes.

RT-DETR: Zhao et al., DETRs Beat YOLOs on Real-time Object Detection, CVPR 2024, arXiv 2304.08069.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.data.skeletons import Skeleton
from lvtune.prediction.box_choice import ALL_CLASSES
from lvtune.prediction.detector_models import DETECTOR, checked_boxes, load_detector
from lvtune.prediction.finder import Finder, Found, Look
from lvtune.prediction.frames import Frame
from lvtune.prediction.picture_boxes import PERSON, is_of_people

_SHOWN = 12
_SAME = 0.7  # boxes of different classes that overlap more are one object


@dataclass
class DetectorFinder(Finder):
    """Boxes of some classes.

    Args:
        source: folder or Hub id of the detector, as transformers saves it.
        classes: ids of the classes that are taken.
        threshold: boxes with a lower score are left out.
        model, processor: the detector.
    """

    source: str
    classes: Mapping[int, str]
    threshold: float
    model: Any
    processor: Any
    name: str = field(default="detector", kw_only=True)
    _others: Counter[str] = field(default_factory=Counter, init=False)

    def find(self, frames: Sequence[Frame], look: Look) -> list[Found]:
        """Detects in all frames at once."""
        pictures = [frame.pixels for frame in frames]
        inputs = self.processor(images=pictures, return_tensors="pt").to(self.model.device)
        with torch.inference_mode():
            outputs = self.model(**inputs)
        sizes = torch.tensor([[frame.size[1], frame.size[0]] for frame in frames if frame.size is not None])
        results = self.processor.post_process_object_detection(outputs, threshold=self.threshold, target_sizes=sizes)
        return [self._of_frame(frame, result) for frame, result in zip(frames, results, strict=True)]

    def identity(self) -> dict[str, Any]:
        """The model, its classes and the threshold."""
        names = sorted(self.classes.values())
        return {"name": self.name, "detector": self.source, "classes": names, "threshold": self.threshold}

    def _of_frame(self, frame: Frame, result: Mapping[str, torch.Tensor]) -> Found:
        labels = result["labels"].cpu().numpy()
        taken = np.isin(labels, list(self.classes))
        self._others.update(self.model.config.id2label.get(int(label), str(label)) for label in labels[~taken])
        corners, scores = result["boxes"].cpu().numpy()[taken], result["scores"].cpu().numpy()[taken]
        names = [self.classes[int(label)] for label in labels[taken]]
        overlap = _SAME if len(self.classes) > 1 else 1.0
        return checked_boxes(corners, scores, names, frame.size, overlap)

    def final_notes(self) -> list[str]:
        """Says which classes were found beside those that are taken."""
        if not self._others:
            return []
        words = ", ".join(f"{name} {count}" for name, count in self._others.most_common(3))
        kept = ", ".join(list(self.classes.values())[:3])
        return [f"boxes of other classes than {kept} left out ({words}); --class NAME takes others"]


def detector_finder(
    source: str | None, box_class: str | None, threshold: float, skeleton: Skeleton, device: Any
) -> DetectorFinder:
    """Loads a detector and chooses its classes.

    Args:
        source: folder or Hub id; None: RT-DETR.
        box_class: names or ids of classes, with commas; ``all``; None: persons, if the key points are people's.
        threshold: boxes with a lower score are left out.
        skeleton: of the poses.
        device: to compute on.

    Raises:
        LvtuneError: the model cannot be had, or is no detector; it has no such class.
    """
    name = source or DETECTOR
    model, processor = load_detector(name, device)
    known = {int(number): str(label) for number, label in model.config.id2label.items()}
    classes = _classes(known, box_class, skeleton, name)
    chosen = "all classes" if len(classes) == len(known) > 1 else ", ".join(classes.values())
    note = f"boxes found by {name}: {chosen}, score at least {threshold:g}"
    return DetectorFinder(name, classes, threshold, model, processor, notes=[note], at_once=8)


def _classes(known: Mapping[int, str], wanted: str | None, skeleton: Skeleton, source: str) -> dict[int, str]:
    names = {label.lower(): number for number, label in known.items()}
    shown = ", ".join(list(known.values())[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
    if wanted == ALL_CLASSES:
        return dict(known)
    if wanted is None and PERSON in names and is_of_people(skeleton):
        return {names[PERSON]: known[names[PERSON]]}
    if wanted is None and len(known) == 1:
        return dict(known)
    if wanted is None:
        raise UsageError(
            f"{source} without a class for the key points of '{skeleton.name}'", f"one or more of {shown}, or all",
            'give --class NAME, or find by words: --find "a mouse"',
        )  # fmt: skip
    found = {}
    for word in (word.strip() for word in wanted.split(",")):
        number = names.get(word.lower(), int(word) if word.isdigit() and int(word) in known else None)
        if number is None:
            raise UsageError(
                f"class '{word}' of {source}", f"one or more of {shown}, or all",
                suggest(word, list(known.values()), 'find by words: --find "a mouse"'),
            )  # fmt: skip
        found[number] = known[number]
    return found
