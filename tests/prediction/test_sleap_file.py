"""SLEAP's file of pictures: sleap-io opens it again, from any folder, and finds the pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tiny import tiny_base

import lvtune

sleap_io = pytest.importorskip("sleap_io")


def test_pictures_are_found_again(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for i in range(3):
        picture = np.random.default_rng(i).integers(0, 255, (60, 50, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "in" / f"{i}.png"), picture)
    poses = lvtune.predict(tmp_path / "in", base=tiny_base(), out=tmp_path / "out", layout="sleap")
    monkeypatch.chdir("/")
    labels = sleap_io.load_slp(str(tmp_path / "out/poses.slp"))
    assert [frame.frame_idx for frame in labels] == [0, 1, 2]
    for frame, pose in zip(labels, poses, strict=True):
        assert frame.image.shape[:2] == (60, 50)
        np.testing.assert_allclose(frame.instances[0].numpy(), pose.keypoints, atol=1e-3)


def test_arrays_have_made_up_names(tmp_path):
    pictures = [np.zeros((60, 50, 3), np.uint8)] * 2
    lvtune.predict(pictures, base=tiny_base(), out=tmp_path, layout="sleap")
    labels = sleap_io.load_slp(str(tmp_path / "poses.slp"), open_videos=False)
    assert [name.rpartition("/")[2] for name in labels.video.filename] == ["array-0", "array-1"]
