"""Reports of finished runs are read in one way, with one kind of error."""

import pytest

from lvtune.core.errors import DataError
from lvtune.experiments.report_file import read_report


def test_a_report_is_a_table(tmp_path):
    file = tmp_path / "report.json"
    file.write_text('{"seed": 3}')
    assert read_report(file) == {"seed": 3}


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "3", "[" * 30_000, '{"a": ' + "9" * 5000 + "}", "\x00"])
def test_anything_else_is_one_clear_error(tmp_path, text):
    file = tmp_path / "report.json"
    file.write_text(text)
    with pytest.raises(DataError, match=r"report\.json"):
        read_report(file)


def test_a_report_that_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"report\.json"):
        read_report(tmp_path / "report.json")
