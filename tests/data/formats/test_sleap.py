import json
import shutil

import cv2
import numpy as np
import pytest
import sleap_io as sio
from label_samples import FLIP, LINKS, NAMES, PICTURES, animals, matches, picture, write_pictures

from lvtune.core.errors import DataError
from lvtune.data.formats import read_project
from lvtune.data.formats.coco_writer import write_coco


def make_labels(videos, frame_of):
    """Labels of SLEAP with every animal, a prediction beside each, and a frame of predictions alone."""
    skeleton = sio.Skeleton(list(NAMES), edges=[(NAMES[a], NAMES[b]) for a, b in LINKS], symmetries=[NAMES[1:3]])
    tracks = {name: sio.Track(name) for name in ("a", "b")}
    frames = []
    for name in PICTURES:
        instances = []
        for animal in (one for one in animals() if one.picture == name):
            points = np.array([(x, y) if v else (np.nan, np.nan) for x, y, v in animal.points])
            instances.append(sio.Instance.from_numpy(points, skeleton=skeleton, track=tracks[animal.individual]))
        video, number = frame_of(name)
        guess = sio.PredictedInstance.from_numpy(np.full((4, 2), 7.0), skeleton=skeleton, score=0.5)
        frames.append(sio.LabeledFrame(video=videos[video], frame_idx=number, instances=[*instances, guess]))
    return sio.Labels(labeled_frames=frames, videos=videos, skeletons=[skeleton], tracks=list(tracks.values()))


def of_files(root):
    """A .slp whose videos are lists of picture files, one list for each folder."""
    write_pictures(root / "frames")
    lists = [[str(root / "frames" / name) for name in PICTURES if name.startswith(video)] for video in ("v1", "v2")]
    videos = [sio.Video.from_filename(names) for names in lists]
    where = {name: (list_, place) for list_, names in enumerate(lists) for place, name in enumerate(names)}
    labels = make_labels(videos, lambda name: where[str(root / "frames" / name)])
    labels.save(str(root / "labels.slp"), embed=False, verbose=False)
    return root / "labels.slp", labels


def check(file, out):
    project = read_project(file)
    assert (project.format, project.links, project.flip_pairs) == ("SLEAP", LINKS, ((1, 2),))
    assert [FLIP[a] for a, _ in project.flip_pairs] == [2]
    assert [item.individual for item in project.instances] == ["a", "a", "b", "a"]
    assert any("1 frame holds predictions alone" in note for note in project.notes)
    written = write_coco(project, out)
    matches(json.loads(written.annotations["all"].read_text()), written.images)
    return project


def test_labels_of_picture_files(tmp_path):
    file, _ = of_files(tmp_path / "p")
    check(file, tmp_path / "out")


def test_folder_with_one_labels_file(tmp_path):
    file, _ = of_files(tmp_path / "p")
    assert read_project(file.parent).format == "SLEAP"
    shutil.copy(file, file.with_name("labels.v001.slp"))
    with pytest.raises(DataError, match="2 labels files"):
        read_project(file.parent)


def test_moved_labels_find_their_pictures(tmp_path):
    file, _ = of_files(tmp_path / "p")
    moved = shutil.move(tmp_path / "p", tmp_path / "elsewhere" / "deeper")
    project = check(moved / file.name, tmp_path / "out")
    assert any("found by name" in note for note in project.notes)


def test_labels_without_their_pictures(tmp_path):
    file, _ = of_files(tmp_path / "p")
    shutil.rmtree(tmp_path / "p" / "frames")
    with pytest.raises(DataError, match="none of the 3 pictures is there"):
        read_project(file)


def test_package_holds_its_pictures(tmp_path, own_cache):
    _, labels = of_files(tmp_path / "p")
    (tmp_path / "pack").mkdir()
    labels.save(str(tmp_path / "pack" / "labels.pkg.slp"), embed="user", verbose=False)
    shutil.rmtree(tmp_path / "p")
    project = read_project(tmp_path / "pack" / "labels.pkg.slp")
    assert all(one.path.is_relative_to(own_cache) for one in project.pictures)
    assert [path.name for path in (tmp_path / "pack").iterdir()] == ["labels.pkg.slp"]
    content = json.loads(write_coco(project, tmp_path / "out").annotations["all"].read_text())
    assert len(content["annotations"]) == 4
    for image, name in zip(content["images"], PICTURES, strict=False):
        shown = cv2.imread(str(tmp_path / "out" / "images" / image["file_name"]))
        assert np.abs(shown.astype(int) - picture(name)).mean() < 1  # the right frame, in the right colours


def test_frames_of_a_video_are_taken_out(tmp_path, own_cache):
    root = tmp_path / "p"
    root.mkdir()
    path = root / "mouse.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 64))
    shades = range(10, 250, 30)
    for shade in shades:
        writer.write(np.full((64, 96, 3), shade, np.uint8))
    writer.release()
    numbers = {PICTURES[0]: 1, PICTURES[1]: 4, PICTURES[2]: 6, PICTURES[3]: 7}
    video = sio.Video.from_filename(str(path))
    make_labels([video], lambda name: (0, numbers[name])).save(str(root / "labels.slp"), embed=False, verbose=False)
    moved = shutil.move(root, tmp_path / "moved")
    project = read_project(moved / "labels.slp")
    assert [one.group for one in project.pictures] == ["mouse"] * 3
    assert sorted(file.name for file in moved.iterdir()) == ["labels.slp", "mouse.avi"]
    for one, number in zip(project.pictures, (1, 4, 6), strict=True):
        assert abs(int(cv2.imread(str(one.path)).mean()) - shades[number]) < 4
    assert any("3 frames of mouse.avi were written into" in note for note in project.notes)


def test_points_marked_as_not_visible_are_told(tmp_path):
    file, labels = of_files(tmp_path / "p")
    labels[0].user_instances[0].points["visible"][0] = False
    labels.save(str(file), embed=False, verbose=False)
    project = read_project(file)
    assert project.instances[0].visibility.tolist() == [0, 2, 2, 2]
    assert any("1 point is marked as not visible" in note for note in project.notes)


def test_without_the_library_one_error_says_what_to_type(tmp_path, monkeypatch):
    file, _ = of_files(tmp_path / "p")
    monkeypatch.setitem(__import__("sys").modules, "sleap_io", None)
    with pytest.raises(DataError, match=r'pip install "lvtune\[labels\]"'):
        read_project(file)


def test_file_that_is_no_hdf5(tmp_path):
    (tmp_path / "labels.slp").write_text("nothing")
    with pytest.raises(DataError, match="labels that SLEAP saved"):
        read_project(tmp_path / "labels.slp")
