"""The variants of the benchmarks of words: each is a recipe whose objective takes its options."""

from pathlib import Path

import pytest

from lvtune.api.recipe import Recipe
from lvtune.config.tables import merge
from lvtune.config.yaml_files import read_yaml
from lvtune.training.objectives import objective_config

FOLDER = Path(__file__).parents[2] / "benchmarks"
SHARED = {"words_bodies": {"text_only": True}, "words_hands": read_yaml(FOLDER / "words_hands_shared.yaml")}


@pytest.mark.parametrize("name", SHARED)
def test_every_variant_is_a_recipe(name):
    found = {label: Recipe.from_dict(merge(SHARED[name], changes))
             for label, changes in read_yaml(FOLDER / f"{name}.yaml").items()}  # fmt: skip
    configs = {label: objective_config(r.objective, r.objective_options) for label, r in found.items()}
    # a control differs from the row it controls for in the words alone
    controls = [label for label in found if label.startswith("random vectors, ")]
    assert {"random vectors, contrast", "random vectors, style"} <= set(controls)
    for label in controls:
        read = label.replace("random vectors", "text")
        assert {**found[read].objective_options, "words": "random"} == found[label].objective_options
        assert configs[read].words == "text"
    assert {r.objective for r in found.values()} >= {"augmentation", "mixstyle", "peclr", "text-contrast", "text-style"}
