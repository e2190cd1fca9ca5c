"""``small:FILE``: a small joint encoder of looks, for where no CLIP can be had.

A picture is described by the style of its features in the frozen encoder of ``vitpose-ti`` (mean and standard
deviation of each channel behind some blocks), a sentence by the mean of MiniLM's token states; a small network on
each side, trained with CLIP's loss (arXiv 2103.00020) on filtered photographs and sentences about their look, brings
both into one space. It knows the looks that it was trained on and little else, and is no CLIP: what it retrieves of
unseen looks is to be measured before anything is built on it (tools/train_small_joint.py does).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.core.errors import LvtuneError
from lvtune.core.files import write_atomically
from lvtune.language.joint_registry import register_joint_encoder, resized, weights_key

_AT_ONCE = 64


@dataclass(frozen=True)
class SmallConfig:
    """What the two sides are made of."""

    base: str = "vitpose-ti"
    """Whose frozen encoder looks at pictures."""
    blocks: tuple[int, ...] = (1, 3, 6, 9)
    """Behind how many of its blocks."""
    text: str = "minilm"
    """Frozen text encoder."""
    text_dim: int = 384
    """Width of its token states."""
    image_dim: int = 1536
    """Twice the base's width for each of the blocks."""
    hidden: int = 256
    """Width of the networks' hidden layer."""
    dim: int = 128
    """D of the joint space."""


class SmallJoint(nn.Module):
    """The trained half: statistics of pictures and of sentences into one space.

    Args:
        config: sizes.
    """

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.config = config
        side = lambda inputs: nn.Sequential(  # noqa: E731
            nn.LayerNorm(inputs), nn.Linear(inputs, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.dim)
        )
        self.image, self.text = side(config.image_dim), side(config.text_dim)
        self.log_scale = nn.Parameter(torch.tensor(2.66))  # 1 / 0.07, as in CLIP

    def loss(self, images: Tensor, sentences: Tensor, kinds: Tensor) -> Tensor:
        """CLIP's symmetric loss of a batch of pairs; pairs of one kind are no negatives of one another.

        Args:
            images: (B, image_dim) statistics.
            sentences: (B, text_dim).
            kinds: (B,) number of each pair's look.
        """
        seen, said = F.normalize(self.image(images), dim=-1), F.normalize(self.text(sentences), dim=-1)
        logits = self.log_scale.exp().clamp(max=100) * seen @ said.T
        same = kinds[:, None] == kinds[None]
        logits = logits.masked_fill(same & ~torch.eye(len(kinds), dtype=torch.bool, device=kinds.device), -torch.inf)
        target = torch.arange(len(kinds), device=kinds.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class SmallEncoder:
    """The two frozen sides with the trained half between; see :class:`lvtune.language.joint_registry.JointEncoder`.

    Args:
        joint: trained or not.
        name: told in errors and reports.
    """

    def __init__(self, joint: SmallJoint, name: str = "small") -> None:
        from lvtune.bases.base_registry import load_base
        from lvtune.language.encoders import load_text_encoder

        self.joint, self.name = joint.eval().requires_grad_(False), name
        self.base, self.words = load_base(joint.config.base), load_text_encoder(joint.config.text)
        if max(joint.config.blocks) >= len(self.base.blocks):
            raise LvtuneError(f"{name} behind {max(joint.config.blocks)} blocks of {self.base.name}",
                              f"fewer than {len(self.base.blocks)}", "get the file again")  # fmt: skip

    @property
    def dim(self) -> int:
        """D."""
        return self.joint.config.dim

    @property
    def key(self) -> str:
        """Identifies the weights of both halves."""
        return f"{weights_key(self.joint)} {weights_key(self.base.model)} {self.words.name}"

    @torch.no_grad()
    def looks(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) on a 0 to 1 scale -> (B, image_dim): mean and deviation of the features' channels."""
        self.base.model.to(images.device)
        shape = (3, 1, 1)
        mean, std = (images.new_tensor(values).view(shape) for values in (self.base.mean, self.base.std))
        pixels = (resized(images.float(), self.base.input_size) - mean) / std
        found: list[Tensor] = []
        layers = [self.base.blocks[i].layer for i in self.joint.config.blocks]
        hooks = [layer.register_forward_pre_hook(lambda module, args: found.append(args[0])) for layer in layers]
        try:
            self.base.encoder(pixels)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.cat([part for x in found for part in (x.mean(1), x.std(1))], dim=1)

    def meanings(self, sentences: Sequence[str]) -> Tensor:
        """S sentences -> (S, text_dim): the mean of their token states."""
        tokens, mask = self.words.encode(list(sentences))
        states, mask = torch.from_numpy(tokens), torch.from_numpy(mask)[..., None]
        return (states * mask).sum(1) / mask.sum(1)

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) on a 0 to 1 scale -> (B, D) of length 1."""
        with torch.autocast(images.device.type, enabled=False):
            self.joint.to(images.device)
            parts = [self.joint.image(self.looks(part)) for part in images.split(_AT_ONCE)]
            return F.normalize(torch.cat(parts), dim=-1)

    @torch.no_grad()
    def encode_text(self, sentences: Sequence[str]) -> Tensor:
        """S sentences -> (S, D) of length 1, on the CPU."""
        meanings = self.meanings(sentences).to(self.joint.log_scale.device)
        return F.normalize(self.joint.text(meanings), dim=-1).cpu()


def save_small(joint: SmallJoint, file: str | Path, about: dict[str, str] | None = None) -> Path:
    """Writes the trained half and what it was trained on into one safetensors file."""
    config = json.dumps(asdict(joint.config))
    tensors = {name: value.detach().contiguous() for name, value in joint.state_dict().items()}
    return write_atomically(Path(file), to_safetensors(tensors, {**(about or {}), "config": config}))


def load_small(file: str | Path) -> SmallEncoder:
    """What :func:`save_small` wrote, with its two frozen sides.

    Raises:
        LvtuneError: no such file, or not one of these.
    """
    fix = "train one: python tools/train_small_joint.py --out FILE"
    if not Path(file).is_file():
        raise LvtuneError(f"no file {file} of a small joint encoder", "one that was trained here", fix)
    try:
        with safe_open(str(file), "pt") as opened:
            values = json.loads(opened.metadata()["config"])
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        joint = SmallJoint(SmallConfig(**values | {"blocks": tuple(values["blocks"])}))
        joint.load_state_dict(state)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise LvtuneError(f"{file} as a small joint encoder ({reason})", "one that was trained here", fix) from None
    return SmallEncoder(joint, f"small:{file}")


@register_joint_encoder("small")
def small(source: str | None = None) -> SmallEncoder:
    """The encoder in a file; none ships."""
    if source is None:
        raise LvtuneError("joint encoder 'small' without its file", "small:FILE",
                          "train one: python tools/train_small_joint.py --out FILE")  # fmt: skip
    return load_small(source)
