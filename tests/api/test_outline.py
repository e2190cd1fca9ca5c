"""A dry run where weights, data or a text encoder are missing: what would be tuned is told, and what is missing."""

import pytest
from layouts import humanart

from lvtune.api.inspecting import dry_run
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ("s", 3_744_657),
        ("b", 6_747_921),  # counted on the released code
        ("l", 10_481_937),
        ("h", 14_047_249),
    ],
)
def test_published_settings_without_anything_at_hand(size, count):
    values = dry_run(Recipe.from_yaml(f"vlpose-main/vlpose-{size}"))
    assert values["trainable"] == count == sum(row["parameters"] for row in values["tree"])
    assert [text.partition("'")[2].partition("'")[0] for text in values["missing"][1:]] == ["humanart", "blip"]
    assert "weights" in values["missing"][0] and values["instances"] is None
    assert sum(name.endswith("attention.attention.key") for name in values["targets"]) == {"l": 24, "h": 32}.get(
        size, 12
    )


def test_what_is_at_hand_is_used(tmp_path):
    data = {"domain": "humanart", "data": {"data": str(humanart(tmp_path))}, "weights": "random"}
    recipe = {"base": "timm:resnet10t", "method": "vlpose", "method_options": {"placement": "none", "heads": 4}, **data}
    values = dry_run(Recipe.from_dict({**recipe, "language": {"encoder": "clip"}}))
    assert [text.split("from")[0] for text in values["missing"]] == ["text encoder 'clip' "]
    assert {"name": "text_proj.weight", "shape": [512, 512], "parameters": 512 * 512} not in values["tree"]
    whole = dry_run(Recipe.from_dict({**recipe, "language": {"mode": "random"}}))
    assert whole["missing"] == [] and whole["instances"] == {"train": 3, "test": 3}
    assert whole["trainable"] == values["trainable"]  # both as wide as the features: no projection


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"method_options": {"decoder": "duel"}}, "did you mean 'dual'"),
        ({"base": "vitpose-bb"}, "vitpose-bb"),
        ({"domain": "humanarts"}, "did you mean 'humanart'"),
        ({"language": {"sentences": {"scetch": "a"}}}, "scetch"),
        ({"evaluate": {"category": "scetch"}, "domain": "demo-art", "base": "vitpose-ti"}, "scetch"),
    ],
)
def test_a_mistake_is_still_one(change, told):
    whole = {"base": "vitpose-b", "domain": "humanart", "method": "vlpose", **change}
    with pytest.raises(LvtuneError, match=told):
        dry_run(Recipe.from_dict(whole))


def test_the_command_ends_well_and_says_what_is_missing(capsys):
    assert main(["adapt", "--config", "vlpose-main/vlpose-b", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "6,747,921 trainable parameters" in told and told.count("missing here: ") == 3


def test_a_pool_that_is_not_there_is_what_is_told(tmp_path, capsys):
    with pytest.raises(LvtuneError, match=r"no file or folder at .*nowhere; expected pictures without labels"):
        dry_run(Recipe.from_dict({"unlabelled": str(tmp_path / "nowhere")}))
    values = dry_run(Recipe.from_dict({"unlabelled": str(tmp_path / "nowhere"), "base": "vitpose-b"}))
    assert ["weights" in text or "no file or folder" in text for text in values["missing"]] == [True, True]
