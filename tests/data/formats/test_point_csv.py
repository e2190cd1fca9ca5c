"""Tables whose rows do not fit are errors with their line: a cell too few would move or drop points."""

import numpy as np
import pytest

from lvtune.core.errors import DataError
from lvtune.data.formats.point_csv import is_point_csv, read_point_csv

HEAD = "scorer,me,me,me,me\nbodyparts,a,a,b,b\ncoords,x,y,x,y\n"
ROW = "labeled-data/v/i1.png,1,2,3,4\n"


def table(tmp_path, text):
    file = tmp_path / "CollectedData_me.csv"
    file.write_text(text, encoding="utf-8")
    return file


BAD = {
    "a cell too many": (
        HEAD + ROW + "labeled-data/v/i2.png,1,2,3,4,5\n",
        r"line 5 of .*me\.csv with 6 cells",
        "5 cells",
    ),
    "a cell too few": (HEAD + "labeled-data/v/i1.png,1,2,3\n" + ROW, "line 4 of .* with 4 cells", "5 cells: 1 of"),
    "a name alone": (HEAD + ROW + "labeled-data/v/i2.png\n", "line 5 of .* with 1 cell;", "5 cells"),
    "after an empty line": (HEAD + "\n" + ROW + "\nlabeled-data/v/i2.png,1\n", "line 7 of .* with 2 cells", "5 cells"),
    "scorer too short": (HEAD.replace("scorer,me", "scorer") + ROW, "line 1 of .* with 4 cells", "5 cells"),
    "bodyparts too short": (HEAD.replace("a,a,b,b", "a,a,b") + ROW, "line 2 of .* with 4 cells", "5 cells"),
    "coords too short": (HEAD.replace("x,y,x,y", "x,y,x") + ROW, "line 3 of .* with 4 cells", "5 cells"),
    "bodyparts too long": (HEAD.replace("a,a,b,b", "a,a,b,b,c") + ROW, "line 2 of .* with 6 cells", "5 cells"),
    "a body part without a name": (HEAD.replace("a,a,b,b", "a,a,,b") + ROW, "line 2 .* cell 4 is empty", "bodyparts"),
    "a separator in a name": (
        HEAD + "labeled-data/v/i,1.png,1,2,3,4\n",
        "line 4 of .* with 6 cells",
        "quotation marks",
    ),
    "a path in three cells": (
        HEAD + "labeled-data,v,i1.png,1,2,3,4\n",
        "line 4 of .* with 7 cells",
        "1 of the picture",
    ),
    "a quotation mark that is not closed": (
        HEAD + ROW + '"' + ROW.replace("i1", "i2") + ROW.replace("i1", "i3") + ROW.replace("i1", "i4"),
        "line 5 of .* quotation mark in cell 1 that no other one closes there",
        "in pairs",
    ),
    "one in the middle of a cell's place": (
        HEAD + ROW + ROW.replace("i1", "i2").replace(",2,", ',"2,') + ROW.replace("i1", "i3"),
        "line 5 of .* quotation mark",
        "in pairs",
    ),
    "two, rows apart": (
        HEAD + ROW + '"' + ROW.replace("i1", "i2") + ROW.replace("i1", "i3") + '"' + ROW.replace("i1", "i4"),
        "line 5 of .* quotation mark",
        "in pairs",
    ),
    "one in the last row": (HEAD + ROW + '"' + ROW.replace("i1", "i2").strip(), "line 5 of .* in cell 1", "in pairs"),
    "one in the middle of a name": (HEAD + ROW.replace("i1", 'i"1') + ROW, "line 4 of .* in cell 1", "in pairs"),
    "one at the end of a name": (HEAD + ROW.replace("png", 'png"') + ROW, "line 4 of .* in cell 1", "in pairs"),
    "one at the end of a number": (HEAD + ROW + ROW.replace("4", '4"'), "line 5 of .* in cell 5", "in pairs"),
    "text behind the second": (HEAD + ROW.replace(",2", ',"2"0'), "line 4 of .* in cell 3", "in pairs"),
    "two in two rows, each at an end": (
        HEAD + '"' + ROW + ROW.replace("i1", "i2") + ROW.replace("png", 'png"'),
        "line 4 of .* in cell 1",
        "in pairs",
    ),
    "one in a header row": (HEAD.replace("coords,", 'coords,"') + ROW, "line 3 of .* in cell 2", "in pairs"),
    "one in the first header row": ('"' + HEAD + ROW, "line 1 of .* in cell 1", "in pairs"),
    "one in a table with semicolons": (
        (HEAD + ROW + '"' + ROW).replace(",", ";"),
        "line 5 of .* in cell 1",
        "in pairs",
    ),
    "a name that is no picture behind the first row": (
        HEAD + ROW + "index\n",
        "line 5 of .* with 1 cell;",
        "5 cells",
    ),
    "a row without picture and points behind others": (HEAD + ROW + "index,,,\n", "line 5 of .* 4 cells", "5 cells"),
    "a header row twice": (HEAD + "coords,x,y,x,y\n" + ROW, "row coords in lines 3 and 4", "delete one"),
}


@pytest.mark.parametrize("fault", BAD)
def test_rows_that_do_not_fit_are_named_with_their_line(tmp_path, fault):
    text, given, expected = BAD[fault]
    with pytest.raises(DataError, match=given) as caught:
        read_point_csv(table(tmp_path, text))
    assert expected in str(caught.value)


GOOD = {
    "as it is written": HEAD + ROW,
    "empty cells at the end": "".join(f"{line},,\n" for line in (HEAD + ROW).splitlines()),
    "empty cells at the end of one row": HEAD + ROW.replace("\n", ",,\n"),
    "a line between the header rows": HEAD.replace("bodyparts", "\nbodyparts") + ROW,
    "a scorer's cells made one": HEAD.replace("me,me,me,me", "me,,,") + ROW,
    "the path in three cells": "".join(
        f"{first},,,{rest}\n" for first, _, rest in (line.partition(",") for line in HEAD.splitlines())
    ) + ROW.replace("/", ","),
    "a row of the names of the index": HEAD + "index,,,,\n" + ROW,
    "no row of scorers": HEAD.partition("\n")[2] + ROW,
}  # fmt: skip


@pytest.mark.parametrize("variant", GOOD)
def test_rows_that_fit(tmp_path, variant):
    found = read_point_csv(table(tmp_path, GOOD[variant]))
    assert found.pictures == ("labeled-data/v/i1.png",) and found.bodyparts == ("a", "b")
    np.testing.assert_array_equal(found.points["", "b"], [[3, 4]])


QUOTED = {
    "every cell": "".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in (HEAD + ROW).splitlines()
    ),
    "a blank before and behind": HEAD + ROW.replace(",2,", ', "2" ,'),
    "empty cells": HEAD + ROW.replace("\n", ',"",""\n'),
    "carriage returns": (HEAD + ROW).replace("labeled-data/v/i1.png", '"labeled-data/v/i1.png"').replace("\n", "\r\n"),
    "semicolons": (HEAD + ROW).replace("labeled-data/v/i1.png", '"labeled-data/v/i1.png"').replace(",", ";"),
}


@pytest.mark.parametrize("variant", QUOTED)
def test_quotation_marks_in_pairs(tmp_path, variant):
    file = table(tmp_path, QUOTED[variant])
    found = read_point_csv(file)
    assert found.pictures == ("labeled-data/v/i1.png",) and is_point_csv(file)
    np.testing.assert_array_equal(found.points["", "a"], [[1, 2]])


def test_a_name_with_quotation_marks(tmp_path):
    found = read_point_csv(table(tmp_path, HEAD + '"labeled-data/v/""i"",1.png",1,2,3,4\n' + ROW))
    assert found.pictures == ('labeled-data/v/"i",1.png', "labeled-data/v/i1.png")


@pytest.mark.parametrize("name", ["index", "labeled-data/v/i3", "total"])
def test_only_the_first_row_may_be_the_names_of_the_index(tmp_path, name):
    head = HEAD + f"{name},,,,\n"
    assert read_point_csv(table(tmp_path, head + ROW)).pictures == ("labeled-data/v/i1.png",)
    found = read_point_csv(table(tmp_path, HEAD + ROW + f"{name},,,,\n"))
    assert found.pictures == ("labeled-data/v/i1.png", name)  # it is named among the missing ones


def test_a_name_with_the_separator_in_quotation_marks(tmp_path):
    found = read_point_csv(table(tmp_path, HEAD + '"labeled-data/v/i,1.png",1,2,3,4\n'))
    assert found.pictures == ("labeled-data/v/i,1.png",)
