"""``lvtune adapt --after``: what is taken over, what is kept, what the report says, and what cannot be."""

import json
import shutil

import pytest
from own_files import draw_pictures, mice, write
from tiny import snapshot, tiny_base

import lvtune
from lvtune.api.inspecting import dry_run
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.bases.base_registry import BASES
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.patcher.attaching import attach
from lvtune.storage.adapter_file import read

BASE = "vitpose-tiny"


@pytest.fixture(scope="module", autouse=True)
def _tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BASES._entries, BASE, lambda weights, revision=None, seed=0: tiny_base(skeleton=LSP_14))
        yield


def values_of(out, domain, **more):
    found = {
        "base": BASE, "domain": domain, "out": str(out), "device": "cpu", "gate": False, "calibrate": "none",
        "evaluate": {"flip_test": False}, "data": {"limit": 8},
        "train": {"steps": 2, "batch_size": 4, "lr": 0.01},
    }  # fmt: skip
    return {**found, **more}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """An adapter of vlpose-light for one filter."""
    out = tmp_path_factory.mktemp("first") / "a"
    lvtune.adapt(values_of(out, "demo-art/sketch", method="vlpose-light", method_options={"r": 2}, start="none"))
    return out


@pytest.fixture(scope="module")
def second(first, tmp_path_factory):
    """The same after a second filter, and what was said."""
    out, said = tmp_path_factory.mktemp("second") / "b", []
    report = lvtune.adapt(values_of(out, "demo-art/cartoon", after=str(first)), say=said.append).to_dict()
    return out, report, said


def test_what_the_adapter_decides_is_taken_over(first, second):
    recipe = second[1]["recipe"]
    assert recipe["method"] == "vlpose-light" and recipe["method_options"]["r"] == 2
    assert recipe["start"] == recipe["after"] == str(first) and recipe["objective"] == "replay"
    again = Recipe.from_dict(recipe)
    assert again.to_dict() == recipe


def test_the_report_has_a_row_for_each_domain(second):
    out, report, said = second
    after = report["after"]
    (row,) = after["domains"]
    assert row["domain"] == "demo-art/sketch" and row["pictures"] == 8
    assert row["forgetting"] == pytest.approx(row["before"] - row["after"]) == pytest.approx(after["forgetting"])
    assert after["new"]["domain"] == "demo-art/cartoon" and after["objective"] == "replay"
    assert after["new"]["after"] == report["target"]["after_on"]["pck@0.2"]
    assert after["new"]["before"] == report["start"]["target"]["pck@0.2"]
    assert json.loads((out / "report.json").read_text())["after"] == after
    assert any("kept by replay with 8 of demo-art/sketch" in text for text in said)
    page = (out / "report.html").read_text()
    assert "The earlier domains, and the new one" in page and "demo-art/cartoon (new)" in page


def test_before_is_the_score_that_the_earlier_run_ended_with(first, second):
    ended = json.loads((first / "report.json").read_text())["target"]["after_on"]["pck@0.2"]
    assert second[1]["after"]["domains"][0]["before"] == ended


def test_the_file_records_the_chain_and_the_sentences_of_all(second, tmp_path):
    _, config = read(second[0])
    assert [one["domain"] for one in config["training"]["earlier"]] == ["demo-art/sketch"]
    assert list(config["prompts"]) == ["sketch", "cartoon"] and config["domain"] == "demo-art/cartoon"
    third = values_of(tmp_path / "c", "demo-art/watercolor", after=str(second[0]), objective="lwf")
    report = lvtune.adapt(third).to_dict()
    assert [one["domain"] for one in report["after"]["domains"]] == ["demo-art/sketch", "demo-art/cartoon"]
    assert report["base"]["fingerprint_before"] == report["base"]["fingerprint_after"]
    assert list(read(tmp_path / "c")[1]["prompts"]) == ["sketch", "cartoon", "watercolor"]


def test_the_base_is_as_before_when_it_is_taken_off(second):
    base = tiny_base(skeleton=LSP_14)
    before = snapshot(base.model)
    adapter = lvtune.load_adapter(second[0], base)
    with attach(base, adapter):
        assert snapshot(base.model) != before
    assert snapshot(base.model) == before


def test_it_is_repeatable_and_a_resumed_run_is_the_same(first, second, tmp_path):
    again = lvtune.adapt(values_of(tmp_path / "again", "demo-art/cartoon", after=str(first)))
    assert (again.folder / "adapter_model.safetensors").exists()
    assert all((read(again.folder)[0][n] == v).all() for n, v in read(second[0])[0].items())
    train = {"epochs": 4, "batch_size": 4, "lr": 0.01, "checkpoint_every": 1}
    make = lambda name, **more: values_of(  # noqa: E731
        tmp_path / name, "demo-art/cartoon", after=str(first), train={**train, **more}
    )
    whole = lvtune.adapt(make("whole"))
    from lvtune.api import adapting

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapting._Run, "score_adapter", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lvtune.adapt(make("parts"))
        whole_file = tmp_path / "parts" / "checkpoint.safetensors"
        assert whole_file.is_file()
    parts = lvtune.adapt({**make("parts"), "resume": True})
    assert any("resumed at step" in note for note in parts.to_dict()["notes"])
    assert all((read(parts.folder)[0][n] == v).all() for n, v in read(whole.folder)[0].items())


@pytest.mark.parametrize("method", ["lora", "full"])
def test_other_methods_go_on_too(method, tmp_path):
    lvtune.adapt(values_of(tmp_path / "a", "demo-art/sketch", method=method))
    for way in ("plain", "ewc"):
        report = lvtune.adapt(
            values_of(tmp_path / way, "demo-art/cartoon", after=str(tmp_path / "a"), objective=way)
        ).to_dict()
        assert report["recipe"]["method"] == method and report["after"]["forgetting"] is not None


def test_a_dry_run_says_what_would_be_kept_and_tunes_nothing(first, tmp_path, capsys):
    recipe = Recipe.from_dict(values_of(tmp_path / "b", "demo-art/cartoon", after=str(first), objective="ewc"))
    values = dry_run(recipe)
    assert not values["missing"] and values["start"] == str(first)
    assert any(one["what"] == "earlier domains" and "ewc with 8 of" in one["value"] for one in values["decisions"])
    assert not (tmp_path / "b").exists()


def test_no_picture_that_is_tested_on_is_shown_again(first, tmp_path):
    # the new domain is tested on the pictures that the earlier one was tuned on
    job = prepare(Recipe.from_dict(values_of(tmp_path / "b", "demo-art/cartoon", after=str(first))))
    (one,) = job.earlier
    tested = {str(job.test.table.image_path(i)) for i in range(len(job.test.table))}
    shown = {str(one.train.table.image_path(i)) for i in range(len(one.train.table))}
    assert shown and not shown & tested
    from lvtune.api.domain_chain import Link, open_earlier
    from lvtune.domains import get_domain

    train = get_domain("demo-art/sketch").open("train").first(8)
    (other,) = open_earlier(job.recipe, [Link("demo-art/sketch")], [train.first(5)])
    kept = {str(other.train.table.image_path(i)) for i in range(len(other.train.table))}
    assert len(kept) == 3 and not kept & {str(train.table.image_path(i)) for i in range(5)}


@pytest.mark.parametrize(("count", "shares"), [(4, [2, 2]), (5, [3, 2]), (200, [8, 8])])
def test_the_pictures_are_divided_among_the_earlier_domains(second, tmp_path, count, shares):
    values = values_of(tmp_path / "c", "demo-art/watercolor", after=str(second[0]), earlier_pictures=count)
    job = prepare(Recipe.from_dict(values))
    assert [len(one.train.items or one.train.table) for one in job.earlier] == shares


def test_of_a_few_shots_no_further_label_is_used(tmp_path):
    values = values_of(tmp_path / "a", "demo-art/sketch", method="lora")
    lvtune.adapt({**values, "data": {"limit": 8, "shots": 3}, "seed": 4})
    job = prepare(Recipe.from_dict(values_of(tmp_path / "b", "demo-art/cartoon", after=str(tmp_path / "a"))))
    (one,) = job.earlier
    own = prepare(Recipe.from_dict({**values, "data": {"limit": 8, "shots": 3}, "seed": 4})).train
    assert one.train.items == own.items and len(own.items) == 3


def test_it_writes_over_no_file_of_the_adapter_that_goes_on(first):
    before = (first / "adapter_model.safetensors").read_bytes()
    with pytest.raises(LvtuneError):
        lvtune.adapt(values_of(first, "demo-art/cartoon", after=str(first)))
    assert (first / "adapter_model.safetensors").read_bytes() == before


WRONG = [
    ({"method": "lora"}, "--method lora after an adapter of vlpose-light"),
    ({"start": "shipped"}, "--after with --start shipped"),
    ({"text_only": True}, "--after with --text-only"),
    ({"unlabelled": "train"}, "--after with --unlabelled"),
    ({"domain": None}, "--after without a new domain"),
    ({"after": "nowhere/at-all.safetensors"}, "nowhere"),
    ({"earlier_data": {"coco": "."}}, "--earlier-data coco=..."),
    ({"earlier_pictures": 0}, "objective replay without pictures of the earlier domain demo-art/sketch"),
    ({"domain": "freihand"}, ""),
    ({"language": {"encoder": "clip"}}, ""),
    ({"earlier_data": "folder"}, "earlier_data = 'folder'"),
]


def test_another_base_is_an_error_before_its_weights_are_looked_for(tmp_path):
    lvtune.adapt(values_of(tmp_path / "a", "demo-art/sketch", method="lora", base="vitpose-ti", weights="random"))
    values = {"after": str(tmp_path / "a"), "domain": "demo-art/cartoon"}
    with pytest.raises(LvtuneError, match=r"--base vitpose-b with --after .* an adapter for vitpose-ti"):
        Recipe.from_dict({**values, "base": "vitpose-b"})
    assert Recipe.from_dict({**values, "base": "vitpose-ti"}).base == "vitpose-ti" == Recipe.from_dict(values).base


def test_a_domain_that_it_knows_already_is_said(first, tmp_path):
    values = values_of(tmp_path / "b", "demo-art/sketch", after=str(first))
    lines = [one.line() for one in prepare(Recipe.from_dict(values)).decisions]
    assert any("demo-art/sketch, which the adapter knows already" in line for line in lines)
    lines = [one.line() for one in prepare(Recipe.from_dict({**values, "domain": "demo-art/cartoon"})).decisions]
    assert not any("knows already" in line for line in lines)


def test_options_of_earlier_domains_are_for_after_alone(tmp_path):
    with pytest.raises(LvtuneError, match="--earlier-pictures without an adapter"):
        Recipe.from_dict({"earlier_pictures": 5})


@pytest.mark.parametrize(("more", "given"), WRONG, ids=[str(more) for more, _ in WRONG])
def test_what_cannot_be_is_an_error_before_anything_is_written(first, tmp_path, more, given):
    values = values_of(tmp_path / "b", "demo-art/cartoon", after=str(first)) | more
    with pytest.raises(LvtuneError) as caught:
        lvtune.adapt({name: value for name, value in values.items() if value is not None})
    assert given in caught.value.given and caught.value.expected and caught.value.fix
    assert not (tmp_path / "b" / "adapter_model.safetensors").exists()


def test_a_way_to_keep_without_an_adapter_is_an_error(tmp_path):
    with pytest.raises(LvtuneError, match="objective ewc without an adapter that goes on"):
        lvtune.adapt(values_of(tmp_path / "b", "demo-art/cartoon", method="lora", objective="ewc"))


def test_other_key_points_are_for_grow(first, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw_pictures(mice(6), tmp_path)
    write(mice(6), tmp_path)
    values = values_of(tmp_path / "b", "custom", after=str(first), data={"annotations": "annotations.json"})
    with pytest.raises(LvtuneError, match="give --grow"):
        lvtune.adapt(values)


def people(count, seed, folder):
    """Own pictures with the key points of the tiny base."""
    data = mice(count, seed=seed)
    for one in data["annotations"]:
        one |= {"keypoints": (one["keypoints"] * 3)[: 3 * 14], "num_keypoints": 14}
    data["categories"][0] |= {"keypoints": list(LSP_14.keypoints), "skeleton": []}
    folder.mkdir()
    draw_pictures(data, folder)
    write(data, folder)
    return folder


def test_own_data_are_found_again_or_named_or_said_to_be_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old, new = people(10, 0, tmp_path / "old"), people(10, 1, tmp_path / "new")
    own = lambda folder: {"data": str(folder), "annotations": str(folder / "annotations.json"), "skeleton": "lsp-14"}  # noqa: E731
    lvtune.adapt(values_of(tmp_path / "a", "custom", method="lora", data=own(old)))
    going_on = values_of(tmp_path / "b", "custom", after=str(tmp_path / "a"), data=own(new))
    job = prepare(Recipe.from_dict(going_on))
    assert {job.earlier[0].train.table.image_path(0).parent} == {old}
    # elsewhere the report is not there, and the file holds no places of that machine
    shutil.move(old, tmp_path / "moved")
    (tmp_path / "a" / "report.json").unlink()
    with pytest.raises(LvtuneError, match="objective replay without pictures of the earlier domain custom") as caught:
        prepare(Recipe.from_dict(going_on))
    assert "--earlier-data custom=" in caught.value.fix and "lwf" in caught.value.fix
    job = prepare(Recipe.from_dict({**going_on, "objective": "lwf"}))
    assert any(one.what == "not scored" and one.value == "custom" for one in job.decisions)
    named = {**going_on, "earlier_data": {"custom": str(tmp_path / "moved" / "annotations.json")}}
    job = prepare(Recipe.from_dict(named))
    assert job.earlier[0].train.table.image_path(0).parent == tmp_path / "moved"


def test_options_of_the_default_objective_need_no_name(first, tmp_path, capsys):
    argv = ["adapt", "--after", str(first), "--domain", "demo-art/cartoon", "--objective.every", "2", "--dry-run",
            "--limit", "4", "--device", "cpu", "--json", "--out", str(tmp_path / "b")]  # fmt: skip
    assert main(argv) == 0
    recipe = json.loads(capsys.readouterr().out)["recipe"]
    assert recipe["objective"] == "replay" and recipe["objective_options"] == {"every": 2}


def test_the_command_prints_what_was_kept(first, tmp_path, capsys):
    argv = ["adapt", "--after", str(first), "--domain", "demo-art/cartoon", "--objective", "lwf", "--objective.weight",
            "2", "--steps", "1", "--limit", "6", "--device", "cpu", "--no-gate",
            "--out", str(tmp_path / "b")]  # fmt: skip
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "earlier adapter" in said and "demo-art/cartoon (new)" in said
    assert "on average over the earlier domains (lwf)" in said
    report = json.loads((tmp_path / "b" / "report.json").read_text())
    assert report["recipe"]["objective_options"] == {"weight": 2.0}
