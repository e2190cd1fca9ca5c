"""Frozen joint encoders: pictures and sentences as vectors of one space.

A joint encoder is named ``clip`` or ``siglip`` (their usual weights on the Hub), or ``clip:FOLDER`` and
``siglip:owner/model`` for others; ``small:FILE`` is one of :mod:`lvtune.language.small_joint`. More register with a
decorator. Radford et al., CLIP, ICML 2021, arXiv 2103.00020; Zhai et al., SigLIP, ICCV 2023, arXiv 2303.15343.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from lvtune.core.registry import Registry
from lvtune.language.ranking import RANKER, load_towers, sentence_vector, vectors

SIGLIP = "google/siglip-base-patch16-224"


@runtime_checkable
class JointEncoder(Protocol):
    """What is asked of a joint encoder; it is frozen, and computes without gradients."""

    name: str
    """Kind and place of the weights."""
    dim: int
    """D of its vectors."""
    key: str
    """Identifies the weights; what was computed with them is kept under it."""

    def encode_images(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, H, W), RGB on a 0 to 1 scale, any size -> (B, D) float32, as they come, on their device."""

    def encode_text(self, sentences: Sequence[str]) -> Tensor:
        """S sentences -> (S, D) float32, as they come, on the CPU."""


Loader = Callable[[str | None], JointEncoder]
JOINT: Registry[Loader] = Registry("joint encoder", listing="lvtune list joint-encoders")
"""Name to ``loader(source)``; source None means the usual weights."""


def register_joint_encoder(name: str) -> Callable[[Loader], Loader]:
    """Decorator that makes ``function(source) -> JointEncoder`` known under ``name``."""
    return JOINT.register(name)


def list_joint_encoders() -> list[str]:
    """Names for :func:`load_joint_encoder`."""
    return JOINT.names()


def load_joint_encoder(name: str) -> JointEncoder:
    """A joint encoder by name, ``name:source`` for other weights of that kind.

    Raises:
        LvtuneError: unknown name; weights neither there nor reachable; another kind of model.
    """
    kind, _, place = name.partition(":")
    return JOINT.get(kind)(place or None)


class HubJointEncoder:
    """A CLIP or SigLIP of transformers.

    Args:
        kind: the registered name.
        source: folder or Hub id.
        device: where pictures are encoded; it follows the pictures.
    """

    def __init__(self, kind: str, source: str | Path, device: str | torch.device = "cpu") -> None:
        self.name = f"{kind}:{source}"
        hint = f"--objective.encoder {kind}:FOLDER"
        model, processor, self._tokenizer = load_towers(str(source), "to encode pictures and sentences with", hint)
        self._model = model.to(device)
        size = model.config.vision_config.image_size
        self._size = (size, size) if isinstance(size, int) else tuple(size)
        self._mean = torch.tensor(processor.image_mean).view(3, 1, 1)
        self._std = torch.tensor(processor.image_std).view(3, 1, 1)
        self.dim = int(self.encode_text(["a"]).shape[1])
        self.key = weights_key(model)

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """See :class:`JointEncoder`. The whole picture is brought to the model's square, nothing is cut off."""
        with torch.autocast(images.device.type, enabled=False):
            self._model.to(images.device)
            pixels = (resized(images.float(), self._size) - self._mean.to(images.device)) / self._std.to(images.device)
            return vectors(self._model.get_image_features(pixel_values=pixels)).float()

    @torch.no_grad()
    def encode_text(self, sentences: Sequence[str]) -> Tensor:
        """See :class:`JointEncoder`. One sentence at a time, so that none depends on its neighbours."""
        found = [sentence_vector(self._model, self._tokenizer, sentence).float().cpu() for sentence in sentences]
        return torch.stack(found) if found else torch.empty(0, self.dim)


def weights_key(model: torch.nn.Module) -> str:
    """sha256 of a model's tensors, their names and shapes."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures (B, 3, H, W) at another size, as PIL's bicubic does, kept within 0 and 1."""
    if tuple(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def unnormalised(pixel_values: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """A base's input (B, 3, H, W) back on a 0 to 1 scale."""
    shape = (3, 1, 1)
    mean_of, std_of = (pixel_values.new_tensor(tuple(values)).view(shape) for values in (mean, std))
    return (pixel_values * std_of + mean_of).clamp(0, 1)


@register_joint_encoder("clip")
def clip(source: str | None = None) -> JointEncoder:
    """CLIP; ViT-B/32 by default, 512-d."""
    return HubJointEncoder("clip", source or RANKER)


@register_joint_encoder("siglip")
def siglip(source: str | None = None) -> JointEncoder:
    """SigLIP; the base model at 224 px by default, 768-d."""
    return HubJointEncoder("siglip", source or SIGLIP)


# files itself under its name
from lvtune.language import small_joint  # noqa: E402, F401
