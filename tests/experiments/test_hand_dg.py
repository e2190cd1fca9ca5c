"""The table of hands by words: its printed figures, its settings, and its runner: tuned once, tested on each."""

import json

import joints  # noqa: F401
import pytest
import torch
from tiny import make_adapter
from tiny_hands import tiny_hand_base, tiny_hands

from lvtune.adapters.factory import create_adapter
from lvtune.api.recipe import Recipe
from lvtune.bases.base_registry import load_base
from lvtune.cli.main import main
from lvtune.config.yaml_files import list_recipes
from lvtune.experiments.part_runner import adapt_parts
from lvtune.experiments.published_tables import load_table
from lvtune.experiments.reproducing import recipe_of, reproduce
from lvtune.patcher.attaching import attach
from lvtune.training.objectives import OBJECTIVES, ObjectiveContext, objective_config

TABLE = load_table("hand-dg")


def test_every_row_of_tables_3_to_6_has_its_figures():
    found = {row.name: tuple((row.reference or {}).get(name) for name in ("stb", "rhd")) for row in TABLE.rows}
    assert {name: pair for name, pair in found.items() if not name.startswith("more-")} == {
        "t3-zhang": (36.1, 48.3), "t3-mixstyle": (None, None), "t3-ours-stb": (34.9, None), "t3-ours-rhd": (None, 46.8),
        "t4a-baseline": (36.11, 48.36), "t4a-ie": (35.0, 48.37), "t4a-w9": (36.69, 46.82), "t4a-w8": (35.75, 49.43),
        "t4a-w6": (34.97, 47.34), "t4a-w4": (47.25, 63.01), "t4b-baseline": (36.11, 48.36),
        "t4b-te-concat": (38.12, 49.46), "t4b-te-sum": (35.93, 48.36), "t4b-both-concat": (34.97, 47.34),
        "t4b-both-sum": (42.98, 48.24), "t5-1": (37.67, 53.14), "t5-01": (34.97, 47.34), "t5-001": (35.05, 50.92),
        "t5-0001": (30.65, 50.97), "t6-ours-stb": (34.97, None), "t6-ours-rhd": (None, 46.82),
        "t6-augmentation": (38.92, 49.86),
    }  # fmt: skip
    assert all("chosen for" in TABLE.row(f"{t}-ours-{d}").facts.label for t in ("t3", "t6") for d in ("stb", "rhd"))


RUN = [row for row in TABLE.rows if row.name != "t3-zhang"]
"""Rows that are run; the other one quotes figures of a method that is not here."""


def test_figures_of_a_method_that_is_not_here_stand_alone(tmp_path, capsys):
    said = []
    values = reproduce("hand-dg", rows=["t3-zhang", "t3-mixstyle"], runs=tmp_path, run=True, say=said.append)
    quoted, mixstyle = values["rows"]
    assert quoted["reference"] == {"stb": 36.1, "rhd": 48.3} and quoted["quoted"] and quoted["method"] is None
    assert quoted["runs"] == 0 and quoted["problem"] is None and "nothing to run" in said[0]
    assert not (tmp_path / "hand-dg" / "t3-zhang").exists()
    assert set(mixstyle["reference"].values()) == {None} and mixstyle["method"] == "full"
    assert "Zhang" in quoted["label"] and "MixStyle" not in quoted["label"]
    assert "hand-dg/t3-mixstyle" in list_recipes() and "hand-dg/t3-zhang" not in list_recipes()
    assert main(["reproduce", "hand-dg", "--rows", "t3-zhang,t3-mixstyle", "--runs", str(tmp_path)]) == 0
    lines = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "36.10 / -" in lines["Zhang et al., source pictures alone"]
    assert "figures of its authors; not run here" in lines["Zhang et al., source pictures alone"]
    assert "- / -" in lines["MixStyle, in place of Zhang et al."]


def test_rows_of_the_contrast_keep_the_published_scales():
    rows = [row.recipe["objective_options"] for row in RUN if row.recipe["objective"] == "text-contrast"]
    own = {"normalize": False, "margin": 0.5, "margin_scale": "constant", "weight_scale": "constant", "reduce": "sum"}
    assert len(rows) == 20 and all(own.items() <= options.items() for options in rows)


def test_rows_differ_in_what_they_are_about_alone():
    rows = {row.name: Recipe.from_dict(row.recipe).to_dict() for row in RUN}
    own = {"objective", "objective_options", "domain"}
    common = [{k: v for k, v in recipe.items() if k not in own} for recipe in rows.values()]
    assert all(recipe == common[0] for recipe in common)
    same = {"t3-ours-stb", "t4a-w6", "t4b-both-concat", "t5-01", "t6-ours-stb"}
    assert {name for name, recipe in rows.items() if recipe == rows["t4a-w6"]} == same
    folders = {"freihand": "f/", "stb": "s/", "rhd": "r/"}
    data = recipe_of(TABLE, TABLE.row("t4a-w6"), data=folders).data
    assert (data.data, data.source_data) == ("stb=s/,rhd=r/", "f/")


def test_what_is_trained_and_left_is_the_published_network():
    with torch.device("meta"):
        base = load_base("hand3d", "random")
        adapter = create_adapter("full", base)
    count = sum(p.numel() for p in adapter.parameters())
    assert count == 17_518_847 + 1_637_279 + 2_238_403
    assert {row.facts.trainable for row in RUN} == {count}


@pytest.mark.parametrize("name", [row.name for row in RUN])
def test_each_row_computes_a_loss(name):
    recipe = Recipe.from_dict(TABLE.row(name).recipe)
    options = recipe.objective_options | ({"encoder": "toy"} if "encoder" in recipe.objective_options else {})
    options |= {"images": "step"} if "images" in options else {}
    base, batch = tiny_hand_base(), tiny_hands()
    objective = OBJECTIVES.get(recipe.objective)(objective_config(recipe.objective, options))
    objective.prepare(
        ObjectiveContext(base, domain="stb", sentences={"sk": "a photo of a left hand in a room"}, text_only=True)
    )
    with attach(base, make_adapter("full", base), name="on"):
        loss = objective(base, batch)
    assert loss.isfinite() and loss.requires_grad


def small(**given):
    """Two parts of hand-figures in place of STB and RHD."""
    values = {"base": "hand3d-vit", "weights": "random", "domain": "hand-figures/wild+hand-figures/clutter",
              "method": "head", "objective": "hand", "text_only": True, "device": "cpu",
              "data": {"limit": 4}, "train": {"steps": 1, "batch_size": 2}}  # fmt: skip
    return Recipe.from_dict(values | given)


def test_the_runner_tunes_once_and_tests_on_each(tmp_path):
    said = []
    adapt_parts(small(seed=3), tmp_path / "table" / "one", said.append)
    report = json.loads((tmp_path / "table/one/report.json").read_text())
    assert list(report["parts"]) == ["hand-figures/wild", "hand-figures/clutter"]
    assert report["parts"]["hand-figures/wild"] == report["target"]["after_on"]
    errors = [part["epe"] for part in report["parts"].values()]
    assert all(error > 0 for error in errors) and errors[0] != errors[1]
    assert report["recipe"]["domain"] == "hand-figures/wild+hand-figures/clutter"
    adapt_parts(small(seed=3), tmp_path / "table" / "two" / "seed-3", said.append)
    again = json.loads((tmp_path / "table/two/seed-3/report.json").read_text())
    assert again["parts"] == report["parts"] and again["same_as"].endswith("table/one")
    assert not (tmp_path / "table/two/seed-3/adapter_model.safetensors").exists()


def test_without_data_the_table_is_printed_and_says_what_it_needs():
    values = reproduce("hand-dg", rows=["t4a-w6"])
    assert values["rows"][0]["reference"] == {"stb": 34.97, "rhd": 47.34} and "FreiHAND" in values["rows"][0]["needs"]
