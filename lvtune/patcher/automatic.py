"""Which adapter a picture goes under, by its looks: each picture against the sentences of the attached adapters.

The image side of CLIP or SigLIP (:mod:`lvtune.language.ranking`) compares each sample with what the adapters' domains
are said to look like, and with a sentence about what the base was made for: a picture that this one fits as well as any
other goes under no adapter.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lvtune.core.errors import LvtuneError
from lvtune.language.captions import is_key
from lvtune.language.joint_registry import unnormalised
from lvtune.language.ranking import RANKER, ImageRanker
from lvtune.language.sentences import NONE, PHOTO, PICTURE

if TYPE_CHECKING:
    from lvtune.bases.attachable import Attachable
    from lvtune.bases.base import Base

PLAIN = {"hand3d": "a photo of a hand"}
"""Task to the sentence about what its bases were made for, where that is not a photograph of a human."""
Sentences = Mapping[str, Sequence[str]]
"""Name of an adapter to what the pictures of its domain look like."""


@dataclass(eq=False)
class Auto:
    """Chooses an adapter for each sample: ``base(pixel_values, adapters=lvtune.Auto("clip-folder", threshold=0.01))``.

    A sample goes under the adapter that has the sentence with the largest cosine; of adapters with the same sentences,
    under the one attached last. It goes under none unless that cosine is above the plain sentences' by more than the
    threshold.
    """

    ranker: str | Path = RANKER
    """CLIP or SigLIP with both towers, as transformers saves it: a Hub id or a folder."""
    threshold: float = 0.0
    """By how much more an adapter's sentence must fit than the plain ones, as a difference of cosines; without plain
    sentences, the cosine itself. CLIP's cosines of pictures and sentences lie within some 0.15 to 0.35."""
    plain: Sequence[str] | None = None
    """Sentences about the pictures that want no adapter; None: "a photo of a human", of a hand for bases of hands."""
    sentences: Sentences = field(default_factory=dict)
    """Name of an adapter to sentences in place of its own; needed where it has none that tell how its pictures look."""
    device: Any = None
    """Where to compare; None: where the base is."""
    hint: str = "lvtune.Auto(FOLDER)"
    """What to type to name a folder with the weights, for the error that says they are not at hand."""

    def __post_init__(self) -> None:
        self._rankers: dict[torch.device, ImageRanker] = {}
        self._loading = threading.Lock()

    def __call__(self, base: Base, attached: Mapping[str, Attachable], pixel_values: Tensor) -> list[str | None]:
        """A name for each sample, or None.

        Args:
            base: whose pictures they are.
            attached: adapters by name, in the order of attaching.
            pixel_values: (B, 3, H, W), normalised for ``base``.

        Raises:
            LvtuneError: what :meth:`choose` and :meth:`said_by` raise.
        """
        return self.choose(base, pictures_of(base, pixel_values), self.said_by(attached))

    def choose(self, base: Base, pictures: Sequence[np.ndarray], said: Sentences) -> list[str | None]:
        """A name of ``said`` for each picture, (H, W, 3) uint8 RGB of any size, or None.

        Raises:
            LvtuneError: what :meth:`margins` raises.
        """
        if not said or not len(pictures):
            return [None] * len(pictures)
        names, margins = self.margins(base, pictures, said)
        best, places = margins.max(1)
        rows = zip(best.tolist(), places.tolist(), strict=True)
        return [names[place] if margin > self.threshold else None for margin, place in rows]

    def margins(self, base: Base, pictures: Sequence[np.ndarray], said: Sentences) -> tuple[list[str], Tensor]:
        """Names (A), those with the same sentences once, and by how much each fits better than plain, (N, A).

        Raises:
            LvtuneError: CLIP's weights are not at hand.
        """
        plain = self.plain_of(base)
        kinds = {tuple(sentences): name for name, sentences in said.items()}
        every = list(dict.fromkeys([sentence for sentences in kinds for sentence in sentences] + list(plain)))
        place = {sentence: i for i, sentence in enumerate(every)}
        cosines = self._ranker(base).scores(pictures, every)
        fits = [cosines[:, [place[sentence] for sentence in sentences]].amax(1) for sentences in kinds]
        bar = cosines[:, [place[sentence] for sentence in plain]].amax(1) if plain else torch.zeros(len(pictures))
        return list(kinds.values()), torch.stack(fits, 1) - bar[:, None]

    def plain_of(self, base: Base) -> tuple[str, ...]:
        """The sentences about pictures that want no adapter."""
        return (PLAIN.get(base.task, PHOTO),) if self.plain is None else tuple(self.plain)

    def said_by(self, adapters: Mapping[str, Attachable]) -> dict[str, tuple[str, ...]]:
        """What tells how the pictures of each adapter look.

        Raises:
            LvtuneError: nothing does, for one of them.
        """
        read = {name: dict(zip(a.bank.categories, a.bank.sentences, strict=True)) if a.bank else {}
                for name, a in adapters.items()}  # fmt: skip
        return {name: self.sentences_of(name, read[name], a.domain) for name, a in adapters.items()}

    def sentences_of(self, name: str, read: Mapping[str, str], domain: str | None) -> tuple[str, ...]:
        """What tells how the pictures of an adapter look: as given, else as it reads, else as its domain has it.

        Args:
            name: of the adapter.
            read: category to sentence, of those that it reads.
            domain: what it was made for.

        Raises:
            LvtuneError: nothing does.
        """
        if name in self.sentences:
            given = self.sentences[name]
            return (given,) if isinstance(given, str) else tuple(given)
        for found in (read, _sentences_of(domain)):
            # a picture's caption tells of that picture; these words tell of any
            told = [text for key, text in found.items() if not is_key(key) and text not in (PHOTO, PICTURE, NONE)]
            if told:
                return tuple(dict.fromkeys(told))
        raise LvtuneError(
            f"adapters chosen by the looks of pictures, but no sentence tells how those of '{name}' look",
            "adapters that read such sentences or were made for a domain that has some",
            f"give its own: adapters=lvtune.Auto(sentences={{'{name}': ['an oil painting of a human']}})",
        )  # fmt: skip

    def _ranker(self, base: Base) -> ImageRanker:
        device = torch.device(base.device if self.device is None else self.device)
        with self._loading:
            if device not in self._rankers:
                self._rankers[device] = ImageRanker(
                    self.ranker, device, purpose="to choose adapters with", hint=self.hint
                )
            return self._rankers[device]


def _sentences_of(domain: str | None) -> Mapping[str, str]:
    from lvtune.domains import get_domain

    try:
        return get_domain(domain).sentences if domain else {}
    except LvtuneError:  # an adapter's file may name a domain of somebody else's package
        return {}


def pictures_of(base: Base, pixel_values: Tensor) -> list[np.ndarray]:
    """Normalised samples (B, 3, H, W) as the B pictures (H, W, 3) uint8 RGB that they were."""
    pixels = unnormalised(pixel_values.detach().float().cpu(), base.mean, base.std) * 255
    return list(pixels.round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


@functools.cache
def usual() -> Auto:
    """What ``adapters="auto"`` means."""
    return Auto()
