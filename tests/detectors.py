"""Tiny random detectors in the real file format: RT-DETR with its processor, OWLv2 with its processor and tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from clips import SIZES, VISION, word_tokenizer

CLASSES = {0: "person", 1: "dog", 2: "cat"}
QUERIES = 12


def save_rtdetr(folder: Path, classes: dict[int, str] = CLASSES, seed: int = 0) -> Path:
    """A random RT-DETR in ``folder``, as on the Hub."""
    torch.manual_seed(seed)
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.RTDetrConfig(
        backbone_config=backbone, encoder_hidden_dim=16, encoder_in_channels=[8, 16, 16], encoder_ffn_dim=32,
        encoder_attention_heads=2, d_model=16, decoder_in_channels=[16, 16, 16], decoder_ffn_dim=32, decoder_layers=1,
        decoder_attention_heads=2, num_queries=QUERIES, num_denoising=0, decoder_n_points=2, feat_strides=[8, 16, 32],
        id2label=classes, label2id={name: number for number, name in classes.items()},
    )  # fmt: skip
    model = transformers.RTDetrForObjectDetection(config)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn(value.shape))
        for name, value in model.named_parameters():
            if "class_embed" in name:  # classes that are about equally likely, so that several are found
                value.copy_(value[:1] + 1e-3 * torch.randn(value.shape))
    model.save_pretrained(folder)
    transformers.RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def save_owlv2(folder: Path, seed: int = 0) -> Path:
    """A random OWLv2 in ``folder``, as on the Hub."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    count = word_tokenizer(folder)
    config = transformers.Owlv2Config(
        projection_dim=SIZES["hidden_size"], vision_config={**VISION, "patch_size": 8},
        text_config={"vocab_size": count, "max_position_embeddings": 16, "eos_token_id": count - 1, **SIZES},
    )  # fmt: skip
    model = transformers.Owlv2ForObjectDetection(config)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.3 * torch.randn(value.shape))
        for value in model.box_head.dense2.parameters():  # boxes of all sizes, not all at the edges
            value.mul_(0.05)
    model.save_pretrained(folder)
    processor = transformers.Owlv2ImageProcessor(size={"height": 32, "width": 32})
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    transformers.Owlv2Processor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    return folder
