"""Frozen joint encoders: pictures and sentences as vectors of one space.

A joint encoder is named ``clip`` or ``siglip`` (their usual weights on the Hub), or ``clip:FOLDER`` and
``siglip:owner/model`` for others; ``small:FILE`` is one of :mod:`lvtune.language.small_joint`. More register with a
decorator. Radford et al., CLIP, ICML 2021, arXiv 2103.00020; Zhai et al., SigLIP, ICCV 2023, arXiv 2303.15343.
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
        source: folder or Hub id.
        device: where pictures are encoded; it follows the pictures.
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
        """See :class:`JointEncoder`. The whole picture is brought to the model's square, nothing is cut off."""
        with torch.autocast(images.device.type, enabled=False):
            self._model.to(images.device)
            pixels = (resized(images.float(), self._size) - self._mean.to(images.device)) / self._std.to(images.device)
            return vectors(self._model.get_image_features(pixel_values=pixels)).float()

    @torch.no_grad()
    def encode_text(self, sentences: Sequence[str]) -> Tensor:
        """See :class:`JointEncoder`. One sentence at a time, so that none depends on its neighbours."""
        found = [sentence_vector(self._model, self._tokenizer, sentence).float().cpu() for sentence in sentences]
        return torch.stack(found) if found else torch.empty(0, self.dim)


@register_joint_encoder("clip")
def clip(source: str | None = None) -> JointEncoder:
    """CLIP; ViT-B/32 by default, 512-d."""
    return HubJointEncoder("clip", source or RANKER)


@register_joint_encoder("siglip")
def siglip(source: str | None = None) -> JointEncoder:
    """SigLIP; the base model at 224 px by default, 768-d."""
    return HubJointEncoder("siglip", source or SIGLIP)
