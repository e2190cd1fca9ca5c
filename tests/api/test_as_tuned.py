"""An adapter is scored on pictures that it was not tuned on, divided as they were at its tuning, or a note says so."""

import json
from pathlib import Path

import pytest
from own_files import MOUSE, draw_pictures, mice, write

import lvtune
from lvtune.api.as_tuned import TUNED_ON, TunedBefore, names_to_keep, tuned_before
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.cli.outcome import choose_domain
from lvtune.config.options import DataOptions
from lvtune.domains import custom_domain
from lvtune.hub.parcel import _report

FAST = {"base": "timm:resnet10t", "weights": "random", "device": "cpu", "method": "head", "gate": False,
        "train": {"steps": 1, "batch_size": 2}}  # fmt: skip


def own_data(folder, count=12, videos=3):
    """``count`` pictures of mice in ``videos`` folders."""
    folder.mkdir(parents=True, exist_ok=True)
    data = mice(count)
    for number, one in enumerate(data["images"]):
        one["file_name"] = f"video{number % videos}/{one['file_name']}"
        (folder / one["file_name"]).parent.mkdir(exist_ok=True)
    draw_pictures(data, folder)
    return {"data": str(folder), "annotations": str(write(data, folder))}


def tuned(folder, data, **more):
    """Tunes for a step and returns the folder of the adapter."""
    values = {**FAST, **more}
    lvtune.adapt(Recipe.from_dict({"domain": "custom", **values, "data": data, "out": str(folder)}))
    return folder


def scored(adapter, data, **more):
    values = lvtune.evaluate(
        "timm:resnet10t", adapter, "custom", weights="random", data=DataOptions(**{**data, **more}), device="cpu"
    )
    return values["target_name"], " ".join(values["notes"])


@pytest.fixture(scope="module")
def by_video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("by-video")
    data = own_data(folder / "data")
    return tuned(folder / "adapter", {**data, "split_by": "video"}), data


def test_the_report_names_the_pictures_that_were_tuned_on(by_video):
    folder, _ = by_video
    names = json.loads((folder / "report.json").read_text())[TUNED_ON]
    assert len(names) == 8 and len({name.split("/")[0] for name in names}) == 2


def test_pictures_are_divided_as_when_the_adapter_was_tuned(by_video):
    folder, data = by_video
    name, notes = scored(folder, data)
    assert "20% of the videos" in name and "--split-by video, as when the adapter was tuned" in notes
    assert "tuned on" not in notes


def test_what_the_user_says_is_done_and_what_was_tuned_on_is_counted(by_video):
    folder, data = by_video
    name, notes = scored(folder, data, split_by="picture")
    assert "of the pictures" in name and "as when the adapter was tuned" not in notes
    assert "that are scored have the names of pictures that the adapter was tuned on" in notes
    tested = {n for n in custom_domain(DataOptions(**data, split_by="picture")).open("test").table.column("image")}
    count = len(tested & set(json.loads((folder / "report.json").read_text())[TUNED_ON]))
    assert count and notes.count(f"{count} of {len(tested)} pictures") == 1


def test_a_base_alone_and_an_adapter_in_memory_know_nothing(by_video):
    assert tuned_before(None) == TunedBefore({}) == tuned_before(object())
    base = lvtune.load_base("timm:resnet10t", "random")
    name, notes = scored(lvtune.load_adapter(by_video[0], base), by_video[1])
    assert "of the pictures" in name and "adapter was" not in notes


def test_without_its_report_the_adapter_still_says_how_they_were_divided(by_video, tmp_path):
    folder, data = by_video
    for name in ("adapter_model.safetensors", "lvtune_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    name, notes = scored(tmp_path, data)
    assert "of the videos" in name and "--split-by video" in notes


@pytest.mark.parametrize("names", [["video1"], ["video0/mouse01.png", "video1/mouse02.png"]])
def test_named_test_pictures_are_tested_on_again(names, tmp_path):
    data = own_data(tmp_path / "data")
    folder = tuned(tmp_path / "adapter", {**data, "test_pictures": names})
    name, notes = scored(folder, data)
    assert "the pictures named" in name and f"--test-pictures {','.join(names)}" in notes and "names of" not in notes
    other = own_data(tmp_path / "other", videos=1, count=10)  # no video1 there
    name, notes = scored(folder, other)
    assert "20% of the pictures" in name and "are left out, since they do not fit these data" in notes


def test_labels_that_were_added_later_may_change_the_test_pictures_and_that_is_said(tmp_path):
    data = own_data(tmp_path / "data", count=10)
    folder = tuned(tmp_path / "adapter", data)
    assert "names of pictures" not in scored(folder, data)[1]
    before = set(json.loads((folder / "report.json").read_text())[TUNED_ON])
    counts = []
    for count in (23, 30):
        more = own_data(tmp_path / "data", count=count)
        tested = set(custom_domain(DataOptions(**more)).open("test").table.column("image"))
        counts.append(len(tested & before))
        note = f"{counts[-1]} of {len(tested)} pictures that are scored"
        assert (note in scored(folder, more)[1]) == (counts[-1] > 0)
    assert any(counts), "23 change which are tested on, by the hashes of their names"


def test_pictures_that_the_start_was_tuned_on_are_counted_too(tmp_path):
    data = own_data(tmp_path / "data", count=20, videos=5)
    first = tuned(tmp_path / "first", {**data, "test_pictures": ["video0", "video4"]})
    second = tuned(tmp_path / "second", {**data, "test_pictures": ["video1", "video2"]}, start=str(first))
    known = json.loads((second / "report.json").read_text())[TUNED_ON]
    assert {name.split("/")[0] for name in known} == {f"video{number}" for number in range(5)}
    notes = scored(second, data)[1]
    assert "--test-pictures video1,video2" in notes and "8 of 8 pictures that are scored have the names" in notes


def test_what_a_domain_file_says_of_its_parts_comes_first(by_video, tmp_path):
    """The adapter was tuned by videos; another project's file names its own test pictures."""
    own_data(tmp_path / "data", videos=4)
    names = ", ".join(MOUSE)
    file = tmp_path / "mine.yaml"
    text = f"name: mine\ndata: data\nannotations: data/annotations.json\nkeypoints: [{names}]\n"
    file.write_text(text + "splits:\n  test: [video0, video2]\n")
    values = lvtune.evaluate("timm:resnet10t", by_video[0], str(file), weights="random", device="cpu")
    notes = " ".join(values["notes"])
    assert "the pictures named" in values["target_name"] and "as when the adapter was tuned" not in notes


def test_an_adapter_of_a_domain_file_is_scored_on_the_project_as_the_file_divides_it(tmp_path):
    data = own_data(tmp_path / "data", videos=4)
    file = tmp_path / "mine.yaml"
    text = f"name: mine\ndata: data\nannotations: {data['annotations']}\nkeypoints: [{', '.join(MOUSE)}]\n"
    file.write_text(text + "splits:\n  by: video\nmissing_boxes: whole\n")
    folder = tuned(tmp_path / "adapter", {}, domain=str(file))
    (folder / "report.json").unlink()  # as an adapter that is shared
    name, notes = scored(folder, data)
    assert "of the videos" in name and "--split-by video, as when the adapter was tuned" in notes
    assert "--missing-boxes is points here and was whole" in notes


def test_a_list_of_test_pictures_is_found_from_elsewhere_or_its_lack_is_said(tmp_path, monkeypatch):
    data = own_data(tmp_path / "data", videos=4)
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("video1\nvideo3\n")
    folder = tuned(tmp_path / "adapter", {**data, "test_pictures": ["list.txt"], "box_margin": 0.2})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "the pictures named" in scored(folder, data)[0]
    Path("list.txt").write_text("video0\n")  # another list
    (tmp_path / "list.txt").unlink()
    name, notes = scored(folder, data)
    assert "20% of the pictures" in name and "is not here" in notes and "--box-margin is 0.15 here" in notes
    found, notes = TunedBefore({"test_pictures": ("list.txt",)}).fill(DataOptions())  # of another machine
    assert found == DataOptions() and len(notes) == 1


@pytest.mark.parametrize(
    "wrong", [{"flip_pairs": 5}, {"flip_pairs": ["a"]}, {"test_pictures": [1]}, {"skeleton": 3}, {"split_by": "bogus"}]
)
def test_a_file_with_wrong_options_is_scored_without_them(wrong, by_video, tmp_path):
    folder, data = by_video
    for name in ("adapter_model.safetensors", "lvtune_config.json", "report.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    report = json.loads((tmp_path / "report.json").read_text())
    report["recipe"]["data"] |= wrong
    (tmp_path / "report.json").write_text(json.dumps(report))
    name, notes = scored(tmp_path, data)
    assert "20% of the pictures" in name
    assert "of the adapter's tuning are left out" in notes or tuned_before(tmp_path).data == {}


def test_other_boxes_are_said():
    _, notes = TunedBefore({"box_margin": 0.3}).fill(DataOptions())
    assert notes == ["--box-margin is 0.15 here and was 0.3 when the adapter was tuned"]
    assert TunedBefore({"box_margin": 0.3}).fill(DataOptions(box_margin=0.3))[1] == []
    data, notes = TunedBefore({"annotated_box_format": "xyxy"}).fill(DataOptions())
    assert data == DataOptions() and notes == [
        "--annotated-box-format is auto here and was xyxy when the adapter was tuned"
    ]
    data, notes = TunedBefore({"flip_pairs": "midline", "skeleton": None}).fill(DataOptions())
    assert data.flip_pairs == "midline" and len(notes) == 1
    given = DataOptions(test_annotations="test.json")
    assert TunedBefore({"split_by": "video", "test_pictures": ["a"]}).fill(given) == (given, [])


def test_names_are_kept_of_own_data_alone(by_video):
    data = by_video[1]
    split = custom_domain(DataOptions(**data)).open("train")
    assert names_to_keep(Recipe(domain="demo-art"), split) is None
    assert len(names_to_keep(Recipe(domain="mice.yaml", base="timm:resnet10t"), split)) == len(split.table)


def test_they_are_not_shared(by_video):
    assert TUNED_ON not in _report(by_video[0]) and "main" in _report(by_video[0])


def test_an_adapter_for_a_domain_file_asks_for_the_file_or_the_pictures(tmp_path, capsys):
    data = own_data(tmp_path / "data")
    file = tmp_path / "mine.yaml"
    file.write_text(f"name: mine\ndata: data\nannotations: {data['annotations']}\nkeypoints: [{', '.join(MOUSE)}]\n")
    folder = tuned(tmp_path / "adapter", {}, domain=str(file))
    given = ["--adapter", str(folder), "--weights", "random", "--device", "cpu"]
    assert main(["evaluate", *given]) == 1
    said = capsys.readouterr().err
    assert "'mine', which is a domain file" in said and "--domain FILE.yaml" in said
    assert main(["evaluate", "--domain", str(file), *given]) == 0
    assert main(["evaluate", "--annotations", data["annotations"], "--data", data["data"], *given]) == 0


def test_an_adapter_for_own_labels_asks_for_them(by_video, capsys):
    assert main(["evaluate", "--adapter", str(by_video[0]), "--weights", "random", "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert "--annotations" in said and "its maker" not in said


def test_an_adapter_of_pictures_without_labels_is_scored_on_its_source():
    assert choose_domain(None, DataOptions(), {"domain": "unlabelled"}) == "unlabelled"
    assert choose_domain(None, DataOptions(data="MYPROJECT"), {"domain": "unlabelled"}) == "custom"
