"""Renames the weights of original ViTPose and timm ViT files to those of transformers' VitPose.

Original names: ViTAE-Transformer/ViTPose checkpoints (``backbone.*``, ``keypoint_head.*``), and the same
networks as mmpose 1.x saves them (``ln1``, ``ffn.layers``, ``head``). timm names: ``timm.models.vision_transformer``.
"""

from __future__ import annotations

import re

from torch import Tensor

# (pattern, replacement) in order; "qkv" is split afterwards
_RULES: tuple[tuple[str, str], ...] = (
    (r"^(?:backbone|image_encoder)\.", ""),
    (r"^pos_embed$", "backbone.embeddings.position_embeddings"),
    (r"^patch_embed\.(?:proj|projection)\.", "backbone.embeddings.patch_embeddings.projection."),
    (r"^(?:last_norm|norm|ln1)\.", "backbone.layernorm."),
    (r"^(?:blocks|layers)\.(\d+)\.", r"backbone.encoder.layer.\1."),
    (r"\.(?:norm1|ln1)\.", ".layernorm_before."),
    (r"\.(?:norm2|ln2)\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.qkv\.", ".attention.attention.qkv."),
    (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
    (r"^(?:keypoint_head|head)\.deconv_layers\.0\.(?!\w*bn|\w*deconv)", "head.deconv1."),
    (r"^(?:keypoint_head|head)\.deconv_layers\.1\.(?!\w*bn|\w*deconv)", "head.batchnorm1."),
    (r"^(?:keypoint_head|head)\.deconv_layers\.3\.", "head.deconv2."),
    (r"^(?:keypoint_head|head)\.deconv_layers\.4\.", "head.batchnorm2."),
    (r"^(?:keypoint_head|head)\.final_layer\.", "head.conv."),
)
_DROPPED = ("cls_token", "associate_keypoint_head", "head.weight", "head.bias", "fc_norm")


def to_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames an original ViTPose or timm ViT state dict; joint ``qkv`` weights are split in three.

    Tensors that VitPose has no place for (class token, classifier) are left out.
    """
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if re.sub(_RULES[0][0], "", name).startswith(_DROPPED):
            continue
        new = name
        for pattern, replacement in _RULES:
            new = re.sub(pattern, replacement, new)
        if ".qkv." in new:
            for part, chunk in zip(("query", "key", "value"), value.chunk(3), strict=True):
                out[new.replace(".qkv.", f".{part}.")] = chunk.clone()
        else:
            out[new] = value
    return out


def is_foreign(state: dict[str, Tensor]) -> bool:
    """Returns True if the names are not those of transformers."""
    return any(re.match(r"(backbone\.)?(blocks|layers)\.\d+\.", name) for name in state)
