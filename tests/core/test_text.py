"""Text for a terminal: control characters escaped, values cut, words quoted."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from lvtune.core.text import (
    brief,
    counted,
    counted_kinds,
    cut,
    escape_json,
    one_line,
    plural,
    printable,
    shell_word,
)

PACKAGE = Path(__file__).parents[2] / "lvtune"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – ±\n\tü", "plain – ±\n\tü"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\rb\x00", "a\\x0db\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202egpj.exe\u2066", "abc\\u202egpj.exe\\u2066"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_control_characters_are_escaped(text, shown):
    assert printable(text) == shown
    shown.encode()


def test_one_line_is_one_line():
    assert one_line("a\n  b\x1b\u2028c\t d") == "a b\\x1b\\u2028c d"


def test_json_keeps_its_meaning():
    values = {"na\u202eme": "\x1b[2J \x9b \ud800 ü"}
    text = escape_json(json.dumps(values, ensure_ascii=False))
    assert json.loads(text) == values
    assert "ü" in text and not any(c in text for c in "\x1b\x9b\u202e\ud800")


def test_large_values_are_cut():
    assert brief(3) == "3"
    assert brief(10**5000) == "a whole number of about 5001 digits"
    for value in ("a" * 1000, [[[[[1]]]]] * 1000, {str(i): "b" * 1000 for i in range(1000)}, Path("x" * 1000)):
        assert len(brief(value)) < 600


def test_cut():
    assert cut("abc") == "abc"
    assert cut("a" * 100) == "a" * 59 + "…"
    assert cut(10**5000) == "a whole number of about 5001 digits"


@pytest.mark.parametrize("text", ["out", "my folder/$HOME `x`", "it's", "--out", "a;b"])
def test_a_shell_reads_the_word_back(text):
    (word,) = shlex.split(shell_word(text))
    assert word in (text, f"./{text}") and not word.startswith("-")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (counted(1, "picture"), "1 picture"),
        (counted(0, "picture"), "0 pictures"),
        (counted(2, "key point"), "2 key points"),
        (counted(1, "box has", "boxes have"), "1 box has"),
        (counted(3, "box has", "boxes have"), "3 boxes have"),
        (counted(np.int64(1), "category", "categories"), "1 category"),
        (counted(4103, "sentence", spec=","), "4,103 sentences"),
        (counted(1.0, "minute", spec="g"), "1 minute"),
        (counted(1.5, "minute", spec="g"), "1.5 minutes"),
        (plural(1, "lies", "lie") + plural(2, "s"), "liesss"),
    ],
)
def test_words_agree_with_their_number(said, text):
    assert said == text


def test_kinds_that_were_not_found_are_not_told():
    found = {("point", "without a name"): 1, ("rectangle", "without a point"): 0, ("shape", "left out"): 2}
    assert counted_kinds(found) == ["1 point without a name", "2 shapes left out"]


def test_no_message_puts_a_plural_verb_after_any_number():
    verbs = "are|have|lie|hold|were|reach|seem|take|say|look"
    number = re.compile(r"(?<!\w )\{[^{}\"]+\} (?:[a-z]+ ){0,2}[a-z]+s " + f"(?:{verbs})\\b")
    lines = [line for file in sorted(PACKAGE.rglob("*.py")) for line in file.read_text(encoding="utf-8").splitlines()]
    texts = [line.strip() for line in lines if 'f"' in line and "counted(" not in line and "plural(" not in line]
    assert [text for text in texts if number.search(text)] == []
