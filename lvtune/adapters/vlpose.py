"""``vlpose``: language-vision tuning of a frozen pose estimator.

Paper: VLPose, arXiv 2402.14456; released code, commit f312a9f. Learnable visual prompts enter the frozen
encoder; a relation matcher relates its feature map E to the embedded sentence T of the domain; a decoder with
trained auxiliary stages injects the relation R beside the frozen head; the predictor is a trained copy.

Deep prompts are appended as key and value rows: their outputs are dropped after each block, so the rows
Linear(LN(p)) are all they do. With ``zero_init`` they get a softmax of their own behind a gate per head that starts
at zero (LLaMA-Adapter, arXiv 2303.16199): random rows inside the base's softmax take attention away from the
picture at once, and a short tuning does not recover it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lvtune.adapters import register_method
from lvtune.adapters.protocol import Defaults, make_predictor
from lvtune.adapters.visual_prompts import gated_prompts, per_block, prompt_rows
from lvtune.adapters.vlpose_decoders import DECODERS
from lvtune.adapters.vlpose_matchers import MATCHERS
from lvtune.bases.base import Base, Block
from lvtune.data.skeletons import Skeleton
from lvtune.errors import LvtuneError
from lvtune.language.sharing import placed
from lvtune.patcher import Call, Change, InsertTokens, StandIn

if TYPE_CHECKING:
    from lvtune.language.bank import PromptBank
    from lvtune.recipe import TrainOptions

_GATES = ("prompt_gates", "decoder.relation", "decoder.gates")
PUBLISHED_PROMPTS = {"ti": 50, "s": 50, "b": 20, "l": 10, "h": 5}
"""Visual prompts by the base's size; the paper's for S to H, and S's for ``vitpose-ti``."""


@dataclass(frozen=True)
class VLPoseConfig:
    """Options of ``vlpose``."""

    prompts: int = field(default=-1, metadata={"at_least": -1})
    """Visual prompts per block; -1 takes the published count for the base's size (S 50, B 20, L 10, H 5)."""
    placement: Literal["deep", "shallow", "none"] = "deep"
    """Where visual prompts enter: ``deep`` (every block), ``shallow`` (the first, carried through), ``none``.
    Windows (Swin) and pyramids (PVT) refuse ``shallow``; their deep prompts have each block's own width."""
    matcher: str = "concat"
    """Relation matcher: ``concat`` (published), ``attn``, ``cosmax``, ``cosmean``, ``coscat``."""
    decoder: str = "dual-released"
    """Decoder: ``dual-released``, ``dual`` (as drawn), ``injector``, ``baseline``."""
    zero_init: bool = True
    """Gate what is added from zero, so that tuning starts at the base's answer; False is as published."""
    heads: int = field(default=8, metadata={"at_least": 1})
    """Heads of the matcher's attention."""
    dropout: float = field(default=0.1, metadata={"at_least": 0, "at_most": 1})
    """Dropout on the matcher's attention map."""
    prompt_lr_scale: float = field(default=10.0, metadata={"at_least": 0})
    """Factor on the learning rate of visual prompts."""
    gate_lr_scale: float = field(default=10.0, metadata={"at_least": 0})
    """Factor on the learning rate of gates."""
    prompt_dropout: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1})
    """Share of training samples that read the mean sentence, as pictures of unknown category will."""


@register_method("vlpose")
class VLPose(Defaults, nn.Module):
    """Visual prompts, relation matcher, injecting decoder and a trained predictor."""

    Config = VLPoseConfig
    trains_predictor = True
    reads_language = True
    # a short tuning of a base that knows poses: light augmentation measured better than the published one
    defaults: ClassVar[dict[str, Any]] = {
        "lr": 1e-3,
        "weight_decay": 0.1,
        "epochs": 3,
        "augment": {"half_body": 0.0, "shift_p": 0.0, "scale": (0.9, 1.1), "rotate": 15.0},
    }

    def __init__(
        self,
        config: VLPoseConfig,
        base: Base,
        *,
        bank: PromptBank | None = None,
        skeleton: Skeleton | None = None,
    ) -> None:
        super().__init__()
        if bank is None:
            raise LvtuneError(
                "vlpose without sentences", "a domain (or a bank of embedded prompts)",
                'create_adapter("vlpose", base, domain="demo-art")',
            )  # fmt: skip
        self.config, self.bank = config, bank
        width, blocks = base.width, base.blocks
        if width % config.heads:
            raise LvtuneError(
                f"{config.heads} heads for a width of {width}", "a divisor of the width", "choose --method.heads"
            )
        base.check_prompts(config.placement)
        count = config.prompts if config.prompts >= 0 else PUBLISHED_PROMPTS.get(base.spec.size, 20)
        self.count = count if config.placement != "none" else 0
        widths = {"deep": [block.width for block in blocks], "shallow": [width], "none": []}[config.placement]
        self.prompts = per_block([(self.count, w) for w in widths], (0, width))
        for prompts in [self.prompts] if isinstance(self.prompts, nn.Parameter) else self.prompts:
            nn.init.trunc_normal_(prompts, std=0.02)
        gated = config.zero_init and self.count and config.placement == "deep"
        self.prompt_gates = per_block([(block.heads,) for block in blocks]) if gated else None
        self.text_proj = nn.Identity() if bank.dim == width else nn.Linear(bank.dim, width)
        self.matcher = MATCHERS.get(config.matcher)(width, config.heads, config.dropout)
        self.decoder = DECODERS.get(config.decoder)(base.stages, width, config.zero_init)
        self.predictor = make_predictor(base, skeleton or base.skeleton)
        # not persistent: the bank is saved beside the adapter's own tensors, and they are the bank's own
        self.register_buffer("text_tokens", bank.tokens.float(), persistent=False)  # (C, T, text_dim)
        self.register_buffer("text_mask", bank.mask, persistent=False)  # (C, T)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> VLPose:
        """Moves and casts; the sentences stay one copy for all adapters that read them."""
        super()._apply(fn, recurse)
        self.text_tokens, self.text_mask = placed(self.bank, self.text_tokens)
        return self

    def lr_scale(self, name: str, options: TrainOptions) -> float:
        """Prompts and gates start small and need larger steps than the matrices."""
        if name.partition(".")[0] == "prompts":
            return self.config.prompt_lr_scale
        return self.config.gate_lr_scale if name.startswith(_GATES) else 1.0

    def changes(self, base: Base) -> Iterator[Change]:
        """Prompt rows in the blocks (or tokens in front of the first) and a stand-in for the head."""
        blocks = base.blocks
        if self.matcher.q.in_features != base.width or len(self.prompts) not in (0, 1, len(blocks)):
            raise LvtuneError(
                f"a vlpose adapter of width {self.matcher.q.in_features}", f"one of width {base.width}",
                "load the base that it was made for",
            )  # fmt: skip
        if self.count and self.config.placement == "deep":
            for layer, block in enumerate(blocks):
                yield self._prompted(layer, block)
        elif self.count:
            yield InsertTokens(blocks[0].layer, base.final_norm, lambda: self.prompts[0])
        stages = base.stages

        def head(call: Call, features: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            return self.decode(stages, features, call.prompts)

        yield StandIn(base.head, head)

    def _prompted(self, layer: int, block: Block) -> Change:
        prompts = lambda: self.prompts[layer]  # noqa: E731
        if self.prompt_gates is None:
            return prompt_rows(block, prompts)
        return gated_prompts(block, prompts, lambda: self.prompt_gates[layer])

    def text(self, prompts: tuple[str | None, ...] | None, batch: int) -> tuple[Tensor, Tensor]:
        """Projected sentence (B, T, D) and its mask (B, T); where nobody asked, the mean of all sentences."""
        every = self.text_proj(self.text_tokens)  # (C, T, D)
        weight = self.text_mask[..., None].to(every.dtype)
        mean = (every * weight).sum(0) / weight.sum(0).clamp(min=1)  # (T, D)
        tokens = torch.cat([every, mean[None]])
        mask = torch.cat([self.text_mask, self.text_mask.any(0, keepdim=True)])
        asked = prompts if prompts is not None else (None,) * batch
        index = torch.tensor([len(every) if p is None else self.bank.index(p) for p in asked], device=mask.device)
        if self.training and self.config.prompt_dropout:
            dropped = torch.rand(len(index), device=index.device) < self.config.prompt_dropout
            index = torch.where(dropped, len(every), index)
        return tokens[index], mask[index]

    def relation(self, features: Tensor, prompts: tuple[str | None, ...] | None) -> Tensor:
        """R (B, D, h, w) of the feature map E (B, D, h, w) and each sample's sentence."""
        text, mask = self.text(prompts, len(features))
        tokens = features.flatten(2).transpose(1, 2)  # (B, N, D)
        return self.matcher(tokens, text, mask).transpose(1, 2).unflatten(2, features.shape[2:])

    def decode(self, stages: Any, features: Tensor, prompts: tuple[str | None, ...] | None) -> Tensor:
        """Heatmaps (B, K, h', w') of the feature map E (B, D, h, w)."""
        return self.predictor(self.decoder(stages, features, self.relation(features, prompts)))
