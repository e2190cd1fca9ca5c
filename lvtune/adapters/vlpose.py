"""``vlpose``: language-vision tuning of a frozen pose estimator.

Paper: VLPose, arXiv 2402.14456; released code, commit f312a9f. Learnable visual prompts enter the frozen encoder. A
relation matcher relates the feature map E to the embedded sentence T of the domain. A decoder with trained auxiliary
stages injects the relation R beside the frozen head. The predictor is a trained copy.

Deep visual prompts p are appended as rows of keys and values. Their outputs are dropped behind each block, so the rows
Linear(LN(p)) are their only effect. With ``zero_init`` they have a softmax of their own behind a gate for each head
that starts at zero (LLaMA-Adapter, arXiv 2303.16199). Random rows inside the base's softmax would take attention away
from the picture at once, and a short tuning does not recover it.

With the decoder ``baseline`` no sentence is read, and the modules that read it are not made. So every trained tensor
gets a gradient, whichever options are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.building import embeddings_of, make_predictor
from lvtune.adapters.method_registry import register_method
from lvtune.adapters.sentence_predictor import FOR_CONFLICTS, LR_SCALE, make_sentence_predictor
from lvtune.adapters.trained_encoder import WHOLE, copy_changes, depth_scale, trained_copies
from lvtune.adapters.visual_prompts import gated_visual_prompts, per_block, shallow_visual_prompts, visual_prompt_rows
from lvtune.adapters.vlpose_decoders import DECODERS, Join
from lvtune.adapters.vlpose_matchers import MATCHERS
from lvtune.adapters.vlpose_published import PUBLISHED, FollowingNorm, drop_path, norms_of_head
from lvtune.bases.base import Base, Block
from lvtune.bases.changes import Call, Change, ReplaceForward
from lvtune.bases.float_types import in_dtype
from lvtune.core.errors import UsageError
from lvtune.core.step_part import draw_rows
from lvtune.data.skeletons import Skeleton
from lvtune.language.bank_cache import cached_tensor, cached_tokens

if TYPE_CHECKING:
    from lvtune.config.options import TrainOptions
    from lvtune.language.bank import SentenceBank

_GATES = ("prompt_gates", "decoder.relation", "decoder.gates")
PUBLISHED_VISUAL_PROMPTS = {"ti": 50, "s": 50, "b": 20, "l": 10, "h": 5}
"""Number of visual prompts by the base's size: the paper's for S to H, and that of S for ``vitpose-ti``."""
_PROJECTED_AT_ONCE = 64
"""Up to so many sentences, all are projected and then chosen from; of more (captions), only those that are read."""


@dataclass(frozen=True)
class VLPoseConfig:
    """Options of ``vlpose``."""

    visual_prompts: int = field(default=-1, metadata={"at_least": -1, "was": "prompts"})
    """Visual prompts in each block; -1 takes the published number for the base's size (S 50, B 20, L 10, H 5)."""
    placement: Literal["deep", "shallow", "none", "ff", "ll"] = "deep"
    """Where visual prompts enter: ``deep`` (every block), ``shallow`` (the first block, carried through), ``none``
    (nowhere), ``ff`` (nowhere: a copy of the whole encoder is trained, as in the released configurations of that name),
    ``ll`` (nowhere: copies of the last block and of the normalisation behind it are trained). Windows (Swin) and
    pyramids (PVT) refuse ``shallow``; their deep visual prompts have each block's own width."""
    matcher: str = "concat"
    """Relation matcher: ``concat`` (published), ``attn``, ``cosmax``, ``cosmean``, ``coscat``, ``catcat``,
    ``coscatcat``."""
    decoder: str = "dual-released"
    """Decoder: ``dual-released``, ``dual`` (as drawn), ``extractor-injector``, ``extractor-injector-released``,
    ``injector``, ``baseline``."""
    zero_init: bool = True
    """Gate every addition from zero, so that tuning starts at the base's answer; False is as published."""
    heads: int = field(default=8, metadata={"at_least": 1})
    """Heads of the matcher's attention."""
    dropout: float = field(default=0.1, metadata={"at_least": 0, "at_most": 1})
    """Dropout on the matcher's attention map."""
    visual_prompt_lr_scale: float = field(default=10.0, metadata={"at_least": 0, "was": "prompt_lr_scale"})
    """Factor on the learning rate of visual prompts."""
    gate_lr_scale: float = field(default=10.0, metadata={"at_least": 0})
    """Factor on the learning rate of gates."""
    sentence_dropout: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1, "was": "prompt_dropout"})
    """Share of training samples that read the mean sentence, as pictures of unknown category do later."""
    predictor_reads: bool = False
    """Let the sentence change the predictor too: for domains that label the same picture in different ways."""
    frozen_batchnorm: bool = True
    """Keep the frozen head's BatchNorm statistics. False is as released: in training, copies of them that belong to the
    adapter follow the batch."""
    drop_path: float = field(default=0.0, metadata={"at_least": 0, "at_most": 0.99})
    """Share of branches of the encoder's last block, frozen or trained, that are left out at random in training; it
    falls to 0 at the first block. 0: none. Released: 0.1 for S, 0.3 for B, 0.5 for L, 0.55 for H."""
    visual_prompt_decay: bool = False
    """Decay the weights of visual prompts, as released (0.1)."""
    layer_count: int = field(default=0, metadata={"at_least": 0})
    """Number of blocks that `train.layer_decay` assumes, for placements ``ff`` and ``ll``; 0: as many as there are.
    Released: 12 for every size, so the last blocks of L and H learn faster than the head."""


@register_method("vlpose")
class VLPose(Adapter):
    """Visual prompts, a relation matcher, an injecting decoder and a trained predictor."""

    Config = VLPoseConfig
    trains_predictor = True
    reads_language = True
    # a short tuning of a trained base: light augmentation measured better than the published one
    defaults: ClassVar[dict[str, Any]] = {
        "lr": 1e-3,
        "weight_decay": 0.1,
        "epochs": 3,
        "augment": {"half_body": 0.0, "shift_p": 0.0, "scale": (0.9, 1.1), "rotate": 15.0},
    }

    published = PUBLISHED

    def __init__(
        self,
        config: VLPoseConfig,
        base: Base,
        *,
        bank: SentenceBank | None = None,
        skeleton: Skeleton | None = None,
    ) -> None:
        super().__init__()
        decoder, matcher = DECODERS.get(config.decoder), MATCHERS.get(config.matcher)
        self.config, self.bank = config, _needed(bank) if decoder.reads_relation else None
        self.width = width = base.width
        if width % config.heads:
            raise UsageError(
                f"{config.heads} heads for a width of {width}", "a divisor of the width", "choose --method.heads"
            )
        self._make_visual_prompts(base)
        bank = self.bank
        if bank is not None:
            self.text_proj = nn.Identity() if bank.dim == width else nn.Linear(bank.dim, width)
            self.matcher = matcher(width, config.heads, config.dropout)
            self.join = Join(width) if self.matcher.doubles else None
        self.decoder = decoder(base.stages, width, config.zero_init)
        self.predictor = make_predictor(base, skeleton or base.skeleton)
        share, wanted = config.sentence_dropout, config.predictor_reads
        self.reading = make_sentence_predictor(bank, self.predictor, wanted, share)
        self.following: Any = nn.ModuleList(
            FollowingNorm(n) for n in norms_of_head(base) if not config.frozen_batchnorm
        )
        if bank is None:
            return
        # not persistent: they are the bank's own, which is saved beside the adapter's tensors
        self.register_buffer("text_tokens", bank.tokens.float(), persistent=False)  # (C, T, text_dim)
        self.register_buffer("text_mask", bank.mask, persistent=False)  # (C, T)
        mean = cached_tensor(bank, _mean_tokens) if len(bank.tokens) > _PROJECTED_AT_ONCE else None
        self.register_buffer("text_mean", mean, persistent=False)  # (T, text_dim)

    def _make_visual_prompts(self, base: Base) -> None:
        """Makes visual prompts and their gates, or trained copies of the encoder or its last block."""
        config, blocks, width = self.config, base.blocks, base.width
        takes_visual_prompts = config.placement in ("deep", "shallow")
        base.check_visual_prompts(config.placement if takes_visual_prompts else "none")
        count = (
            config.visual_prompts if config.visual_prompts >= 0 else PUBLISHED_VISUAL_PROMPTS.get(base.spec.size, 20)
        )
        self.count = count if takes_visual_prompts else 0
        widths = {"deep": [block.width for block in blocks], "shallow": [width]}.get(config.placement, [])
        self.prompts = per_block([(self.count, w) for w in widths], (0, width))
        for prompts in self.prompts.parameters() if isinstance(self.prompts, nn.Module) else [self.prompts]:
            nn.init.trunc_normal_(prompts, std=0.02)
            prompts.requires_grad_(self.count > 0)  # an empty tensor would wait for a gradient that never comes
        gated = config.zero_init and self.count and config.placement == "deep"
        self.prompt_gates = per_block([(block.heads,) for block in blocks]) if gated else None
        self.layers = len(blocks)
        self._depths: dict[str, int] = {}
        self.encoder: Any = None
        self.block: Any = None
        self.norm: Any = None
        for name, copy in trained_copies(base, config.placement, config.drop_path).items():
            setattr(self, name, copy)
        if self.encoder is not None:
            names = (name for name, _ in self.encoder.named_parameters())
            self._depths = dict(zip(names, base.depths(), strict=True))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> VLPose:
        """Moves and converts; adapters that read the same sentences share one copy of them."""
        super()._apply(fn, recurse)
        if self.bank is not None:
            self.text_tokens, self.text_mask = cached_tokens(self.bank, self.text_tokens)
            if self.text_mean is not None:
                self.text_mean = cached_tensor(self.bank, _mean_tokens, self.text_mean)
        return self

    def undecayed(self) -> Iterable[nn.Parameter]:
        """Returns visual prompts (unless they decay) and their gates, and positions in the trained layers."""
        for part in (None if self.config.visual_prompt_decay else self.prompts, self.prompt_gates):
            if isinstance(part, nn.Parameter):
                yield part
            elif part is not None:
                yield from part.parameters()
        for copy in self._copies().values():
            yield from embeddings_of(copy)

    def _copies(self) -> dict[str, nn.Module]:
        """Returns the trained copies of the base's own layers by name."""
        parts = {"encoder": self.encoder, "block": self.block, "norm": self.norm}
        return {name: part for name, part in parts.items() if part is not None}

    @classmethod
    def options_for_conflicts(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns what makes the predictor read the sentence; nothing with a decoder that reads none."""
        decoder = given.get("decoder", VLPoseConfig.decoder)
        return dict(FOR_CONFLICTS) if DECODERS.get(decoder).reads_relation else {}

    def lr_scale(self, name: str, options: TrainOptions) -> float:
        """Returns larger factors for prompts and gates, which start small; trained layers decay with their depth."""
        room, _, inner = name.partition(".")
        if room == "prompts":
            return self.config.visual_prompt_lr_scale
        if room in ("encoder", "block"):
            depth = self.layers if room == "block" else self._depths[inner]
            return depth_scale(depth, self.layers, options.layer_decay, self.config.layer_count)
        if room == "reading":
            return LR_SCALE
        return self.config.gate_lr_scale if name.startswith(_GATES) else 1.0

    def changes(self, base: Base) -> Iterator[Change]:
        """Yields prompt rows in the blocks (or tokens in front of the first), and a replacement of the head."""
        blocks = base.blocks
        if self.width != base.width or len(self.prompts) not in (0, 1, len(blocks)):
            raise UsageError(
                f"a vlpose adapter of width {self.width}", f"one of width {base.width}",
                "load the base that it was made for",
            )  # fmt: skip
        if self.count and self.config.placement == "deep":
            for layer, block in enumerate(blocks):
                yield self._with_visual_prompts(layer, block)
        elif self.count:
            yield from shallow_visual_prompts(base, lambda: self.prompts[0])
        yield from copy_changes(base, self._copies())
        trained = {WHOLE: len(blocks), "ll": 1}.get(self.config.placement, 0)
        yield from drop_path(blocks, self.config.drop_path, lambda: self.training, trained)
        for norm, following in zip(norms_of_head(base), self.following, strict=False):
            yield following.change(norm)
        # the base's own stages, which the decoder runs between layers of the adapter
        stages = [replace(stage, forward=in_dtype(stage.forward, lambda: base.dtype)) for stage in base.stages]

        def head(call: Call, features: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            return self.decode(stages, features, call.categories)

        yield ReplaceForward(base.head, head)

    def _with_visual_prompts(self, layer: int, block: Block) -> Change:
        prompts, gates = (lambda: self.prompts[layer]), self.prompt_gates
        if gates is None:
            return visual_prompt_rows(block, prompts)
        return gated_visual_prompts(block, prompts, lambda: gates[layer])

    def text(self, categories: tuple[str | None, ...] | None, batch: int) -> tuple[Tensor, Tensor]:
        """Returns each sample's projected sentence (B, T, D) and its mask (B, T); None: the mean of all sentences."""
        text, mask = self._projected(categories if categories is not None else (None,), batch)
        return text.expand(batch, -1, -1), mask.expand(batch, -1)

    def _projected(self, categories: tuple[str | None, ...], batch: int) -> tuple[Tensor, Tensor]:
        """Returns the same for each of ``categories``; a single one stands for all samples."""
        if self.bank is None:
            raise UsageError("an adapter without embedded sentences", "sentences to read", "create it with a bank")
        states, count = self.bank.drawn(self.text_tokens), len(self.text_tokens)  # (C, T, text_dim)
        places = [count if category is None else self.bank.index(category) for category in categories]
        index = torch.tensor(places, device=self.text_mask.device)
        if self.training and self.config.sentence_dropout:
            index = index.expand(batch)
            drawn = draw_rows(lambda rows: torch.rand(rows, device=index.device), batch)
            index = torch.where(drawn < self.config.sentence_dropout, count, index)
        mask = torch.cat([self.text_mask, self.text_mask.any(0, keepdim=True)])
        if self.text_mean is None:
            return _with_mean(self.text_proj(states), self.text_mask)[index], mask[index]
        read, place = index.unique(return_inverse=True) if len(index) > 1 else (index, torch.zeros_like(index))
        tokens = torch.where((read == count)[:, None, None], self.text_mean, states[read.clamp(max=count - 1)])
        return self.text_proj(tokens)[place], mask[index]

    def relation(self, features: Tensor, categories: tuple[str | None, ...] | None) -> Tensor:
        """Relates the feature map E (B, D, h, w) to each sample's sentence; returns R (B, D, h, w)."""
        text, mask = self.text(categories, features.shape[0])
        tokens = features.flatten(2).transpose(1, 2)  # (B, N, D)
        found = self.matcher(tokens, text, mask).transpose(1, 2)  # (B, D, N), or (B, D, 2N)
        if self.join is None:
            return found.unflatten(2, features.shape[2:])
        halves = [half.unflatten(2, features.shape[2:]) for half in found.chunk(2, dim=2)]
        return self.join(torch.cat(halves, dim=1))

    def decode(self, stages: Any, features: Tensor, categories: tuple[str | None, ...] | None) -> Tensor:
        """Predicts heatmaps (B, K, h', w') from the feature map E (B, D, h, w)."""
        relation = None if self.bank is None else self.relation(features, categories)
        decoded = self.decoder(stages, features, relation)
        heatmaps = self.predictor(decoded)
        return heatmaps if self.reading is None else heatmaps + self.reading(decoded, categories)


def _needed(bank: SentenceBank | None) -> SentenceBank:
    if bank is None:
        raise UsageError(
            "vlpose without sentences", "a domain (or a bank of embedded sentences)",
            'create_adapter("vlpose", base, domain="demo-art")',
        )  # fmt: skip
    return bank


def _mean_tokens(bank: SentenceBank) -> Tensor:
    return bank.mean()[0]


def _with_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Appends to tokens (C, T, D) their mean over the sentences that reach a place: (C + 1, T, D)."""
    weight = mask[..., None].to(tokens.dtype)
    mean = (tokens * weight).sum(0) / weight.sum(0).clamp(min=1)  # (T, D)
    return torch.cat([tokens, mean[None]])
