"""The adapter file: same bytes for the same adapter, read back exactly."""

import json
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from adapter_samples import CONFIG, adapter

from lvtune.core.errors import LvtuneError
from lvtune.storage import adapter_file
from lvtune.storage.adapter_file import CONFIG_FILE, PEFT_FILE, TENSORS_FILE, read, save


def header_of(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length])


def test_reads_back_what_was_written(tmp_path):
    tensors, config = adapter()
    tensors["scalar"] = torch.tensor(2, dtype=torch.int64)
    tensors["turned"] = torch.arange(6.0).reshape(2, 3).T
    tensors["empty"] = torch.zeros(0, 4)
    tensors["half"] = torch.tensor([1.5], dtype=torch.bfloat16)
    tensors["alias"] = tensors["half"]
    save(tensors, config, tmp_path / "a" / "b")
    back, told = read(tmp_path / "a" / "b")
    assert back.keys() == tensors.keys()
    for name, value in tensors.items():
        assert back[name].dtype == value.dtype
        assert torch.equal(back[name], value)
    assert {key: told[key] for key in CONFIG} == CONFIG
    assert list(told["prompts"]) == ["sketch", "cartoon"], "prompts keep the order of their embeddings"
    assert told["format_version"] == 1
    assert len(told["tensors_sha256"]) == 64
    assert sorted(os.listdir(tmp_path / "a" / "b")) == [TENSORS_FILE, CONFIG_FILE]


def test_one_file_alone_is_enough(tmp_path):
    folder = save(*adapter(), tmp_path)
    whole = read(folder)
    (folder / CONFIG_FILE).unlink()
    assert read(folder)[1] == whole[1]
    moved = (folder / TENSORS_FILE).rename(tmp_path / "sketch.safetensors")
    (tmp_path / CONFIG_FILE).write_text("this belongs to another adapter")
    assert read(moved)[1] == whole[1]
    assert header_of(moved)["__metadata__"]["format"] == "pt"


def test_links_are_followed(tmp_path):
    folder = save(*adapter(), tmp_path / "blobs")
    (tmp_path / "snapshot").mkdir()
    for name in (TENSORS_FILE, CONFIG_FILE):
        (tmp_path / "snapshot" / name).symlink_to(folder / name)
    assert read(tmp_path / "snapshot")[1] == read(folder)[1]


def test_same_adapter_same_bytes_in_every_process(tmp_path):
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from adapter_samples import adapter\n"
        "from lvtune.storage.adapter_file import save\n"
        "tensors, config = adapter(); config['more'] = {key: 1 for key in 'hgfedcba'}\n"
        "save(tensors, config, sys.argv[1])"
    )
    here = Path(__file__)
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script, str(tmp_path / seed), str(here.parents[1])]
        subprocess.run(command, check=True, env=env, cwd=here.parents[2], timeout=120)
    for name in (TENSORS_FILE, CONFIG_FILE):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    tensors, config = adapter()
    config["more"] = {key: 1 for key in "abcdefgh"}
    save(dict(reversed(tensors.items())), dict(reversed(config.items())), tmp_path / "3")
    assert (tmp_path / "3" / TENSORS_FILE).read_bytes() == (tmp_path / "1" / TENSORS_FILE).read_bytes()


def test_recipe_loses_what_belongs_to_this_machine(tmp_path):
    tensors, config = adapter()
    recipe = {
        "out": "/home/ann/out", "device": "cpu", "base": "vitpose-ti", "lr": np.float32(0.5),
        "train": {"workers": 3, "epochs": 2},
        "data": {"data": "/home/ann/humanart", "boxes": Path("C:\\data\\boxes.json"), "data_set": "hf://ann/art",
                 "sentences": {"sketch": "a sketch / a drawing"}},
    }  # fmt: skip
    config["training"] = {"recipe": recipe, "seed": 0, "loss": float("nan")}
    _, told = read(save(tensors, config, tmp_path))
    assert told["training"] == {
        "recipe": {
            "base": "vitpose-ti", "lr": 0.5, "train": {"epochs": 2},
            "data": {"data": "humanart", "boxes": "boxes.json", "data_set": "hf://ann/art",
                     "sentences": {"sketch": "a sketch / a drawing"}},
        },
        "seed": 0,
        "loss": None,
    }  # fmt: skip
    assert "/home/ann" not in (tmp_path / CONFIG_FILE).read_text()


def test_replacing_leaves_other_files_and_drops_a_stale_peft_config(tmp_path):
    save(*adapter(), tmp_path, peft_config={"peft_type": "LORA", "r": 8})
    assert json.loads((tmp_path / PEFT_FILE).read_text()) == {"peft_type": "LORA", "r": 8}
    (tmp_path / "README.md").write_text("card")
    save(*adapter(2.0), tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["README.md", TENSORS_FILE, CONFIG_FILE]
    assert read(tmp_path)[0]["a"][0] == 2.0


def test_files_have_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        save(*adapter(), tmp_path)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (TENSORS_FILE, CONFIG_FILE)}
    assert modes == {0o640}


def test_old_leftovers_of_killed_runs_are_swept_and_fresh_ones_kept(tmp_path):
    old, fresh = tmp_path / ".lvtune-1-aa.tmp", tmp_path / ".lvtune-2-bb.tmp"
    for file in (old, fresh):
        file.write_text("half a file")
    os.utime(old, (0, 0))
    save(*adapter(), tmp_path)
    assert (old.exists(), fresh.exists()) == (False, True)


@pytest.mark.parametrize("name", ["", "__metadata__", "a\nb", "a\0b", "\ud800", "right-to-left \u202e"])
def test_odd_tensor_names_are_refused_when_saving(tmp_path, name):
    with pytest.raises(LvtuneError, match="a tensor named"):
        save({name: torch.zeros(1)}, CONFIG, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_that_look_like_paths_are_only_names(tmp_path):
    tensors = {"../../etc/passwd": torch.ones(1), "größe.weight": torch.zeros(2), "a b": torch.zeros(1)}
    assert read(save(tensors, CONFIG, tmp_path))[0].keys() == tensors.keys()


def test_nothing_is_touched_when_an_adapter_cannot_be_saved(tmp_path):
    save(*adapter(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    tensors, config = adapter(2.0)
    with pytest.raises(LvtuneError, match=r"tensor 'a' with 1 of 4 values not finite"):
        save({**tensors, "a": torch.tensor([1, 2, 3, float("nan")])}, config, tmp_path)
    with pytest.raises(LvtuneError, match="without method"):
        save(tensors, {key: value for key, value in config.items() if key != "method"}, tmp_path)
    with pytest.raises(LvtuneError, match="that JSON cannot hold"):
        save(tensors, {**config, "metrics": {"x": {1, 2}}}, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", "/proc/none", "/dev/null/x"):
        with pytest.raises(LvtuneError, match="cannot be written"):
            save(*adapter(), folder)
    with pytest.raises(LvtuneError, match="cannot be written"):
        adapter_file.write_json("/proc/none/x.json", {})


def test_compare_names_what_differs():
    tensors, _ = adapter()
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    adapter_file.compare(shapes, tensors)
    with pytest.raises(LvtuneError, match="adapter without 'b'"):
        adapter_file.compare({**shapes, "b": (1,)}, tensors)
    extra = {**tensors, "\x1b[2Jx": torch.zeros(1)}
    with pytest.raises(LvtuneError, match=r"unknown to its method: '\\x1b\[2Jx'"):
        adapter_file.compare(shapes, extra)
    with pytest.raises(LvtuneError, match=r"tensor 'a' of shape \(4,\).*expected \(2, 2\)"):
        adapter_file.compare({**shapes, "a": (2, 2)}, tensors)
