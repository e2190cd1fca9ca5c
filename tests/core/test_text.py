"""Text for a terminal: control characters escaped, values cut, words quoted."""

import json
import shlex
from pathlib import Path

import pytest

from lvtune.core.text import brief, cut, escape_json, one_line, printable, shell_word


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
