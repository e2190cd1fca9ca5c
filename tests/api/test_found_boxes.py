"""Whole pictures get boxes where the adapter was tuned on small ones."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from tiny import tiny_base

from lvtune.api import found_boxes
from lvtune.api.found_boxes import is_whole, with_found_boxes
from lvtune.data.skeletons import COCO_17
from lvtune.data.unlabelled import table_of_boxes

BOX = [10.0, 20.0, 30.0, 25.0]


def adapter(share):
    return SimpleNamespace(saved_with={"training": {"boxes": {"median_share": share}}})


@pytest.fixture
def pictures(tmp_path):
    files = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for file in files:
        Image.new("RGB", (90, 60)).save(file)
    return files


@pytest.fixture
def asked(monkeypatch, pictures):
    """The pictures that are searched; something is found in all of them but b.png."""
    seen = []

    def predict(names, **given):
        assert given["find"] == "pose"
        seen.extend(Path(name).name for name in names)
        return [SimpleNamespace(image=name, bbox=tuple(BOX)) for name in names if not name.endswith("b.png")]

    monkeypatch.setattr(found_boxes, "predict", predict)
    return seen


def test_the_adapter_finds_them_and_pictures_without_anything_are_left_out(pictures, asked):
    table = table_of_boxes({pictures[0]: [], pictures[1]: [], pictures[2]: [[1, 2, 40, 50]]}, COCO_17)
    found = with_found_boxes(table, tiny_base(), adapter(0.03))
    assert asked == ["a.png", "b.png"]
    got = {found.image_path(i).name: found.column("bbox")[i].tolist() for i in range(len(found))}
    assert got == {"a.png": BOX, "c.png": [1, 2, 40, 50]} and not is_whole(found).any()
    assert any("found boxes of 1 picture:" in note and "3 %" in note for note in found.notes)
    assert any("1 picture left out" in note and "b.png" in note for note in found.notes)


@pytest.mark.parametrize("share", [0.5, None])
def test_large_boxes_need_none(pictures, asked, share):
    table = table_of_boxes({file: [] for file in pictures}, COCO_17)
    assert with_found_boxes(table, tiny_base(), adapter(share)) is table and not asked


def test_where_nothing_is_found_at_all_they_stay_whole_and_it_is_said(pictures, asked):
    found = with_found_boxes(table_of_boxes({pictures[1]: []}, COCO_17), tiny_base(), adapter(0.03))
    assert asked == ["b.png"] and is_whole(found).all() and "finds nothing in any of 1 picture" in found.notes[-1]
