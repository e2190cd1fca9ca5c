"""CLIP and SigLIP as frozen joint encoders: pictures and sentences become vectors of one space.

``clip`` and ``siglip`` take the default weights on the Hub; ``clip:FOLDER`` and ``siglip:owner/model`` take others.
``small:FILE`` is an encoder of :mod:`lvtune.language.small_joint`. Radford et al., CLIP, ICML 2021, arXiv 2103.00020;
Zhai et al., SigLIP, ICCV 2023, arXiv 2303.15343.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lvtune.language.joint_registry import JointEncoder, register_joint_encoder, resized, weights_key
from lvtune.language.ranking import RANKER, load_towers, sentence_vector, vectors

SIGLIP = "google/siglip-base-patch16-224"


class HubJointEncoder:
    """A CLIP or SigLIP of transformers.

    Args:
        kind: the registered name.
        source: folder or Hub id of the weights.
        device: device to begin on; the model moves to the device of the pictures.

    Raises:
        LvtuneError: the weights cannot be loaded, or are of another kind of model.
    """

    def __init__(self, kind: str, source: str | Path, device: str | torch.device = "cpu") -> None:
        self.name = f"{kind}:{source}"
        hint = f"--objective.encoder {kind}:FOLDER"
        model, processor, self._tokenizer = load_towers(str(source), "to encode pictures and sentences with", hint)
        self._model = model.to(device)
        size = model.config.vision_config.image_size
        self._size = (size, size) if isinstance(size, int) else tuple(size)
        self._mean = torch.tensor(processor.image_mean).view(3, 1, 1)
        self._std = torch.tensor(processor.image_std).view(3, 1, 1)
        self.dim = int(self.encode_text(["a"]).shape[1])
        self.key = weights_key(model)

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """See :class:`JointEncoder`. The whole picture is resized to the model's square; nothing is cut off."""
        with torch.autocast(images.device.type, enabled=False):
            self._model.to(images.device)
            pixels = (resized(images.float(), self._size) - self._mean.to(images.device)) / self._std.to(images.device)
            return vectors(self._model.get_image_features(pixel_values=pixels)).float()

    @torch.no_grad()
    def encode_text(self, sentences: Sequence[str]) -> Tensor:
        """See :class:`JointEncoder`. Each sentence is encoded alone: no result depends on the others."""
        rows = [sentence_vector(self._model, self._tokenizer, sentence).float().cpu() for sentence in sentences]
        return torch.stack(rows) if rows else torch.empty(0, self.dim)


@register_joint_encoder("clip")
def clip(source: str | None = None) -> JointEncoder:
    """Loads CLIP; the default is ViT-B/32, 512 wide."""
    return HubJointEncoder("clip", source or RANKER)


@register_joint_encoder("siglip")
def siglip(source: str | None = None) -> JointEncoder:
    """Loads SigLIP; the default is the base model at 224 px, 768 wide."""
    return HubJointEncoder("siglip", source or SIGLIP)
