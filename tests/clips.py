"""Tiny random CLIP and SigLIP models in the real file format: both towers, tokenizer, image processor."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

WORDS = (
    "a", "an", "of", "human", "sketch", "ink", "oil", "painting",
    "photo", "cartoon", "watercolor", "stained", "glass", "window", "mural",
)  # fmt: skip
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**SIZES, "image_size": 32, "patch_size": 16}


def word_tokenizer(folder: Path, length: int = 16) -> int:
    """One with an end token as CLIP and SigLIP have it, words in place of byte pairs; returns its size."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocab = {word: i for i, word in enumerate(["<pad>", "<start>", "<unk>", *WORDS, "<end>"])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("<start>", vocab["<start>"]), ("<end>", vocab["<end>"])]
    core.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=ends)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<end>", unk_token="<unk>", model_max_length=length
    ).save_pretrained(folder)
    return len(vocab)


def save_clip(folder: Path, kind: str = "clip") -> Path:
    """A random ``clip`` or ``siglip`` in ``folder``, as on the Hub."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    count = word_tokenizer(folder)
    text = {"vocab_size": count, "max_position_embeddings": 16, **SIZES}
    if kind == "clip":
        text |= {"eos_token_id": count - 1, "projection_dim": 12}
        model = CLIPModel(CLIPConfig(projection_dim=12, text_config=text, vision_config=VISION))
        processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    else:
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))
        processor = transformers.SiglipImageProcessor(size={"height": 32, "width": 32})
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.3 * torch.randn(value.shape))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def teach(folder: Path, pictures: list, sentences: list[str]) -> Path:
    """Makes a saved ``clip`` see in each picture, (H, W, 3), what its sentence says; up to 15 pictures."""
    model = CLIPModel.from_pretrained(folder).eval()
    processor = transformers.CLIPImageProcessor.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        pixels = processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        tokens = tokenizer(sentences, padding="max_length", max_length=16, return_tensors="pt")["input_ids"]
        seen = model.vision_model(pixels)[1]
        said = model.text_projection(model.text_model(tokens)[1])
        said = said / said.norm(dim=-1, keepdim=True)
        model.visual_projection.weight.copy_(torch.linalg.lstsq(seen, said).solution.T)
    model.save_pretrained(folder)
    return folder
