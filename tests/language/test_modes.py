"""Language modes and own sentences, from the recipe to what the adapter reads; text encoders end to end."""

from __future__ import annotations

import gc
import json
import typing
import weakref

import pytest
import torch
from layouts import humanart
from safetensors.torch import load_file
from test_encoders import save

import lvtune
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.config.options import LanguageOptions
from lvtune.core.errors import LvtuneError
from lvtune.evaluation.choosing import choose
from lvtune.language import encoders
from lvtune.language.bank import get_bank
from lvtune.language.captions import key_of
from lvtune.language.sentences import MODES, own_sentences, sentences_of

TWO = {"sketch": "a sketch of a human", "mural": "a mural of a human"}


@pytest.fixture(scope="module")
def art(tmp_path_factory):
    """Human-Art in its layout; the first picture has a caption, the second has none."""
    folder = humanart(tmp_path_factory.mktemp("art"))
    for file in (folder / "HumanArt/annotations").glob("*_humanart.json"):
        whole = json.loads(file.read_text())
        for image, text in zip(whole["images"], ("a man leaps,  arms wide", ""), strict=True):
            image["description"] = text
        file.write_text(json.dumps(whole))
    return folder


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blip")
    save("blip", folder)
    return folder


def job_of(art, **language):
    return prepare(Recipe.from_dict({**small(art), "language": language}))


def small(art):
    """A recipe of a base of 17 key points that is made at once."""
    base = {"base": "timm:resnet10t", "weights": "random"}
    options = {"method": "vlpose", "method_options": {"placement": "none", "heads": 4, "zero_init": False}}
    return {**base, **options, "domain": "humanart", "data": {"data": str(art)}}


def test_the_recipe_knows_every_mode():
    hint = typing.get_type_hints(LanguageOptions)["mode"]
    assert typing.get_args(hint) == MODES
    with pytest.raises(LvtuneError, match=r"language\.mode"):
        Recipe.from_dict({"language": {"mode": "categories"}})


@pytest.mark.parametrize("mode", ["human", "none", "random", "random-each-call"])
def test_modes_in_which_all_categories_read_alike(mode):
    bank = get_bank(TWO, mode=mode, width=48, seed=3)
    assert torch.equal(bank.tokens[0], bank.tokens[1])
    if mode.startswith("random"):
        assert bank.tokens.shape == (2, 10, 48) and bank.encoder == mode
        assert torch.equal(get_bank(TWO, mode=mode, width=48, seed=3).tokens, bank.tokens)
        assert not torch.equal(get_bank(TWO, mode=mode, width=48, seed=4).tokens, bank.tokens)
        assert bank.tokens.min() >= 0 and bank.tokens.max() < 1  # as released
    else:
        assert bank.sentences == ({"human": "a photo of a human", "none": "None"}[mode],) * 2


def test_own_sentences_from_the_command_line_and_from_a_file(tmp_path):
    options = Recipe.from_dict({"language": {"sentences": "sketch=a sketch, in ink, of a human,mural=a wall"}}).language
    assert options.sentences == {"sketch": "a sketch, in ink, of a human", "mural": "a wall"}
    assert own_sentences(TWO, options.sentences) == options.sentences
    assert own_sentences(TWO, {"mural": "a wall"}) == {**TWO, "mural": "a wall"}
    assert own_sentences(TWO, None) == TWO
    one = Recipe.from_dict({"language": {"sentences": "a drawing of a human, in blue"}}).language.sentences
    assert own_sentences(TWO, one) == dict.fromkeys(TWO, "a drawing of a human, in blue")
    (tmp_path / "own.yaml").write_text("sketch: a quick sketch\n")
    (tmp_path / "own.json").write_text('{"sketch": "a quick sketch"}')
    for name in ("own.yaml", "own.json"):
        assert own_sentences(TWO, str(tmp_path / name)) == {**TWO, "sketch": "a quick sketch"}


@pytest.mark.parametrize(
    ("text", "told"),
    [(None, "No such file"), ("- a\n- b\n", "table of categories"), ("sketch: 3\n", "table of"), ("a: [", "own.yaml")],
)
def test_a_file_of_sentences_that_is_none(tmp_path, text, told):
    if text is not None:
        (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(LvtuneError, match=told):
        own_sentences(TWO, str(tmp_path / "own.yaml"))


def test_a_sentence_for_no_category_is_told():
    with pytest.raises(LvtuneError, match="did you mean 'sketch'"):
        get_bank(TWO, sentences={"scetch": "a sketch of a human"})


def test_key_points_are_those_of_the_data(art, blip):
    bank = job_of(art, encoder=f"blip:{blip}", mode="keypoints").adapter.bank
    sentence = bank.sentences[bank.index("sketch")]
    assert sentence.startswith("a sketch of a human's nose; a sketch of a human's left eye;")
    assert sentence.count(";") == 16


def test_captions_are_read_where_there_are_any(art, blip):
    job = job_of(art, encoder=f"blip:{blip}", mode="caption")
    bank, key = job.adapter.bank, key_of("a man leaps, arms wide")
    assert bank.sentences[bank.index(key)] == "a man leaps,  arms wide"
    assert set(bank.categories) == {*sentences_of("humanart"), key}
    asked = job.train.table.column("category").tolist()
    plain = job.test.table.column("category").tolist()
    described = [bool(text) for text in job.test.table.column("description")]
    assert True in described and False in described
    expected = [key if has else own for has, own in zip(described, plain, strict=True)]
    assert asked == expected
    assert choose("own", job.adapter)(job.test) == expected  # in testing too, where pictures keep their category
    assert not any(name.startswith("caption") for name in plain)


def test_captions_of_pictures_without_any():
    with pytest.raises(LvtuneError, match="whose pictures have none"):
        prepare(Recipe.from_dict({"method": "vlpose", "domain": "demo-art", "language": {"mode": "caption"}}))


@pytest.mark.parametrize("kind", ["minilm", "blip", "clip", "clip-tokens", "siglip"])
def test_the_encoder_is_gone_before_anything_is_tuned(kind, art, tmp_path, monkeypatch):
    save(kind.partition("-")[0], tmp_path)
    alive, load = [], encoders._load

    def watched(*args, **kwargs):
        model, tokenizer = load(*args, **kwargs)
        alive.extend(weakref.ref(part) for part in model.modules())
        return model, tokenizer

    monkeypatch.setattr(encoders, "_load", watched)
    gc.disable()  # gone at once, not when Python next tidies up
    try:
        job = job_of(art, encoder=f"{kind}:{tmp_path}")
        assert alive and all(part() is None for part in alive)
    finally:
        gc.enable()
    assert job.adapter.bank.encoder == f"{kind}:{tmp_path.name}"  # no path of this machine


def test_an_adapter_of_another_encoder_needs_it_no_more(art, blip, tmp_path):
    language = {"encoder": f"blip:{blip}", "sentences": {"sketch": "a human, an ink sketch"}}
    run = {"train": {"steps": 1, "batch_size": 2}, "evaluate": {"flip_test": False}, "out": str(tmp_path)}
    lvtune.adapt(Recipe.from_dict({**small(art), "language": language, **run}))
    config = json.loads((tmp_path / "lvtune_config.json").read_text())
    assert config["text_encoder"] == f"blip:{blip.name}" == config["training"]["recipe"]["language"]["encoder"]
    assert ["sketch", "a human, an ink sketch"] in config["prompts"]
    assert str(blip.parent) not in json.dumps(config)
    stored = load_file(tmp_path / "adapter_model.safetensors")
    assert stored["bank.tokens"].shape[2] == 16 == stored["text_proj.weight"].shape[1]
    base = lvtune.load_base("timm:resnet10t", weights="random")
    (blip / "model.safetensors").rename(blip / "gone")
    try:
        adapter = lvtune.load_adapter(tmp_path, base)
        with lvtune.attach(base, adapter), torch.no_grad():
            pixels = torch.zeros(1, 3, *base.input_size)
            assert not torch.equal(base(pixels, category="sketch"), base(pixels, category="mural"))
    finally:
        (blip / "gone").rename(blip / "model.safetensors")
