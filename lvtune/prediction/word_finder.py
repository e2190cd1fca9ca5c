"""Finds boxes by words, with a zero-shot detector such as OWLv2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lvtune.core.errors import UsageError
from lvtune.prediction.detector_models import WORD_DETECTOR, checked_boxes, load_word_detector
from lvtune.prediction.finder import Finder, Found, Look
from lvtune.prediction.frames import Frame

WORDS = "words"
"""``--find words`` takes the adapter's own sentences."""
_SAME = 0.5  # boxes that overlap more are one object: such detectors give several
_MOST = 20


@dataclass
class WordFinder(Finder):
    """Boxes of what some words describe.

    Args:
        source: folder or Hub id of the detector.
        words: what is looked for.
        threshold: boxes with a lower score are left out.
        model, processor: the detector.
    """

    source: str
    words: Sequence[str]
    threshold: float
    model: Any
    processor: Any
    name: str = field(default=WORDS, kw_only=True)

    def find(self, frames: Sequence[Frame], look: Look) -> list[Found]:
        """Detects in all frames at once."""
        pictures = [frame.pixels for frame in frames]
        inputs = self.processor(
            text=[list(self.words)] * len(frames), images=pictures, return_tensors="pt", truncation=True, padding=True
        ).to(self.model.device)
        with torch.inference_mode():
            outputs = self.model(**inputs)
        results = self.processor.post_process_grounded_object_detection(
            outputs, threshold=self.threshold, target_sizes=[(size[1], size[0]) for f in frames if (size := f.size)],
            text_labels=[list(self.words)] * len(frames),
        )  # fmt: skip
        return [self._of_frame(frame, result) for frame, result in zip(frames, results, strict=True)]

    def identity(self) -> dict[str, Any]:
        """The model, the words and the threshold."""
        return {"name": self.name, "detector": self.source, "words": list(self.words), "threshold": self.threshold}

    def _of_frame(self, frame: Frame, result: Mapping[str, Any]) -> Found:
        labels = [str(label) for label in result.get("text_labels") or ()]
        return checked_boxes(
            result["boxes"].cpu().numpy(), result["scores"].cpu().numpy(), labels, frame.size, _SAME
        )  # fmt: skip


def word_finder(words: str, source: str | None, threshold: float, adapters: Sequence[Any], device: Any) -> WordFinder:
    """Loads a detector that reads words.

    Args:
        words: what is looked for; several with commas; ``words``: the adapters' own sentences.
        source: folder or Hub id; None: OWLv2.
        threshold: boxes with a lower score are left out.
        adapters: that act.
        device: to compute on.

    Raises:
        LvtuneError: the model cannot be had; no words.
    """
    asked = own_sentences(adapters) if words == WORDS else [one.strip() for one in words.split(",") if one.strip()]
    if not asked:
        raise UsageError("--find words with no adapter that has sentences", "words that describe what to find",
                         'give --find "a mouse"')  # fmt: skip
    name = source or WORD_DETECTOR
    model, processor = load_word_detector(name, device)
    shown = ", ".join(f"'{word}'" for word in asked[:3]) + (", ..." if len(asked) > 3 else "")
    note = f"boxes found by {name} with the words {shown}, score at least {threshold:g}"
    return WordFinder(name, asked, threshold, model, processor, notes=[note], at_once=4)


def own_sentences(adapters: Sequence[Any]) -> list[str]:
    """Returns the sentences about single pictures that adapters read, else those of their domains; each once."""
    from lvtune.domains import DOMAINS, get_domain
    from lvtune.language.captions import is_key

    found: list[str] = []
    for adapter in adapters:
        bank, domain = getattr(adapter, "bank", None), getattr(adapter, "domain", None)
        read = [] if bank is None else [
            sentence for key, sentence in zip(bank.categories, bank.sentences, strict=True) if not is_key(key)
        ]  # fmt: skip
        known = domain is not None and all(part.strip().partition("/")[0] in DOMAINS for part in domain.split("+"))
        found += read or (list(get_domain(domain).sentences.values()) if domain and known else [])
    return list(dict.fromkeys(found))[:_MOST]
