"""``lvtune push`` and ``pull``, and commands that take ``user/repo@revision``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_store import put

import lvtune
from lvtune.adapters.factory import create_adapter
from lvtune.cli.main import main
from lvtune.storage.adapter_file import TENSORS_FILE
from lvtune.storage.store import save_adapter

PHOTO = Path(__file__).parents[1] / "samples/coco/val2017/000000000785.jpg"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An adapter for the base that ships with the package."""
    base = lvtune.load_base("vitpose-ti")
    return save_adapter(create_adapter("lora", base, domain="demo-art"), tmp_path_factory.mktemp("made") / "art")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def answer(capsys, *argv):
    code = main([*argv, "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "hf_secret" not in out + err
    return json.loads(out)


def test_push_pull_inspect_predict(ann, folder, capsys):
    pushed = answer(capsys, "push", str(folder), "art", "--license", "mit", "--private", "--message", "First")
    assert pushed["repo"] == "ann/art"
    assert ann.repos["ann/art"].private
    source = f"ann/art@{pushed['commit']}"
    assert pushed["source"] == source
    pulled = answer(capsys, "pull", source)
    assert pulled == {"folder": "lvtune-out/art", "repo": "ann/art", "commit": pushed["commit"],
                      "base": "vitpose-ti", "domain": "demo-art"}  # fmt: skip
    assert Path("lvtune-out/art", TENSORS_FILE).read_bytes() == (folder / TENSORS_FILE).read_bytes()
    assert answer(capsys, "inspect", source)["config"] == answer(capsys, "inspect", str(folder))["config"]

    poses = [answer(capsys, "predict", str(PHOTO), "--adapter", at)["poses"] for at in (source, "lvtune-out/art")]
    assert poses[0] == poses[1]
    assert len(poses[0][0]["keypoints"]) == 14, "of the base that the adapter was made for"


def test_what_is_printed(ann, folder, capsys):
    assert main(["push", str(folder), "ann/art", "--license", "mit", "--revision", "try"]) == 0
    out, _ = capsys.readouterr()
    assert f"{ann.url}/ann/art, commit " in out
    assert "the card names no base_model" in out
    assert "use it: lvtune predict PICTURE --adapter ann/art@try" in out
    assert main(["pull", "ann/art@try", "--out", "here"]) == 0
    out, _ = capsys.readouterr()
    assert "written to here\nmade for vitpose-ti\n" in out


def test_a_dry_run_of_push(hub, folder, capsys):
    assert main(["push", str(folder), "ann/art", "--license", "mit", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("---\n") and "license: mit" in out and "# " in out
    assert "would be pushed to ann/art: adapter_model.safetensors" in out
    assert "pushing" not in err and hub.log == []
    assert main(["push", str(folder), "ann/art", "--dry-run"]) == 1
    assert "without a licence" in capsys.readouterr().err


def test_a_folder_that_holds_another_adapter(ann, folder, capsys, tmp_path):
    put(ann, "ann/art", folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / TENSORS_FILE).write_bytes(b"mine")
    assert main(["pull", "ann/art", "--out", "mine"]) == 1
    assert "holds another adapter" in capsys.readouterr().err
    assert (tmp_path / "mine" / TENSORS_FILE).read_bytes() == b"mine"
    assert main(["pull", "ann/art", "--out", "mine", "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("push FOLDER ann/art", 1, "type --license apache-2.0"),
        ("push FOLDER ann/art --licence mit", 2, "did you mean '--license'?"),
        ("push nothing ann/art --license mit", 1, "no such adapter 'nothing'"),
        ("push FOLDER a/b/c --license mit", 1, "user/repo"),
        ("push", 2, "lvtune push FOLDER"),
        ("pull art", 1, "'art'; expected user/repo or user/repo@revision"),
        ("pull https://huggingface.co/ann/art", 1, "user/repo or user/repo@revision"),
        ("inspect https://huggingface.co/ann/art", 1, "a web address"),
    ],
)
@pytest.mark.usefixtures("ann")
def test_mistakes(folder, capsys, line, code, words):
    assert main([str(folder) if word == "FOLDER" else word for word in line.split()]) == code
    out, err = capsys.readouterr()
    assert out == ""
    (message,) = [text for text in err.splitlines() if text.startswith("error: ")]
    assert words in message


@pytest.mark.parametrize("offline", [False, True])
def test_by_environment_alone(hub, folder, tmp_path, offline):
    """A process of its own finds Hub, cache and token as any program that uses the Hub client does."""
    put(hub, "ann/art", folder, private=True)
    env = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_secret_of_ann"}
    env |= {"HF_HUB_OFFLINE": str(int(offline)), "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "lvtune", "pull", "ann/art", "--out", "out", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=600)
    assert "hf_secret" not in done.stdout + done.stderr
    if offline:
        assert (done.returncode, done.stdout) == (1, "")
        assert "with HF_HUB_OFFLINE set" in done.stderr
        assert hub.log == []
    else:
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["base"] == "vitpose-ti"
        kept = [file for file in (tmp_path / "home").rglob("*") if file.is_file()]
        assert not [file for file in kept if b"hf_secret" in file.read_bytes()]
