"""examples/my_base.py: a base in a file of one's own is tuned, given back, saved and loaded."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from doc_blocks import blocks
from safetensors.torch import save_file
from tiny import snapshot

import lvtune
from lvtune.bases.base import FAMILIES
from lvtune.bases.base_registry import BASES

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/my_base.py"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.setattr(BASES, "_entries", dict(BASES._entries))
    before = list(FAMILIES)
    yield runpy.run_path(str(EXAMPLE))
    FAMILIES[:] = before


@pytest.mark.parametrize("method", ["bitfit", "full", "head", "norm"])
def test_a_method_changes_its_answer_and_gives_it_back(example, method):
    base = lvtune.load_base("my-convs", "random", seed=1)
    before, pixels = snapshot(base.model), torch.randn(2, 3, 128, 96)
    plain = base(pixels)
    assert plain.shape == (2, 17, 32, 24)
    adapter = lvtune.create_adapter(method, base)
    with lvtune.attach(base, adapter):
        assert torch.equal(base(pixels), plain)
        with torch.no_grad():
            for value in adapter.parameters():
                value.add_(0.3)
        assert not torch.equal(base(pixels), plain)
    assert torch.equal(base(pixels), plain) and snapshot(base.model)["bytes"] == before["bytes"]


def test_weights_of_a_file_and_a_plain_model(example, tmp_path):
    base = lvtune.load_base("my-convs", "random", seed=1)
    save_file(base.model.state_dict(), tmp_path / "w.safetensors")
    again = lvtune.load_base("my-convs", str(tmp_path / "w.safetensors"))
    assert lvtune.fingerprint(again) == lvtune.fingerprint(base)
    adapter = lvtune.create_adapter("bitfit", base)
    folder = lvtune.save_adapter(adapter, tmp_path / "adapter")
    with lvtune.attach(again.model, lvtune.load_adapter(folder, again)):
        assert again.model(torch.randn(1, 3, 128, 96)).shape == (1, 17, 32, 24)
    with pytest.raises(lvtune.LvtuneError, match="--weights FILE"):
        lvtune.load_base("my-convs")


def test_what_needs_attention_says_so(example):
    base = lvtune.load_base("my-convs", "random")
    with pytest.raises(lvtune.LvtuneError):
        lvtune.create_adapter("vpt", base)


@pytest.mark.parametrize("name", ["base", "domain"])
def test_the_page_shows_the_example(name):
    page = next(blocks(ROOT / f"docs/write-a-{name}.md"))
    head, _, code = page.text.partition("\n")
    assert head == f"# my_{name}.py"
    assert (ROOT / f"examples/my_{name}.py").read_text(encoding="utf-8").endswith('"""\n\n' + code)
