"""The kinds of file that lvtune reads, each with a sound one and its reader."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attacks import TESTS

PHOTO = TESTS / "samples/coco/val2017/000000000785.jpg"


@dataclass(frozen=True)
class Sound:
    """A sound file, and how it is read."""

    file: Path
    """What is damaged."""
    read: Callable[[], Any]
    exact: Callable[[Any], bool] | None = None
    """For files with a checksum: True if what was read is what was written. None: any text may be sound."""
    before: Callable[[], None] = lambda: None
    """Called before each trial, to make what the one before took away."""


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    make: Callable[[Path], Sound]


def _adapter(folder: Path, method: str = "vlpose", *, alone: bool = False, config: bool = False) -> Sound:
    import torch
    from tiny import make_adapter, tiny_base

    from lvtune.storage.adapter_file import CONFIG_FILE, TENSORS_FILE
    from lvtune.storage.store import read_adapter, save_adapter

    base, prints = tiny_base(), {}
    wanted = make_adapter(method, base, stirred=0.1)
    save_adapter(wanted, folder / "art", base)
    if alone:
        (folder / "art" / CONFIG_FILE).unlink()
    tensors = {name: value.clone() for name, value in wanted.tensors().items()}

    def same(found: Any) -> bool:
        read = found.tensors()
        equal = read.keys() == tensors.keys() and all(torch.equal(read[name], tensors[name]) for name in tensors)
        return equal and found.config == wanted.config

    file = folder / "art" / (CONFIG_FILE if config else TENSORS_FILE)
    return Sound(file, lambda: read_adapter(folder / "art", base, prints=prints), same)


def _peft(folder: Path, name: str) -> Sound:
    """A folder as plain peft saves it; there is no checksum in it."""
    from tiny import make_adapter, tiny_base

    from lvtune.storage.adapter_file import CONFIG_FILE, PEFT_FILE, TENSORS_FILE
    from lvtune.storage.store import read_adapter, save_adapter

    base = tiny_base()
    save_adapter(make_adapter("lora", base, stirred=0.1), folder / "art", base)
    (folder / "art" / CONFIG_FILE).unlink()
    from safetensors.torch import load_file, save_file

    tensors = folder / "art" / TENSORS_FILE
    save_file(load_file(tensors), tensors)
    file = tensors if name == TENSORS_FILE else folder / "art" / PEFT_FILE
    return Sound(file, lambda: read_adapter(folder / "art", base))


def _checkpoint(folder: Path) -> Sound:
    import torch
    from torch import nn

    from lvtune.training.checkpoint import Progress, load_checkpoint, save_checkpoint
    from lvtune.training.loop import History

    def made(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(seed)
        adapter = nn.Linear(3, 4)
        optimizer = torch.optim.AdamW(adapter.parameters())
        adapter(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        return adapter, optimizer

    adapter, optimizer = made(0)
    record = vars(History(steps=[1, 2], loss=[0.5, 0.4], seconds=3.0, lr=1e-3))
    file = folder / "checkpoint.safetensors"
    save_checkpoint(file, adapter, optimizer, None, progress=Progress(1, 2, None, record), key="a")
    wanted = {name: value.clone() for name, value in adapter.state_dict().items()}

    def read() -> Any:
        fresh, moments = made(1)
        found = load_checkpoint(file, fresh, moments, "a", steps=2, record=vars(History()))
        return found, fresh.state_dict()

    def same(found: Any) -> bool:
        return found[0] is not None and all(torch.equal(found[1][name], wanted[name]) for name in wanted)

    return Sound(file, read, same)


def _report(folder: Path) -> Sound:
    """A run's report, as ``push`` and ``reproduce`` read it."""
    from tiny import make_adapter, tiny_base

    from lvtune.hub.publish import push_adapter
    from lvtune.storage.store import save_adapter

    base = tiny_base()
    save_adapter(make_adapter("lora", base), folder / "art", base)
    scores = {"pck@0.2": 50.0, "ap": 40.0, "px_mean": 3.0}
    side = {when: scores for when in ("before", "after_on", "after_off")}
    report = {
        "main": "pck@0.2", "target": side, "source": side, "target_name": "art", "source_name": "photographs",
        "gap_closed": 0.5, "retention": {"on": 1.0, "off": 1.0}, "recipe": {"base": "vitpose-ti", "seed": 1},
        "adapter": {"method": "lora", "parameters": 10, "share_of_base": 0.1}, "versions": {"lvtune": "0.1"},
        "scoring": {"target": {"pck_by": "torso"}, "source": None}, "reasons": {}, "notes": [],
    }  # fmt: skip
    file = folder / "art" / "report.json"
    file.write_text(json.dumps(report))
    return Sound(file, lambda: push_adapter(folder / "art", "me/art", license="mit", dry_run=True))


def _cell(folder: Path) -> Sound:
    """A finished cell of a comparison."""
    from lvtune.experiments.cell_runner import finished_row
    from lvtune.experiments.cells import cells_of, variants_of

    (cell,) = cells_of({}, variants_of("lora"), shots=["all"], seeds=[0], lrs=[], out=folder)
    from lvtune.api.recipe_settings import settings_without_places

    file = cell.folder / "cell.json"
    file.parent.mkdir(parents=True)
    (cell.folder / "report.json").write_text("{}")
    # without marks, which would load the base and the data in every trial
    file.write_text(json.dumps({"row": {"target": 1.0}, "settings": settings_without_places(cell.recipe)}))
    return Sound(file, lambda: finished_row(cell))


def _recipe(folder: Path) -> Sound:
    from lvtune.api.recipe import Recipe

    file = folder / "recipe.yaml"
    file.write_text(Recipe(method="lora", method_options={"r": 4}, train=Recipe().train).to_yaml())
    return Sound(file, lambda: Recipe.from_yaml(file).to_dict())


def _domain(folder: Path) -> Sound:
    from own_files import draw_pictures, mice, write

    from lvtune.config.options import DataOptions
    from lvtune.data.formats import read_project
    from lvtune.domains.domain_file import read_domain
    from lvtune.domains.domain_text import domain_text

    data = mice(4)
    draw_pictures(data, folder)
    file = folder / "mice.yaml"
    file.write_text(domain_text(read_project(write(data, folder), None), ".", "mice"))
    return Sound(file, lambda: read_domain(str(file), DataOptions()).open("train"))


def _coco(folder: Path) -> Sound:
    from own_files import draw_pictures, sound, write

    from lvtune.data.table import read_coco

    data = sound(4, size=(64, 48))
    draw_pictures(data, folder)
    file = write(data, folder)
    return Sound(file, lambda: list(read_coco(file, folder, cache_dir=folder / "cache")))


def _boxes(folder: Path, form: str) -> Sound:
    from lvtune.data.box_files import find_pictures, read_box_file

    shutil.copy(PHOTO, folder / "a.jpg")
    box = [1.0, 2.0, 30.0, 40.0]
    forms: dict[str, Any] = {
        "results": [{"image_id": 7, "category_id": 1, "bbox": box, "score": 0.9}],
        "annotations": {
            "images": [{"id": 7, "file_name": "a.jpg"}],
            "annotations": [{"image_id": 7, "category_id": 4, "bbox": box}],
            "categories": [{"id": 4, "name": "mouse"}],
        },
        "table": {"a.jpg": [box, box], "b.jpg": []},
    }  # fmt: skip
    file, picture = folder / "boxes.json", folder / "a.jpg"
    file.write_text(json.dumps(forms[form]))
    return Sound(file, lambda: find_pictures(read_box_file(file), [picture], {picture: Path("a.jpg")}))


def _project(folder: Path, make: Callable[[Path], Path], file: Callable[[Path], Path] = lambda made: made) -> Sound:
    """A project of a labelling tool, read and converted to COCO's content."""
    from lvtune.data.formats import read_project
    from lvtune.data.formats.coco_writer import to_coco

    made = make(folder / "project")
    place = made if made.is_file() else folder / "project"
    return Sound(file(made), lambda: to_coco(read_project(place)))


def _dlc(folder: Path, kind: str) -> Sound:
    from dlc_samples import write_project

    return _project(
        folder, lambda place: write_project(place, kind), lambda made: next(made.rglob(f"CollectedData*.{kind}"))
    )


def _sleap(folder: Path) -> Sound:
    from test_sleap import of_files

    return _project(folder, lambda place: of_files(place)[0])


def _yolo(folder: Path, name: str) -> Sound:
    from test_yolo_pose import write_yolo

    made = folder / "project"
    return _project(folder, lambda place: write_yolo(place) or place, lambda _: next(made.rglob(name)))


def _labelme(folder: Path) -> Sound:
    from test_labelme import write_labelme

    made = folder / "project"
    return _project(folder, lambda place: write_labelme(place) or place, lambda _: min(made.rglob("*.json")))


def _cvat(folder: Path) -> Sound:
    from test_cvat import write_xml

    return _project(folder, write_xml, lambda _: folder / "project/annotations.xml")


def _label_studio(folder: Path) -> Sound:
    from test_label_studio import write_export

    return _project(folder, write_export, lambda made: next(made.glob("project-*.json")))


def _journal(folder: Path) -> Sound:
    """What ``predict --resume`` reads."""
    from lvtune.data.skeletons import LSP_14
    from lvtune.prediction.frames import Frame
    from lvtune.prediction.journal import Journal
    from lvtune.prediction.pose import FramePoses, Pose

    def opened() -> Journal:
        return Journal(folder, {"base": "tiny"}, {LSP_14.name: LSP_14})

    def poses(frame: Frame) -> FramePoses:
        points = np.random.default_rng(frame.index).random((14, 3))
        return FramePoses(frame, [Pose(frame.image, (0.0, 0.0, 5.0, 5.0), points[:, :2], points[:, 2], LSP_14)])

    written = [poses(Frame(index, Path(f"{index}.jpg"), None)) for index in range(6)]
    journal = opened()
    journal.begin()
    for start in range(0, 6, 2):
        journal.write(written[start : start + 2])
    journal.close()

    def read() -> list[FramePoses]:
        again = opened()
        again.look()
        return list(again.results()) if again.done else []

    def same(found: list[FramePoses]) -> bool:
        """True for the first chunks as they were written; what was cut off is predicted again."""
        pairs = zip(found, written, strict=False)
        return len(found) % 2 == 0 and all(
            str(a.frame.picture) == str(b.frame.picture) and np.array_equal(a[0].keypoints, b[0].keypoints)
            and np.array_equal(a[0].scores, b[0].scores) for a, b in pairs
        )  # fmt: skip

    return Sound(journal.path, read, same)


def _arrow(folder: Path) -> Sound:
    from lvtune.data.arrow import cached_columns

    values = {"xy": np.arange(24, dtype=np.float32).reshape(4, 3, 2), "names": ["a.jpg", "b.jpg", "", "d é.jpg"]}
    read = lambda: cached_columns("key", lambda: (values, {"notes": ["one"]}), folder)  # noqa: E731
    read()

    def same(found: Any) -> bool:
        texts = [found["names"][i].as_py() for i in range(4)]
        return np.array_equal(found["xy"], values["xy"]) and texts == values["names"] and found.meta["notes"] == ["one"]

    return Sound(folder / "tables" / "key.arrow", read, same)


def _array(folder: Path) -> Sound:
    from lvtune.data.array_cache import read_array, write_array

    vectors, file = np.linspace(-1, 1, 60, dtype=np.float32).reshape(10, 6), folder / "joint" / "x.npy"
    write_array(file, vectors)
    return Sound(file, lambda: read_array(file), lambda found: found is None or np.array_equal(found, vectors))


def _pickle(folder: Path, protocol: int) -> Sound:
    import pickle

    from lvtune.data.safe_pickle import load_numbers

    hand = {"K": np.eye(3, dtype=np.float32), "xyz": np.arange(126.0).reshape(42, 3), "uv_vis": np.ones((42, 3))}
    file = folder / "anno.pickle"
    file.write_bytes(pickle.dumps({0: hand, 1: hand}, protocol))
    return Sound(file, lambda: load_numbers(file))


def _foreign(folder: Path) -> Sound:
    import torch

    from lvtune.export.foreign_models import read_checkpoint

    file = folder / "model.pth"
    torch.save({"state_dict": {"backbone.a": torch.ones(3), "head.b": torch.zeros(2, 2)}, "meta": {"epoch": 3}}, file)
    return Sound(file, lambda: read_checkpoint(file))


def _picture(folder: Path, suffix: str) -> Sound:
    import cv2

    from lvtune.data.images import read_image

    file = folder / f"a{suffix}"
    cv2.imwrite(str(file), cv2.resize(cv2.imread(str(PHOTO)), (64, 48)))
    return Sound(file, lambda: read_image(file).shape)


def _sentences(folder: Path) -> Sound:
    from lvtune.language.sentences import own_sentences

    file = folder / "words.yaml"
    file.write_text("sketch: a pencil sketch of a person\ncartoon: a cartoon, with colours\n")
    return Sound(file, lambda: own_sentences({"sketch": "a sketch", "cartoon": "a cartoon"}, str(file)))


def _weights_config(folder: Path) -> Sound:
    import lvtune

    base = lvtune.load_base("vitpose-ti", weights="random")
    base.model.save_pretrained(folder / "weights")
    place = folder / "weights"
    return Sound(place / "config.json", lambda: lvtune.load_base("vitpose-ti", str(place)).name)


KINDS = [
    Kind("adapter safetensors", _adapter),
    Kind("adapter safetensors alone", lambda folder: _adapter(folder, "lora", alone=True)),
    Kind("adapter config", lambda folder: _adapter(folder, config=True)),
    Kind("peft folder: config", lambda folder: _peft(folder, "adapter_config.json")),
    Kind("peft folder: tensors", lambda folder: _peft(folder, "adapter_model.safetensors")),
    Kind("checkpoint", _checkpoint),
    Kind("report", _report),
    Kind("finished cell", _cell),
    Kind("recipe YAML", _recipe),
    Kind("domain YAML", _domain),
    Kind("sentences YAML", _sentences),
    Kind("COCO JSON", _coco),
    Kind("boxes: results", lambda folder: _boxes(folder, "results")),
    Kind("boxes: annotations", lambda folder: _boxes(folder, "annotations")),
    Kind("boxes: table", lambda folder: _boxes(folder, "table")),
    Kind("DeepLabCut CSV", lambda folder: _dlc(folder, "csv")),
    Kind("DeepLabCut H5", lambda folder: _dlc(folder, "h5")),
    Kind("SLEAP", _sleap),
    Kind("YOLO-pose YAML", lambda folder: _yolo(folder, "*.yaml")),
    Kind("YOLO-pose labels", lambda folder: _yolo(folder, "*.txt")),
    Kind("LabelMe JSON", _labelme),
    Kind("CVAT XML", _cvat),
    Kind("Label Studio JSON", _label_studio),
    Kind("journal of predict", _journal),
    Kind("Arrow cache", _arrow),
    Kind("joint cache", _array),
    Kind("RHD pickle, protocol 2", lambda folder: _pickle(folder, 2)),
    Kind("RHD pickle, protocol 5", lambda folder: _pickle(folder, 5)),
    Kind("foreign .pth", _foreign),
    Kind("JPEG", lambda folder: _picture(folder, ".jpg")),
    Kind("PNG", lambda folder: _picture(folder, ".png")),
    Kind("WebP", lambda folder: _picture(folder, ".webp")),
    Kind("TIFF", lambda folder: _picture(folder, ".tiff")),
    Kind("BMP", lambda folder: _picture(folder, ".bmp")),
    Kind("config.json of weights", _weights_config),
]
