"""Decoders of VLPose (arXiv 2402.14456, figures 2 and 3; the released code, commit f312a9f).

Written for n up-sampling stages B₁…Bₙ of the base's frozen head; A₁…Aₙ are trained stages of the same shapes.
E, R: (B, D, h, w). A ``gate`` g multiplies what is added to the base's own path; where it starts at zero the
adapted model starts from the base's own answer. ReLU ends each auxiliary stage, so a zero BatchNorm weight would
get no gradient: that is why the gate stands behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lvtune.bases.base import Stage
from lvtune.registry import Registry

DECODERS: Registry[type[nn.Module]] = Registry("decoder", "lvtune adapt --method vlpose --help")


class Gate(nn.Module):
    """Multiplies channels; ``zero`` starts it at 0, otherwise it is the identity and holds no parameter."""

    def __init__(self, channels: int, zero: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels)) if zero else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return x if self.weight is None else x * self.weight[:, None, None]


@DECODERS.register("injector")
class Injector(nn.Module):
    """(b): the relation is added to the features, Bₙ(…B₁(E + g·R))."""

    has_auxiliary = False

    def __init__(self, stages: Sequence[Stage], width: int, zero_init: bool) -> None:
        super().__init__()
        self.relation = Gate(width, zero_init)
        self.auxiliary = nn.ModuleList(s.auxiliary() for s in stages if self.has_auxiliary)
        self.gates = nn.ModuleList(self.make_gates(stages, zero_init))
        for module in self.auxiliary.modules():
            if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)  # as released

    def make_gates(self, stages: Sequence[Stage], zero: bool) -> list[Gate]:
        """Gates behind the auxiliary stages."""
        return []

    def forward(self, stages: Sequence[Stage], image: Tensor, relation: Tensor) -> Tensor:
        """Features (B, C, H', W') for the predictor."""
        main = image + self.relation(relation)
        for stage in stages:
            main = stage.forward(main)
        return main


@DECODERS.register("baseline")
class Baseline(Injector):
    """(a): the base's own stages; only the predictor is trained."""

    def forward(self, stages: Sequence[Stage], image: Tensor, relation: Tensor) -> Tensor:
        """Features (B, C, H', W') for the predictor."""
        for stage in stages:
            image = stage.forward(image)
        return image


@DECODERS.register("dual")
class Dual(Injector):
    """(d) as drawn in figure 2: aᵢ₊₁ = Aᵢ(aᵢ + [i>0]·mᵢ) beside mᵢ₊₁ = Bᵢ(mᵢ + [i=0]·R); out = mₙ + g·aₙ."""

    has_auxiliary = True

    def make_gates(self, stages: Sequence[Stage], zero: bool) -> list[Gate]:
        """One, behind the last stage."""
        return [Gate(stages[-1].channels, zero)]

    def forward(self, stages: Sequence[Stage], image: Tensor, relation: Tensor) -> Tensor:
        """Features (B, C, H', W') for the predictor."""
        main, aux = image, relation
        for i, (stage, auxiliary) in enumerate(zip(stages, self.auxiliary, strict=True)):
            aux = auxiliary(aux + main if i else aux)
            main = stage.forward(main if i else main + self.relation(relation))
        return main + self.gates[0](aux)


@DECODERS.register("dual-released")
class DualReleased(Injector):
    """As released (``first_amiddle_last_add``): mᵢ₊₁ = Bᵢ(mᵢ + [i=0]·R) + g·Aᵢ(mᵢ); out = mₙ."""

    has_auxiliary = True

    def make_gates(self, stages: Sequence[Stage], zero: bool) -> list[Gate]:
        """One behind each stage."""
        return [Gate(stage.channels, zero) for stage in stages]

    def forward(self, stages: Sequence[Stage], image: Tensor, relation: Tensor) -> Tensor:
        """Features (B, C, H', W') for the predictor."""
        main = image
        for i, (stage, auxiliary, gate) in enumerate(zip(stages, self.auxiliary, self.gates, strict=True)):
            main = stage.forward(main if i else main + self.relation(relation)) + gate(auxiliary(main))
        return main
