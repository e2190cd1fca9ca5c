"""The registry of joint encoders, which turn pictures and sentences into vectors of one space."""

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
    """The interface of a joint encoder; it is frozen, and computes without gradients."""

    name: str
    """Kind and source of the weights."""

    @property
    def dim(self) -> int:
        """D, the width of the vectors."""
        ...

    @property
    def key(self) -> str:
        """Identifies the weights; part of the key of cached results."""
        ...

    def encode_images(self, images: Tensor) -> Tensor:
        """Returns vectors (B, D) float32 of any length of pictures (B, 3, H, W), RGB from 0 to 1, on their device."""
        ...

    def encode_text(self, sentences: Sequence[str]) -> Tensor:
        """Returns vectors (S, D) float32 of any length of S sentences, on the CPU."""
        ...


Loader = Callable[[str | None], JointEncoder]
JOINT: Registry[Loader] = Registry("joint encoder", listing="lvtune list joint-encoders")
"""Name to ``loader(source)``; a source of None means the default weights."""


def register_joint_encoder(name: str) -> Callable[[Loader], Loader]:
    """Returns a decorator that registers ``function(source) -> JointEncoder`` under a name."""
    return JOINT.register(name)


def list_joint_encoders() -> list[str]:
    """Returns the names for :func:`load_joint_encoder`."""
    return JOINT.names()


def load_joint_encoder(name: str) -> JointEncoder:
    """Loads a joint encoder.

    Args:
        name: one of :func:`list_joint_encoders`; ``name:source`` takes other weights of that kind.

    Raises:
        LvtuneError: the name is unknown, the weights cannot be loaded, or they are of another kind of model.
    """
    kind, _, place = name.partition(":")
    return JOINT.get(kind)(place or None)


def weights_key(model: torch.nn.Module) -> str:
    """Returns the sha256 over names, types, shapes and bytes of a model's tensors."""
    return hash_tensors(model.state_dict().items())


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes pictures (B, 3, H, W) to ``size`` (h, w), bicubic with antialiasing as in PIL, clipped to 0 and 1."""
    if tuple(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def unnormalised(pixel_values: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Returns a base's normalised input (B, 3, H, W) as pictures with values from 0 to 1."""
    shape = (3, 1, 1)
    mean_of, std_of = (pixel_values.new_tensor(tuple(values)).view(shape) for values in (mean, std))
    return (pixel_values * std_of + mean_of).clamp(0, 1)
