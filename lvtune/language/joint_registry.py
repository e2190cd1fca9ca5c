"""Frozen joint encoders by name: pictures and sentences as vectors of one space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from lvtune.core.registry import Registry
from lvtune.core.tensor_file import hash_tensors


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


def weights_key(model: torch.nn.Module) -> str:
    """Returns the sha256 of a model's tensors, their names and shapes."""
    return hash_tensors(model.state_dict().items())


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
