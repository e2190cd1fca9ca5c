"""Tuning with pictures without labels, from a recipe to a report."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import tiny_base
from tiny_hands import tiny_hand_base

import lvtune
from lvtune.api import unlabelled_data
from lvtune.api.job import prepare, training_data
from lvtune.api.recipe import Recipe
from lvtune.api.run_marks import MarkReader
from lvtune.bases.base_registry import BASES
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.data.skeletons import COCO_17, LSP_14, Skeleton

CALM = {"confidence": 0.01, "agreement": 10.0, "ramp": 0}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    for name, skeleton in (("vitpose-tiny-lsp", LSP_14), ("vitpose-tiny-coco", COCO_17)):
        monkeypatch.setitem(
            BASES._entries, name, lambda weights, revision=None, seed=0, s=skeleton: tiny_base(skeleton=s)
        )


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for number in range(6):
        pixels = torch.randint(0, 255, (40, 30, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).resize((90, 120)).save(folder / f"{number}.png")
    return folder


def recipe(tmp_path, **given):
    values = {"base": "vitpose-tiny-lsp", "method": "lora", "out": str(tmp_path / "out"), "device": "cpu",
              "start": "none", **({"objective_options": CALM} if "unlabelled" in given else {})} | given  # fmt: skip
    values["data"] = {"limit": 8, **given.get("data", {})}
    values["train"] = {"steps": 2, "batch_size": 4, **given.get("train", {})}
    values["evaluate"] = {"flip_test": False}
    return Recipe.from_dict(values)


def run(tmp_path, **given):
    said = []
    report = lvtune.adapt(recipe(tmp_path, **given), say=said.append)
    assert json.loads((report.folder / "report.json").read_text()) == json.loads(json.dumps(report.to_dict()))
    return report.to_dict(), said


@pytest.mark.parametrize(
    "given",
    [{"domain": "demo-art"}, {"domain": "demo-art", "text_only": True}, {"domain": "demo-art", "data": {"shots": 0}},
     {"domain": "demo-art", "data": {"shots": 2}}, {}],
)  # fmt: skip
def test_beside_labels_of_target_or_source_or_alone(tmp_path, frames, given):
    report, said = run(tmp_path, unlabelled=str(frames), **given)
    in_parts = given.get("domain") and not given.get("text_only") and given.get("data") != {"shots": 0}
    assert report["recipe"]["objective"] == "mean-teacher" and len(report["curves"]["loss"]) == (3 if in_parts else 2)
    assert report["unlabelled"]["instances"] == 6 and "frames" in report["unlabelled"]["name"]
    assert report["base"]["fingerprint_before"] == report["base"]["fingerprint_after"]
    alone = not given or given.get("data") == {"shots": 0}
    lines = [line for line in said if line.startswith(("tuning ", "and on ")) and "step" not in line]
    assert len(lines) == (1 if alone else 2) and all("without labels" in line for line in lines[not alone :])
    assert report["recipe"]["data"]["shots"] == (0 if alone else given.get("data", {}).get("shots", "all"))
    if not given:
        assert report["recipe"]["domain"] == "unlabelled" and "source in place of the target" in report["target_name"]
        assert any("no picture of the target has a label" in line for line in said)
    predicted = lvtune.predict(frames, base=tiny_base(skeleton=LSP_14), adapter=str(tmp_path / "out"))
    assert len(predicted) == 6


@pytest.mark.parametrize("pool", ["train", "frames"])
@pytest.mark.parametrize("method", ["lora", "vlpose-light"])
def test_hands_without_labels(tmp_path, frames, pool, method, monkeypatch):
    """The source's categories have no sentences in this adapter; pictures of a folder say nothing of sides."""
    monkeypatch.setitem(BASES._entries, "hand-tiny", lambda weights, revision=None, seed=0: tiny_hand_base())
    pool = str(frames) if pool == "frames" else pool
    given = {"base": "hand-tiny", "method": method, "domain": "hand-figures/wild", "data": {"shots": 0, "limit": 4}}
    report, said = run(tmp_path, unlabelled=pool, **given)
    assert report["unlabelled"]["share"] is not None and report["target"]["after_on"]["epe"] > 0
    assert any("taken for one of a right hand" in line for line in said) == (pool != "train")


def test_hands_without_labels_and_without_a_domain_need_one(tmp_path, frames, monkeypatch):
    monkeypatch.setitem(BASES._entries, "hand-tiny", lambda weights, revision=None, seed=0: tiny_hand_base())
    base = tiny_hand_base()
    start = lvtune.save_adapter(lvtune.create_adapter("lora", base), tmp_path / "hands", base)
    with pytest.raises(UsageError, match="nothing to score on") as caught:
        run(tmp_path, unlabelled=str(frames), base="hand-tiny", method="lora", start=str(start))
    assert "--domain hand-figures/wild --shots 0 --unlabelled" in caught.value.fix


def test_of_the_domains_own_training_pictures_no_label_is_in_the_run(tmp_path):
    job = prepare(recipe(tmp_path, domain="demo-art", unlabelled="train", data={"shots": 0}))
    labelled = prepare(recipe(tmp_path, domain="demo-art", data={"limit": None})).train
    assert not job.train.table.column("keypoints").any() and len(job.train.table) == len(labelled.table)
    assert (job.train.table.column("bbox") == labelled.table.column("bbox")).all()
    sample = training_data(job)[3]
    assert not sample["visible"].any() and sample["pixel_values"].abs().sum() > 0


def test_with_some_labelled_all_others_help(tmp_path):
    job = prepare(recipe(tmp_path, domain="demo-art", unlabelled="train", data={"shots": 3}))
    assert len(job.second.pool) > 100 and not job.second.context.unlabelled_only
    assert job.objective is job.second.pose


@pytest.mark.parametrize(
    ("given", "said"),
    [({"unlabelled": "nowhere"}, "no file or folder"),
     ({"unlabelled": "train"}, "without a domain"),
     ({"domain": "demo-art", "data": {"shots": 0}}, "0 shots"),
     ({"domain": "demo-art", "unlabelled": "train", "text_only": True, "data": {"shots": 0}}, "--text-only and"),
     ({"domain": "demo-art", "unlabelled": "train", "objective": "heatmap", "objective_options": {}}, "does not learn"),
     ({"domain": "demo-art", "objective": "mean-teacher"}, "without pictures that have no labels"),
     ({"base": "vitpose-tiny-coco", "domain": "demo-art", "unlabelled": "train", "data": {"shots": 0}},
      "does not know")],
)  # fmt: skip
def test_what_does_not_fit_is_told_before_the_work(tmp_path, given, said):
    with pytest.raises(LvtuneError, match=said):
        lvtune.adapt(recipe(tmp_path, **given))
    assert not (tmp_path / "out" / "adapter_model.safetensors").exists()


def test_what_was_decided_of_the_pool_is_said_and_in_the_report(tmp_path, frames, monkeypatch):
    def found(table, base, adapter, device):
        return table.with_note("boxes were found")

    lvtune.adapt(recipe(tmp_path, domain="demo-art", out=str(tmp_path / "first"), train={"steps": 1}))
    monkeypatch.setattr(unlabelled_data, "with_found_boxes", found)
    given = {"domain": "demo-art", "data": {"shots": 2}, "start": str(tmp_path / "first")}
    report, said = run(tmp_path, unlabelled=str(frames), **given)
    assert "note: boxes were found" in said and "boxes were found" in report["notes"]


def test_other_pictures_make_another_run_and_another_path_does_not(tmp_path, frames):
    def mark(folder):
        return MarkReader().of(recipe(tmp_path, domain="demo-art", unlabelled=str(folder)))

    first = mark(frames)
    assert first["unlabelled"] and first == mark(Path(str(frames)) / ".." / "frames")
    Image.new("RGB", (90, 120)).save(frames / "0.png")
    assert mark(frames)["unlabelled"] != first["unlabelled"]


def test_the_command_takes_it_by_its_short_name(tmp_path, frames, capsys):
    words = ["adapt", "--domain", "demo-art", "--unlabelled", str(frames), "--shots", "0", "--dry-run", "--json"]
    assert main([*words, "--base", "vitpose-tiny-lsp", "--method", "lora", "--objective.decay", "0.9"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["recipe"]["unlabelled"] == str(frames) and values["recipe"]["objective"] == "mean-teacher"
    assert values["recipe"]["objective_options"] == {"decay": 0.9} and values["instances"]["train"] == 6


def test_a_start_of_other_key_points_needs_the_data_that_it_was_tuned_on(tmp_path, frames):
    """Else an adapter of people's joints would come of a mouse's adapter, and nobody would say so."""
    base = tiny_base(skeleton=LSP_14)
    mouse = lvtune.create_adapter("lora", base, skeleton=Skeleton("mouse", ("snout", "tail"), (0.1, 0.1)))
    folder = lvtune.save_adapter(mouse, tmp_path / "mouse", base)
    with pytest.raises(UsageError, match="2 key points that vitpose-tiny-lsp does not know") as caught:
        run(tmp_path, unlabelled=str(frames), start=str(folder))
    assert "--shots 0" in caught.value.fix and not (tmp_path / "out").exists()
    own = lvtune.save_adapter(lvtune.create_adapter("lora", base), tmp_path / "own", base)
    report, _ = run(tmp_path, unlabelled=str(frames), start=str(own))
    assert report["target"]
