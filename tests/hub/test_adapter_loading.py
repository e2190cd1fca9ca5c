"""An adapter's input size: recorded, checked, and followed by who loads the base by name."""

import pytest
import torch

import lvtune
from lvtune.adapters.flip_test import takes_flip_test
from lvtune.bases.base_registry import load_base
from lvtune.core.errors import LvtuneError
from lvtune.hub.adapter_loading import load_adapter, load_base_for
from lvtune.storage.store import save_adapter

SIZE = (160, 128)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    base = load_base("vitpose-ti", input_size=SIZE)
    adapter = lvtune.create_adapter("lora", base, seed=3)
    with torch.no_grad():
        for value in adapter.parameters():
            value.add_(0.01)
    return save_adapter(adapter, tmp_path_factory.mktemp("adapter"), base), adapter.eval(), base


def test_the_base_is_loaded_at_the_recorded_size(saved):
    folder, adapter, base = saved
    for source in (folder, str(folder), adapter, [folder], {"one": folder}):
        assert load_base_for(source, "vitpose-ti").input_size == SIZE
    again = load_base_for(folder, "vitpose-ti")
    pixels = torch.randn(1, 3, *SIZE)
    with lvtune.attach(base, adapter), lvtune.attach(again, load_adapter(folder, again)):
        assert torch.equal(base(pixels), again(pixels))


def test_no_adapter_or_another_base_gets_its_own_size(saved):
    assert load_base_for(None, "vitpose-ti").input_size == (128, 96)
    assert load_base_for([], "vitpose-ti").input_size == (128, 96)
    assert load_base_for(saved[0], "vitpose-s", "random").input_size == (256, 192)


def test_another_size_is_an_error_that_says_what_to_type(saved):
    own = load_base("vitpose-ti")
    with pytest.raises(LvtuneError, match=r"tuned at.*input_size=\(160, 128\)"):
        load_adapter(saved[0], own)
    assert load_adapter(saved[0], own, any_input_size=True).method == "lora"


def test_the_shipped_start_fits_every_input_size():
    from lvtune.hub.starts import warm_start

    found = []
    for size in (None, SIZE):
        base = load_base("vitpose-ti", input_size=size)
        adapter = lvtune.create_adapter("vlpose-light", base, "demo-art")
        assert warm_start(adapter, base).misfit == ""
        found.append(adapter.tensors())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        (None, True),
        ({"recipe": {"evaluate": {"flip_test": False}}}, False),
        ({"recipe": {"evaluate": {"flip_test": True}}}, True),
        ({"recipe": "lost"}, True),
        ({"recipe": {"evaluate": None}}, True),
    ],
)
def test_an_adapter_is_asked_about_mirrored_pictures_as_its_own_run_was(training, expected, tmp_path):
    base = load_base("vitpose-ti")
    folder = save_adapter(lvtune.create_adapter("bitfit", base), tmp_path, base, training=training)
    assert takes_flip_test(load_adapter(folder, base)) is expected
    assert takes_flip_test(None)
