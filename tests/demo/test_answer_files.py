"""Folders of visitors: their names lead nowhere else, and old ones go."""

import os
import time

from lvtune.demo.answer_files import VisitorFolders


def test_each_visitor_has_a_folder_that_his_next_answer_replaces(tmp_path):
    folders = VisitorFolders(tmp_path)
    first = folders.fresh("a", "picture")
    (first / "poses.json").write_text("[]")
    other, video = folders.fresh("b", "picture"), folders.fresh("a", "video")
    assert len({first, other, video}) == 3 and (first / "poses.json").exists()
    assert folders.fresh("a", "picture") == first and not list(first.iterdir())
    folders.forget("a")
    assert not first.exists() and not video.exists() and other.exists()


def test_no_name_leads_out_of_the_folder(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "kept").mkdir()
    folders = VisitorFolders(root)
    for name in ("../kept", "/etc", "..", "", "a/../../kept", "\ud800", "x" * 5000):
        assert root in folders.fresh(name, "picture").resolve().parents
        folders.forget(name)
    assert (tmp_path / "kept").is_dir() and root.is_dir()


def test_old_folders_are_deleted(tmp_path):
    folders = VisitorFolders(tmp_path, 600)
    gone = folders.fresh("gone", "picture")
    file = gone / "poses.json"
    file.write_text("[]")
    past = time.time() - 660
    for path in (file, gone, gone.parent):
        os.utime(path, (past, past))
    here = folders.fresh("here", "picture")
    assert gone.exists()
    folders.sweep()
    assert not gone.exists() and here.is_dir()
