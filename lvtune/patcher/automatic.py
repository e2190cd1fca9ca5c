"""Chooses an adapter for each picture by its looks: CLIP or SigLIP compares it with the adapters' sentences.

Each picture is compared (:mod:`lvtune.language.ranking`) with the sentences of the adapters' domains, and with a plain
sentence about what the base was made for. If the plain sentence fits as well as any other, no adapter is chosen.
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

from lvtune.core.errors import UsageError
from lvtune.language.captions import is_key
from lvtune.language.joint_registry import unnormalised
from lvtune.language.ranking import RANKER, ImageRanker
from lvtune.language.sentences import NONE, PHOTO, PICTURE
from lvtune.patcher.gate import Gate, has_gates

if TYPE_CHECKING:
    from lvtune.bases.attachable import Attachable
    from lvtune.bases.base import Base

PLAIN = {"hand3d": "a photo of a hand"}
"""Task to its plain sentence, where that is not "a photo of a human"."""
_SHOWN = 4
Sentences = Mapping[str, Sequence[str]]
"""Name of an adapter to sentences about the looks of its domain's pictures."""


@dataclass(eq=False)
class Auto:
    """Chooses an adapter for each sample: ``base(pixel_values, adapters=lvtune.Auto("clip-folder", threshold=0.01))``.

    Chosen is the adapter that has the sentence with the largest cosine; of adapters with the same sentences, the one
    attached last. No adapter is chosen unless this cosine exceeds that of the plain sentences by more than the
    threshold.
    """

    ranker: str | Path = RANKER
    """CLIP or SigLIP with both towers, as transformers saves it: a Hub id or a folder."""
    threshold: float = 0.0
    """Least difference of cosines between an adapter's sentence and the plain ones; without plain sentences, the least
    cosine. CLIP's cosines of pictures and sentences are about 0.15 to 0.35."""
    plain: Sequence[str] | None = None
    """Sentences about pictures that need no adapter; None: "a photo of a human" ("of a hand" for bases of hands)."""
    sentences: Sentences = field(default_factory=dict)
    """Name of an adapter to sentences in place of its own; needed where its own do not describe looks."""
    device: Any = None
    """Device for the comparison; None: that of the base."""
    why: str = ""
    """Why a picture is compared with sentences at all; for errors."""
    hint: str = "lvtune.Auto(FOLDER)"
    """What to type to name a folder with the weights; for the error that says that they are missing."""

    def __post_init__(self) -> None:
        self._rankers: dict[torch.device, ImageRanker] = {}
        self._loading = threading.Lock()

    def __call__(self, base: Base, attached: Mapping[str, Attachable], pixel_values: Tensor) -> list[str | None]:
        """Returns for each sample the name of an adapter, or None.

        Args:
            base: the base that the pictures are for.
            attached: adapters by name, in the order of attaching.
            pixel_values: (B, 3, H, W), normalised for ``base``.

        Raises:
            LvtuneError: what :meth:`choose` and :meth:`sentences_by_adapter` raise.
        """
        return self.choose(base, pictures_of(base, pixel_values), self.sentences_by_adapter(attached))

    def choose(self, base: Base, pictures: Sequence[np.ndarray], sentences: Sentences) -> list[str | None]:
        """Returns a name of ``sentences`` for each picture (H, W, 3), uint8 RGB of any size, or None.

        Raises:
            LvtuneError: what :meth:`margins` raises.
        """
        if not sentences or not len(pictures):
            return [None] * len(pictures)
        names, margins = self.margins(base, pictures, sentences)
        best, places = margins.max(1)
        rows = zip(best.tolist(), places.tolist(), strict=True)
        return [names[place] if margin > self.threshold else None for margin, place in rows]

    def margins(self, base: Base, pictures: Sequence[np.ndarray], sentences: Sentences) -> tuple[list[str], Tensor]:
        """Returns names (A,) and by how much each fits better than the plain sentences (N, A).

        Of adapters with the same sentences, one stands for all.

        Raises:
            LvtuneError: the weights of CLIP are missing.
        """
        plain = self.plain_of(base)
        kinds = {tuple(own): name for name, own in sentences.items()}
        every = list(dict.fromkeys([sentence for own in kinds for sentence in own] + list(plain)))
        place = {sentence: i for i, sentence in enumerate(every)}
        cosines = self._ranker(base).scores(pictures, every)
        fits = [cosines[:, [place[sentence] for sentence in own]].amax(1) for own in kinds]
        bar = cosines[:, [place[sentence] for sentence in plain]].amax(1) if plain else torch.zeros(len(pictures))
        return list(kinds.values()), torch.stack(fits, 1) - bar[:, None]

    def plain_of(self, base: Base) -> tuple[str, ...]:
        """Returns the sentences about pictures that need no adapter."""
        return (PLAIN.get(base.task, PHOTO),) if self.plain is None else tuple(self.plain)

    def sentences_by_adapter(self, adapters: Mapping[str, Attachable]) -> dict[str, tuple[str, ...]]:
        """Returns for each adapter the sentences about the looks of its pictures.

        Raises:
            UsageError: one of them has none.
        """
        read = {name: dict(zip(a.bank.categories, a.bank.sentences, strict=True)) if a.bank else {}
                for name, a in adapters.items()}  # fmt: skip
        return {name: self.sentences_of(name, read[name], a.domain) for name, a in adapters.items()}

    def sentences_of(self, name: str, read: Mapping[str, str], domain: str | None) -> tuple[str, ...]:
        """Returns the sentences about the looks of an adapter's pictures.

        These are the sentences given for it; else those that it reads; else those of its domain.

        Args:
            name: of the adapter.
            read: category to sentence, of those that it reads.
            domain: name of the domain that it was made for, or None.

        Raises:
            UsageError: there are none.
        """
        if name in self.sentences:
            given = self.sentences[name]
            return (given,) if isinstance(given, str) else tuple(given)
        for found in (read, _sentences_of(domain)):
            # captions describe one picture, and these sentences any picture
            looks = [text for key, text in found.items() if not is_key(key) and text not in (PHOTO, PICTURE, NONE)]
            if looks:
                return tuple(dict.fromkeys(looks))
        raise UsageError(
            f"adapters chosen by the looks of pictures, but no sentence describes the looks of those of '{name}'"
            + (f" ({self.why})" if self.why else ""),
            "adapters that read such sentences, or were made for a domain that has some",
            f"give it sentences: adapters=lvtune.Auto(sentences={{'{name}': ['an oil painting of a human']}})",
        )  # fmt: skip

    def _ranker(self, base: Base) -> ImageRanker:
        device = torch.device(base.device if self.device is None else self.device)
        with self._loading:
            purpose = "to choose adapters with" + (f" ({self.why})" if self.why else "")
            if device not in self._rankers:
                self._rankers[device] = ImageRanker(self.ranker, device, purpose=purpose, hint=self.hint)
            return self._rankers[device]


def _sentences_of(domain: str | None) -> Mapping[str, str]:
    from lvtune.domains import DOMAINS, get_domain

    # an adapter's file may name a domain of a package that is not installed here
    known = domain is not None and all(part.strip().partition("/")[0] in DOMAINS for part in domain.split("+"))
    return get_domain(domain).sentences if domain and known else {}


def pictures_of(base: Base, pixel_values: Tensor) -> list[np.ndarray]:
    """Returns normalised samples (B, 3, H, W) as the B pictures (H, W, 3), uint8 RGB, that they were made of."""
    pixels = unnormalised(pixel_values.detach().float().cpu(), base.mean, base.std) * 255
    return list(pixels.round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


def decider(adapters: Mapping[str, Attachable]) -> Auto | Gate:
    """Returns what ``adapters="auto"`` stands for: the base's own features where each file holds a gate, else CLIP."""
    without = [name for name, adapter in adapters.items() if not has_gates([adapter])]
    return by_sentences(without) if without or not adapters else Gate()


def why_no_gate(names: Sequence[str]) -> str:
    """Says which adapters' files hold no gate; empty where there are none."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"no gate in the file of {', '.join(names[:_SHOWN])}{more}" if names else ""


@functools.cache
def usual() -> Auto:
    """Returns what ``adapters="auto"`` stands for where an adapter's file holds no gate."""
    return Auto()


def by_sentences(without: Sequence[str]) -> Auto:
    """Returns the same for adapters of which some, named here, hold no gate; CLIP is loaded once for all."""
    found, shared = Auto(why=why_no_gate(without)), usual()
    found._rankers, found._loading = shared._rankers, shared._loading
    return found
