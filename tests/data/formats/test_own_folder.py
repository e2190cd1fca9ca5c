"""A table's pictures lie in its own folder: a frame that was deleted there never gets another video's frame."""

import pytest
from label_samples import write_pictures

from lvtune.core.errors import DataError
from lvtune.data.formats import read_project
from lvtune.data.formats.picture_finder import PictureFinder
from lvtune.data.formats.project_builder import ProjectBuilder

HEAD = "scorer,me,me,me,me\nbodyparts,a,a,b,b\ncoords,x,y,x,y\n"


def write(root, tables, pictures):
    """A project of tables {folder: (the folder that the table names, {picture: x})}."""
    root.mkdir()
    (root / "config.yaml").write_text("scorer: me\nbodyparts: [a, b]\n")
    for folder, (named, rows) in tables.items():
        place = root / "labeled-data" / folder
        place.mkdir(parents=True)
        lines = [f"labeled-data/{named}/{name},{x},2,3,4\n" for name, x in rows.items()]
        (place / "CollectedData_me.csv").write_text(HEAD + "".join(lines))
    write_pictures(root, pictures)
    return root


def found_in(project):
    return {project.pictures[item.picture].name: item.keypoints[0, 0] for item in project.instances}


def test_names_sorted_before_and_after(tmp_path):
    for copy in ("a_round1", "z_round1"):
        tables = {copy: ("next", {"i1.png": 1, "i3.png": 3}), "v": ("v", {"i1.png": 51})}
        pictures = [f"labeled-data/{copy}/i3.png", "labeled-data/v/i1.png"]
        project = read_project(write(tmp_path / copy, tables, pictures))
        assert found_in(project) == {pictures[0]: 3, pictures[1]: 51}
        assert any(
            note.startswith(
                "1 of 3 labelled pictures is missing and left out with 1 instance: labeled-data/next/i1.png"
            )
            for note in project.notes
        )


OTHERS = {
    "a video without a table": ["labeled-data/v/i1.png"],
    "the root": ["i1.png"],
    "a folder elsewhere": ["backup/i1.png"],
    "the folder of the earlier name": ["labeled-data/next/i1.png"],
    "a folder of the same name elsewhere": ["backup/a_round1/i1.png", "backup/labeled-data/next/i1.png"],
    "its plots": ["labeled-data/a_round1_labeled/i1.png"],
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("entry", ["", "labeled-data/a_round1", "labeled-data/a_round1/CollectedData_me.csv"])
def test_a_deleted_frame_takes_no_picture_of_another_folder(tmp_path, other, entry):
    tables = {"a_round1": ("next", {"i1.png": 1, "i3.png": 3})}
    root = write(tmp_path / "p", tables, ["labeled-data/a_round1/i3.png", *OTHERS[other]])
    project = read_project(root / entry)
    assert found_in(project) == {"labeled-data/a_round1/i3.png": 3}


@pytest.mark.parametrize("named", ["next", "a_round1"])
def test_all_labelled_frames_were_deleted(tmp_path, named):
    tables = {"a_round1": (named, {"i1.png": 1}), "v": ("v", {"i9.png": 9})}
    pictures = ["labeled-data/a_round1/i5.png", "labeled-data/next/i1.png", "labeled-data/v/i1.png", "i1.png"]
    root = write(tmp_path / "p", tables, [*pictures, "labeled-data/v/i9.png"])
    assert found_in(read_project(root)) == {"labeled-data/v/i9.png": 9}


def test_a_folder_under_its_own_name_takes_no_picture_of_another(tmp_path):
    root = write(tmp_path / "p", {"w": ("w", {"i1.png": 1, "i3.png": 3})}, ["labeled-data/w/i3.png", "all/i1.png"])
    assert found_in(read_project(root)) == {"labeled-data/w/i3.png": 3}


def test_a_frame_that_lies_where_its_path_says(tmp_path):
    """The labels of a video in one folder, its frames in two."""
    root = write(tmp_path / "p", {"w": ("w", {"i1.png": 1, "i3.png": 3})}, ["labeled-data/w/i3.png"])
    write_pictures(tmp_path / "pictures", ["labeled-data/w/i1.png", "w/i1.png"])
    project = read_project(root, tmp_path / "pictures")
    assert project.pictures[0].path == tmp_path / "pictures/labeled-data/w/i1.png" and len(project.instances) == 2


def test_pictures_of_a_table_without_pictures_lie_where_its_paths_say(tmp_path):
    root = write(tmp_path / "p", {"a": ("v", {"i1.png": 1})}, ["labeled-data/v/i1.png"])
    assert found_in(read_project(root)) == {"labeled-data/v/i1.png": 1}


@pytest.mark.parametrize("place", ["next", "labeled-data/next", "a_round1", "deep/labeled-data/a_round1"])
def test_pictures_in_a_further_folder(tmp_path, place):
    root = write(tmp_path / "p", {"a_round1": ("next", {"i1.png": 1, "i3.png": 3})}, [])
    write_pictures(tmp_path / "pictures", [f"{place}/i1.png", f"{place}/i3.png", "v/i1.png"])
    project = read_project(root, tmp_path / "pictures")
    assert sorted(picture.path for picture in project.pictures) == [
        tmp_path / "pictures" / place / name for name in ("i1.png", "i3.png")
    ]


def test_one_file_for_two_names_is_refused_in_any_order(tmp_path):
    write_pictures(tmp_path, ["all/a.png"])
    for names in (("v1/a.png", "all/a.png"), ("all/a.png", "v1/a.png")):
        builder = ProjectBuilder("a tool", tmp_path, ["nose"], PictureFinder([tmp_path]))
        assert builder.picture(names[0]) == 0
        with pytest.raises(DataError, match="a picture for each"):
            builder.picture(names[1])


def test_how_much_of_the_path_must_agree(tmp_path):
    write_pictures(tmp_path, ["all/a.png"])
    finder = PictureFinder([tmp_path])
    assert finder.find("v1/a.png", least=2) is None and finder.moved == 0
    assert finder.find("/there/ALL/a.png", least=2) == tmp_path / "all/a.png"
