"""``vlpose-light``: low-rank differences of the encoder, with ranks weighted by the domain's sentence.

Ours: a lighter relation of language and vision than ``vlpose``. It follows measurements (benchmarks/README.md): what
adapts to a drawn style is in all of the encoder's linear layers and not beside the head, early blocks matter, and few
ranks are enough. Each linear layer of each block becomes

    y = W x + b + s · B ((1 + U P e) ⊙ A x)        s = alpha / r

with A (r, D) and B (D', r) for each layer as in LoRA (arXiv 2106.09685), U (r, k) for each layer, and P (k, text_dim)
for all layers. e is the sentence of the sample's category, so each category weights the ranks in its own way
(feature-wise modulation, arXiv 1709.07871). B and U start at zero, so the first step starts from the base's own answer.
``_Beside`` computes this. The predictor is a trained copy.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.autocast_layers import AutocastLayers
from lvtune.adapters.building import layers_of_blocks, make_predictor, name_of, plus, replaced
from lvtune.adapters.low_rank import beside
from lvtune.adapters.method_registry import register_method
from lvtune.adapters.rank_weights import rank_weights
from lvtune.adapters.sentence_predictor import FOR_CONFLICTS, LR_SCALE, make_sentence_predictor, reading_predictor
from lvtune.adapters.summing import (
    exact_only,
    fresh,
    no_sum,
    read_alike,
    same_options,
    same_sentences,
    side_by_side,
    sum_predictors,
)
from lvtune.bases.base import Base
from lvtune.bases.changes import Call, Change, ReplaceForward
from lvtune.bases.float_types import autocast_type
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.data.skeletons import Skeleton
from lvtune.language.bank_cache import cached_tensor
from lvtune.language.distinct import distinct

if TYPE_CHECKING:
    from lvtune.config.options import TrainOptions
    from lvtune.language.bank import SentenceBank

_LINEAR = ("query", "key", "value", "out", "fc1", "fc2")
_LANGUAGE_LR = 3.0
"""Factor on the learning rate of U, a few numbers that start at zero."""


@dataclass(frozen=True)
class VLPoseLightConfig:
    """Options of ``vlpose-light``."""

    r: int = field(default=4, metadata={"at_least": 1})
    """Rank of each layer's difference."""
    alpha: float = 16.0
    """Scale; the difference is multiplied by alpha / r."""
    language: int = field(default=16, metadata={"at_least": 0})
    """Width k that sentences are projected to before they weight the ranks; 0: no language."""
    sentence_dropout: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1, "was": "prompt_dropout"})
    """Share of training samples that read the mean sentence, as pictures of unknown category do later."""
    predictor_reads: bool = False
    """Let the sentence change the predictor too: for domains that label the same picture in different ways."""


class _Beside:
    """Computes a linear layer, and its difference beside it."""

    __slots__ = ("adapter", "down", "place", "up")

    def __init__(self, adapter: VLPoseLight, key: str, place: int) -> None:
        self.adapter, self.down, self.up, self.place = adapter, adapter.A[key], adapter.B[key], place

    def __call__(self, call: Call, x: Tensor) -> Tensor:
        """(B, …, D) -> (B, …, D')."""
        dtype = autocast_type(x)
        # a part of the model that is called by itself has no other layers to share with
        if dtype is not None and call.memo is not None and not torch.compiler.is_compiling():
            key = (id(self.adapter), dtype, call.categories)
            layers = call.once(key, lambda: AutocastLayers(self.adapter, call, dtype, self.place))
            return layers.beside(self.place, call, x)
        factor: Any = self.adapter.scale
        weights = rank_weights(self.adapter, call, self.place)  # (B, r)
        if weights is not None:
            if len(weights) > 1 and len(x) != len(weights):
                # windows (Swin) come as (B · windows, …); those of one picture are adjacent
                weights = weights.repeat_interleave(len(x) // len(weights), dim=0)
            factor = weights.view(len(weights), *[1] * (x.dim() - 2), -1)
        return beside(call.original, x, self.down, self.up, factor)

    def fold(self, own: Mapping[str, Tensor], category: str | None) -> dict[str, Tensor]:
        """Returns W + s · B diag(1 + U P e) A for one sentence e."""
        sentence, up = self.adapter.sentence((category,)), self.up * self.adapter.scale
        if sentence is not None:
            up = up * (1 + F.linear(sentence, self.adapter.U[self.place]))
        return plus(own, weight=up @ self.down)


@register_method("vlpose-light")
class VLPoseLight(Adapter):
    """Low-rank differences weighted by the sentence, and a trained predictor."""

    Config = VLPoseLightConfig
    trains_predictor = True
    reads_language = True
    # a short tuning of a trained base: colours vary more than geometry (measured; benchmarks/README.md)
    defaults: ClassVar[dict[str, Any]] = {
        "lr": 1e-3,
        "weight_decay": 0.0,
        "epochs": 3,
        "augment": {"half_body": 0.0, "shift_p": 0.0, "scale": (0.95, 1.05), "rotate": 10.0, "color": 0.5},
    }

    def __init__(
        self,
        config: VLPoseLightConfig,
        base: Base,
        *,
        bank: SentenceBank | None = None,
        skeleton: Skeleton | None = None,
    ) -> None:
        super().__init__()
        if bank is None and config.language:
            raise UsageError(
                "vlpose-light without sentences", "a domain (or a bank of embedded sentences), or no language",
                'create_adapter("vlpose-light", base, domain="demo-art"), or language=0',
            )  # fmt: skip
        self.config, self.bank = config, bank if config.language else None
        if self.bank is not None and self.bank.is_redrawn:
            raise UsageError(
                "vlpose-light with tokens that are drawn again at each call", "sentences, or fixed random tokens",
                "set --language.mode random, or choose --method vlpose",
            )  # fmt: skip
        # no module for each layer, and one U for all: else these take an eighth of the memory of a thousand adapters
        self.A, self.B = nn.ParameterDict(), nn.ParameterDict()
        for key, linear in self._linears(base):
            self.A[key] = nn.Parameter(torch.empty(config.r, linear.in_features))
            self.B[key] = nn.Parameter(torch.zeros(linear.out_features, config.r))
            nn.init.kaiming_uniform_(self.A[key], a=math.sqrt(5))  # as LoRA
        zeros = torch.zeros(len(self.A), config.r, config.language)
        self.U: Any = nn.Parameter(zeros) if config.language else None
        self.scale = config.alpha / config.r
        self.predictor = make_predictor(base, skeleton or base.skeleton)
        share, wanted = config.sentence_dropout, config.predictor_reads
        self.reading = make_sentence_predictor(self.bank, self.predictor, wanted, share)
        if self.bank is not None:
            self.text_proj = nn.Linear(self.bank.dim, config.language, bias=False)
            # not persistent: it is made of the bank, which is saved beside the adapter's own tensors
            self.register_buffer("sentences", cached_tensor(self.bank, distinct), persistent=False)  # (C + 1, text_dim)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> VLPoseLight:
        """Moves and converts; adapters that read the same sentences share one copy of them."""
        super()._apply(fn, recurse)
        if self.bank is not None:
            self.sentences = cached_tensor(self.bank, distinct, self.sentences)
        return self

    def _linears(self, base: Base) -> Iterator[tuple[str, Any]]:
        for module in layers_of_blocks("vlpose-light", base, _LINEAR):
            yield sys.intern(name_of(base, module).replace(".", "/")), module

    @classmethod
    def options_for_conflicts(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns what makes the predictor read the sentence; nothing without language."""
        return dict(FOR_CONFLICTS) if given.get("language") != 0 else {}

    def lr_scale(self, name: str, options: TrainOptions) -> float:
        """Returns larger factors for U and for what the predictor reads than for A and B."""
        if name.startswith("reading."):
            return LR_SCALE
        return _LANGUAGE_LR if name.rpartition(".")[2] == "U" else 1.0

    def tensors(self) -> dict[str, Tensor]:
        """Returns A, B and U of each layer, the predictor, and P."""
        found = {}
        for place, key in enumerate(self.A):
            own = {"A": self.A[key], "B": self.B[key]} | ({} if self.U is None else {"U": self.U[place]})
            found |= {f"layers.{key}.{part}": value.detach() for part, value in own.items()}
        others: dict[str, Any] = {"predictor": self.predictor}
        others |= {} if self.bank is None else {"text_proj": self.text_proj}
        others |= {} if self.reading is None else {"reading": self.reading}
        return found | {
            f"{name}.{part}": value for name, module in others.items() for part, value in module.state_dict().items()
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what :meth:`tensors` gave."""
        with torch.no_grad():
            for name, own in self.tensors().items():
                own.copy_(tensors[name])

    def start_misfit(self, start: Adapter) -> LvtuneError | None:
        """Returns why tuning cannot begin at another adapter; one of the same method and rank always fits."""
        same = isinstance(start, VLPoseLight) and start.config.r == self.config.r
        return None if same else super().start_misfit(start)

    def take_over(self, start: Any, base: Base) -> None:
        """Takes over another one's differences and key points; U and P as well if both read the same sentences.

        Otherwise the start's mean sentence is folded in, and U begins at zero.
        """
        if not isinstance(start, VLPoseLight) or start.config.r != self.config.r:
            super().take_over(start, base)
            return
        reads = None not in (start.bank, self.bank) and start.config.language == self.config.language
        reads = reads and read_alike(start.bank, self.bank)
        rows = {name: row for row, name in enumerate(start.skeleton.keypoints)}
        with torch.no_grad():
            start = start if reads or start.bank is None else start.fixed(base, None)
            for key in self.A:
                self.A[key].copy_(start.A[key])
                self.B[key].copy_(start.B[key] * (start.scale / self.scale))
            if reads:
                self.U.copy_(start.U)
                self.text_proj.load_state_dict(start.text_proj.state_dict())
                if self.reading is not None and start.reading is not None and self.skeleton == start.skeleton:
                    self.reading.load_state_dict(start.reading.state_dict())
            for row, name in enumerate(self.skeleton.keypoints):
                if name in rows:
                    for own, theirs in zip(self.predictor.parameters(), start.predictor.parameters(), strict=True):
                        own[row].copy_(theirs[rows[name]])

    @classmethod
    def summed(
        cls, adapters: Sequence[VLPoseLight], weights: Sequence[float], base: Base, rank: int | None = None
    ) -> VLPoseLight:
        """Returns the exact sum: ranks side by side, each weighted by its own U and P; all read the same sentences."""
        same_options(adapters, free=("r", "alpha", "language", "sentence_dropout"))
        same_sentences(adapters)
        if adapters[0].reading is not None:
            raise no_sum("vlpose-light with a predictor that reads sentences")
        widths = [adapter.config.language for adapter in adapters]
        if any(widths):
            exact_only("vlpose-light with language", rank)
        reader = next((adapter for adapter in adapters if adapter.bank is not None), adapters[0])
        r = sum(adapter.config.r for adapter in adapters)
        r = r if rank is None else min(r, rank)
        total: Any = fresh(reader, replace(reader.config, r=r, alpha=float(r), language=sum(widths)), base)
        with torch.no_grad():
            scales = [w * one.scale for w, one in zip(weights, adapters, strict=True)]
            for place, key in enumerate(total.A):
                down, up = side_by_side([(one.A[key], one.B[key]) for one in adapters], scales, rank)
                total.A[key].copy_(down)
                total.B[key].copy_(up)
                if total.U is not None:
                    blocks = [one.A[key].new_zeros(one.config.r, 0) if one.U is None else one.U[place]
                              for one in adapters]  # fmt: skip
                    total.U[place].copy_(torch.block_diag(*blocks))
            if total.bank is not None:
                readings = [adapter.text_proj.weight for adapter in adapters if adapter.bank is not None]
                total.text_proj.weight.copy_(torch.cat(readings))
        sum_predictors([adapter.predictor for adapter in adapters], weights, total.predictor)
        return total

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields a difference beside each linear layer, and a replacement of the predictor."""
        for place, (key, linear) in enumerate(self._linears(base)):
            beside = _Beside(self, key, place)
            yield ReplaceForward(linear, beside, fold=beside.fold)
        if self.reading is None:
            yield replaced(base.predictor, self.predictor)
        else:
            yield reading_predictor(base, self.predictor, self.reading)

    def fixed(self, base: Base, category: str | None) -> VLPoseLight | None:
        """Returns the same for one sentence (None: the mean), which is no longer read: A becomes diag(1 + U P e) A."""
        result = VLPoseLight(replace(self.config, language=0, predictor_reads=False), base, skeleton=self.skeleton)
        sentence = self.sentence((category,))
        if sentence is None:
            return None
        for place, key in enumerate(result.A):
            result.A[key].copy_(self.A[key] * (1 + F.linear(sentence, self.U[place])).T)
            result.B[key].copy_(self.B[key])
        result.predictor.load_state_dict(self.predictor.state_dict())
        if self.reading is not None:
            result.predictor.weight.add_(self.reading.difference(category))
        return result

    def sentence(self, categories: tuple[str | None, ...]) -> Tensor | None:
        """Returns P e of each category (n, k), the mean sentence for None; None without language."""
        if self.bank is None:
            return None
        mean = len(self.sentences) - 1
        rows = [mean if category is None else self.bank.index(category) for category in categories]
        return self.text_proj(self.sentences[torch.tensor(rows, device=self.sentences.device)])
