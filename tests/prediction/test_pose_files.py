"""Names in the files of a run."""

import pytest

from lvtune.prediction.pose_files import in_project


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("../of/labeled-data/m4s1/img0001.png", "labeled-data/m4s1/img0001.png"),
        ("/far/away/labeled-data/m4s1/img0001.png", "labeled-data/m4s1/img0001.png"),
        ("..\\of\\labeled-data\\m4s1\\img0001.png", "labeled-data/m4s1/img0001.png"),
        ("labeled-data/img0001.png", "labeled-data/img0001.png"),
        ("../pictures/a.png", "../pictures/a.png"),
        ("a.png", "a.png"),
    ],
)
def test_pictures_of_a_project_are_named_as_deeplabcut_names_them(path, expected):
    assert in_project(path) == expected
