"""Tables of poses, read back by the tools that they are written for."""

from __future__ import annotations

import csv
import importlib.util

import cv2
import numpy as np
import pytest

from lvtune.core.errors import UsageError
from lvtune.prediction.pose_rows import PoseRow, check_layout, write_csv, write_dlc

NAMES = ("snout", "left_ear", "tail")


def row(image, shift=0.0, names=NAMES, **more):
    points = np.column_stack([np.arange(len(names)) * 10.0 + shift, np.arange(len(names)) * 5.0 + 1.25])
    return PoseRow(image, (1, 2, 30, 40), 0.5, names, points, np.linspace(0.1, 0.9, len(names)), **more)


@pytest.fixture
def pictures(tmp_path):
    """Three pictures that the tables name, as their readers want to see them."""
    (tmp_path / "frames").mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"frames/img{i:03}.png"), np.zeros((80, 100, 3), np.uint8))
    return [f"frames/img{i:03}.png" for i in range(3)]


def test_one_row_a_pose(pictures, tmp_path):
    rows = [row(pictures[0], image_id=7, error=2.5), row(pictures[0], 3, names=("tail", "paw"))]
    with write_csv(rows, tmp_path).open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["image"], first["image_id"], first["box_width"], first["error_px"]) == (
        pictures[0],
        "7",
        "30.0",
        "2.5",
    )
    assert (first["left_ear_x"], first["left_ear_y"], first["left_ear_score"]) == ("10.0", "6.25", "0.5")
    assert (first["paw_x"], second["snout_x"], second["paw_x"], second["error_px"]) == ("", "", "13.0", "")


def test_sleap_io_reads_the_same_points(pictures, tmp_path):
    sleap_io = pytest.importorskip("sleap_io")
    rows = [row(pictures[0]), row(pictures[2], 4)]
    files, _ = write_dlc(rows, pictures, tmp_path)
    labels = sleap_io.load_file(str(files[0]), format="dlc")
    found = {frame.frame_idx: frame.instances for frame in labels.labeled_frames}
    names = labels.skeleton.node_names
    assert sorted(names) == sorted(NAMES) and not found.get(1)
    for frame, one in ((0, rows[0]), (2, rows[1])):
        read = dict(zip(names, found[frame][0].numpy(), strict=True))
        for name, point in zip(NAMES, one.keypoints, strict=True):
            np.testing.assert_allclose(read[name], point)


def test_several_poses_of_a_picture_become_individuals(pictures, tmp_path):
    sleap_io = pytest.importorskip("sleap_io")
    files, _ = write_dlc([row(pictures[1]), row(pictures[1], 4)], pictures, tmp_path)
    head = files[0].read_text().splitlines()[:4]
    assert [line.split(",")[0] for line in head] == ["scorer", "individuals", "bodyparts", "coords"]
    labels = sleap_io.load_file(str(files[0]), format="dlc")
    (frame,) = [frame for frame in labels.labeled_frames if frame.instances]
    assert len(frame.instances) == 2


@pytest.mark.filterwarnings("ignore::Warning")
def test_the_h5_holds_the_same_table(pictures, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    files, notes = write_dlc([row(pictures[0]), row(pictures[1], 4)], pictures, tmp_path)
    frame = pandas.read_hdf(files[1], "df_with_missing")
    assert notes == [] and list(frame.columns.names) == ["scorer", "bodyparts", "coords"]
    assert frame.loc[pictures[1], ("lvtune", "tail", "x")] == 24.0 and frame.loc[pictures[2]].isna().all()


def test_without_pandas_the_csv_is_written_and_the_rest_is_told(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    files, notes = write_dlc([row(pictures[0])], pictures, tmp_path)
    assert [file.name for file in files] == ["dlc_poses.csv"] and 'pip install "lvtune[labels]"' in notes[0]


def test_an_unknown_format_is_told():
    check_layout("dlc")
    with pytest.raises(UsageError, match="format 'sleap'"):
        check_layout("sleap")
