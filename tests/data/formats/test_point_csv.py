"""Tables whose rows do not fit are errors with their line: a cell too few would move or drop points."""

import numpy as np
import pytest

from lvtune.core.errors import DataError
from lvtune.data.formats.point_csv import read_point_csv

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
        "line 5 of .* quotation mark that no other one closes",
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
    "one in the last row": (HEAD + ROW + '"' + ROW.replace("i1", "i2").strip(), "line 5 of .* with 1 cell", "5 cells"),
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


def test_a_name_with_the_separator_in_quotation_marks(tmp_path):
    found = read_point_csv(table(tmp_path, HEAD + '"labeled-data/v/i,1.png",1,2,3,4\n'))
    assert found.pictures == ("labeled-data/v/i,1.png",)
