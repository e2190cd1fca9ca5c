"""Which method and which settings a recipe gets that leaves them open."""

from dataclasses import replace

import pytest

from lvtune.adapters.method_registry import METHODS
from lvtune.api.method_choice import method_decisions, method_of
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.config.options import TrainOptions
from lvtune.core.errors import LvtuneError
from lvtune.experiments.published_tables import load_table


@pytest.mark.parametrize(
    ("domain", "method"),
    [
        ("humanart", "vlpose"),
        ("humanart/sketch,relief", "vlpose"),
        ("coco", "vlpose"),
        ("coco+humanart", "vlpose"),
        ("demo-art", "vlpose-light"),
        ("lsp-art", "vlpose-light"),
        ("ap10k", "vlpose-light"),
        ("coco+hands-coco", "vlpose-light"),
        ("freihand", "vlpose-light"),
        ("custom", "vlpose-light"),
        ("mine.yaml", "vlpose-light"),
        ("no such domain", "vlpose-light"),
    ],
)
def test_a_domain_names_its_method(domain, method):
    assert method_of(domain) == method
    for recipe in (Recipe(domain=domain), Recipe.from_dict({"domain": domain})):
        assert (recipe.method, recipe.settings) == (method, "published" if method == "vlpose" else "own")


def test_the_default_recipe_is_as_ever():
    recipe = Recipe()
    assert (recipe.method, recipe.settings, recipe.language.encoder) == ("vlpose-light", "own", "minilm")
    assert recipe.train == TrainOptions() and recipe.evaluate.category is None and recipe.method_options == {}


def test_words_alone_and_own_data_stay_with_the_light_method():
    assert Recipe.from_dict({"domain": "humanart", "text_only": True}).method == "vlpose-light"
    assert Recipe.from_dict({"data": {"data": "mine"}}).method == "vlpose-light"


def test_published_settings_are_those_of_the_papers_recipe():
    """Beside the table's own row of that system, with frozen parts left frozen."""
    row = Recipe.from_dict(load_table("vlpose-main").row("vlpose-b-corrected").recipe)
    found = Recipe(base="vitpose-b", domain="humanart")
    assert found.train == row.train
    assert found.evaluate.category == row.evaluate.category == "own"
    own = METHODS.get("vlpose").Config
    options = {"visual_prompts": 20}  # -1 is that number for the base's size
    assert own(**found.method_options | options) == own(**row.method_options)


def test_what_is_given_counts_more():
    recipe = Recipe.from_dict({
        "domain": "humanart", "train": {"steps": 7, "warmup": 0.1, "augment": {"rotate": 5}},
        "method_options": {"zero_init": True, "matcher": "attn"}, "evaluate": {"category": "mean"},
        "language": {"encoder": "clip"},
    })  # fmt: skip
    assert (recipe.method, recipe.settings) == ("vlpose", "published")
    assert (recipe.train.steps, recipe.train.epochs) == (7, None)
    assert (recipe.train.warmup, recipe.train.warmup_steps) == (0.1, None)
    assert (recipe.train.augment.rotate, recipe.train.augment.half_body) == (5, 0.3)
    assert recipe.method_options["zero_init"] is True and recipe.method_options["visual_prompt_lr_scale"] == 1.0
    assert recipe.evaluate.category == "mean" and recipe.language.encoder == "clip"
    assert Recipe.from_dict(recipe.to_dict()) == recipe == replace(recipe)


def test_a_named_method_has_its_own_settings_unless_published_ones_are_asked_for():
    named = Recipe(domain="humanart", method="vlpose")
    assert named.settings == "own" and named.train.epochs is None and named.method_options == {}
    assert Recipe(domain="humanart", settings="own").train.epochs is None
    asked = Recipe(domain="demo-art", method="vlpose", settings="published")
    assert asked.train.epochs == 210 and asked.method_options["zero_init"] is False
    with pytest.raises(LvtuneError, match=r"method lora, for which no publication is known.*--settings"):
        Recipe(method="lora", settings="published")


def test_why_is_said():
    def why(**options):
        return {one.what: (one.value, one.why) for one in method_decisions(Recipe(**options))}

    assert why()["method"] == ("vlpose-light", "the method of domain demo-art; --method chooses another")
    assert "as the recipe says" in why(domain="humanart", method="lora")["method"][1]
    assert why(domain="coco")["settings"][0] == "published"
    assert "settings" not in why(method="full")


def test_the_help_shows_the_options_and_defaults_that_count(capsys):
    with pytest.raises(SystemExit):
        main(["adapt", "--domain", "humanart", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--method.matcher" in text and "Passes over the training data. (default: 210)" in text
    with pytest.raises(SystemExit):
        main(["adapt", "--domain", "humanart", "--method", "vlpose", "--help"])
    assert "Passes over the training data. (default: 3)" in " ".join(capsys.readouterr().out.split())


def test_options_of_the_domains_method_need_no_name(capsys):
    assert main(["adapt", "--domain", "humanart", "--method.matcher", "attn", "--dry-run"]) == 0
    assert "matcher: attn" in capsys.readouterr().out
