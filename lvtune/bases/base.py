"""What every base offers, whatever family it comes from.

A base is a frozen pose estimator: an encoder made of blocks, and a head made of stages and a predictor. Methods use
only what is defined here, so they work with every family.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lvtune.bases.base_spec import BaseSpec
from lvtune.bases.parts import Block, Stage, depths_of
from lvtune.core.context import choose_adapters, is_attached
from lvtune.core.errors import UsageError
from lvtune.data.codec import UDPHeatmap
from lvtune.data.skeletons import Skeleton


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
    """Name of the objective that tunes it unless the recipe names another."""
    task: ClassVar[str] = "pose2d"
    """What it predicts: ``pose2d``, key points in the picture; ``hand3d``, joints of a hand in space as well."""
    input_note: ClassVar[str] = ""
    """What a user of an exported model must know about its pictures beside size and colours."""

    def __init__(self, model: Any, spec: BaseSpec) -> None:
        super().__init__()
        self.model = model
        self.use_spec(spec)
        self.training = model.training

    def use_spec(self, spec: BaseSpec) -> None:
        """Sets the facts of the base, and makes the heatmap codec that fits them."""
        self.spec = spec
        self.codec = UDPHeatmap(input_size=spec.input_size, heatmap_size=spec.heatmap_size, sigma=spec.sigma)

    @property
    def name(self) -> str:
        """Name of the base, such as ``vitpose-b``."""
        return self.spec.name

    @property
    def input_size(self) -> tuple[int, int]:
        """(H, W) of the pictures that it takes, in pixels."""
        return self.spec.input_size

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(h, w) of the heatmaps that it gives."""
        return self.spec.heatmap_size

    @property
    def skeleton(self) -> Skeleton:
        """The key points that it predicts."""
        return self.spec.skeleton

    @property
    def mean(self) -> tuple[float, float, float]:
        """RGB mean that pictures are normalised with, on a scale from 0 to 1."""
        return self.spec.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """RGB standard deviation that pictures are normalised with, on a scale from 0 to 1."""
        return self.spec.std

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the predictor's weights; of the first floating weights where these are quantised."""
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
    def encoder(self) -> Any:
        """The module that turns pictures into the feature map."""

    @property
    @abstractmethod
    def final_norm(self) -> Any:
        """The normalisation behind the last block; it sees tokens (B, N, D)."""

    @property
    @abstractmethod
    def head(self) -> Any:
        """The module that turns the feature map (B, D, h, w) into heatmaps."""

    @property
    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """The head's up-sampling stages, first to last."""

    @property
    @abstractmethod
    def predictor(self) -> Any:
        """The convolution that ends the head, (B, C, h, w) -> (B, K, h, w)."""

    @abstractmethod
    def copy_model(self) -> Any:
        """Returns a fresh model of the same class and weights, without hooks; the global random state is kept."""

    @abstractmethod
    def parts_of(self, model: Any) -> tuple[Any, Any]:
        """Returns (encoder, head) of a model made by :meth:`copy_model`."""

    @abstractmethod
    def heatmaps_of(self, output: Any) -> Tensor:
        """Returns the heatmaps (B, K, h, w) in an output of the model's own forward."""

    def named_outputs(self, output: Any) -> dict[str, Tensor]:
        """Returns the tensors of an output that an exported model gives, one row per sample; heatmaps first."""
        return {"heatmaps": self.heatmaps_of(output)}

    @abstractmethod
    def merge_outputs(self, outputs: Sequence[Any], indices: Sequence[Tensor]) -> Any:
        """Returns one output for a batch that was run in groups; ``indices[i]`` are the places of group i."""

    @property
    def carries_tokens(self) -> bool:
        """True if one sequence of tokens of one width runs from the first block to ``final_norm``.

        Then tokens put in front of the first block can be dropped behind ``final_norm``. Windows and pyramids
        merge patches on a grid, in which an added token has no place.
        """
        return True

    @property
    def batch_major(self) -> bool:
        """True if every module inside lays a batch out sample by sample along the first dimension of its input.

        Then a batch of several adapters goes through the model once. A family that is not sure says False; each
        adapter's samples then go through on their own.
        """
        return False

    @property
    def tail(self) -> Sequence[Any]:
        """Modules behind the head that are trained with it, such as a lifting from heatmaps to 3D; usually none."""
        return ()

    def tail_of(self, model: Any) -> Sequence[Any]:
        """Returns ``tail`` of a model made by :meth:`copy_model`."""
        return ()

    def check_skeleton(self, skeleton: Skeleton) -> None:
        """Checks that an adapter may predict these key points in place of the base's own.

        Raises:
            UsageError: it may not; the error says why, and what to choose.
        """

    def note_skeleton(self, skeleton: Skeleton) -> None:
        """Notes the key points of an exchanged predictor on the model itself, where it keeps such a note."""

    def depths(self) -> list[int]:
        """Returns the depth of each of the encoder's parameters; see :func:`lvtune.bases.parts.depths_of`."""
        return depths_of(self.encoder, self.blocks)

    def check_visual_prompts(self, placement: str) -> None:
        """Checks that visual prompts can enter this base.

        Args:
            placement: ``deep`` (rows of keys and values in every block), ``shallow`` (tokens carried through all
                blocks) or ``none``.

        Raises:
            UsageError: they cannot; the error says why, and what to choose.
        """
        if placement != "none" and not self.blocks:
            raise UsageError(
                f"visual prompts for {self.name}, which has no attention blocks that are known here",
                "an encoder with attention (ViT, Swin, PVT)", "set --method.placement none, or choose another base",
            )  # fmt: skip
        if placement == "shallow" and not self.carries_tokens:
            raise UsageError(
                f"shallow visual prompts for {self.name}, whose stages merge patches on a grid",
                "deep visual prompts, which are rows of keys and values and need no place in a grid",
                "set --method.placement deep (or none)",
            )  # fmt: skip

    def without_inserted(self, output: Any) -> Any:
        """Removes inserted tokens from what the encoder returned, so that the picture's tokens alone are left."""
        return output

    def is_plain(self, layer: nn.Module) -> bool:
        """Returns True if a layer computes what its torch class does, on tokens or maps of the same layout."""
        return True

    @property
    def size_step(self) -> int:
        """Number of pixels that both sides of the input size are multiples of; 0: the base takes its own size alone."""
        return 0

    def set_input_size(self, size: tuple[int, int]) -> None:
        """Lets the base take pictures of another size; weights and fingerprint stay. Call it before the base is used.

        Args:
            size: (H, W) in pixels.

        Raises:
            UsageError: the family takes its own size alone, or the size does not fit.
        """
        if tuple(size) != self.input_size:
            height, width = self.input_size
            raise UsageError(
                f"an input size of {size[0]}x{size[1]} for {self.name}", f"its own input size, {height}x{width}",
                "leave the input size out, or choose a ViT base such as vitpose-ti or vitpose-b",
            )  # fmt: skip

    def variant(self, name: str) -> Base:
        """Returns the same model with another setting, as in ``load_base("vitpose-plus-b/ap10k")``.

        Raises:
            UsageError: there is no such variant.
        """
        raise UsageError(f"{self.name}/{name}", f"{self.name}, which has no variants", f"say {self.name}")

    def forward_kwargs(self, pixel_values: Tensor) -> dict[str, object]:
        """Returns further arguments of the model's forward (a mixture of experts needs its data set's index)."""
        return {}

    def in_own_type(self, pixel_values: Tensor) -> Tensor:
        """Converts normalised pictures to the base's floating type.

        Raises:
            UsageError: pictures of whole numbers, which are not normalised.
        """
        if not pixel_values.is_floating_point():
            raise UsageError(
                f"pictures of {str(pixel_values.dtype).removeprefix('torch.')} for {self.name}",
                "floating values, normalised with base.mean and base.std", "see lvtune.predict, which takes pictures",
            )  # fmt: skip
        return pixel_values.to(self.dtype)

    def forward(
        self,
        pixel_values: Tensor,
        adapters: str | Sequence[str | None] | object | None = ...,
        category: str | Sequence[str | None] | object | None = ...,
    ) -> Tensor | list[Tensor]:
        """Predicts the heatmaps of a batch.

        Args:
            pixel_values: (B, 3, H, W), normalised with ``mean`` and ``std``; converted to the base's floating type.
            adapters: name of an attached adapter, None for the bare base, or one of these per sample; ``"auto"``
                chooses by the looks of each picture. Left out: the selection of :func:`lvtune.use_adapter`, else
                the adapter attached last.
            category: category whose sentence the adapter reads, or one per sample; None: the mean of all. Left
                out: as :func:`lvtune.use_adapter` has it, else the mean.

        Returns:
            (B, K, h, w); a list of (K_i, h, w) where the chosen adapters predict different key points.

        Raises:
            UsageError: pictures that are not normalised; an unknown adapter or category; a list of the wrong length.
        """
        kwargs, pixel_values = self.forward_kwargs(pixel_values), self.in_own_type(pixel_values)
        if adapters is ... and category is ...:
            return self.heatmaps_of(self.model(pixel_values, **kwargs))
        with choose_adapters(self.model, adapters, category):
            return self.heatmaps_of(self.model(pixel_values, **kwargs))

    def train(self, mode: bool = True) -> Base:
        """Sets the mode of attached adapters; the estimator's own modules stay in evaluation."""
        self.training = mode
        if is_attached(self.model):  # the patcher then keeps the estimator's own modules in evaluation
            self.model.train(mode)
        return self

    def freeze(self) -> Base:
        """Puts the estimator in evaluation, without gradients for its parameters (``load_base`` does so)."""
        self.training = False
        self.model.eval()
        self.model.requires_grad_(False)
        return self


FAMILIES: list[Callable[[nn.Module], Base | None]] = []
"""Functions that return a plain model as a base, or None for a model of another family; families append theirs."""


def as_base(model: nn.Module) -> Base:
    """Returns ``model`` as a base: itself, or a view of a plain model that some family recognises.

    Raises:
        UsageError: no family knows the model.
    """
    model = getattr(model, "_orig_mod", model)
    if isinstance(model, Base):
        return model
    for recognise in FAMILIES:
        base = recognise(model)
        if base is not None:
            return base
    raise UsageError(
        f"a model of class {type(model).__name__}",
        "a base from lvtune.load_base or a transformers VitPoseForPoseEstimation",
        "load the model with lvtune.load_base, or register a family that recognises it",
    )
