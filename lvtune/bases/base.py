"""What every base offers, whatever family it comes from.

A base is a frozen pose estimator: an encoder made of blocks, and a head made of stages and a predictor.
Methods see only this page, so a method never needs to know which family it is attached to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lvtune.bases.parts import Block, Stage, depths_of
from lvtune.core.context import choose_adapters, is_attached
from lvtune.core.errors import LvtuneError
from lvtune.data.codec import UDPHeatmap
from lvtune.data.skeletons import COCO_17, Skeleton


@dataclass(frozen=True)
class BaseSpec:
    """The facts of a base that do not live in its weights.

    Sizes are (height, width) in pixels; ``mean`` and ``std`` are RGB on a 0 to 1 scale.
    """

    name: str
    input_size: tuple[int, int] = (256, 192)
    stride: int = 4
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    skeleton: Skeleton = field(default=COCO_17)
    sigma: float = 2.0
    hub_id: str | None = None
    revision: str | None = None
    size: str = ""
    trained_on: str = ""
    """Domain that the base was trained on."""
    source: str = ""
    """Domain whose unfiltered test pictures ship with the package and are like what the base was trained on."""
    expert: str = ""
    """Expert that a mixture of experts routes pictures to; empty where there is none."""

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(h, w) of the heatmaps."""
        return self.input_size[0] // self.stride, self.input_size[1] // self.stride

    def with_(self, **changes: object) -> BaseSpec:
        """A copy with some facts changed."""
        return replace(self, **changes)


class Base(nn.Module, ABC):
    """A frozen pose estimator.

    ``base(pixel_values)`` maps normalised pictures (B, 3, H, W) to heatmaps (B, K, h, w). The estimator's own
    modules stay in ``eval()`` and without gradients; ``train()`` reaches attached adapters only.
    """

    model: Any
    """The estimator itself, a module of the family's own class."""
    batched: ClassVar[tuple[str, ...]] = ("pixel_values",)
    """Arguments of the model's own forward that hold one row per sample; the pictures first."""
    objective: ClassVar[str] = "heatmap"
    """What it is tuned by unless the recipe says otherwise."""
    task: ClassVar[str] = "pose2d"
    """What it predicts: key points in the picture; ``hand3d``: joints of a hand in space too."""
    input_note: ClassVar[str] = ""
    """What a user of an exported model must know of its pictures beside sizes and colours."""

    def __init__(self, model: nn.Module, spec: BaseSpec) -> None:
        super().__init__()
        self.model = model
        self.use_spec(spec)
        self.training = model.training

    def use_spec(self, spec: BaseSpec) -> None:
        """Takes the facts of the base, and makes the codec that fits them."""
        self.spec = spec
        self.codec = UDPHeatmap(input_size=spec.input_size, heatmap_size=spec.heatmap_size, sigma=spec.sigma)

    @property
    def name(self) -> str:
        """The base's name, such as ``vitpose-b``."""
        return self.spec.name

    @property
    def input_size(self) -> tuple[int, int]:
        """(H, W) of the pictures it takes, in pixels."""
        return self.spec.input_size

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(h, w) of the heatmaps it gives."""
        return self.spec.heatmap_size

    @property
    def skeleton(self) -> Skeleton:
        """The key points it predicts."""
        return self.spec.skeleton

    @property
    def mean(self) -> tuple[float, float, float]:
        """RGB mean that pictures are normalised with, on a 0 to 1 scale."""
        return self.spec.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """RGB standard deviation that pictures are normalised with, on a 0 to 1 scale."""
        return self.spec.std

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the weights; of the first floating ones where the predictor's are quantised."""
        own = self.predictor.weight
        if own.is_floating_point():
            return own.dtype
        return next(value.dtype for value in self.model.parameters() if value.is_floating_point())

    @property
    def adapter_dtype(self) -> torch.dtype:
        """Floating type of the weights of adapters that are tuned: float32, or the base's own where it is wider."""
        return torch.promote_types(self.dtype, torch.float32)

    @property
    @abstractmethod
    def width(self) -> int:
        """D, the width of the encoder's last feature map."""

    @property
    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """The encoder's blocks, first to last."""

    @property
    @abstractmethod
    def encoder(self) -> nn.Module:
        """The module that turns pictures into the feature map."""

    @property
    @abstractmethod
    def final_norm(self) -> nn.Module:
        """The normalisation behind the last block; it sees tokens (B, N, D)."""

    @property
    @abstractmethod
    def head(self) -> nn.Module:
        """The module that turns the feature map (B, D, h, w) into heatmaps."""

    @property
    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """The head's up-sampling stages, first to last."""

    @property
    @abstractmethod
    def predictor(self) -> nn.Conv2d:
        """The convolution that ends the head, (B, C, h, w) -> (B, K, h, w)."""

    @abstractmethod
    def copy_model(self) -> nn.Module:
        """A fresh model of the same class and weights, free of hooks; the global random state is kept."""

    @abstractmethod
    def parts_of(self, model: nn.Module) -> tuple[nn.Module, nn.Module]:
        """(encoder, head) of a model made by :meth:`copy_model`."""

    @abstractmethod
    def heatmaps_of(self, output: Any) -> Tensor:
        """The heatmaps (B, K, h, w) in what the model's own forward returns."""

    def named_outputs(self, output: Any) -> dict[str, Tensor]:
        """What an exported model gives of what the model's own forward returns, a row per sample; heatmaps first."""
        return {"heatmaps": self.heatmaps_of(output)}

    @abstractmethod
    def merge_outputs(self, outputs: Sequence[Any], indices: Sequence[Tensor]) -> Any:
        """One output for a batch that was run in groups; ``indices[i]`` are the places of group i."""

    @property
    def carries_tokens(self) -> bool:
        """Whether one sequence of tokens of one width runs from the first block to ``final_norm``.

        If so, tokens put in front of the first block can be dropped behind ``final_norm``. Windows and pyramids
        merge patches on a grid, in which an added token has no place.
        """
        return True

    @property
    def batch_major(self) -> bool:
        """Whether every module inside lays a batch out sample by sample along the first dimension of what it sees.

        Then a batch of several adapters goes through the model once. A family that is not sure says False, and each
        adapter's samples go through by themselves.
        """
        return False

    @property
    def tail(self) -> Sequence[nn.Module]:
        """Modules behind the head that are trained with it, such as a lifting from heatmaps to 3D; mostly none."""
        return ()

    def tail_of(self, model: nn.Module) -> Sequence[nn.Module]:
        """``tail`` of a model made by :meth:`copy_model`."""
        return ()

    def check_skeleton(self, skeleton: Skeleton) -> None:
        """Whether an adapter may predict these key points in place of the base's own.

        Raises:
            LvtuneError: it may not; why, and what to choose.
        """

    def note_skeleton(self, skeleton: Skeleton) -> None:
        """Notes on the model itself, where it keeps such a note, what its exchanged predictor gives (merged copies)."""

    def depths(self) -> list[int]:
        """How deep each of the encoder's parameters lies, in their order: see :func:`lvtune.bases.parts.depths_of`."""
        return depths_of(self.encoder, self.blocks)

    def check_visual_prompts(self, placement: str) -> None:
        """Whether visual prompts can enter here.

        Args:
            placement: ``deep`` (rows of keys and values in every block), ``shallow`` (tokens carried through all
                blocks) or ``none``.

        Raises:
            LvtuneError: they cannot; why, and what to choose.
        """
        if placement != "none" and not self.blocks:
            raise LvtuneError(
                f"visual prompts for {self.name}, which has no attention blocks that are known here",
                "an encoder with attention (ViT, Swin, PVT)", "set --method.placement none, or choose another base",
            )  # fmt: skip
        if placement == "shallow" and not self.carries_tokens:
            raise LvtuneError(
                f"shallow visual prompts for {self.name}, whose stages merge patches on a grid",
                "deep visual prompts, which are rows of keys and values and need no place in a grid",
                "set --method.placement deep (or none)",
            )  # fmt: skip

    def without_inserted(self, output: Any) -> Any:
        """What the encoder returned while tokens stood in front of the picture's, with the picture's tokens alone."""
        return output

    def is_plain(self, layer: nn.Module) -> bool:
        """Whether a layer computes what its torch class does, tokens or maps laid out alike."""
        return True

    @property
    def size_step(self) -> int:
        """Pixels that both sides of the input size are multiples of; 0: it takes its own size alone."""
        return 0

    def set_input_size(self, size: tuple[int, int]) -> None:
        """Lets the base take pictures of ``size`` (H, W), before it is used; weights and fingerprint stay.

        Raises:
            LvtuneError: the family takes its own size alone, or the size does not fit.
        """
        if tuple(size) != self.input_size:
            own = f"its own input size, {self.input_size[0]}x{self.input_size[1]}"
            given = f"an input size of {size[0]}x{size[1]} for {self.name}"
            raise LvtuneError(given, own, "leave the input size out, or choose a ViT base such as vitpose-ti")

    def variant(self, name: str) -> Base:
        """The same model under another setting, as in ``load_base("vitpose-plus-b/ap10k")``.

        Raises:
            LvtuneError: no such variant.
        """
        raise LvtuneError(f"{self.name}/{name}", f"{self.name}, which has no variants", f"say {self.name}")

    def forward_kwargs(self, pixel_values: Tensor) -> dict[str, object]:
        """Further arguments of the model's forward (a mixture of experts wants its data set's index)."""
        return {}

    def forward(
        self,
        pixel_values: Tensor,
        adapters: str | Sequence[str | None] | object | None = ...,
        category: str | Sequence[str | None] | object | None = ...,
    ) -> Tensor | list[Tensor]:
        """Heatmaps of a batch.

        Args:
            pixel_values: (B, 3, H, W), normalised with ``mean`` and ``std``; converted to the base's floating type.
            adapters: name of an attached adapter, None for the bare base, or one of these per sample; ``"auto"``
                chooses by the looks of each picture. Left out: the selection of :func:`lvtune.use_adapter`, else
                the adapter attached last.
            category: category whose sentence the adapter reads, or one per sample; None: the mean of all. Left
                out: as :func:`lvtune.use_adapter` has it, else the mean.

        Returns:
            (B, K, h, w); a list of (K_i, h, w) where the chosen adapters predict different key points.
        """
        kwargs, pixel_values = self.forward_kwargs(pixel_values), pixel_values.to(self.dtype)
        if adapters is ... and category is ...:
            return self.heatmaps_of(self.model(pixel_values, **kwargs))
        with choose_adapters(self.model, adapters, category):
            return self.heatmaps_of(self.model(pixel_values, **kwargs))

    def train(self, mode: bool = True) -> Base:
        """Sets the mode of attached adapters; the estimator's own modules stay in eval."""
        self.training = mode
        if is_attached(self.model):  # the patcher then keeps the estimator's own modules in eval
            self.model.train(mode)
        return self

    def freeze(self) -> Base:
        """Puts the estimator in eval and takes gradients away from its parameters (done by ``load_base``)."""
        self.training = False
        self.model.eval()
        self.model.requires_grad_(False)
        return self


FAMILIES: list[Callable[[nn.Module], Base | None]] = []
"""Functions that recognise a plain model and return it as a base, or None; families append theirs."""


def as_base(model: nn.Module) -> Base:
    """The base behind ``model``: itself, or a view of a plain model that some family recognises.

    Raises:
        LvtuneError: no family knows the model.
    """
    model = getattr(model, "_orig_mod", model)
    if isinstance(model, Base):
        return model
    for recognise in FAMILIES:
        base = recognise(model)
        if base is not None:
            return base
    raise LvtuneError(
        f"a model of class {type(model).__name__}",
        "a base from lvtune.load_base or a transformers VitPoseForPoseEstimation",
        "load the model with lvtune.load_base, or register a family that recognises it",
    )
