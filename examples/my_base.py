"""A base of your own in one file: an encoder of four convolutions with the classic head.

    lvtune adapt --import examples/my_base.py --base my-convs --weights my-convs.safetensors --method full

docs/write-a-base.md explains each part.
"""

from torch import nn

from lvtune import LvtuneError, register_base
from lvtune.bases.base import FAMILIES, BaseSpec
from lvtune.bases.deconv_head import DeconvBase, DeconvPose, build_pose
from lvtune.bases.deconv_weights import fill

SPEC = BaseSpec("my-convs", input_size=(128, 96))  # COCO's 17 key points, unless skeleton= says others


class Convs(nn.Module):
    """(B, 3, H, W) -> (B, 64, H / 16, W / 16)."""

    width, stride = 64, 16

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in [(3, 16), (16, 32), (32, 64), (64, 64)])
        self.norm = nn.BatchNorm2d(64)

    def forward(self, pixel_values):
        """Returns the feature map."""
        for layer in self.layers:
            pixel_values = layer(pixel_values).relu()
        return self.norm(pixel_values)


class ConvsBase(DeconvBase):
    """What lvtune must know of the estimator beside what the classic head says."""

    blocks = property(lambda self: ())  # no attention
    final_norm = property(lambda self: self.encoder.norm)


def recognise(model):
    """Returns an estimator of this family as a base, else None."""
    ours = isinstance(model, DeconvPose) and isinstance(model.encoder, Convs)
    return ConvsBase(model, model.spec) if ours else None


FAMILIES.append(recognise)


def no_weights(revision):
    """Stands for a download: nobody has published weights of this base."""
    raise LvtuneError("my-convs without weights", "--weights FILE or --weights random", "give one of them")


@register_base("my-convs")
def load(weights, *, revision=None, seed=0):
    """Makes the base; ``weights`` is a file, ``random`` or ``pretrained``."""
    return fill(ConvsBase(build_pose(Convs, SPEC, seed=seed), SPEC), weights, revision, no_weights, dict)
