"""A picture that stands in several rows is read once, and rows that differ are refused."""

import pytest
from dlc_samples import SCORER, frame, write_lightning, write_project
from label_samples import PICTURES
from PIL import Image

from lvtune.core.errors import DataError
from lvtune.data.formats import read_project

LEVELS = ["scorer", "bodyparts", "coords"]


def predictions(root, name="predictions.csv", words="", row="labeled-data/v1/img01.png"):
    """A table as Lightning Pose writes its predictions, with or without the column that names the part."""
    parts = ["snout", "leftear", "rightear", "tailbase"]
    more = [f",{words}", ",", ","] if words else [""] * 3
    head = ["scorer" + ",net" * 12, "bodyparts" + "".join(f",{part}" * 3 for part in parts)]
    lines = [*head, "coords" + ",x,y,likelihood" * 4, row + ",200,200,0.01" * 4]
    more.append(",train" if words else "")
    (root / name).write_text("\n".join(line + end for line, end in zip(lines, more, strict=True)) + "\n")
    return root / name


def picture(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48)).save(file)


def points_of(project):
    return [(project.pictures[i.picture].name, i.individual, i.keypoints.tolist()) for i in project.instances]


@pytest.mark.parametrize("words", ["", "set"])
@pytest.mark.parametrize("row", ["labeled-data/v1/img01.png", "0"])
def test_predictions_beside_the_labels_are_left_out_and_named(tmp_path, words, row):
    root = write_lightning(tmp_path / "p")
    alone = read_project(root)
    predictions(root, "A_predictions.csv", words, row)  # sorts before the labels
    predictions(root, "z.csv", words, row)
    project = read_project(root)
    assert points_of(project) == points_of(alone)
    told = [note for note in project.notes if "holds no labels" in note]
    assert [note.split(" ")[0] for note in told] == ["p/A_predictions.csv", "p/z.csv"]


def test_predictions_alone_are_refused(tmp_path):
    root = write_lightning(tmp_path / "p")
    (root / "CollectedData.csv").unlink()
    file = predictions(root)
    for path in (root, file):
        with pytest.raises(DataError, match="likelihood are those of predictions") as caught:
            read_project(path)
        assert "delete its columns likelihood" in caught.value.fix
    predictions(root, row="0")
    with pytest.raises(DataError, match="predictions for a video"):
        read_project(root)


@pytest.mark.parametrize("kind", ["csv", "h5"])
def test_predictions_in_a_project_of_deeplabcut_are_left_out_and_named(tmp_path, kind):
    root = write_project(tmp_path / "p", kind)
    table = frame(PICTURES[:2], LEVELS)
    for part in ("snout", "leftear", "rightear", "tailbase"):
        table[SCORER, part, "likelihood"] = 0.5
    file = root / "labeled-data" / "v1" / f"CollectedData_{SCORER}.{kind}"
    file.unlink()
    table.to_csv(file) if kind == "csv" else table.to_hdf(file, key="df_with_missing", mode="w")
    project = read_project(root)
    assert {picture.group for picture in project.pictures} == {"v2"}
    assert any(note.startswith(f"v1/CollectedData_{SCORER}.{kind} is left out") for note in project.notes)


def test_a_copy_of_the_table_is_read_once(tmp_path):
    root = write_lightning(tmp_path / "p")
    alone = read_project(root)
    (root / "CollectedData_backup.csv").write_bytes((root / "CollectedData.csv").read_bytes())
    project = read_project(root)
    assert points_of(project) == points_of(alone) and len(project.pictures) == len(alone.pictures)
    note = (
        "4 pictures stand in p/CollectedData.csv and in p/CollectedData_backup.csv: points that are the same are read"
    )
    assert any(one.startswith(note) for one in project.notes)


def test_tables_that_differ_in_a_picture_are_refused(tmp_path):
    root = write_lightning(tmp_path / "p")
    text = (root / "CollectedData.csv").read_text()
    (root / "CollectedData_old.csv").write_text(text.replace("20.5,", "21.5,"))
    with pytest.raises(
        DataError, match=r"v1/img01\.png with different points in .*Data\.csv and .*_old\.csv"
    ) as caught:
        read_project(root)
    assert "CollectedData.csv" in caught.value.fix
    (root / "CollectedData_old.csv").write_text(text.replace("20.5,30.25", ",", 1))  # a point less
    with pytest.raises(DataError, match="different points"):
        read_project(root)


def test_a_row_that_stands_twice_in_one_table(tmp_path):
    root = write_project(tmp_path / "p", three=False)
    file = root / "labeled-data" / "v1" / f"CollectedData_{SCORER}.csv"
    alone, text = read_project(root), file.read_text()
    row = next(line for line in text.splitlines() if "img01" in line)
    file.write_text(f"{text}{row}\n")
    project = read_project(root)
    assert points_of(project) == points_of(alone)
    assert any(note.startswith("1 picture stands twice in v1/CollectedData_me.csv") for note in project.notes)
    # the same picture by another spelling, with other points
    file.write_text(text + row.replace("/", "\\").replace("20.5", "99") + "\n")
    with pytest.raises(DataError, match=r"img01\.png with different points in two rows of .*csv") as caught:
        read_project(root)
    assert caught.value.fix == "delete the row that does not count"


@pytest.mark.parametrize("own", ["1,2,3,4", ",,,"])
def test_a_row_of_another_video_in_a_table_is_of_that_video(tmp_path, own):
    """Both videos have a picture of that name; a row with points of the table's own is no copy's."""
    table = tmp_path / "labeled-data" / "v1" / "CollectedData_me.csv"
    for folder, name in (("v1", "img01"), ("v1", "img02"), ("v2", "img01")):
        picture(tmp_path / "labeled-data" / folder / f"{name}.png")
    (tmp_path / "config.yaml").write_text("Task: t\nscorer: me\nbodyparts:\n- a\n- b\n")
    head = "scorer,me,me,me,me\nbodyparts,a,a,b,b\ncoords,x,y,x,y\n"
    rows = f"labeled-data/v1/img01.png,{own}\nlabeled-data/v1/img02.png,1,1,2,2\nlabeled-data/v2/img01.png,5,6,7,8\n"
    table.write_text(head + rows)
    project = read_project(tmp_path)
    found = {name.rpartition("labeled-data/")[2]: points for name, _, points in points_of(project)}
    assert found["v2/img01.png"] == [[5, 6], [7, 8]] and found["v1/img02.png"] == [[1, 1], [2, 2]]
    assert found.get("v1/img01.png") == ([[1, 2], [3, 4]] if own[0] != "," else None)
    assert not any("read once" in note for note in project.notes)


HEAD = "scorer,me,me,me,me\nbodyparts,a,a,b,b\ncoords,x,y,x,y\n"


def rows_of(root, *rows):
    """A project of one video v with the pictures i1 and i2, and a table of these rows."""
    for name in ("i1", "i2"):
        picture(root / "labeled-data" / "v" / f"{name}.png")
    (root / "config.yaml").write_text("scorer: me\nbodyparts: [a, b]\n")
    lines = [f"labeled-data/v/{row}\n" for row in rows]
    (root / "labeled-data" / "v" / "CollectedData_me.csv").write_text(HEAD + "".join(lines))
    return read_project(root)


@pytest.mark.parametrize("rows", [("i1.png,1,2,3,4", "i1.png,,,,"), ("i1.png,,,,", "i1.png,1,2,3,4")])
def test_an_empty_row_is_not_the_same_as_one_with_points(tmp_path, rows):
    project = rows_of(tmp_path, *rows)
    assert points_of(project) == [("labeled-data/v/i1.png", "", [[1, 2], [3, 4]])]
    assert not any("read once" in note for note in project.notes)


def test_two_empty_rows_alone_have_no_points_that_are_the_same(tmp_path):
    project = rows_of(tmp_path, "i1.png,1,2,3,4", "i2.png,,,,", "i2.png,,,,")
    assert not any("read once" in note for note in project.notes)


@pytest.mark.parametrize("again", [("i9.png,1,2,3,4",), ("i9.png,1,2,3,4",) * 2, ("i9.png,,,,",), ("i9.png,5,6,,",)])
def test_a_missing_picture_of_several_rows_counts_once(tmp_path, again):
    notes = rows_of(tmp_path, "i1.png,1,2,3,4", "i9.png,1,2,3,4", *again).notes
    told = "1 of 2 labelled pictures is missing and left out with 1 instance: labeled-data/v/i9.png"
    assert told in notes and not any("read once" in note for note in notes)


def test_all_pictures_of_several_rows_are_missing(tmp_path):
    with pytest.raises(DataError, match="none of the 2 pictures is there, such as labeled-data/v/i8"):
        rows_of(tmp_path, *["i8.png,1,2,3,4", "i9.png,1,2,3,4"] * 2)


def test_a_copied_folder_still_has_its_own_pictures(tmp_path):
    table = "scorer,me,me\nbodyparts,a,a\ncoords,x,y\nlabeled-data/v1/img01.png,5,6\n"
    for folder in ("v1", "v1_copy"):
        picture(tmp_path / "labeled-data" / folder / "img01.png")
        (tmp_path / "labeled-data" / folder / "CollectedData_me.csv").write_text(table)
    (tmp_path / "config.yaml").write_text("Task: t\nscorer: me\nbodyparts:\n- a\n")
    names = sorted(name.rpartition("labeled-data/")[2] for name, _, _ in points_of(read_project(tmp_path)))
    assert names == ["v1/img01.png", "v1_copy/img01.png"]


def test_a_row_without_points_takes_nothing_away(tmp_path):
    root = write_project(tmp_path / "p", three=False)
    file = root / "labeled-data" / "v1" / f"CollectedData_{SCORER}.csv"
    alone, text = read_project(root), file.read_text()
    file.write_text(text + "labeled-data/v1/img01.png" + "," * 8 + "\n")
    assert points_of(read_project(root)) == points_of(alone)


def test_individuals_of_a_row_that_stands_twice(tmp_path):
    root = write_project(tmp_path / "p", single=False, three=False)
    file = root / "labeled-data" / "v1" / f"CollectedData_{SCORER}.csv"
    alone, text = read_project(root), file.read_text()
    row = next(line for line in text.splitlines() if "img02" in line)
    file.write_text(f"{text}{row}\n")
    assert points_of(read_project(root)) == points_of(alone)
    file.write_text(f"{text}{row.replace('70.0', '71.0')}\n")
    with pytest.raises(DataError, match=r"img02\.png with different points"):
        read_project(root)


def test_tables_of_several_views(tmp_path):
    """Lightning Pose keeps a table for each camera; the pictures of each lie in a folder of their own."""
    root = write_lightning(tmp_path / "p")
    (root / "CollectedData.csv").unlink()
    for view, names in (("top", PICTURES[:2]), ("side", PICTURES[2:])):
        frame(names, LEVELS, three=False).to_csv(root / f"{view}.csv")
    project = read_project(root)
    assert len(project.pictures) == 4 and len(project.instances) == 3
    assert not any("read once" in note for note in project.notes)


def test_a_picture_of_the_test_part_is_in_no_other(tmp_path):
    root = write_lightning(tmp_path / "p")
    frame(PICTURES[1:], LEVELS, three=False).to_csv(root / "CollectedData.csv")
    frame(PICTURES[:2], LEVELS, three=False).to_csv(root / "CollectedData_new.csv")
    project = read_project(root)
    names = {part: sorted(project.pictures[n].name for n in places) for part, places in project.splits.items()}
    wanted = {"train": sorted(PICTURES[2:]), "test": sorted(PICTURES[:2])}
    assert names == {part: [f"labeled-data/{name}" for name in listed] for part, listed in wanted.items()}
    assert any("1 picture of theirs in other tables too: not in the part to tune on" in n for n in project.notes)
    assert len(project.instances) == 3
    text = (root / "CollectedData_new.csv").read_text()
    (root / "CollectedData_new.csv").write_text(text.replace("30.75", "31.75"))
    with pytest.raises(DataError, match=r"img02\.png with different points in .*Data\.csv and .*_new\.csv"):
        read_project(root)


def test_a_test_part_with_all_pictures_is_none(tmp_path):
    root = write_lightning(tmp_path / "p")
    (root / "CollectedData_new.csv").write_bytes((root / "CollectedData.csv").read_bytes())
    project = read_project(root)
    assert not project.splits and len(project.instances) == 3
