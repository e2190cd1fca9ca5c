"""Vectors of a joint encoder for an objective: one per sentence, and one per training picture."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from lvtune.core.errors import TrainingError
from lvtune.core.work_progress import tracked
from lvtune.data.dataset import collate
from lvtune.language.grammars import Grammar, grammar_of, load_grammar, sentence_grammar
from lvtune.language.joint_cache import cached_array, text_features
from lvtune.language.joint_choice import choose_joint_encoder
from lvtune.language.joint_encoders import JointEncoder
from lvtune.language.joint_registry import unnormalised
from lvtune.language.sentences import PHOTO

if TYPE_CHECKING:
    from lvtune.core.decision import Decision
    from lvtune.training.objective import ObjectiveContext

RANDOM_DIM = 512
_AT_ONCE = 64


class Options(Protocol):
    """What is read of an objective's options."""

    encoder: str
    grammar: str | None
    words: str
    l2: bool
    source_sentence: str | None


@dataclass(frozen=True, eq=False)
class SentenceVectors:
    """P sentences and their vectors."""

    grammar: Grammar
    vectors: np.ndarray
    """(P, D) float32; of sentences it is mapped from a file."""
    source: Tensor
    """(D,) of what the training pictures look like."""
    tags: tuple[str | None, ...]
    """Category of each sentence."""
    encoder: JointEncoder | None
    """None if nothing needs it: random vectors and no pictures."""
    l2: bool = False
    decisions: tuple[Decision, ...] = ()
    """Which encoder was taken, and why."""

    @classmethod
    def of(
        cls, context: ObjectiveContext, options: Options, *, steered: bool = False, pictures: bool = True
    ) -> SentenceVectors:
        """Embeds the sentences that the options of an objective name.

        Args:
            context: of the run.
            options: of the objective.
            steered: the sentences must describe the target. A grammar without categories, such as that of hands, does
                not; then the target's own sentences are used.
            pictures: True if the encoder is needed for pictures too.

        Raises:
            LvtuneError: no such encoder or grammar; weights that are not available.
        """
        grammar = load_grammar(options.grammar) if options.grammar else grammar_of(context.domain, context.sentences)
        if steered and not options.grammar and not grammar.categories:
            grammar = sentence_grammar(context.domain, context.sentences)
        sentences, tags = grammar.sentences(), tuple(sentence.category for sentence in grammar)
        says_nothing = options.words == "random" and not pictures
        encoder, decisions = None, ()
        if not says_nothing:
            is_published = not context.base.spec.ships
            encoder, decision = choose_joint_encoder(options.encoder, is_published_base=is_published)
            decisions = (decision,)
        own = (options.source_sentence,) if options.source_sentence else context.source_sentences or (PHOTO,)
        if encoder is None:
            vectors, source = _random(np.ones(len(sentences)), RANDOM_DIM, context.seed), torch.zeros(RANDOM_DIM)
        else:
            vectors, sources = text_features(encoder, sentences), text_features(encoder, own)
            if options.words == "random":
                lengths = np.linalg.norm(vectors, axis=1)
                vectors = _random(lengths, encoder.dim, context.seed)
                sources = _random(np.linalg.norm(sources, axis=1), encoder.dim, context.seed + 1)
            source = _unit(torch.from_numpy(np.array(sources)), options.l2).mean(0)
        return cls(grammar, vectors, source, tags, encoder, options.l2, decisions)

    @property
    def dim(self) -> int:
        """D."""
        return self.vectors.shape[1]

    def __len__(self) -> int:
        return len(self.vectors)

    def rows(self, drawn: Sequence[int] | np.ndarray) -> Tensor:
        """Returns the vectors (B, D) of the sentences with these indices."""
        return _unit(torch.from_numpy(np.array(self.vectors[drawn])), self.l2)

    def categories(self, drawn: Sequence[int] | np.ndarray) -> list[str | None]:
        """Returns the categories of the sentences with these indices."""
        return [self.tags[i] for i in drawn]


class PictureVectors:
    """Encodes the training pictures, at each step or once.

    Args:
        encoder: a joint encoder.
        context: of the run; ``once`` reads its pictures without augmentation.
        once: encode every picture once, at the first call, and read the vectors from a memory-mapped file.
        l2: scale vectors to length 1.
    """

    def __init__(self, encoder: JointEncoder | None, context: ObjectiveContext, *, once: bool, l2: bool) -> None:
        self.encoder, self.context, self.once, self.l2 = encoder, context, once, l2
        self._rows: np.ndarray | None = None

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the vectors (B, D) of a batch, on its device."""
        device = batch["pixel_values"].device
        if not self.once:
            return _unit(self._encode(batch["pixel_values"]), self.l2)
        if self._rows is None:
            self._rows = self.all()
        return _unit(torch.from_numpy(self._rows[batch["index"].cpu().numpy()]).to(device), self.l2)

    def all(self) -> np.ndarray:
        """Returns the vectors (N, D) of all training pictures, without augmentation.

        Raises:
            TrainingError: the run gives no training pictures.
        """
        if self.context.plain is None:
            raise TrainingError("images once without training pictures", "a run of lvtune adapt", "choose images step")
        base = self.context.base
        view = (self.context.data_key, self.context.pictures_key(), *map(str, (base.input_size, base.mean, base.std)))
        return cached_array((self._needed().key, "images", *view), functools.partial(self._all, self.context.plain))

    def _needed(self) -> JointEncoder:
        if self.encoder is None:
            raise TrainingError("vectors of pictures without a joint encoder", "an encoder", "give --objective.encoder")
        return self.encoder

    def _all(self, plain: Callable[[], Dataset]) -> np.ndarray:
        loader = DataLoader(plain(), batch_size=_AT_ONCE, collate_fn=collate)
        device = self.context.base.device
        batches = tracked(loader, f"embedding pictures, {_AT_ONCE} at a time", len(loader), "batches")
        return np.concatenate([self._encode(batch["pixel_values"].to(device)).cpu().numpy() for batch in batches])

    def _encode(self, pixel_values: Tensor) -> Tensor:
        base = self.context.base
        return self._needed().encode_images(unnormalised(pixel_values, base.mean, base.std))


def _unit(vectors: Tensor, l2: bool) -> Tensor:
    return F.normalize(vectors, dim=-1) if l2 else vectors


def _random(lengths: np.ndarray, dim: int, seed: int) -> np.ndarray:
    """Draws random directions with these lengths: (P, dim) float32."""
    drawn = np.random.default_rng([seed, dim]).standard_normal((len(lengths), dim))
    return (drawn * (lengths / np.linalg.norm(drawn, axis=1))[:, None]).astype(np.float32)
