"""``small:FILE``: a small joint encoder of the look of pictures, for use without CLIP.

A picture is described by the statistics of its features in the frozen encoder of ``vitpose-ti``: mean and standard
deviation of each channel after some blocks. A sentence is described by the mean of MiniLM's token states. A small
network on each side maps both into one space. The networks are trained with CLIP's loss (arXiv 2103.00020) on filtered
photographs and sentences about their look. The encoder knows the looks that it was trained on and little else; measure
its retrieval on unseen looks before you rely on it (``tools/train_small_joint.py`` does).
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

from lvtune.core.errors import DataError, UsageError
from lvtune.core.files import write_atomically
from lvtune.language.joint_registry import register_joint_encoder, resized, weights_key

_AT_ONCE = 64


@dataclass(frozen=True)
class SmallConfig:
    """Sizes and sources of the two sides."""

    base: str = "vitpose-ti"
    """Base whose frozen encoder computes the features of pictures."""
    blocks: tuple[int, ...] = (1, 3, 6, 9)
    """Blocks of the base whose input features are used."""
    text: str = "minilm"
    """Frozen text encoder."""
    text_dim: int = 384
    """Width of its token states."""
    image_dim: int = 1536
    """Width of the statistics: twice the base's width for each of the blocks."""
    hidden: int = 256
    """Width of the networks' hidden layer."""
    dim: int = 128
    """D, the width of the joint space."""


class SmallJoint(nn.Module):
    """The trained part: it maps statistics of pictures and of sentences into one space.

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
        """Returns CLIP's symmetric loss of B pairs; pairs of the same look are not negatives of each other.

        Args:
            images: (B, image_dim) statistics.
            sentences: (B, text_dim).
            kinds: (B,) number of each pair's look.
        """
        image, text = F.normalize(self.image(images), dim=-1), F.normalize(self.text(sentences), dim=-1)
        logits = self.log_scale.exp().clamp(max=100) * image @ text.T
        same = kinds[:, None] == kinds[None]
        logits = logits.masked_fill(same & ~torch.eye(len(kinds), dtype=torch.bool, device=kinds.device), -torch.inf)
        target = torch.arange(len(kinds), device=kinds.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class SmallEncoder:
    """Frozen base and text encoder with the trained part; see :class:`lvtune.language.joint_registry.JointEncoder`.

    Args:
        joint: the trained part.
        name: name in errors and reports.
    """

    def __init__(self, joint: SmallJoint, name: str = "small") -> None:
        from lvtune.bases.base_registry import load_base
        from lvtune.language.encoders import load_text_encoder

        self.joint, self.name = joint.eval().requires_grad_(False), name
        self.base, self.words = load_base(joint.config.base), load_text_encoder(joint.config.text)
        if max(joint.config.blocks) >= len(self.base.blocks):
            raise DataError(f"{name} behind {max(joint.config.blocks)} blocks of {self.base.name}",
                            f"fewer than {len(self.base.blocks)}", "get the file again")  # fmt: skip

    @property
    def dim(self) -> int:
        """D, the width of the vectors."""
        return self.joint.config.dim

    @property
    def key(self) -> str:
        """Identifies the weights of base, text encoder and trained part."""
        return f"{weights_key(self.joint)} {weights_key(self.base.model)} {self.words.name}"

    @torch.no_grad()
    def looks(self, images: Tensor) -> Tensor:
        """Returns mean and deviation of each channel (B, image_dim), of pictures (B, 3, H, W) from 0 to 1."""
        self.base.model.to(images.device)
        shape = (3, 1, 1)
        mean, std = (images.new_tensor(values).view(shape) for values in (self.base.mean, self.base.std))
        pixels = (resized(images.float(), self.base.input_size) - mean) / std
        features: list[Tensor] = []
        layers = [self.base.blocks[i].layer for i in self.joint.config.blocks]
        hooks = [layer.register_forward_pre_hook(lambda module, args: features.append(args[0])) for layer in layers]
        try:
            self.base.encoder(pixels)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.cat([part for x in features for part in (x.mean(1), x.std(1))], dim=1)

    def meanings(self, sentences: Sequence[str]) -> Tensor:
        """Returns the mean token states (S, text_dim) of S sentences."""
        tokens, mask = self.words.encode(list(sentences))
        states, mask = torch.from_numpy(tokens), torch.from_numpy(mask)[..., None]
        return (states * mask).sum(1) / mask.sum(1)

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Returns vectors (B, D) of length 1 of pictures (B, 3, H, W) from 0 to 1."""
        with torch.autocast(images.device.type, enabled=False):
            self.joint.to(images.device)
            parts = [self.joint.image(self.looks(part)) for part in images.split(_AT_ONCE)]
            return F.normalize(torch.cat(parts), dim=-1)

    @torch.no_grad()
    def encode_text(self, sentences: Sequence[str]) -> Tensor:
        """Returns vectors (S, D) of length 1 of S sentences, on the CPU."""
        meanings = self.meanings(sentences).to(self.joint.log_scale.device)
        return F.normalize(self.joint.text(meanings), dim=-1).cpu()


def save_small(joint: SmallJoint, file: str | Path, about: dict[str, str] | None = None) -> Path:
    """Writes the trained part into a safetensors file, with ``about`` (its training data) in the header."""
    config = json.dumps(asdict(joint.config))
    tensors = {name: value.detach().contiguous() for name, value in joint.state_dict().items()}
    return write_atomically(Path(file), to_safetensors(tensors, {**(about or {}), "config": config}))


def load_small(file: str | Path) -> SmallEncoder:
    """Loads a file that :func:`save_small` wrote, with the base and the text encoder.

    Raises:
        LvtuneError: there is no such file, or it is not a small joint encoder.
    """
    fix = "train one: python tools/train_small_joint.py --out FILE"
    if not Path(file).is_file():
        raise UsageError(f"no file {file} of a small joint encoder", "one that was trained here", fix)
    try:
        with safe_open(str(file), "pt") as opened:
            values = json.loads(opened.metadata()["config"])
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        joint = SmallJoint(SmallConfig(**values | {"blocks": tuple(values["blocks"])}))
        joint.load_state_dict(state)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise DataError(f"{file} as a small joint encoder ({reason})", "one that was trained here", fix) from None
    return SmallEncoder(joint, f"small:{file}")


@register_joint_encoder("small")
def small(source: str | None = None) -> SmallEncoder:
    """Loads the encoder from a file; none ships with the package."""
    if source is None:
        raise UsageError("joint encoder 'small' without its file", "small:FILE",
                         "train one: python tools/train_small_joint.py --out FILE")  # fmt: skip
    return load_small(source)
