"""``--dry-run`` works for every recipe that ships and for every method, whether data and weights are there or not."""

import pytest

from lvtune.adapters.method_registry import METHODS
from lvtune.api.inspecting import dry_run
from lvtune.api.recipe import Recipe
from lvtune.config.yaml_files import list_recipes
from lvtune.core.errors import LvtuneError


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_that_ships(name):
    recipe = Recipe.from_yaml(name)
    if recipe.domain == "custom":  # the user's own pictures say which key points there are
        with pytest.raises(LvtuneError, match="own pictures without annotations"):
            dry_run(recipe)
        return
    found = dry_run(recipe)
    assert found["missing"] or found["instances"]
    assert found["trainable"] == sum(entry["parameters"] for entry in found["tree"])


@pytest.mark.parametrize("base", ["vitpose-b", "hand3d-vit"])
@pytest.mark.parametrize("method", METHODS.names())
def test_every_method_without_data(method, base):
    domain = "freihand" if base.startswith("hand") else "humanart"
    options = {"members": ["lora", "ssf"]} if method == "stack" else {"tuner": "lora"} if method == "peft" else {}
    try:
        found = dry_run(Recipe.from_dict({"base": base, "domain": domain, "method": method, "method_options": options}))
    except LvtuneError as error:  # a method that does not fit the base says so; nothing else is let through
        assert error.fix and "meta" not in str(error)
        return
    assert found["trainable"] > 0 and found["missing"]
