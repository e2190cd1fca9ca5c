"""Nested tables: merged, flattened, and cleaned of options whose place another one takes."""

from __future__ import annotations

import pytest

from lvtune.api.recipe import Recipe
from lvtune.cli import adapt
from lvtune.config.options import TrainOptions
from lvtune.config.tables import flatten, merge, without_replaced
from lvtune.core.errors import UsageError


def test_the_upper_table_counts_and_neither_changes():
    below, above = {"a": {"x": 1, "y": 2}, "b": 3, "c": {"z": 1}}, {"a": {"y": 5}, "c": 7}
    assert merge(below, above) == {"a": {"x": 1, "y": 5}, "b": 3, "c": 7}
    assert below == {"a": {"x": 1, "y": 2}, "b": 3, "c": {"z": 1}} and above == {"a": {"y": 5}, "c": 7}


@pytest.mark.parametrize(
    ("above", "train"),
    [
        ({"steps": 5}, {"steps": 5, "lr": 1}),
        ({"epochs": 2}, {"epochs": 2, "lr": 1}),
        ({"steps": None}, {"epochs": 3, "lr": 1, "steps": None}),
        ({"lr": 2}, {"epochs": 3, "lr": 2}),
    ],
)
def test_an_option_removes_the_one_whose_place_it_takes(above, train):
    below = {"train": {"epochs": 3, "lr": 1}}
    assert merge(below, {"train": above}, Recipe) == {"train": train}


def test_flatten():
    assert flatten({"a": {"b": (1, 2), "c": None}, "d": "x", "e": {}}) == {"a.b": [1, 2], "d": "x"}


def test_reports_of_earlier_versions_hold_both_and_stay_readable():
    old = {"train": {"epochs": 10.0, "steps": 4, "warmup": 0.05, "warmup_steps": None}, "seed": 1}
    cleaned = without_replaced(old, Recipe)
    assert cleaned == {"train": {"steps": 4, "warmup": 0.05, "warmup_steps": None}, "seed": 1}
    assert Recipe.from_dict(cleaned).train.steps == 4


@pytest.mark.parametrize(
    ("train", "given"),
    [
        ({"epochs": 3, "steps": 9}, "both train.epochs = 3 and train.steps = 9"),
        ({"warmup": 0.5, "warmup_steps": 9}, "both train.warmup = 0.5 and train.warmup_steps = 9"),
    ],
)
def test_two_options_for_one_thing_are_an_error(train, given, tmp_path):
    with pytest.raises(UsageError) as error:
        Recipe.from_dict({"train": train})
    assert error.value.given == given
    assert error.value.fix == "remove " + " or ".join(f"train.{name}" for name in train)
    with pytest.raises(UsageError, match="takes the place of"):
        TrainOptions(**train)
    file = tmp_path / "recipe.yaml"
    file.write_text(f"train: {train}\n")
    with pytest.raises(UsageError, match=given):
        Recipe.from_yaml(file)
    argv = [word for name, value in train.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    with pytest.raises(UsageError, match=given):
        adapt.recipe_of(adapt.parser(argv, "").parse(argv))


def test_the_command_line_may_change_a_files_epochs_into_steps(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("train: {epochs: 3, warmup_steps: 500}\n")
    argv = ["--config", str(file), "--steps", "5", "--warmup", "0.1"]
    train = adapt.recipe_of(adapt.parser(argv, "").parse(argv)).train
    assert (train.epochs, train.steps, train.warmup, train.warmup_steps) == (None, 5, 0.1, None)


@pytest.mark.parametrize(
    ("train", "defaults", "expected"),
    [
        ({}, {}, (10.0, None, 0.05, None)),
        ({"steps": 5}, {"epochs": 3}, (None, 5, 0.05, None)),
        ({"epochs": 2}, {"steps": 100}, (2, None, 0.05, None)),
        ({}, {"steps": 100, "warmup_steps": 7}, (None, 100, None, 7)),
    ],
)
def test_a_resolved_recipe_holds_one_of_each_pair(train, defaults, expected):
    resolved = Recipe(train=TrainOptions(**train)).resolved(defaults)
    found = resolved.train
    assert (found.epochs, found.steps, found.warmup, found.warmup_steps) == expected
    assert Recipe.from_dict(resolved.to_dict()) == resolved
