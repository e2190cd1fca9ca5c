"""Tiny models, pictures and sentences that the tests share, and a snapshot of everything a base consists of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from lvtune.adapters.factory import create_adapter
from lvtune.adapters.method_registry import METHODS
from lvtune.bases.base import BaseSpec
from lvtune.bases.vitpose import VitPoseBase, build_model, make_config
from lvtune.data.skeletons import COCO_17, Skeleton
from lvtune.language.bank import SentenceBank

ARCH = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "mlp_ratio": 2}
SIZE = (64, 48)


def tiny_model(
    seed: int = 0, *, width: int = 48, keypoints: int = 17, simple: bool = False, layers: int = 3
) -> nn.Module:
    """A transformers VitPose whose every part matters: weights of order 1, BatchNorm statistics that are not 0, 1."""
    arch = ARCH | {"hidden_size": width, "num_hidden_layers": layers}
    config = make_config(arch, keypoints=keypoints, input_size=SIZE, simple=simple)
    model = build_model(config, None if simple else (32, 24), keypoints, seed)
    generator = torch.Generator().manual_seed(1000 + seed)
    draw = lambda like: torch.randn(like.shape, generator=generator)  # noqa: E731
    with torch.no_grad():
        for value in model.parameters():
            fan = value[0].numel() if value.dim() > 1 else 4
            value.copy_(draw(value) / fan**0.5 + (value.dim() == 1) * 0.3)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(0.3 * draw(module.running_mean))
                module.running_var.copy_(0.5 + draw(module.running_var).square())
    return model.eval()


def tiny_base(seed: int = 0, *, skeleton: Skeleton = COCO_17, **options: object) -> VitPoseBase:
    """The same as one of our bases."""
    model = tiny_model(seed, keypoints=len(skeleton.keypoints), **options)
    return VitPoseBase(model, BaseSpec("vitpose-tiny", input_size=SIZE, skeleton=skeleton)).freeze()


def tiny_bank(dim: int = 20, seed: int = 0) -> SentenceBank:
    """Three sentences of 3 to 5 tokens."""
    tokens = torch.randn(3, 5, dim, generator=torch.Generator().manual_seed(seed))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], dtype=torch.bool)
    return SentenceBank(
        categories=("sketch", "cartoon", "mural"),
        sentences=("a sketch of a human", "a cartoon of a human", "a mural of a human"),
        tokens=tokens * mask[..., None],
        mask=mask,
        encoder="test",
    )


def tiny_pixels(count: int = 4, seed: int = 0) -> Tensor:
    """(B, 3, 64, 48)."""
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


def make_adapter(method: str, base: nn.Module, *, stirred: float = 0.0, seed: int = 0, **options: object) -> nn.Module:
    """An adapter with the tiny bank; ``stirred`` adds noise to its weights, so that it changes answers."""
    bank = options.pop("bank", tiny_bank() if METHODS.get(method).reads_language else None)
    if method == "vlpose":
        options.setdefault("prompts", 3)
    adapter = create_adapter(method, base, bank=bank, seed=seed, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in adapter.parameters():
            value.add_(stirred * torch.randn(value.shape, generator=generator))
    return adapter.eval()


class TinyPictures(Dataset):
    """Items as of a PoseDataset, a function of (seed, epoch, index)."""

    def __init__(
        self, count: int = 12, skeleton: Skeleton = COCO_17, categories: tuple[str, ...] = ("sketch", "mural")
    ):
        self.count, self.skeleton, self.categories, self.epoch = count, skeleton, categories, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(self.epoch * 1000 + index)
        points = len(self.skeleton.keypoints)
        return {
            "pixel_values": torch.randn(3, *SIZE, generator=generator),
            "keypoints": torch.rand(points, 2, generator=generator) * torch.tensor([48.0, 64.0]),
            "visible": torch.ones(points),
            "category": self.categories[index % len(self.categories)],
            "index": index,
            "center": torch.zeros(2),
            "scale": torch.ones(2),
        }


def snapshot(model: nn.Module) -> dict[str, object]:
    """All that attaching must leave as it is, comparable with ``==``.

    Bytes of parameters and buffers, which objects they are, requires_grad, gradients, training flags, classes,
    and every instance attribute of every module, hooks included.
    """
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    return {
        "bytes": {n: (t.dtype, t.shape, _bytes(t)) for n, t in tensors.items()},
        "tensors": {n: (_Same(t), t.requires_grad, t.grad is None) for n, t in tensors.items()},
        "modes": {n: m.training for n, m in model.named_modules()},
        "classes": {n: type(m) for n, m in model.named_modules()},
        "attributes": {n: {k: _frozen(v) for k, v in vars(m).items()} for n, m in model.named_modules()},
    }  # fmt: skip


def _bytes(value: Tensor) -> bytes:
    return value.detach().reshape(-1).view(torch.uint8).numpy().tobytes()


class _Same:
    """Equal to itself alone; keeps what it holds alive, so that no other object takes its address."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    __hash__ = None

    def __repr__(self) -> str:
        return f"<{type(self.value).__name__} {id(self.value):x}>"


def _frozen(value: object) -> object:
    if isinstance(value, dict):
        return [(key, _Same(entry)) for key, entry in value.items()]
    return value if isinstance(value, bool | int | float | str | None) else _Same(value)
