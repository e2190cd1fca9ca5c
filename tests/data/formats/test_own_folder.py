"""A table's pictures lie in its own folder: a frame that was deleted there never gets another video's frame."""

from contextlib import nullcontext

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


def merged(root, folder, rows, pictures):
    """A project with one table, in a folder, whose rows {path: x} name several."""
    write(root, {folder: ("", {})}, pictures)
    lines = [f"{path},{',,,' if x is None else f'{x},2,3,4'}\n" for path, x in rows.items()]
    (root / "labeled-data" / folder / "CollectedData_me.csv").write_text(HEAD + "".join(lines))
    return root


@pytest.mark.parametrize("start", ["labeled-data/", "C:\\me\\p\\labeled-data\\", ""])
@pytest.mark.parametrize("own", [{"i1.png": None}, {"i1.png": 1}, {"i2.png": 1}, {"i2.png": None}, {}])
def test_a_row_of_another_folder_is_of_that_folder(tmp_path, own, start):
    """Its folder's picture of the same name gets nothing, also where no row names that one."""
    rows = {f"{start}A/i3.png": 3, **{f"{start}A/{name}": x for name, x in own.items()}, f"{start}B/i1.png": 51}
    files = [f"labeled-data/{name}.png" for name in ("A/i1", "A/i2", "A/i3", "B/i1")]
    found = found_in(read_project(merged(tmp_path / "p", "A", rows, files)))
    wanted = {f"labeled-data/A/{name}": x for name, x in own.items() if x is not None}
    assert found == {"labeled-data/A/i3.png": 3, "labeled-data/B/i1.png": 51, **wanted}


@pytest.mark.parametrize("there", [[], ["labeled-data/B/i9.png"], ["labeled-data/B/i9.png", "backup/B/i1.png"]])
def test_a_deleted_frame_of_another_folder_is_missing(tmp_path, there):
    rows = {"labeled-data/A/i2.png": 2, "labeled-data/B/i1.png": 51}
    files = ["labeled-data/A/i1.png", "labeled-data/A/i2.png", *there]
    project = read_project(merged(tmp_path / "p", "A", rows, files))
    assert found_in(project) == {"labeled-data/A/i2.png": 2}
    assert any("1 of 2 labelled pictures is missing" in note for note in project.notes)


def test_frames_of_several_videos_that_were_put_together(tmp_path):
    """The table names none by its own folder: a file that lies where its row says is meant, else the one beside."""
    rows = {"labeled-data/A/i1.png": 1, "labeled-data/B/i2.png": 52, "labeled-data/B/i3.png": 53}
    beside = [f"labeled-data/all/i{number}.png" for number in (1, 2, 3)]
    project = read_project(merged(tmp_path / "p", "all", rows, beside))
    assert found_in(project) == dict(zip(beside, (1, 52, 53), strict=True))
    project = read_project(merged(tmp_path / "q", "all", rows, [*beside, "labeled-data/B/i2.png", "backup/B/i3.png"]))
    assert found_in(project) == {beside[0]: 1, "labeled-data/B/i2.png": 52, beside[2]: 53}
    rows = {"labeled-data/A/i1.png": 1, "labeled-data/B/i1.png": 51, "labeled-data/B/i2.png": 52}
    assert found_in(read_project(merged(tmp_path / "r", "all", rows, beside))) == {beside[1]: 52}  # i1 of which?


def test_a_table_elsewhere_whose_rows_name_pictures_of_one_name(tmp_path):
    rows = {"labeled-data/A/i1.png": 1, "labeled-data/B/i1.png": 51}
    root = merged(tmp_path / "p", "A", rows, ["labeled-data/A/i1.png", "labeled-data/B/i1.png", "i1.png"])
    table = (root / "labeled-data" / "A" / "CollectedData_me.csv").rename(root / "CollectedData_me.csv")
    assert found_in(read_project(table)) == rows


STRAY = {"a preview": "preview.png", "one of the frames": "i1.png", "a file of macOS": "._i1.png"}


@pytest.mark.parametrize("named", ["w", "next"])
@pytest.mark.parametrize("stray", STRAY)
@pytest.mark.parametrize("place", [".", "w", "labeled-data/w", "deep/er/w", "next"])
def test_a_stray_picture_does_not_hide_those_in_a_further_folder(tmp_path, stray, place, named):
    root = write(tmp_path / "p", {"w": (named, {f"i{n}.png": n for n in range(5)})}, [f"labeled-data/w/{STRAY[stray]}"])
    here = {"i1.png"} if stray == "one of the frames" else set()
    further = tmp_path / "frames"
    others = [f"{other}/i{n}.png" for other in ("v", "w_labeled") for n in range(5)] if place != "." else []
    write_pictures(further, [*others, *(f"{place}/i{n}.png" for n in range(5) if f"i{n}.png" not in here)])
    if place == "next" and named == "w":  # another video's
        with pytest.raises(DataError, match="none of the 5") if not here else nullcontext():
            assert len(read_project(root, further).pictures) == 1
        return
    project = read_project(root, further)
    files = {item.keypoints[0, 0]: project.pictures[item.picture].path for item in project.instances}
    own = root / "labeled-data" / "w"
    assert files == {n: (own if f"i{n}.png" in here else further / place) / f"i{n}.png" for n in range(5)}
    if not stray.startswith("a file") and (place != "labeled-data/w" or named == "next"):
        count = "5 pictures were" if not here else "4 pictures were"
        assert any(note.startswith(f"{count} found by name, in other folders") for note in project.notes)


def test_a_further_folder_that_has_the_projects_own_inside(tmp_path):
    """Pictures of the project's other videos are no further ones."""
    tables = {"a_round1": ("next", {"i1.png": 1, "i3.png": 3}), "w": ("w", {"i1.png": 11})}
    files = [
        "labeled-data/a_round1/i3.png",
        "labeled-data/next/i1.png",
        "labeled-data/w/x.png",
        "labeled-data/v/i1.png",
    ]
    (tmp_path / "all").mkdir()
    root = write(tmp_path / "all" / "p", tables, files)
    for further in (tmp_path / "all", root, root / "labeled-data", root / "labeled-data" / "v"):
        assert found_in(read_project(root, further)) == {files[0]: 3}
    write_pictures(tmp_path / "all" / "frames", ["w/i1.png"])
    found = read_project(root, tmp_path / "all")
    assert sorted(found_in(found).values()) == [3, 11]
    assert tmp_path / "all/frames/w/i1.png" in [picture.path for picture in found.pictures]


def test_a_deleted_frame_of_a_copy_takes_no_further_picture_of_the_video_that_it_copies(tmp_path):
    tables = {"a_round1": ("next", {"i1.png": 1, "i3.png": 3}), "next": ("next", {"i1.png": 51})}
    root = write(tmp_path / "p", tables, ["labeled-data/a_round1/i3.png"])
    write_pictures(tmp_path / "frames", ["next/i1.png"])
    project = read_project(root, tmp_path / "frames")
    assert sorted(found_in(project).values()) == [3, 51]


@pytest.mark.parametrize("fault", ["two videos", "a folder in it", "one is not there"])
def test_pictures_without_a_videos_folder_may_be_another_videos(tmp_path, fault):
    tables = {"w": ("w", {"i1.png": 1, "i2.png": 2, "i3.png": 3})}
    root = write(tmp_path / "p", tables, ["labeled-data/w/i3.png"])
    files = ["i1.png", *(["i2.png"] if fault != "one is not there" else [])]
    write_pictures(tmp_path / "frames", [*files, *(["v/i8.png"] if fault == "a folder in it" else [])])
    if fault == "two videos":
        write_pictures(root, ["labeled-data/v/i1.png"])
    assert found_in(read_project(root, tmp_path / "frames")) == {"labeled-data/w/i3.png": 3}


def test_plain_names_and_pictures_at_the_root(tmp_path):
    root = merged(tmp_path / "p", "w", {"i1.png": 1}, ["i1.png"])
    assert found_in(read_project(root)) == {"i1.png": 1}
    write_pictures(root, ["labeled-data/w/i2.png"])
    with pytest.raises(DataError, match="none of the 1 picture"):
        read_project(root)
