"""Splits of own pictures by picture, by video or folder, and by names."""

from __future__ import annotations

import pytest
from label_samples import dump, write_pictures

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError
from lvtune.domains import custom_domain

FILES = [f"v{video}/frame{number:03}.png" for video in range(6) for number in range(5)]


@pytest.fixture
def own(tmp_path):
    """30 pictures of six videos, one instance in each."""
    return of_files(tmp_path, FILES)


def of_files(folder, files):
    write_pictures(folder, files)
    return dump(folder / "labels.json", {
        "images": [{"id": n, "file_name": name, "width": 96, "height": 64} for n, name in enumerate(files)],
        "annotations": [
            {"id": n + 1, "image_id": n, "category_id": 1, "bbox": [1, 1, 40, 40], "keypoints": [9, 9, 2]}
            for n, _ in enumerate(files)
        ],
        "categories": [{"id": 1, "name": "mouse", "keypoints": ["nose"]}],
    })  # fmt: skip


def parts(file, **options):
    domain = custom_domain(DataOptions(annotations=str(file), **options))
    opened = [domain.open(part) for part in ("train", "test")]
    return [set(split.table.column("image")) for split in opened], opened


@pytest.mark.parametrize("by", ["video", "folder"])
def test_no_video_is_in_both_parts(own, by):
    (train, test), (tuned, tested) = parts(own, split_by=by)
    assert train | test == set(FILES) and not train & test
    videos = {name.split("/")[0] for name in test}
    assert len(videos) == 1 and not videos & {name.split("/")[0] for name in train}
    assert tested.name == f"own pictures (20% of the {by}s)" and tuned.name == f"own pictures (80% of the {by}s)"
    (video,) = videos
    assert any(note.endswith(f"(1 of 6): {video}") for note in tested.table.notes)
    assert parts(own, split_by=by)[0] == [train, test]


def test_by_picture_is_what_is_done_unasked(own):
    assert parts(own)[0] == parts(own, split_by="picture")[0]
    assert len(parts(own)[0][1]) == 6


def test_videos_by_the_names_of_their_frames(tmp_path):
    files = [f"mouse{video}_img{number:04}.png" for video in "abc" for number in range(4)]
    (train, test), _ = parts(of_files(tmp_path, files), split_by="video")
    assert {name[:6] for name in test}.isdisjoint({name[:6] for name in train}) and len(test) == 4


@pytest.mark.parametrize("names", [("v1", "v3"), ("v1/", "v3\\"), ("list.txt",)])
def test_named_videos(own, names, monkeypatch):
    monkeypatch.chdir(own.parent)
    (own.parent / "list.txt").write_text("v1\n\nv3\n")
    (train, test), (_, tested) = parts(own, test_pictures=names)
    assert {name.split("/")[0] for name in test} == {"v1", "v3"} and len(train) == 20
    assert tested.name == "own pictures (the pictures named)"


@pytest.mark.parametrize("name", ["v1/frame002.png", "./v1/frame002.png", "v1\\frame002.png"])
def test_named_picture(own, name):
    (train, test), _ = parts(own, test_pictures=(name,))
    assert test == {"v1/frame002.png"} and len(train) == 29


def test_names_that_nothing_has(own):
    with pytest.raises(DataError, match="'v9'"):
        parts(own, test_pictures=("v1", "v9"))
    with pytest.raises(DataError, match=r"list of pictures none\.txt"):
        parts(own, test_pictures=("none.txt",))
    with pytest.raises(DataError, match="no picture to tune on"):
        parts(own, test_pictures=("v0", "v1", "v2", "v3", "v4", "v5"))


def test_one_video_cannot_be_split(tmp_path):
    file = of_files(tmp_path, FILES[:5])
    with pytest.raises(DataError, match=r"one video \(v0\)"):
        parts(file, split_by="video")
    with pytest.raises(DataError, match="a project with a split of its own"):
        parts(file, split_by="project")
