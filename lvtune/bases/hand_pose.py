"""What all 3D hand estimators share: an encoder, a heatmap head, and the lifting to 3D behind it.

Methods see encoder and head as those of any base, and so adapt what the picture looks like; the lifting sees heatmaps
alone, which look alike in every domain. Methods that train the whole head train the lifting too (``tail``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lvtune.bases.base import Base, BaseSpec
from lvtune.bases.hand_nets import HandOutput, Lifting
from lvtune.bases.nested_outputs import in_batch_order
from lvtune.bases.parts import with_weights_of
from lvtune.core.context import choose_adapters
from lvtune.core.errors import LvtuneError
from lvtune.data.hand_frame import place
from lvtune.data.skeletons import HAND_21, Skeleton

SIGMA = 25 / 2**0.5 / 8
"""Of the heatmaps, in their pixels: exp(-d² / 25²) in a 256 px picture, whose maps are 32 px (arXiv 1705.01389)."""

Maps = Tensor | tuple[Tensor, ...]
Make = Callable[[], nn.Module]


class HandPose(nn.Module):
    """Pictures (B, 3, H, W) -> :class:`HandOutput`; made by :func:`build_hand`, knows how to be made anew.

    Args:
        make_encoder: makes a module (B, 3, H, W) -> (B, D, h', w').
        make_head: makes a module (B, D, h', w') -> heatmaps (B, 21, h, w), of one stage or of each.
        spec: its facts.
    """

    def __init__(self, make_encoder: Make, make_head: Make, spec: BaseSpec) -> None:
        super().__init__()
        self.make_encoder, self.make_head, self.spec = make_encoder, make_head, spec
        self.encoder, self.head = make_encoder(), make_head()
        self.lifting = Lifting(spec.heatmap_size)

    def forward(self, pixel_values: Tensor, side: Tensor | None = None) -> HandOutput:
        """Normalised pictures, and the side (B,) of each hand: 0 left, 1 right; None: all right."""
        features = self.encoder(pixel_values)
        maps: Maps = self.head(features)
        # what a method puts in place of the head may give the last stage alone
        stages = maps if isinstance(maps, tuple) else (maps,)
        xyz, canonical, rotation = self.lifting(stages[-1], side)
        return HandOutput(stages[-1], xyz, canonical, rotation, stages, features)


def build_hand(make_encoder: Make, make_head: Make, spec: BaseSpec, *, seed: int = 0) -> HandPose:
    """An estimator with random weights drawn from ``seed``; the global random state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed GPUs too
        return HandPose(make_encoder, make_head, spec).eval()


class HandBase(Base):
    """A base around :class:`HandPose`; ``base(pixel_values)`` gives heatmaps, :meth:`hands` all there is."""

    batched = ("pixel_values", "side")
    objective: ClassVar[str] = "hand"
    task: ClassVar[str] = "hand3d"
    input_note: ClassVar[str] = "a right hand; mirror the picture of a left one, and x of what comes out"

    @property
    def width(self) -> int:
        """D of the feature map."""
        return self.model.encoder.width

    @property
    def encoder(self) -> Any:
        """What makes the feature map."""
        return self.model.encoder

    @property
    def head(self) -> Any:
        """What makes the heatmaps."""
        return self.model.head

    @property
    def predictor(self) -> nn.Conv2d:
        """The last convolution of the last stage."""
        return self.model.head.predictor

    @property
    def tail(self) -> Sequence[nn.Module]:
        """The lifting to 3D."""
        return self.tail_of(self.model)

    def tail_of(self, model: Any) -> Sequence[nn.Module]:
        """(lifting,) of a model made by :meth:`copy_model`."""
        return (model.lifting,)

    def copy_model(self) -> nn.Module:
        """A second estimator, made anew, with the same weights."""
        own = self.model
        fresh = build_hand(own.make_encoder, own.make_head, own.spec)
        return with_weights_of(own, fresh, self.predictor.weight)

    def parts_of(self, model: Any) -> tuple[Any, Any]:
        """(encoder, head)."""
        return model.encoder, model.head

    def heatmaps_of(self, output: Any) -> Tensor:
        """Heatmaps of the last stage."""
        return output.heatmaps

    def named_outputs(self, output: Any) -> dict[str, Tensor]:
        """Heatmaps (B, 21, h, w) and joints in space ``xyz`` (B, 21, 3)."""
        return {"heatmaps": output.heatmaps, "xyz": output.xyz}

    def merge_outputs(self, outputs: Sequence[Any], indices: Sequence[Tensor]) -> HandOutput:
        """Every row back in the order of the batch."""
        # an adapter's own head may have fewer stages than the base's
        fewest = min(len(output.stages) for output in outputs)
        alike = [output._replace(stages=output.stages[-fewest:]) for output in outputs]
        return in_batch_order(alike, indices)

    def check_skeleton(self, skeleton: Skeleton) -> None:
        """Hands alone: the lifting reads the heatmaps of their 21 joints.

        Raises:
            LvtuneError: other key points.
        """
        if skeleton.keypoints != HAND_21.keypoints:
            raise LvtuneError(
                f"{self.name} for the {len(skeleton.keypoints)} key points of {skeleton.name}",
                f"the {len(HAND_21.keypoints)} joints of {HAND_21.name}, which it lifts to 3D",
                "choose a domain of hands (--domain hand-figures), or a base for bodies (--base vitpose-ti)",
            )

    def hands(
        self,
        pixel_values: Tensor,
        side: Tensor | None = None,
        adapters: str | Sequence[str | None] | object | None = ...,
        category: str | Sequence[str | None] | object | None = ...,
    ) -> HandOutput:
        """Heatmaps and 3D joints of a batch.

        Args:
            pixel_values: (B, 3, H, W), normalised with ``mean`` and ``std``; converted to the base's floating type.
            side: (B,) 0 for left and 1 for right hands; None: all right.
            adapters: as for :meth:`lvtune.bases.base.Base.forward`.
            category: likewise.
        """
        with choose_adapters(self.model, adapters, category):
            return self.model(pixel_values.to(self.dtype), side=side)

    def keypoints(self, output: HandOutput) -> tuple[Tensor, Tensor]:
        """2D joints (B, 21, 2) in input pixels and their scores (B, 21), float32."""
        points, scores = self.codec.decode(output.heatmaps)
        height, width = self.input_size
        # the codec's own measure is W / (W - 1) pixels; see UDPHeatmap.decode
        return points * points.new_tensor([(width - 1) / width, (height - 1) / height]), scores

    def joints(self, output: HandOutput, scale: Tensor | None = None, camera: Tensor | None = None) -> Tensor:
        """3D joints (B, 21, 3), x to the right, y down, z away from the camera.

        Args:
            output: of :meth:`hands`.
            scale: (B,) length of the reference bone (middle finger, base to next joint), such as in mm.
            camera: (B, 3, 3) intrinsics of the input pictures.

        Returns:
            Relative to the root, in lengths of the reference bone; with ``scale`` in its unit; with ``camera`` too in
            camera coordinates, where the 2D joints are seen.

        Raises:
            LvtuneError: a camera without a scale, from which the distance would be unknown.
        """
        xyz = output.xyz.float()
        if scale is not None:
            xyz = xyz * torch.as_tensor(scale, dtype=xyz.dtype, device=xyz.device)[:, None, None]
        if camera is None:
            return xyz
        if scale is None:
            raise LvtuneError(
                "a camera without the scale of the hand", "the length of the reference bone",
                "give scale too; a large hand far off looks like a small one close by",
            )  # fmt: skip
        points, scores = self.keypoints(output)
        return place(xyz, points, torch.as_tensor(camera, device=xyz.device), scores)
