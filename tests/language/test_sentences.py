"""Sentences: one for each category, and the keyword modes of the released loader."""

from __future__ import annotations

import pytest

from lvtune.core.errors import LvtuneError
from lvtune.language.sentences import HUMAN_ART, MODES, SENTENCES, apply_mode, sentence_for, sentences_of


def test_the_19_categories_each_have_a_sentence_of_their_own():
    assert len(HUMAN_ART) == len(set(HUMAN_ART.values())) == 19
    assert all(sentence.startswith(("a ", "an ")) and "human" in sentence for sentence in HUMAN_ART.values())
    assert HUMAN_ART["ink_painting"] == "an ink painting of a human"
    assert HUMAN_ART["shadow_play"] == "a scene of shadow play with a human"


def test_article_fits_the_word_that_follows():
    for sentence in HUMAN_ART.values():
        article, word = sentence.split()[:2]
        vowel = word[0] in "aeio"  # "a ukiyo-e": it begins like "you"
        assert article == ("an" if vowel else "a"), sentence


def test_built_in_sets():
    assert {"humanart", "coco", "demo-art", "custom"} <= set(SENTENCES.names())
    assert sentences_of("coco") == {"photo": "a photo of a human"}
    assert set(sentences_of("demo-art")) <= set(HUMAN_ART)
    assert sentences_of("humanart/sketch") == {"sketch": "a sketch of a human"}
    with pytest.raises(LvtuneError, match="did you mean 'sketch'"):
        sentences_of("humanart/sketches")
    with pytest.raises(LvtuneError, match="did you mean 'humanart'"):
        sentences_of("humanarts")


def test_a_category_that_nobody_wrote_a_sentence_for():
    assert sentence_for("watercolor") == "a watercolor painting of a human"
    assert sentence_for("photo") == "a photo of a human"
    assert sentence_for("pop_art") == "a picture of a human"


def test_keyword_modes():
    two = sentences_of("humanart/sketch,mural")
    assert apply_mode(two) == {"sketch": ("a sketch of a human",), "mural": ("a mural of a human",)}
    assert apply_mode(two, "human") == dict.fromkeys(two, ("a photo of a human",))
    assert apply_mode(two, "none") == dict.fromkeys(two, ("None",))
    points = apply_mode(two, "keypoints", ["nose", "left_elbow"])
    assert points["sketch"] == ("a sketch of a human's nose", "a sketch of a human's left elbow")


def test_keyword_modes_of_every_sentence_name_the_key_point():
    for sentences in apply_mode(HUMAN_ART, "keypoints", ["left_knee"]).values():
        assert "human's left knee" in sentences[0]


@pytest.mark.parametrize(
    ("prompts", "mode", "names", "message"),
    [
        ({"a": "a sketch of a human"}, "keypoint", (), "did you mean 'keypoints'"),
        ({"a": "a sketch of a human"}, "keypoints", (), "without key points"),
        ({"a": "a sketch of humanity"}, "keypoints", ("nose",), 'with the word "human"'),
    ],
)
def test_faults_of_modes(prompts, mode, names, message):
    assert "keypoints" in MODES
    with pytest.raises(LvtuneError, match=message):
        apply_mode(prompts, mode, names)
