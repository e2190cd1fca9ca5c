"""Columns of several scorers are merged where they agree, and nothing in a table is overwritten in silence."""

import numpy as np
import pandas as pd
import pytest
from dlc_samples import SCORER, frame, write_project
from label_samples import PICTURES

from lvtune.core.errors import DataError
from lvtune.data.formats import read_project
from lvtune.data.formats.point_table import read_point_table

LEVELS = ["scorer", "bodyparts", "coords"]
WITH_INDIVIDUALS = ["scorer", "individuals", "bodyparts", "coords"]


def shared(single=True, rows=(slice(0, 1), slice(1, 2))):
    """The table of video v1, whose rows two scorers have labelled."""
    whole = frame(PICTURES[:2], LEVELS if single else WITH_INDIVIDUALS, single)
    parts = []
    for scorer, mine in zip((SCORER, "ann"), rows, strict=True):
        part = whole.copy()
        part.loc[[name for name in whole.index if name not in whole.index[mine]]] = np.nan
        parts.append(part.rename(columns={SCORER: scorer}, level=0))
    return pd.concat(parts, axis=1)


def write(table, row, scorer, part, values):
    places = [n for n, column in enumerate(table.columns) if column[:2] == (scorer, part)]
    table.iloc[row, places] = values


def put(root, table, kind):
    file = root / "labeled-data" / "v1" / f"CollectedData_{SCORER}.{kind}"
    if kind == "csv":
        table.to_csv(file)
    else:
        table.to_hdf(file, key="df_with_missing", mode="w")
    return file


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("kind", ["csv", "h5"])
def test_rows_of_two_scorers_are_merged(tmp_path, kind, single):
    root = write_project(tmp_path / "p", kind, single=single)
    alone = read_project(root)
    put(root, shared(single), kind)
    merged = read_project(root)
    assert f"the scorers of v1/CollectedData_me.{kind} are merged: me (1 row), ann (1 row)" in merged.notes
    assert len(merged.instances) == len(alone.instances) == (3 if single else 4)
    for one, two in zip(merged.instances, alone.instances, strict=True):
        assert (one.picture, one.individual) == (two.picture, two.individual)
        np.testing.assert_array_equal(one.keypoints, two.keypoints)


@pytest.mark.parametrize("kind", ["csv", "h5"])
def test_a_point_of_two_scorers_is_not_guessed_at(tmp_path, kind):
    root = write_project(tmp_path / "p", kind)
    table = shared()
    write(table, 1, SCORER, "snout", 77)
    put(root, table, kind)
    with pytest.raises(
        DataError, match=r"two points for snout of labeled-data/v1/img02\.png: by me and by ann"
    ) as caught:
        read_project(root)
    assert "delete the columns of me or of ann" in caught.value.fix


def test_scorers_that_gave_the_same_point_or_other_points_of_a_row_are_merged_and_told(tmp_path):
    table = shared(rows=(slice(0, 2), slice(1, 2)))
    write(table, 1, "ann", "tailbase", np.nan)
    write(table, 0, SCORER, "snout", np.nan)
    write(table, 0, "ann", "snout", [20.5, 30.25])
    root = write_project(tmp_path / "p")
    plain = read_project(root)
    put(root, table, "csv")
    merged = read_project(root)
    assert any("me (2 rows), ann (2 rows); 2 rows have points of several" in note for note in merged.notes)
    np.testing.assert_array_equal(merged.instances[0].keypoints, plain.instances[0].keypoints)
    np.testing.assert_array_equal(merged.instances[1].keypoints, plain.instances[1].keypoints)


TWICE = {
    "a body part": ("scorer,me,me,me,me\nbodyparts,a,a,a,a\ncoords,x,y,x,y\n", "me a x; me a y"),
    "a coordinate": ("scorer,me,me,me,me\nbodyparts,a,a,a,b\ncoords,x,y,y,x\n", "me a y"),
    "of an individual": (
        "scorer,me,me,me,me\nindividuals,m,m,m,m\nbodyparts,a,a,a,a\ncoords,x,y,x,y\n", "me m a x; me m a y"
    ),
    "without a scorer": ("bodyparts,a,a,a,a\ncoords,x,y,x,y\n", "twice: a x; a y"),
}  # fmt: skip


@pytest.mark.parametrize("what", TWICE)
def test_columns_that_stand_twice_are_named(tmp_path, what):
    head, named = TWICE[what]
    file = tmp_path / "CollectedData_me.csv"
    for values in ("1,2,3,4", "1,2,,", "1,2,1,2"):  # other values, no values, the same values
        file.write_text(f"{head}labeled-data/v/i1.png,{values}\n")
        with pytest.raises(DataError, match="columns stand twice") as caught:
            read_point_table(file)
        assert named in caught.value.given


def test_columns_that_stand_twice_in_an_h5_are_named(tmp_path):
    import h5py

    root = write_project(tmp_path / "p", "h5")
    file = put(root, shared(), "h5")
    with h5py.File(file, "r+") as store:  # both scorers are named alike
        store["df_with_missing/axis0_level0"][:] = b"me"
        store["df_with_missing/block0_items_level0"][:] = b"me"
    with pytest.raises(DataError, match="columns stand twice: me snout x; me snout y"):
        read_project(root)


def test_individuals_of_a_table_without_scorers_are_no_scorers(tmp_path):
    file = tmp_path / "CollectedData_me.csv"
    file.write_text("individuals,m,m,n,n\nbodyparts,a,a,a,a\ncoords,x,y,x,y\nlabeled-data/v/i1.png,1,2,3,4\n")
    found = read_point_table(file)
    assert found.individuals == ("m", "n") and found.points["n", "a"].tolist() == [[3, 4]]
