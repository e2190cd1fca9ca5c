"""The benchmark domain: which photographs, under which filters, out of which layout."""

import json
from collections import Counter

import lspet
import numpy as np
import pytest

from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.domains import apply_filter, get_domain
from lvtune.domains.demo_art import FOLDER
from lvtune.domains.lsp_art import SEEN, UNSEEN, layouts
from lvtune.domains.source import source_split


@pytest.fixture
def folder(tmp_path, monkeypatch):
    lspet.use_short_lists(monkeypatch)
    return lspet.crops(tmp_path / "LSPET")


def test_the_lists_are_disjoint_and_as_the_card_says():
    lists = {split: set(layouts.numbers(split)) for split in ("train", "val", "test")}
    assert {split: len(found) for split, found in lists.items()} == {"train": 370, "val": 100, "test": 430}
    assert len(set.union(*lists.values())) == 900
    demo = {
        part: {int(i["file_name"][2:7]) for i in json.loads((FOLDER / f"{part}.json").read_text())["images"]}
        for part in ("train", "test")
    }
    # defaults were chosen by scores on demo-art's test photographs: none of them is tested on here
    assert lists["test"] == demo["train"] and demo["test"] < lists["train"] | lists["val"]


def test_fourteen_filters_and_two_groups():
    domain = get_domain("lsp-art")
    assert len(domain.categories) == 14 and set(SEEN).isdisjoint(UNSEEN)
    assert {"mural", "ukiyoe"} < set(UNSEEN) and len(UNSEEN) == 4
    assert get_domain("lsp-art/unseen").categories == UNSEEN
    assert domain.sentences["relief"] == "a relief carving of a human"


def test_each_photograph_once_under_a_filter_in_turn(folder):
    domain = get_domain("lsp-art")
    train, test = domain.open("train", folder), domain.open("test", folder)
    assert len(train.table) == 28 and len(test.table) == 14
    assert Counter(train.table.column("category")) == dict.fromkeys(domain.categories, 2)
    assert test.table.column("category").tolist() == list(domain.categories)
    assert test.table.column("image_id").tolist() == list(range(50, 64))
    part = get_domain("lsp-art/unseen").open("test", folder)
    assert part.table.column("category").tolist() == [UNSEEN[i % 4] for i in range(14)]
    assert part.name == "LSPET photographs under filters (lsp-art/unseen)"


def test_what_is_drawn_is_the_filter_on_papers_of_the_part(folder):
    domain = get_domain("lsp-art")
    test, source = domain.open("test", folder), source_split(domain, "test", folder, "lspet")
    photograph = source.picture(3)
    assert np.array_equal(test.picture(3), apply_filter(photograph, domain.categories[3], 200_003))
    assert not np.array_equal(test.picture(3), apply_filter(photograph, domain.categories[3], 3))
    assert source.name == "the same LSPET photographs, unfiltered"
    assert source.table.column("image_id").tolist() == test.table.column("image_id").tolist()


def test_the_original_archive_is_cropped_to_the_person(tmp_path, monkeypatch):
    lspet.use_short_lists(monkeypatch)
    folder = lspet.original(tmp_path / "lspet_dataset")
    table = source_split(get_domain("lsp-art"), "test", folder).table
    assert len(table) == 14
    person, truth = table[2], lspet.joints(52, (300, 400))
    seen = truth[:, 2] > 0
    low, high = truth[seen, :2].min(0), truth[seen, :2].max(0)
    margin = 0.4 * (high - low).max()
    start = np.floor(low - margin).clip(0)
    width, height = np.ceil(high + margin).clip(max=(400, 300)) - start
    scale = min(1, 176 / max(width, height))
    assert (person.width, person.height) == (round(width * scale), round(height * scale))
    assert max(person.width, person.height) == 176
    np.testing.assert_allclose(person.keypoints[seen, :2], (truth[seen, :2] - start) * scale, atol=0.01)
    assert (person.keypoints[~seen] == 0).all() and (person.keypoints[seen, 2] == 2).all()
    assert table.picture(2).shape == (person.height, person.width, 3)
    # a second look takes the crops that are there
    before = table.image_path(2).stat().st_mtime_ns
    assert source_split(get_domain("lsp-art"), "test", folder).table.image_path(2).stat().st_mtime_ns == before


def test_what_is_missing_is_told(folder, tmp_path, capsys):
    with pytest.raises(LvtuneError, match=r"lsp-art' without its data.*Leeds Sports Pose Extended"):
        get_domain("lsp-art").open("test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LvtuneError, match="no LSPET in"):
        get_domain("lsp-art").open("test", tmp_path / "empty")
    file = folder / "annotations" / "test.json"
    values = json.loads(file.read_text())
    values["images"] = values["images"][:-1]
    file.write_text(json.dumps(values))
    with pytest.raises(LvtuneError, match=r"without 1 of 14 photographs of the benchmark \(im00063.jpg\)"):
        get_domain("lsp-art").open("test", folder)
    (tmp_path / "empty" / "joints.mat").write_bytes(b"not MATLAB")
    assert main(["check-data", "--domain", "lsp-art", "--data", str(tmp_path / "empty")]) == 1
    assert "a MATLAB file" in capsys.readouterr().err


def test_one_command_adapts_to_it_and_reports_filtered_photographs(folder, tmp_path, capsys):
    out = tmp_path / "out"
    options = "--method norm --train.steps 1 --train.batch-size 2 --no-flip-test --data.limit 6"
    assert main(["adapt", "--domain", "lsp-art", "--data", str(folder), "--out", str(out), *options.split()]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["target_name"] == "LSPET photographs under filters (lsp-art)"
    assert report["source"]["before"]["pck@0.2"] is not None
    assert "filtered" in (out / "README.md").read_text().lower()
