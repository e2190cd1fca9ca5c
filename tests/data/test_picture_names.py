"""Pictures named on another machine: found under the folder, told, never outside it."""

from __future__ import annotations

import os
import unicodedata

import pytest

from lvtune.core.errors import DataError
from lvtune.data.picture_names import clean_name, find_pictures

NFC, NFD = (unicodedata.normalize(form, "Ägypten/müde Maus é.png") for form in ("NFC", "NFD"))


def folder_with(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    ("files", "name", "found", "word"),
    [
        (["a/b.png"], "a/b.png", "a/b.png", None),
        (["a/b.png"], "a\\b.png", "a/b.png", "backslashes"),
        (["labeled-data/v1/img.png"], "labeled-data\\v1\\img.png", "labeled-data/v1/img.png", "backslashes"),
        (["a/b.png"], ".\\a\\b.png", "a/b.png", "backslashes"),
        ([NFC], NFD, NFC, "Unicode"),
        ([NFD], NFC, NFD, "Unicode"),
        (["A/B.JPG"], "a/b.jpg", "A/B.JPG", "letter case"),
        (["Bild.PNG"], "bild.png", "Bild.PNG", "letter case"),
        (["a/b.png"], "https://host.org/store/a/b.png", "a/b.png", "base name"),
        (["a/b.png"], "http://host/a/b.png?token=1", "a/b.png", "URL"),
        (["a b.png"], "file:///home/me/a%20b.png", "a b.png", "base name"),
        (["s3/x.jpg"], "s3://bucket/s3/x.jpg", "s3/x.jpg", "URL"),
        (["x/y.png"], "/data/local-files/?d=x/y.png", "x/y.png", "URL"),
        (["upload/1-y.png"], "/data/upload/1-y.png", "upload/1-y.png", "base name"),
        (["set/y.png"], "C:\\Users\\me\\set\\y.png", "set/y.png", "base name"),
        (["y.png"], "/abs/elsewhere/y.png", "y.png", "base name"),
        (["deep/er/y.png"], "y.png", "deep/er/y.png", "base name"),
        (["images/train/y.png"], "train/y.png", "images/train/y.png", "base name"),
        (["v1/0001.png", "v2/0001.png"], "old/v2/0001.png", "v2/0001.png", "base name"),
        (["y.png"], "../../y.png", "y.png", "base name"),
    ],
)
def test_names_are_found(tmp_path, files, name, found, word):
    result = find_pictures([name], folder_with(tmp_path, *files))
    assert result.is_there == [True]
    assert unicodedata.normalize("NFC", result.names[0]) == unicodedata.normalize("NFC", found)
    assert (tmp_path / result.names[0]).is_file()
    assert result.notes == [] if word is None else (len(result.notes) == 1 and word in result.notes[0])


def test_a_base_name_of_several_pictures_is_not_guessed(tmp_path):
    folder_with(tmp_path, "a/1.png", "b/1.png", "c/2.png")
    result = find_pictures(["1.png", "x/1.png", "x/2.png", "3.png"], tmp_path)
    assert result.is_there == [False, False, True, False]
    assert any("2 of 4 file names that fit several pictures" in note for note in result.notes)


def test_each_way_is_told_once_with_its_count(tmp_path):
    folder_with(tmp_path, "a/1.png", "a/2.png", "a/3.png")
    notes = find_pictures(["a\\1.png", "a\\2.png", "3.png"], tmp_path).notes
    assert [note[:6] for note in notes] == ["2 of 3", "1 of 3"] and "'a\\1.png' is a/1.png" in notes[0]


@pytest.mark.parametrize("name", ["", "..", "/", "https://", "\0", "a\0.png", "../secret.png", "/dev/zero", "a" * 5000])
def test_nothing_outside_the_folder_is_found(tmp_path, name):
    folder_with(tmp_path, "secret.png", "set/x.png")
    assert find_pictures([name], tmp_path / "set").is_there == [False]


def test_links_out_of_the_folder_are_refused_unless_asked_for(tmp_path):
    folder_with(tmp_path, "out/a.png", "set/b.png")
    os.symlink(tmp_path / "out/a.png", tmp_path / "set/a.png")
    os.symlink(tmp_path / "set/b.png", tmp_path / "set/c.png")
    assert find_pictures(["b.png", "c.png"], tmp_path / "set").is_there == [True, True]
    with pytest.raises(DataError, match=r"1 picture that is a link out of .*--symlinks"):
        find_pictures(["a.png", "b.png"], tmp_path / "set")
    assert find_pictures(["a.png"], tmp_path / "set", symlinks=True).is_there == [True]


def test_a_folder_that_is_itself_a_link_is_the_folder(tmp_path):
    folder_with(tmp_path, "real/a.png")
    os.symlink(tmp_path / "real", tmp_path / "link")
    assert find_pictures(["a.png"], tmp_path / "link").is_there == [True]


@pytest.mark.parametrize(
    ("name", "plain"),
    [("a//b/./c.png", "a/b/c.png"), ("a/../b.png", "b.png"), ("\\\\server\\share\\a.png", "server/share/a.png")],
)
def test_names_become_relative(name, plain):
    assert clean_name(name)[0] == plain
