"""What all 3D hand estimators share: an encoder, a heatmap head, and behind it the lifting to 3D.

Methods see the encoder and the head as those of any base. They adapt to the looks of pictures. The lifting reads only
heatmaps, which look alike in every domain. Methods that train the whole head train the lifting too (``tail``).
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
from lvtune.core.errors import UsageError
from lvtune.data.hand_frame import place
from lvtune.data.skeletons import HAND_21, Skeleton

SIGMA = 25 / 2**0.5 / 8
"""Sigma of the heatmaps in their pixels: exp(-d² / 25²) in a 256 px picture with 32 px maps (arXiv 1705.01389)."""

Maps = Tensor | tuple[Tensor, ...]
Make = Callable[[], nn.Module]


class HandPose(nn.Module):
    """Maps pictures (B, 3, H, W) to :class:`HandOutput`; made by :func:`build_hand`; it holds what a copy is made of.

    Args:
        make_encoder: makes a module (B, 3, H, W) -> (B, D, h', w').
        make_head: makes a module (B, D, h', w') -> heatmaps (B, 21, h, w), of one stage or of every stage.
        spec: its facts.
    """

    def __init__(self, make_encoder: Make, make_head: Make, spec: BaseSpec) -> None:
        super().__init__()
        self.make_encoder, self.make_head, self.spec = make_encoder, make_head, spec
        self.encoder, self.head = make_encoder(), make_head()
        self.lifting = Lifting(spec.heatmap_size)

    def forward(self, pixel_values: Tensor, side: Tensor | None = None) -> HandOutput:
        """Takes normalised pictures and the side (B,) of each hand: 0 left, 1 right; None: all are right."""
        features = self.encoder(pixel_values)
        maps: Maps = self.head(features)
        # a head that a method puts in its place may give only the last stage
        stages = maps if isinstance(maps, tuple) else (maps,)
        xyz, canonical, rotation = self.lifting(stages[-1], side)
        return HandOutput(stages[-1], xyz, canonical, rotation, stages, features)


def build_hand(make_encoder: Make, make_head: Make, spec: BaseSpec, *, seed: int = 0) -> HandPose:
    """Builds an estimator with random weights drawn from ``seed``; the global random state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed GPUs too
        return HandPose(make_encoder, make_head, spec).eval()


class HandBase(Base):
    """A base around :class:`HandPose`; ``base(pixel_values)`` gives heatmaps, :meth:`hands` gives everything."""

    batched = ("pixel_values", "side")
    objective: ClassVar[str] = "hand"
    task: ClassVar[str] = "hand3d"
    input_note: ClassVar[str] = "a right hand; mirror the picture of a left one, and x of what comes out"

    @property
    def width(self) -> int:
        """D, the channels of the feature map."""
        return self.model.encoder.width

    @property
    def encoder(self) -> Any:
        """The module that makes the feature map."""
        return self.model.encoder

    @property
    def head(self) -> Any:
        """The module that makes the heatmaps."""
        return self.model.head

    @property
    def predictor(self) -> Any:
        """The last convolution of the last stage."""
        return self.model.head.predictor

    @property
    def tail(self) -> Sequence[Any]:
        """The lifting to 3D."""
        return self.tail_of(self.model)

    def tail_of(self, model: Any) -> Sequence[Any]:
        """Returns (lifting,) of a model made by :meth:`copy_model`."""
        return (model.lifting,)

    def copy_model(self) -> Any:
        """Makes a second estimator with the same weights."""
        own = self.model
        fresh = build_hand(own.make_encoder, own.make_head, own.spec)
        return with_weights_of(own, fresh, self.predictor.weight)

    def parts_of(self, model: Any) -> tuple[Any, Any]:
        """Returns (encoder, head)."""
        return model.encoder, model.head

    def heatmaps_of(self, output: Any) -> Tensor:
        """Returns the heatmaps of the last stage."""
        return output.heatmaps

    def named_outputs(self, output: Any) -> dict[str, Tensor]:
        """Returns ``heatmaps`` (B, 21, h, w) and joints in space ``xyz`` (B, 21, 3)."""
        return {"heatmaps": output.heatmaps, "xyz": output.xyz}

    def merge_outputs(self, outputs: Sequence[Any], indices: Sequence[Tensor]) -> HandOutput:
        """Returns every row in the order of the batch."""
        # an adapter's own head may have fewer stages than the base's
        fewest = min(len(output.stages) for output in outputs)
        alike = [output._replace(stages=output.stages[-fewest:]) for output in outputs]
        return in_batch_order(alike, indices)

    def check_skeleton(self, skeleton: Skeleton) -> None:
        """Checks that these are the joints of a hand: the lifting reads the heatmaps of all 21.

        Raises:
            UsageError: other key points.
        """
        if skeleton.keypoints != HAND_21.keypoints:
            raise UsageError(
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
        """Predicts the heatmaps and 3D joints of a batch.

        Args:
            pixel_values: (B, 3, H, W), normalised with ``mean`` and ``std``; converted to the base's floating type.
            side: (B,) 0 for left and 1 for right hands; None: all are right.
            adapters: as for :meth:`lvtune.bases.base.Base.forward`.
            category: likewise.
        """
        with choose_adapters(self.model, adapters, category):
            return self.model(self.in_own_type(pixel_values), side=side)

    def keypoints(self, output: HandOutput) -> tuple[Tensor, Tensor]:
        """Returns the 2D joints (B, 21, 2) in input pixels and their scores (B, 21), float32."""
        points, scores = self.codec.decode(output.heatmaps)
        height, width = self.input_size
        # the codec's unit is W / (W - 1) pixels; see UDPHeatmap.decode
        return points * points.new_tensor([(width - 1) / width, (height - 1) / height]), scores

    def joints(self, output: HandOutput, scale: Tensor | None = None, camera: Tensor | None = None) -> Tensor:
        """Returns the 3D joints (B, 21, 3): x to the right, y down, z away from the camera.

        Args:
            output: of :meth:`hands`.
            scale: (B,) length of the reference bone (middle finger, base to next joint), for example in mm.
            camera: (B, 3, 3) intrinsics of the input pictures.

        Returns:
            Joints relative to the root, in lengths of the reference bone. With ``scale``: in its unit. With ``camera``
            as well: in camera coordinates, such that they project onto the 2D joints.

        Raises:
            UsageError: a camera without a scale; the distance from the camera is then unknown.
        """
        xyz = output.xyz.float()
        if scale is not None:
            xyz = xyz * torch.as_tensor(scale, dtype=xyz.dtype, device=xyz.device)[:, None, None]
        if camera is None:
            return xyz
        if scale is None:
            raise UsageError(
                "a camera without the scale of the hand", "the length of the reference bone",
                "give scale too; a large hand far off looks like a small one close by",
            )  # fmt: skip
        points, scores = self.keypoints(output)
        return place(xyz, points, torch.as_tensor(camera, device=xyz.device), scores)
