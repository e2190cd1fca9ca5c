"""What the user says of own data: mirror pairs, box form, size limit, links; folders of COCO files."""

from __future__ import annotations

import os

import numpy as np
import pytest
from own_files import draw_pictures, mice, sound, write

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError, UsageError
from lvtune.domains import custom_domain, get_domain


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("LVTUNE_CACHE", str(tmp_path_factory.mktemp("cache")))


def own(folder, data=None, **options):
    data = mice() if data is None else data
    file = write(data, folder)
    return custom_domain(DataOptions(data=str(folder), annotations=str(file), **options))


def numbered():
    data = mice()
    data["categories"][0]["keypoints"] = list("ABCDEF")
    return data


def test_without_sides_nothing_is_flipped_and_the_note_says_so(tmp_path):
    table = own(tmp_path, numbered()).open("train").table
    assert not table.skeleton.mirrors
    assert sum("pictures are not flipped" in note for note in table.notes) == 1


@pytest.mark.parametrize(("text", "pairs"), [("B:C,D:E", ((1, 2), (3, 4))), ("1:2", ((1, 2),)), ("midline", ())])
def test_pairs_that_the_user_gives(tmp_path, text, pairs):
    domain = own(tmp_path, numbered(), flip_pairs=text)
    table = domain.open("train").table
    assert domain.get_skeleton().pairs == table.skeleton.pairs == pairs and table.skeleton.mirrors
    assert not any("not flipped" in note for note in table.notes)
    assert table.fingerprint != own(tmp_path, numbered()).open("train").table.fingerprint


def test_pairs_of_a_named_domain(tmp_path):
    plain = get_domain("demo-art").open("test").table
    table = get_domain("demo-art").open("test", DataOptions(flip_pairs="right_ankle:left_ankle")).table
    assert table.skeleton.pairs == ((0, 5),) and table.fingerprint != plain.fingerprint
    with pytest.raises(UsageError, match="key point 'ankle'"):
        get_domain("demo-art").open("test", DataOptions(flip_pairs="ankle:left_ankle"))
    with pytest.raises(UsageError, match="flip pairs"):
        get_domain("hand-figures").open("test", DataOptions(flip_pairs="0:1"))


def test_the_size_limit_reaches_the_table(tmp_path):
    draw_pictures(mice(), tmp_path)
    table = own(tmp_path).open("train", DataOptions(max_pixels=500)).table
    with pytest.raises(DataError, match="--max-pixels"):
        table.picture(0)
    assert own(tmp_path).open("train").table.picture(0).shape == (240, 320, 3)


def test_box_form_and_margin(tmp_path):
    data = sound()
    for item in data["annotations"]:
        del item["bbox"]
    near, wide = (own(tmp_path, data, box_margin=m).open("all").table.column("bbox") for m in (0.0, 0.6))
    assert (wide[:, 2:].prod(1) > near[:, 2:].prod(1)).all()
    whole = own(tmp_path, data, missing_boxes="whole").open("all").table
    assert (whole.column("bbox") == [0, 0, 320, 240]).all()
    assert any("the whole picture is taken" in note for note in whole.notes)


def test_links_out_of_the_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "set").mkdir()
    draw_pictures(mice(), tmp_path / "real")
    for file in (tmp_path / "real").iterdir():
        os.symlink(file, tmp_path / "set" / file.name)
    with pytest.raises(DataError, match="20 pictures that are links"):
        own(tmp_path / "set")
    assert len(own(tmp_path / "set", symlinks=True).open("all").table) == 20


@pytest.mark.parametrize(
    ("files", "pictures"),
    [
        ({"train": "annotations/instances_train2017.json", "val": "annotations/instances_val2017.json"}, "{}2017"),
        (
            {"train": "annotations/person_keypoints_train.json", "val": "annotations/person_keypoints_val.json"},
            "images/{}",
        ),
        ({"train": "train/_annotations.coco.json", "val": "valid/_annotations.coco.json"}, None),
        ({"train": "train.json", "test": "test.json"}, "images"),
    ],
    ids=["coco", "cvat", "roboflow", "flat"],
)
def test_folders_of_coco_files(tmp_path, files, pictures):
    """Parts hold pictures of the same names; each is read from its own folder, and corners are seen as such."""
    for seed, (part, name) in enumerate(files.items()):
        data = mice(6 + seed, seed)
        for item in data["annotations"]:
            x, y, w, h = item["bbox"]
            item["bbox"] = [x, y, x + w, y + h]
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        folder = file.parent if pictures is None else tmp_path / pictures.format(part)
        draw_pictures(data, folder)
        write(data, file.parent, file.name)
    domain = custom_domain(DataOptions(data=str(tmp_path)))
    train, test = domain.open("train").table, domain.open("test").table
    assert (len(train), len(test)) == (6, 7)
    for seed, table in enumerate((train, test)):
        assert np.allclose(
            table.column("bbox"), [item["bbox"] for item in mice(6 + seed, seed)["annotations"]], atol=0.05
        )
        assert all(table.image_path(i).is_file() for i in range(len(table)))
    assert train.image_path(0) != test.image_path(0) or pictures == "images"


def test_one_coco_file_beside_its_pictures(tmp_path):
    draw_pictures(mice(), tmp_path / "pics" / "day1")
    write(mice(), tmp_path, "labels.json")
    domain = custom_domain(DataOptions(data=str(tmp_path)))
    table = domain.open("train").table
    assert len(table) == 16 and table.image_path(0).is_file()
