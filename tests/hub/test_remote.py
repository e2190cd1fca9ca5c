"""Adapters by ``user/repo@revision``: found, downloaded, checked, read; the real client against a small Hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from adapter_samples import adapter
from hub_store import put
from tiny import make_adapter, tiny_base, tiny_pixels

import lvtune
import lvtune.hub.publish  # gives adapters their push_to_hub
from lvtune.adapters.method_registry import METHODS
from lvtune.api.inspecting import inspect_adapter
from lvtune.core.errors import LvtuneError
from lvtune.hub.adapter_loading import load_adapter
from lvtune.hub.address import Address, address_of
from lvtune.hub.remote import fetch, locate, pull_adapter
from lvtune.storage.adapter_file import CONFIG_FILE, PEFT_FILE, TENSORS_FILE, read, save
from lvtune.storage.store import save_adapter

PEFT_METHODS = ("lora", "dora", "ia3")
# the client's own way of uploading, which its HTTP library no longer likes
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def folder(tmp_path):
    return save(*adapter(), tmp_path / "art")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann/art", Address("ann/art")),
        ("ann/art@v1.0", Address("ann/art", "v1.0")),
        ("ann/a.b-c_d@refs/pr/3", Address("ann/a.b-c_d", "refs/pr/3")),
        ("hf://ann/art@main", Address("ann/art", "main")),
        ("ann/adapter_model.safetensors", None),
        ("art", None),
        ("./ann/art", None),
        ("/ann/art", None),
        ("../art", None),
        ("a/b/c", None),
        (Path("ann/art"), None),
    ],
)
def test_what_an_address_is(text, expected):
    assert address_of(text) == expected


def test_what_is_on_disk_is_no_address(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ann").mkdir()
    shutil.move(folder, tmp_path / "ann/art")
    assert address_of("ann/art") is None
    assert address_of("hf://ann/art") == Address("ann/art")
    assert locate("ann/art") == Path("ann/art")


@pytest.mark.parametrize("text", ["hf://ann", "hf://a/b/c", "https://huggingface.co/ann/art"])
def test_what_is_no_address_is_said(text):
    with pytest.raises(LvtuneError, match="user/repo"):
        address_of(text)


def test_only_safetensors_and_json_are_downloaded(hub, folder):
    for name in ("README.md", "run.py", "adapter_model.bin", "report.html", "other.safetensors", "config.json"):
        (folder / name).write_text("import os")
    put(hub, "ann/art", folder)
    found = fetch(Address("ann/art"))
    assert {file.name for file in found.iterdir()} == {TENSORS_FILE, CONFIG_FILE}
    asked = {path.rpartition("/")[2] for path in hub.paths() if "/resolve/" in path}
    assert asked <= {TENSORS_FILE, CONFIG_FILE}
    assert read(found)[0].keys() == adapter()[0].keys()


def test_revisions_are_told_apart(hub, tmp_path):
    first = put(hub, "ann/art", save(*adapter(1.0), tmp_path / "1"))
    hub.repos["ann/art"].tags["v1"] = first
    put(hub, "ann/art", save(*adapter(2.0), tmp_path / "2"))
    put(hub, "ann/art", save(*adapter(3.0), tmp_path / "3"), branch="try/this")
    expected = {"": 2.0, "@v1": 1.0, "@main": 2.0, "@try/this": 3.0, f"@{first}": 1.0}
    assert {at: read(locate(f"ann/art{at}"))[0]["a"][0].item() for at in expected} == expected


def test_a_second_time_only_changes_are_downloaded(hub, tmp_path):
    put(hub, "ann/art", save(*adapter(1.0), tmp_path / "1"))
    fetch(Address("ann/art"))
    hub.log.clear()
    fetch(Address("ann/art"))
    assert not [path for path in hub.paths() if "/resolve/" in path or "/lfs/" in path]
    put(hub, "ann/art", save(*adapter(2.0), tmp_path / "2"))
    assert read(fetch(Address("ann/art")))[0]["a"][0] == 2.0


def test_private_repositories_need_their_owner(hub, folder, login):
    put(hub, "ann/secret", folder, private=True)
    for who in (None, "bob"):
        login(who)
        with pytest.raises(LvtuneError, match="ann/secret"):
            fetch(Address("ann/secret"))
    login("ann")
    assert (fetch(Address("ann/secret")) / TENSORS_FILE).is_file()
    tokens = {token for _, path, token in hub.log if path.startswith("/lfs/")}
    assert tokens == {None}, "a token goes to the Hub alone"


def test_offline_takes_the_cache_and_asks_nobody(hub, folder, monkeypatch):
    put(hub, "ann/art", folder)
    online = fetch(Address("ann/art"))
    hub.log.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetch(Address("ann/art")) == online
    assert fetch(Address("ann/art", online.name)) == online
    with pytest.raises(LvtuneError, match=r"nor in the Hub cache, with HF_HUB_OFFLINE set.*lvtune pull ann/other@v1"):
        fetch(Address("ann/other", "v1"))
    assert hub.log == []


def test_without_network_the_cache_is_taken_and_that_is_said(hub, folder, monkeypatch, caplog):
    put(hub, "ann/art", folder)
    online = fetch(Address("ann/art"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert fetch(Address("ann/art")) == online
    assert "taking the copy of ann/art in the cache" in caplog.text


@pytest.mark.parametrize("method", ["vlpose", "vlpose-light", *PEFT_METHODS])
def test_push_pull_attach_predict_gives_identical_heatmaps(ann, tmp_path, method, login):
    base, pixels = tiny_base(), tiny_pixels()
    made = make_adapter(method, base, stirred=0.1)
    plain = base(pixels)
    with lvtune.attach(base, made):
        expected = base(pixels)
    assert not torch.equal(expected, plain)
    pushed = made.push_to_hub("ann/art", license="apache-2.0")

    login(None)
    again = tiny_base()
    for source in ("ann/art", pushed.source, pull_adapter("ann/art", tmp_path / "pulled").folder):
        with lvtune.attach(again, load_adapter(source, again)):
            assert torch.equal(again(pixels), expected)
    assert torch.equal(again(pixels), plain)


@pytest.mark.parametrize("method", PEFT_METHODS)
def test_what_was_pulled_loads_with_plain_peft(ann, tmp_path, method):
    from peft import PeftModel

    from lvtune.adapters.peft_options import quiet

    base, pixels = tiny_base(), tiny_pixels()
    made = make_adapter(method, base, stirred=0.1)
    made.push_to_hub("ann/art", license="mit")
    with lvtune.attach(base, made):
        expected = base(pixels)
    folder = pull_adapter("ann/art", tmp_path / "pulled").folder
    with quiet():  # peft asks a model for a flag that transformers has renamed
        model = PeftModel.from_pretrained(tiny_base().model, folder)
    torch.testing.assert_close(model(pixels).heatmaps, expected, atol=1e-6, rtol=0)


def test_adapters_that_plain_peft_pushed_load(hub, tmp_path):
    base, pixels = tiny_base(), tiny_pixels()
    made = make_adapter("lora", base, stirred=0.1)
    folder = save_adapter(made, tmp_path / "lora")
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / TENSORS_FILE)
    save_file(tensors, folder / TENSORS_FILE, metadata={"format": "pt"})
    (folder / CONFIG_FILE).unlink()
    put(hub, "ann/lora", folder)
    with lvtune.attach(base, made):
        expected = base(pixels)
    with lvtune.attach(base, load_adapter("ann/lora", base)):
        torch.testing.assert_close(base(pixels), expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert (pull_adapter("ann/lora", tmp_path / "pulled").folder / PEFT_FILE).is_file()


def test_every_method_can_be_pushed():
    assert all(hasattr(METHODS.get(name), "push_to_hub") for name in METHODS.names())


def test_pull_copies_the_bytes_and_replaces_nothing_unasked(hub, tmp_path, folder):
    (folder / "report.json").write_text(json.dumps({"target_name": "x"}))
    commit = put(hub, "ann/art", folder)
    pulled = pull_adapter("ann/art@main", tmp_path / "out")
    assert (pulled.commit, pulled.address) == (commit, Address("ann/art", "main"))
    there, sent = ({file.name: file.read_bytes() for file in place.iterdir()} for place in (pulled.folder, folder))
    assert there == sent
    assert not any(file.is_symlink() for file in pulled.folder.iterdir())
    pull_adapter("ann/art", tmp_path / "out")  # the same again is no loss

    mine = save(*adapter(7.0), tmp_path / "mine")
    (mine / "report.json").write_text("{}")
    with pytest.raises(LvtuneError, match=r"holds another adapter.*--overwrite"):
        pull_adapter("ann/art", mine)
    assert read(mine)[0]["a"][0] == 7.0
    (folder / "report.json").unlink()
    del hub.repos["ann/art"]
    put(hub, "ann/art", folder)
    pull_adapter("ann/art", mine, overwrite=True)
    assert read(mine)[0]["a"][0] == 1.0
    assert not (mine / "report.json").exists(), "it told of the adapter that was replaced"


def test_pull_into_the_default_place_and_inspect(hub, tmp_path, folder, monkeypatch):
    put(hub, "ann/art", folder)
    monkeypatch.chdir(tmp_path)
    assert pull_adapter("ann/art").folder == Path("lvtune-out/art")
    assert inspect_adapter("ann/art")["config"] == inspect_adapter("lvtune-out/art")["config"]
