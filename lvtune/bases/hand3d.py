"""``hand3d``: the 3D hand estimator of Zimmermann & Brox (arXiv 1705.01389), the baseline of Lee et al., WACV 2023.

A convolutional pose machine of three stages gives 21 heatmaps, two networks lift them to 3D (:mod:`.hand_nets`). It has
no attention blocks: the methods full, head, bitfit and vlpose without visual prompts fit it. A picture costs
about 30 GMAC. The original weights are not read: their code is GPL, and they are pickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from lvtune.bases.base import FAMILIES, Base, BaseSpec, Block, Stage
from lvtune.bases.base_registry import BASES
from lvtune.bases.deconv_weights import Adopt, fill, not_adopted
from lvtune.bases.hand_nets import CPM_WIDTH, CpmEncoder, CpmHead, SameConv2d
from lvtune.bases.hand_pose import SIGMA, HandBase, HandPose, build_hand
from lvtune.bases.vitpose_weights import SHIPPED
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import HAND_21

SPEC = BaseSpec(
    "hand3d",
    input_size=(256, 256),
    stride=8,
    mean=(0.5, 0.5, 0.5),
    std=(1.0, 1.0, 1.0),
    skeleton=HAND_21,
    sigma=SIGMA,
)


class Hand3dBase(HandBase):
    """A base around the convolutional pose machine with its lifting."""

    @property
    def blocks(self) -> Sequence[Block]:
        """Empty: it is made of convolutions."""
        return []

    @property
    def final_norm(self) -> Any:
        """The encoder, since there is no normalisation."""
        return self.encoder

    @property
    def carries_tokens(self) -> bool:
        """False: there are no tokens."""
        return False

    @property
    def stages(self) -> Sequence[Stage]:
        """Everything in front of the last predictor, as one stage that does not up-sample."""

        def auxiliary() -> nn.Module:
            conv = SameConv2d(CPM_WIDTH, CPM_WIDTH, 3, bias=False)
            return nn.Sequential(conv, nn.BatchNorm2d(CPM_WIDTH), nn.ReLU())

        return [Stage(lambda x: self.head.before_predictor(x)[-1], auxiliary, CPM_WIDTH)]


def recognise(model: Any) -> Base | None:
    """Returns an estimator of this family as a base, else None."""
    fits = isinstance(model, HandPose) and isinstance(model.encoder, CpmEncoder)
    return Hand3dBase(model, model.spec) if fits else None


FAMILIES.append(recognise)


def load_hand(base: HandBase, weights: str, revision: str | None, adopt: Adopt, start: str) -> HandBase:
    """Puts weights into a new hand estimator.

    Args:
        base: with random weights.
        weights: as for :func:`lvtune.load_base`; ``pretrained`` is the file that ships with the package.
        revision: of the Hub repository.
        adopt: turns an encoder's file into this base's names and sizes.
        start: options that the base's recipe needs beside its name.

    Raises:
        LvtuneError: weights that are not there or do not fit.
    """
    shipped = SHIPPED / f"{base.name}.safetensors"

    def fetch(revision: str | None) -> dict[str, Tensor]:
        raise LvtuneError(
            f"weights='pretrained' for {base.name}; no trained weights of it are published in a form that is read here",
            "a .safetensors file of a trained one, or `random`",
            f"train one (`lvtune adapt --config {base.name}{start}`) or pass --weights FILE or --weights random",
        )

    known = weights == "pretrained" and shipped.is_file()
    return fill(base, str(shipped) if known else weights, revision, fetch, adopt)


@BASES.register("hand3d")
def load_hand3d(weights: str, *, revision: str | None = None, seed: int = 0) -> Base:
    """Loads the published network; see :func:`lvtune.load_base` for the arguments."""

    def adopt(state: dict[str, Tensor]) -> dict[str, Tensor]:
        raise not_adopted(SPEC.name, "lvtune's hand3d", ValueError(f"first tensor: {next(iter(state), 'none')}"))

    base = Hand3dBase(build_hand(CpmEncoder, partial(CpmHead, len(HAND_21.keypoints)), SPEC, seed=seed), SPEC)
    return load_hand(base, weights, revision, adopt, "")
