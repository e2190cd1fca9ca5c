"""Defaults for own data: chosen from the labels, told, written down, and never over what the user set."""

import json

import cv2
import numpy as np
import pytest
import torch
from tiny import tiny_base

import lvtune
from lvtune.adapters.method_registry import METHODS
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.bases.base_registry import BASES
from lvtune.bases.fingerprint import fingerprint
from lvtune.data.skeletons import LSP_14
from lvtune.training.guard import GuardResult

MOUSE = ["snout", "left_ear", "right_ear", "tailbase"]
SHAPE = 1.5 * np.array([[0, -30], [-10, -18], [10, -18], [0, 34]])


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(
        BASES._entries, "vitpose-tiny", lambda weights, revision=None, seed=0: tiny_base(skeleton=LSP_14)
    )
    monkeypatch.setattr("lvtune.api.own_defaults.processor_has_bf16", lambda: False)


def own_data(folder, names, spread, count=10, margin=8):
    """Pictures of 200x160 px with one animal each, turned by up to ``spread`` degrees."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    images, notes = [], []
    for i, angle in enumerate(np.radians(np.linspace(-spread, spread, count))):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = SHAPE[: len(names)] @ turn.T + rng.uniform((70, 60), (130, 100))
        picture = np.full((160, 200, 3), 255, np.uint8)
        for point in points:
            cv2.circle(picture, tuple(map(int, point)), 4, (0, 0, 0), -1)
        cv2.imwrite(str(folder / f"{i:02}.png"), picture)
        images.append({"id": i, "file_name": f"{i:02}.png", "width": 200, "height": 160})
        low, high = points.min(0) - margin, points.max(0) + margin
        flat = [float(v) for point in points for v in (*point, 2)]
        notes.append({"id": i, "image_id": i, "category_id": 1, "bbox": [*low, *(high - low)], "area": 2000.0,
                      "iscrowd": 0, "keypoints": flat, "num_keypoints": len(names)})  # fmt: skip
    kind = {"id": 1, "name": "mouse", "keypoints": names, "skeleton": []}
    file = folder / "mine.json"
    file.write_text(json.dumps({"images": images, "annotations": notes, "categories": [kind]}))
    return {"data": str(folder), "annotations": str(file)}


def job_of(tmp_path, names=MOUSE, spread=175.0, **values):
    data = own_data(tmp_path / "own", names, spread)
    values = {"base": "vitpose-tiny", "method": "lora", "device": "cpu", "data": data, **values}
    return prepare(Recipe.from_dict(values))


def said(job):
    return {line.what: line.value for line in job.decisions}


def test_a_domain_file_of_the_same_labels_gives_the_same_choices(tmp_path):
    plain = job_of(tmp_path)
    file = tmp_path / "mice.yaml"
    file.write_text(f"data: own\nannotations: own/mine.json\nkeypoints: [{', '.join(MOUSE)}]\n")
    job = prepare(Recipe.from_dict({"base": "vitpose-tiny", "method": "lora", "device": "cpu", "domain": str(file)}))
    assert job.base.input_size == plain.base.input_size and job.recipe.train == plain.recipe.train
    assert said(job) == said(plain)


def test_a_mouse_from_above(tmp_path):
    job = job_of(tmp_path)
    train, lr = job.recipe.train, METHODS.get("lora").defaults["lr"]
    assert job.base.input_size == (80, 80) and job.new_keypoints == 4
    assert job.recipe.base_options.input_size == "80x80"
    assert (train.augment.rotate, train.augment.rotate_p, train.augment.flip) == (180.0, 1.0, 0.5)
    assert (train.lr, train.predictor_lr, train.gentle) == (2 * lr, max(lr, 5e-3), False)
    assert (train.steps, train.batch_size, train.guard) == (300, 16, 100)
    assert job.recipe.evaluate.flip_test
    assert job.options == train  # no factor for a start, nor for few pictures
    assert list(said(job)) == [
        "method", "input size", "learning rate", "steps", "rotation", "mirrored pictures", "scale", "shift",
        "labelled points turned out of the picture", "weight near a key point",
    ]  # fmt: skip


@pytest.mark.parametrize("has_bf16", [True, False])
def test_precision_is_that_of_the_processor(tmp_path, monkeypatch, has_bf16):
    monkeypatch.setattr("lvtune.api.own_defaults.processor_has_bf16", lambda: has_bf16)
    job = job_of(tmp_path)
    assert job.recipe.train.precision == ("bf16" if has_bf16 else "auto")
    assert said(job).get("precision") == ("bf16" if has_bf16 else None)


def test_precision_that_the_user_set_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("lvtune.api.own_defaults.processor_has_bf16", lambda: True)
    job = job_of(tmp_path, train={"precision": "no"})
    assert job.recipe.train.precision == "no" and "precision" not in said(job)


def test_a_method_that_counts_in_epochs_takes_the_steps_that_were_chosen(tmp_path):
    job = job_of(tmp_path, method="vlpose-light")
    assert "epochs" in METHODS.get("vlpose-light").defaults and job.recipe.train.steps == 300
    assert job.recipe.train.augment.color == METHODS.get("vlpose-light").defaults["augment"]["color"]


def test_what_stands_one_way_and_has_no_sides(tmp_path):
    job = job_of(tmp_path, names=["tip", "knob", "paw", "base"], spread=4.0)
    assert not job.recipe.evaluate.flip_test
    assert job.recipe.train.augment.flip == 0.0 and 5.0 <= job.recipe.train.augment.rotate <= 18.0
    assert said(job)["mirrored pictures"] == "0%"


@pytest.mark.parametrize(
    ("names", "rotate"),
    [(MOUSE, 180.0), (["left_knee", "right_knee", "left_hip", "tail"], 46.0)],
    ids=["new to the base", "known to the base"],
)
def test_ten_labels_of_a_new_subject_may_not_show_how_far_it_is_turned(tmp_path, names, rotate):
    job = job_of(tmp_path, names=names, spread=34.0)
    assert job.recipe.train.augment.rotate == pytest.approx(rotate, abs=2)
    line = next(line for line in job.decisions if line.what == "rotation")
    assert ("may not show all" in line.why) == (names is MOUSE)


def test_what_always_walks_to_the_right_is_not_mirrored(tmp_path, monkeypatch):
    monkeypatch.setattr("test_own_defaults.SHAPE", np.array([[40.0, -5], [25, 20], [20, 18], [-40, -12]]))
    job = job_of(tmp_path, spread=5.0)
    assert job.recipe.train.augment.flip == 0.0 and not job.recipe.evaluate.flip_test
    assert said(job)["mirrored pictures"] == "0%"


def test_what_the_user_set_stays(tmp_path):
    job = job_of(
        tmp_path,
        base_options={"input_size": "64x64"},
        train={"lr": 1e-4, "steps": 7, "augment": {"rotate": 3.0, "flip": 0.25}},
    )
    train = job.recipe.train
    assert job.base.input_size == (64, 64) and (train.lr, train.predictor_lr, train.steps) == (1e-4, None, 7)
    assert (train.augment.rotate, train.augment.flip, train.guard) == (3.0, 0.25, 0)
    found = said(job)
    assert found["input size"] == "64x64" and not {"learning rate", "steps", "rotation"} & found.keys()


def test_own_data_with_known_key_points_is_tuned_as_before(tmp_path):
    data = own_data(tmp_path / "own", list(LSP_14.keypoints)[:4], 170.0)
    names = list(LSP_14.keypoints)
    file = json.loads((tmp_path / "own/mine.json").read_text())
    file["categories"][0]["keypoints"] = names
    for note in file["annotations"]:
        note["keypoints"] += [0.0] * 3 * (len(names) - 4)
    (tmp_path / "own/mine.json").write_text(json.dumps(file))
    given = Recipe.from_dict({"base": "vitpose-tiny", "method": "lora", "device": "cpu", "data": data})
    job = prepare(given)
    assert job.recipe.train == given.resolved(METHODS.get("lora").defaults).train
    assert job.base.input_size == (64, 48) and said(job) == {"method": "lora", "input size": "64x48"}


def test_a_built_in_domain_is_tuned_as_before():
    given = Recipe.from_dict({"base": "vitpose-tiny", "method": "lora", "device": "cpu"})
    job = prepare(given)
    assert job.recipe.train == given.resolved(METHODS.get("lora").defaults).train
    assert job.base.input_size == (64, 48) and job.recipe.base_options.input_size == "auto"


def test_a_run_says_and_writes_what_was_decided(tmp_path, capsys):
    lines = []
    recipe = Recipe.from_dict({
        "base": "vitpose-tiny", "method": "lora", "device": "cpu", "data": own_data(tmp_path / "own", MOUSE, 175.0),
        "train": {"steps": 12, "batch_size": 4, "guard": 100}, "out": str(tmp_path / "out"),
    })  # fmt: skip
    report = lvtune.adapt(recipe, say=lines.append).to_dict()
    stored = json.loads((tmp_path / "out/report.json").read_text())
    found = {line["what"]: line for line in stored["decisions"]}
    assert found["input size"]["value"] == "80x80" and set(found["rotation"]) == {"what", "value", "why"}
    assert found["start"]["value"] == "the base's own answer"
    assert found["weight near a key point"]["value"] == "x 11 in the loss"
    assert "kept" in found["few-shot guard"]["value"] and report["few"]["guard"]["share"] in (0.0, 1.0)
    assert any(line.startswith("input size: 80x80 (") for line in lines)
    page = (tmp_path / "out/report.html").read_text()
    assert found["rotation"]["why"] in page
    assert "held-out frames" in capsys.readouterr().err and len(stored["curves"]["px_mean"]) == 5
    assert "Mean error on held-out frames" in page and stored["curves"]["empty_loss"] > 0
    assert report["base"]["fingerprint_before"] == report["base"]["fingerprint_after"] == fingerprint(
        tiny_base(skeleton=LSP_14)
    )  # fmt: skip
    # the adapter says its size, and prediction follows
    scores = lvtune.evaluate("vitpose-tiny", tmp_path / "out", "custom", data=recipe.data, device="cpu")
    assert scores["target"]["pck@0.2"] == report["target"]["after_on"]["pck@0.2"]
    poses = lvtune.predict(tmp_path / "own/00.png", base="vitpose-tiny", adapter=tmp_path / "out", device="cpu")
    assert poses[0].keypoints.shape == (4, 2)


def test_the_same_seed_gives_the_same_adapter(tmp_path):
    data = own_data(tmp_path / "own", MOUSE, 175.0)
    for name in ("a", "b"):
        lvtune.adapt(
            {"base": "vitpose-tiny", "method": "lora", "device": "cpu", "data": data,
             "train": {"steps": 3}, "out": str(tmp_path / name)}
        )  # fmt: skip
    one, other = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "ab")
    assert one == other
    assert torch.isfinite(torch.tensor(json.loads((tmp_path / "a/report.json").read_text())["curves"]["loss"])).all()


@pytest.mark.parametrize("keypoints", [MOUSE, None])
def test_the_guard_protects_answers_that_there_are(tmp_path, monkeypatch, keypoints):
    """A predictor of new key points begins without an answer; a gain need not be beyond chance there."""
    from lvtune.api import few_shot

    asked = []

    def choose(*args, **options):
        asked.append(options)
        return GuardResult(1.0, {0.0: 1.0, 1.0: 0.5}, 0.1)

    monkeypatch.setattr(few_shot, "choose_share", choose)
    names = keypoints or list(LSP_14.keypoints[:4])
    lvtune.adapt(
        {"base": "vitpose-tiny", "method": "lora", "device": "cpu", "data": own_data(tmp_path / "own", names, 175.0),
         "train": {"steps": 2, "guard": 100}, "out": str(tmp_path / "out")}
    )  # fmt: skip
    (options,) = asked
    assert options["beyond_chance"] is (keypoints is None) and len(options["shares"]) == (2 if keypoints else 5)
