"""Decoders of VLPose (arXiv 2402.14456, figures 2 and 3; the released code, commit f312a9f).

B₁…Bₙ are the up-sampling stages of the base's frozen head, A₁…Aₙ trained stages of the same shapes. E and R are
(B, D, h, w). A ``gate`` g multiplies what is added to the base's own path. Where it starts at zero, the adapted model
starts from the base's own answer. A BatchNorm weight of zero would not do: ReLU ends each auxiliary stage, so it would
get no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.bases.base import Stage
from lvtune.core.registry import Registry

DECODERS: Registry[Any] = Registry("decoder", "lvtune adapt --method vlpose --help")


class Gate(nn.Module):
    """Multiplies channels. With ``zero`` it starts at 0; otherwise it is the identity and has no parameter."""

    def __init__(self, channels: int, zero: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels)) if zero else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return x if self.weight is None else x * self.weight[:, None, None]


class Join(nn.Conv2d):
    """A trained 1x1 convolution of a doubled relation [E ; R], which starts as R; with it, every decoder takes one.

    It is ours: in the released code no decoder takes the map of ``catcat`` and ``coscatcat``.
    """

    def __init__(self, width: int) -> None:
        super().__init__(2 * width, width, 1)
        with torch.no_grad():
            self.weight.zero_()
            self.weight[:, width:, 0, 0].fill_diagonal_(1)
            nn.init.zeros_(self.get_parameter("bias"))


class Decoder(nn.Module):
    """The parts that decoders share. A subclass defines which stages it trains and how they are connected.

    Args:
        stages: those of the base's head.
        width: D, the channels of E and R.
        zero_init: True for gates that start at zero.
    """

    reads_relation: ClassVar[bool] = True
    """True if R is read."""
    has_auxiliary: ClassVar[bool] = False
    """True if A₁…Aₙ are made."""
    adds_relation: ClassVar[bool] = False
    """True if R is added, behind a gate, to the input of B₁."""

    def __init__(self, stages: Sequence[Stage], width: int, zero_init: bool) -> None:
        super().__init__()
        self.relation = Gate(width, zero_init and self.adds_relation)
        self.auxiliary = nn.ModuleList(s.auxiliary() for s in stages if self.has_auxiliary)
        self.gates = nn.ModuleList(self.make_gates(stages, zero_init))
        for module in self.auxiliary.modules():
            if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)  # as released

    def make_gates(self, stages: Sequence[Stage], zero: bool) -> list[Gate]:
        """Makes the gates behind the auxiliary stages."""
        return [Gate(stages[-1].channels, zero)] if self.has_auxiliary else []

    def main(self, stages: Sequence[Stage], features: Tensor) -> Tensor:
        """Runs the base's own stages: Bₙ(…B₁(x))."""
        for stage in stages:
            features = stage.forward(features)
        return features

    def forward(self, stages: Sequence[Stage], image: Tensor, relation: Tensor | None) -> Tensor:
        """Returns features (B, C, H', W') for the predictor."""
        raise NotImplementedError


@DECODERS.register("baseline")
class Baseline(Decoder):
    """Decoder (a): the base's own stages. R is not read, and only the predictor is trained."""

    reads_relation = False

    def forward(self, stages: Sequence[Stage], image: Tensor, relation: Tensor | None) -> Tensor:
        """Returns features (B, C, H', W') for the predictor."""
        return self.main(stages, image)


@DECODERS.register("injector")
class Injector(Decoder):
    """Decoder (b): the relation is added to the features, Bₙ(…B₁(E + g·R))."""

    adds_relation = True

    def forward(self, stages: Sequence[Stage], image: Tensor, relation: Tensor) -> Tensor:
        """Returns features (B, C, H', W') for the predictor."""
        return self.main(stages, image + self.relation(relation))


@DECODERS.register("extractor-injector")
class ExtractorInjector(Decoder):
    """Decoder (c) as we read figure 3: a₁ = A₁(E); a₂ = A₂(a₁ + U(R)); out = Bₙ(…B₁(E)) + g·aₙ.

    R and a₁ differ in size and channels, which the paper does not mention. U is a trained 1x1 convolution and bilinear
    up-sampling. With one stage, R is added to E in front of it.
    """

    has_auxiliary = True

    def __init__(self, stages: Sequence[Stage], width: int, zero_init: bool) -> None:
        super().__init__(stages, width, zero_init)
        self.lift = nn.Conv2d(width, stages[0].channels, 1, bias=False) if len(stages) > 1 else nn.Identity()

    def forward(self, stages: Sequence[Stage], image: Tensor, relation: Tensor) -> Tensor:
        """Returns features (B, C, H', W') for the predictor."""
        aux, enters = image, min(1, len(stages) - 1)
        for i, auxiliary in enumerate(self.auxiliary):
            aux = auxiliary(aux + self.lifted(relation, aux) if i == enters else aux)
        return self.main(stages, image) + self.gates[0](aux)

    def lifted(self, relation: Tensor, like: Tensor) -> Tensor:
        """Returns U(R) in the shape of ``like``."""
        relation = self.lift(relation)
        if relation.shape == like.shape:
            return relation
        return F.interpolate(relation, size=like.shape[2:], mode="bilinear", align_corners=False)


@DECODERS.register("extractor-injector-released")
class ExtractorInjectorReleased(Decoder):
    """Decoder (c) as released (``afirst_last_add``): aᵢ₊₁ = Aᵢ(aᵢ + [i=0]·R), a₀ = E; out = Bₙ(…B₁(E)) + g·aₙ."""

    has_auxiliary = True

    def forward(self, stages: Sequence[Stage], image: Tensor, relation: Tensor) -> Tensor:
        """Returns features (B, C, H', W') for the predictor."""
        aux = image + relation
        for auxiliary in self.auxiliary:
            aux = auxiliary(aux)
        return self.main(stages, image) + self.gates[0](aux)


@DECODERS.register("dual")
class Dual(Decoder):
    """Decoder (d) as drawn in figure 2: aᵢ₊₁ = Aᵢ(aᵢ + [i>0]·mᵢ) beside mᵢ₊₁ = Bᵢ(mᵢ + [i=0]·R); out = mₙ + g·aₙ."""

    has_auxiliary = adds_relation = True

    def forward(self, stages: Sequence[Stage], image: Tensor, relation: Tensor) -> Tensor:
        """Returns features (B, C, H', W') for the predictor."""
        main, aux = image, relation
        for i, (stage, auxiliary) in enumerate(zip(stages, self.auxiliary, strict=True)):
            aux = auxiliary(aux + main if i else aux)
            main = stage.forward(main if i else main + self.relation(relation))
        return main + self.gates[0](aux)


@DECODERS.register("dual-released")
class DualReleased(Decoder):
    """Decoder (d) as released (``first_amiddle_last_add``): mᵢ₊₁ = Bᵢ(mᵢ + [i=0]·R) + g·Aᵢ(mᵢ); out = mₙ."""

    has_auxiliary = adds_relation = True

    def make_gates(self, stages: Sequence[Stage], zero: bool) -> list[Gate]:
        """Makes one gate behind each stage."""
        return [Gate(stage.channels, zero) for stage in stages]

    def forward(self, stages: Sequence[Stage], image: Tensor, relation: Tensor) -> Tensor:
        """Returns features (B, C, H', W') for the predictor."""
        main = image
        for i, (stage, auxiliary, gate) in enumerate(zip(stages, self.auxiliary, self.gates, strict=True)):
            main = stage.forward(main if i else main + self.relation(relation)) + gate(auxiliary(main))
        return main
