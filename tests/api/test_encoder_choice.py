"""The publication's text encoder is taken where its sentences or weights are at hand; else the shipped one, said so."""

import json
import zlib

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from lvtune.api.encoder_choice import embedded
from lvtune.api.recipe import Recipe
from lvtune.core.errors import NetworkError, UsageError
from lvtune.language import bank as bank_module
from lvtune.language.bank import get_bank, shipped_file
from lvtune.language.sentences import HUMAN_ART

HUMANART = Recipe(domain="humanart")


class Words:
    """Stands in for BLIP: as wide, and numbers drawn from each sentence."""

    name, dim = "blip", 768

    def encode(self, sentences):
        draws = [np.random.default_rng(zlib.crc32(s.encode())).standard_normal((3, 768)) for s in sentences]
        return np.stack(draws).astype(np.float32), np.ones((len(sentences), 3), bool)


def embed(recipe):
    return get_bank(dict(HUMAN_ART), recipe.language.encoder)


def refuse(*args):
    raise NetworkError("text encoder 'blip': offline mode is on", "weights", "go online")


def test_without_it_minilm_is_taken_and_said(monkeypatch):
    monkeypatch.setattr(bank_module, "load_text_encoder", refuse)
    recipe, bank, (line,) = embedded(HUMANART, embed)
    assert (recipe.language.encoder, bank.encoder, bank.dim) == ("minilm", "minilm", 384)
    assert line.value == "minilm" and "blip" in line.why and "offline mode is on" in line.why
    assert "--language.encoder blip:FOLDER" in line.why


def test_its_weights_are_taken_where_they_load(monkeypatch):
    monkeypatch.setattr(bank_module, "load_text_encoder", lambda name: Words())
    recipe, bank, (line,) = embedded(HUMANART, embed)
    assert (recipe.language.encoder, bank.encoder, bank.dim, line.value) == ("blip", "blip", 768, "blip")


def test_its_sentences_need_no_weights_once_they_ship(monkeypatch, tmp_path):
    monkeypatch.setattr(bank_module, "load_text_encoder", refuse)
    monkeypatch.setattr(bank_module, "SHIPPED", tmp_path / "bank.safetensors")
    assert shipped_file("blip") == tmp_path / "bank-blip.safetensors"
    tokens, mask = Words().encode(list(HUMAN_ART.values()))
    tensors = {"tokens": tokens[mask].astype(np.float16), "lengths": mask.sum(1).astype(np.int32)}
    save_file(tensors, shipped_file("blip"), metadata={"sentences": json.dumps(list(HUMAN_ART.values()))})
    recipe, bank, _ = embedded(HUMANART, embed)
    assert recipe.language.encoder == bank.encoder == "blip"
    torch.testing.assert_close(bank.tokens, torch.from_numpy(tokens), atol=2e-3, rtol=1e-3)


def test_who_asks_for_it_is_told_that_it_is_missing(monkeypatch):
    monkeypatch.setattr(bank_module, "load_text_encoder", refuse)
    with pytest.raises(NetworkError, match="offline"):
        embedded(Recipe.from_dict({"domain": "humanart", "language": {"encoder": "blip"}}), embed)


def test_a_fault_of_the_weights_is_no_reason_to_take_others(monkeypatch):
    def broken(*args):
        raise UsageError("weights of another model", "BLIP", "name a model of that kind")

    monkeypatch.setattr(bank_module, "load_text_encoder", broken)
    with pytest.raises(UsageError, match="another model"):
        embedded(HUMANART, embed)
