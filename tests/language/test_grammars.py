"""Sentences made of templates and words: their number, their order, how they are drawn, and a user's own."""

import collections

import numpy as np
import pytest

from lvtune.core.errors import LvtuneError
from lvtune.language.grammars import draw, grammar_of, list_grammars, load_grammar
from lvtune.language.sentences import HUMAN_ART, sentences_of


def test_the_prompts_of_hands_are_the_published_ones():
    grammar = load_grammar("hands")
    sentences = grammar.sentences()
    assert len(grammar) == len(sentences) == 3920 == 7 * 7 * 2 * 20 * 2
    assert len(set(sentences)) == 3724  # yellow stands twice: 7 x 7 x 2 x 19 x 2
    # the last slot changes fastest, the first slowest
    assert sentences[:3] == [
        "a cropped image of white hand with mountain room",
        "a cropped image of white hand with mountain background",
        "a cropped image of white hand with lake room",
    ]
    assert sentences[40] == "a cropped image of white right hand with mountain room"
    assert sentences[80] == "a cropped image of dark brown hand with mountain room"
    assert sentences[-1] == "a photo of right black right hand with flower background"
    assert [category.category for category in grammar][:2] == [None, None]


def test_human_art_has_each_category_in_each_template():
    grammar = load_grammar("humanart")
    assert grammar.categories == tuple(HUMAN_ART) and len(HUMAN_ART) == 19
    assert grammar.counts() == (19, 19, 19, 19, 19, 95, 95) and len(grammar) == 285
    prompts = grammar.tagged()
    assert len({category.sentence for category in prompts}) == 285
    assert collections.Counter(p.category for p in prompts) == dict.fromkeys(HUMAN_ART, 15)
    assert all(HUMAN_ART[p.category] in p.sentence for p in prompts)


def test_a_domain_has_its_grammar_a_part_its_categories_and_any_other_its_sentences():
    assert len(grammar_of("stb", {"default": "a hand"})) == 3920
    sketches = grammar_of("humanart/sketch", sentences_of("humanart/sketch"))
    assert len(sketches) == 15 and sketches.sentences()[0] == "a sketch of a human"
    own = grammar_of("custom", {"day": "a photo by day", "night": "a photo by night"})
    assert [(p.sentence, p.category) for p in own] == [("a photo by day", "day"), ("a photo by night", "night")]


def test_drawing_is_uniform_and_a_function_of_seed_step_and_item():
    count = 40
    drawn = np.concatenate([draw(count, range(100), step, seed=3) for step in range(40)])
    found = np.bincount(drawn, minlength=count)
    expected = len(drawn) / count
    # chi-square of 39 degrees of freedom: 72 is the 99.9 % point, 16 the 0.1 % one
    assert 16 < ((found - expected) ** 2 / expected).sum() < 72
    assert draw(count, [5, 9], 7, 3).tolist() == [draw(count, [5], 7, 3)[0], draw(count, [9], 7, 3)[0]]
    alone = draw(3920, range(50), 0, 0)
    assert (alone == draw(3920, range(50), 0, 0)).all()
    for other in (draw(3920, range(50), 1, 0), draw(3920, range(50), 0, 1)):
        assert (alone != other).sum() > 40


def write(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return file


def test_a_users_own_grammar(tmp_path):
    text = """
title: drawings
templates: ["a {tool} drawing of {category}", "{category} in {tool}"]
slots:
  tool: [pencil, 3]
  category: {dancer: a dancer, runner: "a runner, tired"}
"""
    grammar = load_grammar(write(tmp_path, text))
    assert (grammar.name, grammar.title, len(grammar)) == ("mine", "drawings", 8)
    assert [(p.sentence, p.category) for p in grammar][:3] == [
        ("a pencil drawing of a dancer", "dancer"),
        ("a pencil drawing of a runner, tired", "runner"),
        ("a 3 drawing of a dancer", "dancer"),
    ]
    assert grammar.sentences()[4] == "a dancer in pencil"
    assert load_grammar(tmp_path / "mine.yaml").of(["runner"]).sentences()[0] == "a pencil drawing of a runner, tired"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("templates: [", "mine.yaml: while parsing"),
        ("slots: {a: [b]}", "no tables `templates` and `slots`"),
        ("templates: ['{x}']\nslots: {y: [b]}", "slot {x} without words"),
        ("templates: ['{x}']\nslots: {x: []}", "slot 'x' = []"),
        ("templates: ['{x}']\nslots: {x: [yes]}", "slot 'x' = [True]"),
        ("templates: []\nslots: {x: [b]}", "templates []"),
        ("templates: ['{x}']\nslots: {x: [b]}\ntitel: z", "key 'titel'"),
        ("templates: ['{x}']\nslots: [b]", "slots ['b']"),
    ],
)
def test_faults_of_a_file_are_told(tmp_path, text, words):
    with pytest.raises(LvtuneError) as error:
        load_grammar(write(tmp_path, text))
    assert words in error.value.given and error.value.fix


def test_unknown_names():
    assert list_grammars() == ["hands", "humanart", "looks"]
    with pytest.raises(LvtuneError, match="did you mean 'hands'"):
        load_grammar("hand")
    with pytest.raises(LvtuneError, match="nowhere"):
        load_grammar("nowhere.yaml")
    with pytest.raises(LvtuneError, match="for sketch, cartoon"):
        load_grammar("hands").of(["sketch", "cartoon"])
