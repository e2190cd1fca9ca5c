"""The commands that are killed, on tiny models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from attacks.kills import Command

BASE = "attack-tiny"


def _register() -> None:
    """A tiny base of the skeleton of demo-art, under a name of its own."""
    from tiny import tiny_base

    from lvtune.bases.base_registry import BASES
    from lvtune.data.skeletons import LSP_14

    if BASE not in BASES:
        BASES.register(BASE)(lambda weights, revision=None, seed=0: tiny_base(skeleton=LSP_14))


def _base() -> Any:
    import lvtune

    _register()
    return lvtune.load_base(BASE)


def _adapter_state(folder: Path) -> str:
    """A whole adapter or none; its report, if there is one, is its own."""
    from lvtune.storage.adapter_file import TENSORS_FILE, read

    if not (folder / TENSORS_FILE).exists():
        return ""
    read(folder)  # raises where tensors and config do not belong together
    return "new"


def _saved(folder: Path, *seeds: int) -> list[Path]:
    from tiny import make_adapter

    from lvtune.storage.store import save_adapter

    base = _base()
    return [
        save_adapter(make_adapter("lora", base, stirred=0.1, seed=seed), folder / f"in{seed}", base) for seed in seeds
    ]


def _save(folder: Path, known: Any) -> None:
    from lvtune.storage.store import save_adapter

    save_adapter(known[0], folder / "out", known[1], training={"steps": 1})


def _prepare_save(folder: Path) -> Any:
    from tiny import make_adapter

    base = _base()
    return make_adapter("vlpose", base, stirred=0.1), base


def _prepare_adapt(folder: Path) -> Any:
    """The base without weights of its own, and a few pictures of the demo domain."""
    from lvtune.api.recipe import Recipe

    _register()
    options = {
        "base": BASE, "method": "lora", "data": {"limit": 2}, "device": "cpu", "seed": 1,
        "train": {"epochs": 2, "batch_size": 2, "checkpoint_every": 1, "augment": {"flip": 0.0}},
        "evaluate": {"flip_test": False}, "out": str(folder / "out"),
    }  # fmt: skip
    return Recipe.from_dict(options)


def _adapt(folder: Path, recipe: Any) -> None:
    import lvtune

    lvtune.adapt(recipe)


def _prepare_combine(folder: Path) -> Any:
    return _saved(folder, 1, 2)


def _combine(folder: Path, sources: Any) -> None:
    import lvtune

    base = _base()
    made = lvtune.average([lvtune.load_adapter(source, base) for source in sources])
    lvtune.save_adapter(made, folder / "out", base)


def _prepare_export(folder: Path) -> Any:
    from tiny import tiny_base

    return tiny_base()


def _export(folder: Path, base: Any) -> None:
    from lvtune.export.transformers_folder import save_transformers

    save_transformers(base, None, folder / "out")


def _exported_state(folder: Path, base: Any) -> str:
    from safetensors.torch import load_file
    from transformers import VitPoseForPoseEstimation

    place = folder / "out"
    if not (place / "config.json").exists():
        return ""
    VitPoseForPoseEstimation.from_pretrained(place)
    load_file(place / "model.safetensors")
    return "new"


def _prepare_convert(folder: Path) -> Any:
    return _base()


def _convert(folder: Path, base: Any) -> None:
    """What ``convert`` writes once a checkpoint has been read."""
    from lvtune.export.transformers_folder import save_whole

    save_whole(folder / "out", base.model)


def _weights_state(folder: Path, base: Any) -> str:
    from transformers import VitPoseConfig

    from lvtune.bases.weights_file import check_state, read_safetensors

    place = folder / "out"
    if not (place / "config.json").exists():
        return ""
    VitPoseConfig.from_pretrained(place)
    check_state(base.model.state_dict(), read_safetensors(place / "model.safetensors"), place)
    return "new"


def _prepare_labels(folder: Path) -> Any:
    from label_samples import write_pictures
    from test_yolo_pose import write_yolo

    write_yolo(folder / "project")
    write_pictures(folder / "more")
    return folder / "project"


def _convert_labels(folder: Path, project: Any) -> None:
    from lvtune.data.formats import read_project
    from lvtune.data.formats.coco_writer import write_coco

    out = folder / "out"
    if out.exists() and any(out.iterdir()):  # as the command asks of its user
        shutil.rmtree(folder / "old", ignore_errors=True)
        out.rename(folder / "old")  # a kill while this user removes the folder is no fault of the command
    write_coco(read_project(project), out)


def _labels_state(folder: Path, project: Any) -> str:
    import json

    files = list((folder / "out").rglob("*.json"))
    for file in files:
        content = json.loads(file.read_text())
        for image in content["images"]:
            assert (folder / "out" / "images" / image["file_name"]).stat().st_size > 0, image["file_name"]
    return "new" if files else ""


COMMANDS = {
    "save": Command("save", _prepare_save, _save, lambda folder, known: _adapter_state(folder / "out")),
    "adapt": Command("adapt", _prepare_adapt, _adapt, lambda folder, known: _adapter_state(folder / "out")),
    "combine": Command("combine", _prepare_combine, _combine, lambda folder, known: _adapter_state(folder / "out")),
    "export": Command("export", _prepare_export, _export, _exported_state),
    "convert": Command("convert", _prepare_convert, _convert, _weights_state),
    "convert data": Command("convert data", _prepare_labels, _convert_labels, _labels_state),
}
