"""Every picture's output keeps its own name, and no input is written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvtune.config.options import DataOptions
from lvtune.core.errors import UsageError
from lvtune.storage.output_folder import (
    check_output,
    drawing_paths,
    input_files,
    input_folders,
    relative_paths,
    without_outputs,
)


def make(root, *names):
    files = [root / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return files


def test_paths_are_relative_to_the_folder_that_was_given(tmp_path):
    files = make(tmp_path, "in/a/0.png", "in/b/0.png", "in/1.png")
    assert [str(path) for path in relative_paths(tmp_path / "in", files).values()] == ["a/0.png", "b/0.png", "1.png"]


def test_equal_names_in_two_folders_given_stay_apart(tmp_path):
    files = make(tmp_path, "in/a/0.png", "in/b/0.png")
    given = [tmp_path / "in/a", tmp_path / "in/b"]
    assert [path.as_posix() for path in relative_paths(given, files).values()] == ["a/0.png", "b/0.png"]
    assert [path.as_posix() for path in relative_paths(files, files).values()] == ["a/0.png", "b/0.png"]


def test_drawings_of_one_stem_stay_apart():
    paths = {Path(name): Path(name) for name in ("a.jpg", "a.png", "b.jpg", "s/a.jpg")}
    drawn = [path.as_posix() for path in drawing_paths(paths).values()]
    assert drawn == ["a.jpg.png", "a.png.png", "b.png", "s/a.png"]


def test_the_folder_of_an_input_is_refused(tmp_path):
    (file,) = make(tmp_path, "in/0.png")
    check_output(tmp_path / "out", [tmp_path / "out/0.png"], pictures=[file])
    check_output(tmp_path / "in/out", [tmp_path / "in/out/0.png"], pictures=[file])
    for out in ("in", "in/../in", "in/x/.."):
        with pytest.raises(UsageError, match="holds input files"):
            check_output(tmp_path / out, [tmp_path / out / "0.png"], pictures=[file])


def test_links_are_followed(tmp_path):
    file, own = make(tmp_path, "in/0.png", "own.json")
    (tmp_path / "folder").symlink_to(tmp_path / "in")
    with pytest.raises(UsageError):
        check_output(tmp_path / "folder", [tmp_path / "folder/0.png"], pictures=[file])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/scores.json").symlink_to(own)
    with pytest.raises(UsageError):
        check_output(tmp_path / "out", [tmp_path / "out/scores.json"], files=[own])
    (tmp_path / "out/sub").symlink_to(tmp_path / "in")
    with pytest.raises(UsageError):
        check_output(tmp_path / "out", [tmp_path / "out/sub/0.png"], pictures=[file])


def test_data_folders_and_annotation_files_are_inputs(tmp_path):
    make(tmp_path, "data/0.png", "more/0.png", "own.json")
    data = DataOptions(data=f"a={tmp_path / 'data'},b={tmp_path / 'more'}", annotations=str(tmp_path / "own.json"))
    assert set(input_folders(data)) == {tmp_path / "data", tmp_path / "more"}
    assert input_files(data) == [tmp_path / "own.json"]
    for out in ("data", "more"):
        with pytest.raises(UsageError):
            check_output(tmp_path / out, folders=input_folders(data))
    check_output(tmp_path, [tmp_path / "report.json"], folders=input_folders(data), files=input_files(data))


def test_drawings_of_an_earlier_run_are_no_inputs(tmp_path):
    files = make(tmp_path, "0.png", "out/0.png", "out/a/1.png")
    assert without_outputs(files, tmp_path / "out", "poses.json") == files  # the user's own: refused by check_output
    make(tmp_path, "out/poses.json")
    assert without_outputs(files, tmp_path / "out", "poses.json") == files[:1]
    assert without_outputs(files, None, "poses.json") == files
