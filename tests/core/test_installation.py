"""``lvtune doctor``: what is there, what does not match, what is missing for what."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from lvtune.cli.main import main
from lvtune.core import installation

ROOT = Path(__file__).parents[2]
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "transformers", "timm", "numpy", "yaml"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
from lvtune.cli.main import main
sys.exit(main(["doctor", "--no-device", "--json"]))
"""


@pytest.fixture
def told(monkeypatch):
    """Replaces versions and requirements of some packages."""
    versions, requirements = {}, {}
    version, requires = metadata.version, metadata.requires

    def version_of(name):
        if versions.get(name, "") is None:
            raise metadata.PackageNotFoundError(name)
        return versions.get(name) or version(name)

    monkeypatch.setattr(metadata, "version", version_of)
    monkeypatch.setattr(metadata, "requires", lambda name: requirements.get(name) or requires(name))
    return versions, requirements


def test_it_runs_where_nothing_heavy_can_be_imported():
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, cwd=ROOT, check=False)
    values = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert values["problems"] == [] and values["system"]["python"].startswith("3.")
    assert {"torch", "timm", "transformers"} <= {row["name"] for row in values["packages"]}


def test_torch_of_another_release_than_torchvision(told, capsys):
    told[0]["torch"], told[1]["torchvision"] = "2.11.0", ["torch (==2.14.1)", "scipy ; extra == 'scipy'"]
    assert main(["doctor", "--no-device"]) == 1
    out, err = capsys.readouterr()
    assert "torch for torchvision" in out and "does not match" in out
    assert "torch for torchvision 2.11.0: does not match; expected torch for torchvision ==2.14.1" in err
    assert "pip install -U torch torchvision" in err


def test_what_is_missing_for_what(told):
    told[0].update({"onnxruntime": None, "timm": None})
    told[1]["lvtune"] = ["timm>=1.0", "onnx>=1; extra == 'onnx'", "onnxruntime>=1; extra == 'onnx'"]
    values = installation.examine(devices=False)
    (problem,) = values["problems"]
    assert problem["given"] == "timm: missing" and "pip install -U 'timm>=1.0'" in problem["fix"]
    extras = {row["extra"]: row for row in values["extras"]}
    assert extras["onnx"]["missing"] == ["onnxruntime"] and extras["onnx"]["fix"] == "pip install 'lvtune[onnx]'"
    assert extras["onnx"]["for"] == "export to ONNX" and "test" not in extras


def test_a_torch_that_cannot_be_imported_is_a_problem_and_no_crash(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    values = installation.examine()
    (problem,) = values["problems"]
    assert "libcudart.so.12" in problem["given"] and "force-reinstall torch torchvision" in problem["fix"]
    (tmp_path / "torch.py").write_text("import os; os._exit(7)")
    assert "ended with code 7" in installation.examine()["problems"][0]["given"]


def test_tokens_are_never_shown(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert main(["doctor", "--no-device"]) == 0
    out = capsys.readouterr().out
    assert "token of the Hub: there" in out and "secret" not in out
    assert f"{tmp_path}/hub (does not exist yet" in out


def test_every_extra_says_what_it_is_for():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) - {"test"} <= set(installation.PURPOSES)
