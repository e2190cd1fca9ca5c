"""YAML of unknown origin: every file is values or one error, quickly."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from lvtune.api.recipe import Recipe
from lvtune.config.yaml_files import list_recipes, recipe_folder
from lvtune.core.bounded_yaml import LARGEST_FILE, load_yaml, read_yaml_file
from lvtune.core.errors import LvtuneError, UsageError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "aliases that stand for over"),
        (MERGES, "aliases that stand for over"),
        ("a: &a [*a]", "an alias inside the value that it stands for"),
        ("a: " + "[" * 100_000, "more than 50 levels deep"),
        ("a: " + "{a: " * 5000, "more than 50 levels deep"),
        ("\n".join(f"{' ' * i}a:" for i in range(400)), "more than 50 levels deep"),
        ("a: [" + "1," * 50_000 + "]", "more than 20,000 values"),
        (f"seed: {'9' * 5000}", "a number of 5,000 characters"),
        (f"seed: 0x{'f' * 5000}", "a number of 5,002 characters"),
        (f"lr: {'9' * 5000}.0", "a number of 5,002 characters"),
        ("a: !!int x", "does not fit its tag"),
        ("a: !!map [x]", "expected a mapping node"),
        ("a: !!bool x", "does not fit its tag"),
        ("a: !!timestamp x", "could not determine a constructor"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: !!binary aGk=", "could not determine a constructor"),
        ('a: "\\ud800"', "half a character"),
        ('a: "\\0"', "a NUL"),
        ('"\\0": 1', "a NUL"),
        ("a: 1\nb: 2\na: 3", "the key 'a' occurs twice"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("{[1]: 2}", "unhashable"),
        ("a: \x01", "special characters are not allowed"),
        ("a: [", "expected the node content"),
    ],
    ids=lambda value: value[:12].encode("unicode_escape").decode(),
)
def test_beyond_a_limit_is_a_yaml_error(text, said, tmp_path):
    with pytest.raises(yaml.YAMLError, match=said):
        load_yaml(text)
    file = tmp_path / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        Recipe.from_yaml(file)
    assert len(error.value.given) < 600 and error.value.fix == "correct the file there"


def test_ordinary_yaml_is_read_as_before():
    text = "a: &x {lr: 5e-4, n: 3, f: 0.5, t: yes, none: ~}\nb: {<<: *x, n: 4}\nwhen: 2024-13-45\nlist: [*x, *x]\n"
    values = load_yaml(text)
    assert values["a"] == {"lr": "5e-4", "n": 3, "f": 0.5, "t": True, "none": None}
    assert values["b"] == {**values["a"], "n": 4}
    assert values["when"] == "2024-13-45"
    assert load_yaml("") is None and load_yaml("# nothing") is None


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_is_read_as_pyyaml_reads_it(name):
    file = recipe_folder() / f"{name}.yaml"
    assert load_yaml(file.read_text(encoding="utf-8")) == yaml.safe_load(file.read_text(encoding="utf-8"))


def test_files_that_cannot_be_read(tmp_path):
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (LARGEST_FILE + 1))
    wrong = tmp_path / "wrong.yaml"
    wrong.write_bytes(b"a: \xff\xfe")
    mark = tmp_path / "mark.yaml"
    mark.write_bytes(b"\xef\xbb\xbfa: 1")
    for file, said in (
        (large, "of 1,000,001 bytes"),
        (wrong, "utf-8"),
        (tmp_path, "directory"),
        (tmp_path / "x", "No"),
    ):
        with pytest.raises(UsageError, match=said):
            read_yaml_file(file)
    assert read_yaml_file(mark) == {"a": 1}


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "", "recipe\x1b[2J"])
def test_strange_names_of_recipes(name):
    with pytest.raises(LvtuneError, match="which does not exist") as error:
        Recipe.from_yaml(name)
    assert len(error.value.given) < 300


HUGE = ("9" * 5000, str(2**70), "-1", "1e400", ".nan", ".inf", "1_000", "0x1F", "1:30", "")
ODD = (
    *HUGE,
    "~",
    "yes",
    "2024-13-45",
    '"\\0"',
    '"\\ud800"',
    "[[]]",
    "{a: {b: 1}}",
    "x" * 3000,
    "!!set {a}",
    "*nowhere",
)


def mutant(text: str, chance: random.Random) -> bytes:
    """One to three random changes of a recipe: values, keys, characters, bytes, lines."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        lines = text.splitlines() or [""]
        place = chance.randrange(len(lines))
        key, colon, _ = lines[place].partition(":")
        kind = chance.choice((0, 0, 0, 0, 1, 2, 3, 4, 5, 6))
        if kind == 0:
            lines[place] = f"{key}: {chance.choice(ODD)}"
        elif kind == 1:
            lines[place] = f"{key[: len(key) // 2]}{chance.choice(['q', '  ', chr(0x202E), 'ü'])}{colon} 1"
        elif kind == 2:
            lines.insert(place, lines[chance.randrange(len(lines))])
        elif kind == 3:
            lines[place] = " " * chance.randrange(9) + lines[place]
        elif kind == 4:
            lines[place] = f"&a {lines[place]}" if chance.random() < 0.5 else f"{key}: *a"
        elif kind == 5:
            del lines[place]
        else:
            at = chance.randrange(len(lines[place]) + 1)
            lines[place] = lines[place][:at] + chance.choice("[]{}:,&*!|>%@`\"'\t\x00\x1b#-?") + lines[place][at:]
        text = "\n".join(lines)
    data = bytearray(text.encode())
    if chance.random() < 0.2 and data:
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def test_300_mutants_of_recipes_raise_nothing_but_lvtune_errors(tmp_path):
    chance = random.Random(0)
    whole = Recipe(method="lora", method_options={"r": 4, "targets": ["query"]}, objective="heatmap").to_yaml()
    names = list_recipes()
    outcomes = {"read": 0, "refused": 0}
    file = tmp_path / "recipe.yaml"
    for number in range(300):
        text = whole if number % 2 else (recipe_folder() / f"{chance.choice(names)}.yaml").read_text(encoding="utf-8")
        file.write_bytes(mutant(text, chance))
        try:
            Recipe.from_yaml(file).to_yaml()
            outcomes["read"] += 1
        except LvtuneError as error:
            outcomes["refused"] += 1
            assert len(error.given) < 2000
    assert min(outcomes.values()) > 30, outcomes


def test_the_limit_stands_far_above_the_shipped_recipes():
    assert max(file.stat().st_size for file in Path(recipe_folder()).rglob("*.yaml")) * 20 < LARGEST_FILE
