"""docs/write-a-method.md: its code runs as it stands, and what it says of the base class is so."""

import re
from pathlib import Path

import pytest
import torch
from tiny import TinyPictures

import lvtune
from lvtune.adapters.adapter import Adapter, NoOptions
from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.core.errors import LvtuneError
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune

PAGE = Path(__file__).parents[2] / "docs" / "write-a-method.md"


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Names that the page's code defines, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(code, PAGE.name, "exec"), names)
    yield names
    METHODS._entries.pop("scaled-norm")


class Sized(TinyPictures):
    """Pictures of a base's own size."""

    def __init__(self, base):
        super().__init__(4, base.skeleton)
        self.size = base.input_size

    def __getitem__(self, index):
        return {**super().__getitem__(index), "pixel_values": torch.randn(3, *self.size)}


def test_the_pages_code_runs_and_its_method_is_a_whole_one(page):
    base, adapter, pixels = page["base"], page["adapter"], page["pixel_values"]
    assert torch.equal(page["heatmaps"], base(pixels)) and adapter.config.strength == 0.5
    options = Recipe(method="scaled-norm", train=TrainOptions(steps=4, batch_size=2)).resolved(adapter.defaults).train
    assert options.lr == 2e-2
    data = Sized(base)
    tune(base, adapter, data, HeatmapObjective(), options, device="cpu")
    with lvtune.attach(base, adapter):
        tuned = base(pixels)
    assert not torch.equal(tuned, base(pixels))
    double = lvtune.combine([adapter], [2.0], base=base)
    torch.testing.assert_close(double.scale, 2 * adapter.scale)
    with pytest.raises(LvtuneError, match=r"method\.strength"):
        lvtune.create_adapter("scaled-norm", base, strength=-1.0)


def test_the_table_names_every_member_that_may_be_overridden():
    text = PAGE.read_text(encoding="utf-8")
    members = {name for name in vars(Adapter) if not name.startswith("_")} | set(Adapter.__annotations__)
    ours = {"publisher", "config", "made_for", "saved_with", "adds_up", "push_to_hub"}  # set or called, not overridden
    assert members - ours - set(re.findall(r"`(\w+)`", text)) == set()


def test_a_method_needs_its_changes_alone():
    class Bare(Adapter):
        """Does nothing."""

    adapter = Bare()
    assert adapter.config == NoOptions() and adapter.bank is None and adapter.tensors() == {}
    assert not Bare.adds_up() and adapter.fixed(None, None) is None and adapter.peft_config(None) is None
    with pytest.raises(NotImplementedError, match=r"Bare defines no changes\(base\)"):
        adapter.changes(None)
