"""Files that say other things than the adapter in them: an error of ours, never a raw one, never memory by number."""

from __future__ import annotations

import contextlib
import json

import pytest
from mutants import changed_values
from tiny import make_adapter, snapshot, tiny_base

from lvtune.adapters.method_registry import METHODS
from lvtune.adapters.peft_bridge import PeftAdapter
from lvtune.core.errors import AdapterFileError, LvtuneError
from lvtune.core.tensor_file import pack, unpack
from lvtune.storage.adapter_config import config_hash
from lvtune.storage.adapter_file import CONFIG_FILE, TENSORS_FILE
from lvtune.storage.store import plan_of, read_adapter, save_adapter

NATIVE = [name for name in METHODS.names() if not issubclass(METHODS.get(name), PeftAdapter)]


def parts(method, folder, base):
    """Folder, packed tensors and config of an adapter whose config stands in the header alone."""
    options = {"members": ("lora", "norm")} if method == "stack" else {}
    save_adapter(make_adapter(method, base, **options), folder, base)
    (folder / CONFIG_FILE).unlink()
    packed = unpack(folder / TENSORS_FILE)
    return packed, json.loads(packed.metadata["lvtune_config"])


def write(folder, packed, config):
    config = {**config, "config_sha256": config_hash(config)}
    (folder / TENSORS_FILE).write_bytes(pack(packed.tensors, {**packed.metadata, "lvtune_config": json.dumps(config)}))


@pytest.mark.parametrize("method", NATIVE)
def test_only_errors_of_ours_come_out_of_configs_with_other_values(method, tmp_path):
    base = tiny_base()
    packed, config = parts(method, tmp_path, base)
    before = snapshot(base)
    given = ("method", "method_config", "skeleton", "prompts", "text_encoder", "domain", "training")
    for changed in changed_values({name: config[name] for name in given}, 60, seed=len(method)):
        write(tmp_path, packed, {**config, **changed})
        with contextlib.suppress(LvtuneError):
            read_adapter(tmp_path, base)
    assert snapshot(base) == before


@pytest.mark.parametrize("method", METHODS.names())
def test_shapes_are_known_before_memory_is_taken(method, tmp_path):
    base = tiny_base()
    packed, config = parts(method, tmp_path, base)
    config["prompts"] = None if config["prompts"] is None else dict(config["prompts"])
    shapes = plan_of(config, packed.tensors).shapes(base)
    found = {name: tuple(v.shape) for name, v in packed.tensors.items() if not name.startswith("bank.")}
    assert shapes == (None if method == "boft" else found)


def test_key_points_that_nothing_in_it_predicts(tmp_path):
    base = tiny_base()
    packed, config = parts("bitfit", tmp_path, base)
    config["skeleton"]["keypoints"][0] = "tail"
    write(tmp_path, packed, config)
    with pytest.raises(AdapterFileError, match="bitfit trains no predictor"):
        read_adapter(tmp_path, base)


def test_a_stack_of_thousands_is_refused(tmp_path):
    base = tiny_base()
    packed, config = parts("stack", tmp_path, base)
    config["method_config"]["members"] = ["lora"] * 60_000
    write(tmp_path, packed, config)
    with pytest.raises(LvtuneError, match="a stack of 60,000 methods"):
        read_adapter(tmp_path, base)
