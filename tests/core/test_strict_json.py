"""JSON of strangers: one meaning, finite, of bounded size and depth; errors that are short and printable."""

import json

import pytest
from memory_cap import run_capped
from mutants import mutants

from lvtune.core.errors import AdapterFileError, DataError
from lvtune.core.strict_json import MAX_DEPTH, MAX_VALUES, canonical_json, read_json, strict_json
from lvtune.core.text import short


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000, "not JSON"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "nested without end"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested without end"),
        ("9" * 5000, "a number of 5000 digits"),
        ("-" + "9" * 41, "digits"),
        ("1e999", "with the number 1e999"),
        ("-1e999", "with the number -1e999"),
        ("0." + "1" * 5000, "finite numbers"),
        ("NaN", "with NaN"),
        ("-Infinity", "with -Infinity"),
        ('"a\\u0000b"', "NUL"),
        ('"\\ud800"', "half of a surrogate pair"),
        ('{"\\udfff": 1}', "half of a surrogate pair"),
        ('{"' + "k" * 2000 + '": 1}', "a name of 2,000 characters"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        (b"\xff\xfe\x00", "not JSON"),
        ("", "not JSON"),
        ("[" + "1," * MAX_VALUES + "1]", "more than a million values"),
        (b" " * (2**24 + 1), "16,777,217 bytes"),
    ],
)
def test_what_is_refused(text, told):
    with pytest.raises(AdapterFileError, match="the config ") as caught:
        strict_json(text, "the config")
    assert told in str(caught.value)
    assert len(str(caught.value)) < 400
    str(caught.value).encode()


def test_what_is_read():
    value = {"a": [1, -2.5e-3, None, True, "é\n\U0001f600"], "b": {"c": 10**39}}
    assert strict_json(json.dumps(value), "it") == value
    assert strict_json(json.dumps(value, ensure_ascii=False).encode(), "it") == value
    assert strict_json(canonical_json(value, "it"), "it") == value


def test_the_class_of_the_error_is_the_callers():
    with pytest.raises(DataError, match="download the data again"):
        strict_json("{", "the data", error=DataError, fix="download the data again")


def test_files_that_are_none(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "none", tmp_path / "folder", tmp_path / ("x" * 3000)):
        with pytest.raises(AdapterFileError):
            read_json(path)
    good = tmp_path / "good.json"
    good.write_text('{"a": 1}')
    assert read_json(good) == {"a": 1}


def test_foreign_text_is_cut_and_escaped():
    assert short("a\x1b[2Jb\n") == "'a\\x1b[2Jb\\n'"
    assert len(short("x" * 10**6)) == 80 and short("x" * 10**6).endswith("...")
    assert short("it", quote=False) == "it"


def test_only_errors_of_ours_come_out():
    text = json.dumps({"a": [1, 2.5, {"b": "text \u20ac"}], "c": [[]] * 3, "d": {"e": None, "f": -1e-7}}).encode()
    refused = 0
    for mutant in mutants(text, 300, seed=0):
        try:
            value = strict_json(mutant, "it")
        except AdapterFileError as error:
            assert error.given.startswith("it ") and error.expected and error.fix
            refused += 1
        else:
            assert value == json.loads(mutant)  # what is taken has one meaning
    assert 150 < refused < 300


def test_empty_lists_without_end_do_not_fill_the_memory():
    code = """
from lvtune.core.strict_json import strict_json
from lvtune.core.errors import AdapterFileError
for text in (b"[" + b"[]," * 5_000_000 + b"[]]", b"[" + b"{}," * 5_000_000 + b"{}]", b'"' + b"x" * 2**24):
    try:
        strict_json(text, "it")
    except AdapterFileError as error:
        print("refused")
"""
    assert run_capped(code, megabytes=200).stdout.split() == ["refused"] * 3
