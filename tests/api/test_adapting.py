"""`adapt` on a new skeleton, in order: data looked at, adapter saved, then scored; the checkpoint goes last."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import lvtune
from lvtune.api import adapting
from lvtune.api.recipe import Recipe
from lvtune.cli.adapt import _next, summary_of
from lvtune.core.errors import DataError, UsageError
from lvtune.data.skeletons import COCO_17
from lvtune.storage.run_lock import LOCK_FILE, run_lock

MOUSE = ["nose", "left_ear", "tail_base"]


@pytest.fixture(scope="module")
def mice(tmp_path_factory):
    """Eight pictures of noise with a mouse of three points in a small part of each; two of the names are COCO's."""
    import cv2

    folder, rng = tmp_path_factory.mktemp("mice"), np.random.default_rng(0)
    (folder / "frames").mkdir()
    images, annotations = [], []
    for i in range(8):
        cv2.imwrite(str(folder / f"frames/{i}.png"), rng.integers(0, 255, (120, 160, 3), np.uint8))
        images.append({"id": i, "file_name": f"{i}.png", "width": 160, "height": 120})
        points = np.column_stack([rng.uniform(20, 50, 3), rng.uniform(20, 50, 3), np.full(3, 2)])
        annotations.append({"id": i + 1, "image_id": i, "category_id": 1, "bbox": [10, 10, 48, 50], "area": 2400,
                            "iscrowd": 0, "num_keypoints": 3, "keypoints": points.ravel().tolist()})  # fmt: skip
    category = {"id": 1, "name": "mouse", "keypoints": MOUSE}
    whole = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "own.json").write_text(json.dumps(whole))
    return folder


def recipe(mice, out, **more):
    values = {
        "base": "timm:resnet10t", "weights": "random", "method": "head", "out": str(out),
        "evaluate": {"flip_test": False},
        "data": {"data": str(mice / "frames"), "annotations": str(mice / "own.json")},
        "train": {"steps": 1, "batch_size": 2},
    }  # fmt: skip
    return Recipe.from_dict({**values, **more})


@pytest.fixture(scope="module")
def report(mice, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    return out, lvtune.adapt(recipe(mice, out)).to_dict()


def test_a_new_skeleton_is_scored_in_pixels_and_says_why_there_is_no_before(report):
    out, values = report
    assert json.loads((out / "report.json").read_text()) == values
    assert values["main"] == "px_mean" and values["target"]["before"] is None
    assert "the base does not know these key points (nose, left_ear, tail_base)" in values["reasons"]["target.before"]
    on = values["target"]["after_on"]
    assert set(on["px_per_keypoint"]) == set(MOUSE) and on["px_cutoff"]["p_cutoff"] == 0.6 and on["pck@0.2"] is not None
    assert values["target"]["per_joint"]["after_on"] == on["px_per_keypoint"]
    text = summary_of(values)
    assert "target mean error (px)" in text and "the base does not know" in text and "-  " not in text


def test_page_and_card_lead_with_the_error(report):
    out, _ = report
    page, card = (out / "report.html").read_text(), (out / "README.md").read_text()
    assert "mean error (px)" in page and "the base does not know these key points" in page
    assert "Before and after" in page and "The largest errors" in page
    assert "mean error (px)" in card and "There is no score before tuning" in card
    assert (out / "before-after.jpg").is_file()


def test_what_base_and_adapter_share_is_scored_before_and_after(report):
    """Of the mouse's three points the base knows two by name: on these tuning can be compared with the base alone."""
    out, values = report
    found = values["shared"]["target"]
    assert found["keypoints"] == [name for name in MOUSE if name in COCO_17.keypoints] and len(found["keypoints"]) == 2
    for when in ("before", "after_on"):
        assert set(found[when]) == {"pck@0.2", "pck@0.5", "px_mean", "px_median", "px_rms"}
    of_points = values["target"]["after_on"]["px_per_keypoint"]
    assert found["after_on"]["px_mean"] == pytest.approx(np.mean([of_points[name] for name in found["keypoints"]]))
    assert found["before"]["px_mean"] != found["after_on"]["px_mean"]
    assert "on the 2 key points that base and adapter share  before  adapter on" in summary_of(values)
    assert "On the key points that base and adapter share" in (out / "report.html").read_text()


def test_the_worst_five_are_told(report):
    _, values = report
    worst = [one["px_mean"] for one in values["worst"]]
    assert worst == sorted(worst, reverse=True) and 1 <= len(worst) <= 5
    assert set(values["worst"][0]["px_per_keypoint"]) == set(MOUSE)
    assert np.mean(list(values["worst"][0]["px_per_keypoint"].values())) == pytest.approx(worst[0])


def test_the_adapter_knows_how_small_its_boxes_were_and_predict_warns(report, mice):
    out, values = report
    share = 48 * 50 / (160 * 120)
    config = json.loads((out / "lvtune_config.json").read_text())
    assert config["training"]["boxes"] == values["boxes"] and values["boxes"]["median_share"] == pytest.approx(share)
    hint = _next(out, values)
    assert "--boxes" in hint and ("12 % of the picture" in hint or "13 % of the picture" in hint)
    base = lvtune.load_base("timm:resnet10t", weights="random")
    frame = mice / "frames/0.png"
    assert any("give --find pose" in n for n in lvtune.predict(frame, base=base, adapter=out, flip_test=False).notes)


def test_the_adapter_is_saved_before_it_is_scored_and_the_checkpoint_goes_last(mice, tmp_path, monkeypatch):
    out, seen = tmp_path / "out", []
    written = ("adapter_model.safetensors", adapting.CHECKPOINT_FILE, "report.json")

    class Stopped(Exception):
        pass

    def stop(self):
        seen.append([(out / name).is_file() for name in written])
        raise Stopped

    options = {"train": {"steps": 1, "batch_size": 2, "checkpoint_every": 1}}
    with monkeypatch.context() as patch:
        patch.setattr(adapting.Scoring, "on", stop)
        with pytest.raises(Stopped):
            lvtune.adapt(recipe(mice, out, **options))
    assert seen == [[True, True, False]]
    base = lvtune.load_base("timm:resnet10t", weights="random")
    assert lvtune.load_adapter(out, base).saved_with["metrics"] is None  # whole, though not scored
    lvtune.adapt(recipe(mice, out, **options))  # resumes, scores, and clears up
    assert [(out / name).is_file() for name in written] == [True, False, True]


def test_pictures_are_looked_at_first(mice, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for file in (mice / "frames").iterdir():
        (frames / file.name).write_bytes(file.read_bytes())
    (frames / "3.png").write_bytes(b"")
    (frames / "5.png").unlink()
    data = {"data": str(frames), "annotations": str(mice / "own.json")}
    with pytest.raises(DataError) as error:
        lvtune.adapt(recipe(mice, tmp_path / "out", data=data))
    assert "1 of " in error.value.given and not Path(tmp_path / "out").exists()


def test_the_data_folder_is_no_output_folder(mice):
    with pytest.raises(UsageError, match="holds input files"):
        lvtune.adapt(recipe(mice, mice / "frames"))


def test_a_second_run_into_the_same_folder_is_refused_and_told_by_whom(mice, tmp_path):
    with run_lock(tmp_path / "out") as owner:
        with pytest.raises(UsageError, match=f"into which another run writes .process {owner.pid} on"):
            lvtune.adapt(recipe(mice, tmp_path / "out"))
        assert [file.name for file in (tmp_path / "out").iterdir()] == [LOCK_FILE]


def test_reports_of_an_earlier_run_go_when_its_adapter_does(mice, tmp_path, monkeypatch):
    out, seen = tmp_path / "out", []
    out.mkdir()
    stale = ("report.json", "report.html", "README.md", "before-after.jpg", "adapter_config.json")
    for name in (*stale, "progress.png", "notes.txt"):
        (out / name).write_text("of an earlier run")

    def stop(self):
        seen.append({file.name for file in out.iterdir() if not file.name.startswith(".")})
        raise KeyboardInterrupt

    monkeypatch.setattr(adapting.Scoring, "on", stop)
    with pytest.raises(KeyboardInterrupt):
        lvtune.adapt(recipe(mice, out))
    assert seen == [{"adapter_model.safetensors", "lvtune_config.json", "progress.png", "notes.txt"}]
    assert (out / "progress.png").read_bytes().startswith(b"\x89PNG")  # this run's own
    assert not (out / LOCK_FILE).exists()


def test_the_base_is_hashed_for_the_adapter_file_once(mice, tmp_path, monkeypatch):
    asked = []
    real = adapting.fingerprints
    monkeypatch.setattr(adapting, "fingerprints", lambda model: asked.append(1) or real(model))
    monkeypatch.setattr("lvtune.storage.store.fingerprints", lambda model: 1 / 0)
    lvtune.adapt(recipe(mice, tmp_path / "out"))
    assert asked == [1]
