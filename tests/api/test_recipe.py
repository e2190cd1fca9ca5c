"""The recipe: one set of dataclasses behind YAML, the command line and Python."""

from __future__ import annotations

import pytest

from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.config.yaml_files import list_recipes
from lvtune.core.errors import LvtuneError, UsageError


def test_round_trip_through_a_dict_and_yaml(tmp_path):
    recipe = Recipe.from_dict(
        {
            "method": "lora",
            "method_options": {"r": "4", "targets": "query,out"},
            "train": {"augment": {"scale": [0.7, 1.3]}},
        }
    )
    assert recipe.method_options == {"r": 4, "targets": ["query", "out"]}
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe.to_yaml())
    assert Recipe.from_yaml(file) == recipe == Recipe.from_dict(recipe.to_dict())


def test_yaml_reads_exponents_without_a_point(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("train:\n  lr: 5e-4\n")
    assert Recipe.from_yaml(file).train.lr == 5e-4


def test_method_defaults_stand_between_the_recipe_and_the_fallback():
    recipe = Recipe(train=TrainOptions(epochs=3))
    train = recipe.resolved({"epochs": 8, "lr": 2e-3, "augment": {"color": 0.2}}).train
    assert (train.epochs, train.lr, train.batch_size) == (3, 2e-3, 32)
    assert (train.augment.color, train.augment.flip, train.augment.scale) == (0.2, 0.5, (0.5, 1.5))


def test_a_method_with_a_misspelt_default_is_told():
    with pytest.raises(LvtuneError, match=r"defaults\.lrr"):
        Recipe().resolved({"lrr": 1.0})


def test_all_mistakes_in_one_error():
    with pytest.raises(LvtuneError) as caught:
        Recipe.from_dict(
            {"trian": {}, "train": {"epoch": 3, "lr": "fast"}, "method": "vlpose", "method_options": {"promts": 3}}
        )
    for part in ("'trian'", "'train.epoch'", "train.lr = 'fast'", "'method.promts'"):
        assert part in caught.value.given
    for part in ("'train'", "'train.epochs'", "'method.visual_prompts'"):
        assert f"did you mean {part}?" in caught.value.fix


@pytest.mark.parametrize("data", [{"annotations": "mine.json"}, {"data": "pictures"}])
def test_data_alone_make_the_domain_the_users_own(data):
    assert Recipe.from_dict({"data": data}).domain == "custom"
    assert Recipe.from_dict({"data": data, "domain": "humanart"}).domain == "humanart"


def test_folder_is_named_after_base_domain_and_method():
    assert (
        str(Recipe(base="timm:vit", domain="humanart/sketch").folder)
        == "lvtune-out/timm-vit-humanart-sketch-vlpose"  # the method that the domain names
    )
    assert str(Recipe(out="here").folder) == "here"


@pytest.mark.parametrize(
    ("text", "part"), [("train: [", "correct the file"), ("- a", "a table such as"), ("base: [1]", "base = ")]
)
def test_bad_yaml(tmp_path, text, part):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(LvtuneError, match=part):
        Recipe.from_yaml(file)


def test_an_unknown_recipe_names_the_shipped_ones():
    with pytest.raises(LvtuneError, match=r"shipped recipe: .*vitpose-ti"):
        Recipe.from_yaml("no-such-recipe")


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_is_one(name):
    recipe = Recipe.from_yaml(name)
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_tables_in_place_of_options_are_a_clear_error():
    with pytest.raises(UsageError, match=r"from_dict\(\{\.\.\., 'train'") as caught:
        Recipe(method="lora", train={"steps": 20})  # type: ignore[arg-type]
    assert caught.value.given == "Recipe(train={...})"
    assert Recipe.from_dict({"method": "lora", "train": {"steps": 20}}).train.steps == 20
