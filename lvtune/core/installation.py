"""What is installed here, and what does not match or is missing; torch is looked at in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from lvtune.core.machine import total_bytes
from lvtune.core.threads import cpu_limit
from lvtune.core.version import __version__

PURPOSES = {
    "hands": "scores of hands in 3D",
    "heic": "pictures in HEIC format",
    "figures": "maps of a joint encoder (lvtune figure)",
    "onnx": "export to ONNX",
    "minilm": "sentences of your own, without network",
    "labels": "labels of SLEAP, and DeepLabCut's H5",
    "tracking": "curves in TensorBoard (--track tensorboard)",
    "completion": "completion in the shell (lvtune completion)",
    "docs": "building the documentation",
    "video": "reading and writing videos",
    "demo": "the page in the browser (lvtune demo)",
}
"""Extra to what it is for."""
_FOR_TESTS = ("test",)
_MOST_SECONDS = 180
_LOOK = """
import json
found = {}
try:
    import torch
    found["torch"] = torch.__version__
    found["threads"] = torch.get_num_threads()
    found["cuda"] = torch.version.cuda
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    found["gpus"] = [{"name": gpu.name, "gib": round(gpu.total_memory / 2**30, 1)} for gpu in gpus]
    found["mps"] = bool(torch.backends.mps.is_available())
    import torchvision
    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)  # fails if torchvision was built for another torch
    import timm, transformers
except Exception as error:
    found["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
print("FOUND" + json.dumps(found))
"""


def examine(devices: bool = True) -> dict[str, Any]:
    """Returns ``system``, ``packages``, ``device``, ``threads``, ``caches``, ``extras`` and ``problems``.

    Args:
        devices: start torch in a process of its own to look for devices, which takes seconds.
    """
    packages, extras = _requirements()
    problems = [p["problem"] for p in packages if p["problem"]]
    looked = _look() if devices else {}
    if looked.get("error"):
        fix = "install torch and torchvision of one release again: `pip install --force-reinstall torch torchvision`"
        problems.append(_problem(f"torch and its companions fail ({looked['error']})", "packages that match", fix))
    return {
        "system": {
            "lvtune": __version__, "python": platform.python_version(), "system": platform.platform(terse=True),
            "machine": platform.machine(), "memory": _gib(_memory()),
        },
        "packages": [{name: p[name] for name in ("name", "version", "needs", "state")} for p in packages],
        "device": _device(looked) if devices else {"looked": "no (--no-device)"},
        "threads": _threads(looked),
        "caches": _caches(),
        "extras": extras,
        "problems": problems,
    }  # fmt: skip


def _problem(given: str, expected: str, fix: str) -> dict[str, str]:
    return {"given": given, "expected": expected, "fix": fix}


def _requirements() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns the packages that every command needs, and the extras with what is missing for each."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return [_row("packaging", None, "", "missing", "type `pip install packaging`")], []
    try:
        wanted = [Requirement(text) for text in metadata.requires("lvtune") or []]
    except metadata.PackageNotFoundError:
        return [_row("lvtune", None, "", "not installed", "type `pip install .` in the folder of lvtune")], []
    base = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    rows = [_package(requirement) for requirement in base]
    rows += [row for row in (_companion(Requirement, name) for name in ("torchvision", "timm")) if row]
    names = metadata.metadata("lvtune").get_all("Provides-Extra") or []
    extras = []
    for name in (extra for extra in names if extra not in _FOR_TESTS):
        own = [r for r in wanted if r not in base and r.marker and r.marker.evaluate({"extra": name})]
        missing = [str(r.name) for r in own if _fault(r)]
        fix = f"pip install 'lvtune[{name}]'" if missing else ""
        extras.append(
            {"extra": name, "for": PURPOSES.get(name, ""), "ready": not missing, "missing": missing, "fix": fix}
        )
    return rows, extras


def _fault(requirement: Any) -> str:
    """Returns ``missing`` or ``does not match``; empty if the package is as required."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return "missing"
    return "" if requirement.specifier.contains(version, prereleases=True) else "does not match"


def _package(requirement: Any) -> dict[str, Any]:
    fault, needs = _fault(requirement), str(requirement.specifier)
    version = None if fault == "missing" else metadata.version(requirement.name)
    return _row(requirement.name, version, needs, fault or "ok", f"type `pip install -U '{requirement.name}{needs}'`")


def _companion(parse: Any, name: str) -> dict[str, Any] | None:
    """Returns the row that compares torch with what a package that is built on it needs; None if it is not there."""
    try:
        needs = [r for r in map(parse, metadata.requires(name) or []) if r.name == "torch" and not r.extras]
    except metadata.PackageNotFoundError:
        return None
    needs = [r for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})]
    if not needs or not str(needs[0].specifier):
        return None
    row = _package(needs[0])
    fix = f"type `pip install -U torch {name}`, so that both are of one release"
    return _row(f"torch for {name}", row["version"], row["needs"], row["state"], fix)


def _row(name: str, version: str | None, needs: str, state: str, fix: str) -> dict[str, Any]:
    problem = None
    if state != "ok":
        problem = _problem(f"{name} {version or ''}".strip() + f": {state}", f"{name} {needs}".strip(), fix)
    return {"name": name, "version": version or "-", "needs": needs or "any", "state": state, "problem": problem}


def _look() -> dict[str, Any]:
    """Returns what torch says of this machine; a crash of torch ends its own process alone."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOOK], capture_output=True, text=True, timeout=_MOST_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": f"{type(error).__name__} while torch is imported"}
    marked = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    if not marked:
        return {"error": f"the process that imports torch ended with code {done.returncode}"}
    return json.loads(marked[-1].removeprefix("FOUND"))


def _device(looked: Mapping[str, Any]) -> dict[str, Any]:
    gpus = [f"{gpu['name']}, {gpu['gib']} GiB" for gpu in looked.get("gpus", [])]
    used = "cuda" if gpus else "cpu"
    return {
        "used by --device auto": used,
        "GPUs": gpus or "none that torch can use",
        "CUDA of torch": looked.get("cuda") or "none",
        **({"mps": "there; choose it with --device mps"} if looked.get("mps") else {}),
    }


def _threads(looked: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ}
    limit = cpu_limit()
    return {
        "cores": os.cpu_count(),
        "cores of the container": "no limit" if limit is None else limit,
        **({"threads of torch": looked["threads"]} if "threads" in looked else {}),
        "set by you": ", ".join(f"{name}={value}" for name, value in said.items()) or "nothing",
    }


def _caches() -> dict[str, Any]:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    own = Path(os.environ.get("LVTUNE_CACHE") or Path.home() / ".cache" / "lvtune")
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    token = bool(os.environ.get("HF_TOKEN")) or (home / "token").is_file()
    return {
        "models (Hugging Face)": _folder(hub),
        "lvtune": _folder(own),
        "of these, kept features": _folder(own / "features"),
        "network": "off (HF_HUB_OFFLINE)" if offline else "on",
        "token of the Hub": "there" if token else "none",  # its text is never read
    }


def _folder(path: Path) -> str:
    there = next((folder for folder in (path, *path.parents) if folder.exists()), path)
    try:
        free = f"{_gib(shutil.disk_usage(there).free)} free"
    except OSError:
        free = "cannot be read"
    if not path.exists():
        return f"{path} (does not exist yet, {free})"
    can_write = "" if os.access(path, os.W_OK) else ", cannot be written"
    return f"{path} ({_gib(_size(path))} used, {free}{can_write})"


def _size(path: Path) -> int:
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            file = Path(folder) / name
            found = file.lstat()
            # a file with holes takes less room than its length
            total += 0 if file.is_symlink() else min(found.st_size, 512 * getattr(found, "st_blocks", found.st_size))
    return total


def _memory() -> int | None:
    try:
        return total_bytes()
    except (ImportError, OSError):  # the installation may be what is wrong
        return None


def _gib(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 2**30:.1f} GiB"
