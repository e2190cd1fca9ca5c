"""What a visitor is shown of his picture: exactly what `lvtune predict` finds, and nothing of other visitors."""

import csv
import json
import threading

import numpy as np
import pytest
import tiny
from demo_samples import LIMITS, ONE, TWO, picture, pixels, shared_base, visitor

import lvtune
from lvtune.core.errors import DataError, LvtuneError, UsageError
from lvtune.data.skeletons import Skeleton
from lvtune.demo.picture_answer import answer_picture
from lvtune.demo.questions import BOXES, POSE, WHOLE, Limits, Question
from lvtune.demo.shared_bases import SharedBase


def ask(shared, who, path, folder, **question):
    return answer_picture(shared, who, path, Question(**question), folder, question.pop("limits", LIMITS))


def points(answer):
    return np.stack([np.column_stack([pose.keypoints, pose.scores]) for pose in answer.poses])


def predicted(adapter, path, **options):
    """By a base of its own, with the adapter attached as everybody does it."""
    base = tiny.tiny_base()
    method, seed = {ONE: ("vlpose", 1), TWO: ("lora", 2)}.get(adapter, (None, 0))
    made = tiny.make_adapter(method, base, stirred=0.3, seed=seed) if method else None
    found = lvtune.predict(path, base=base, adapter=made, **options)
    return np.stack([np.column_stack([pose.keypoints, pose.scores]) for pose in found])


@pytest.mark.parametrize("adapter", [None, ONE, TWO])
@pytest.mark.parametrize("find", [WHOLE, POSE])
def test_it_is_what_predict_finds(adapter, find, tmp_path):
    path = picture(tmp_path)
    answer = ask(shared_base(), visitor(adapter), path, tmp_path, find=find)
    assert np.array_equal(points(answer), predicted(adapter, path, find=find))


def test_a_category_is_read_where_there_is_one(tmp_path):
    shared, path = shared_base(), picture(tmp_path)
    sketch = ask(shared, visitor(ONE), path, tmp_path, category="sketch")
    assert np.array_equal(points(sketch), predicted(ONE, path, category="sketch"))
    assert not np.array_equal(points(sketch), predicted(ONE, path))
    assert np.array_equal(points(ask(shared, visitor(TWO), path, tmp_path, category="sketch")), predicted(TWO, path))
    with pytest.raises(UsageError, match="skech"):
        ask(shared, visitor(ONE), path, tmp_path, category="skech")


def test_off_and_detached_are_the_base_alone(tmp_path):
    shared, path = shared_base(), picture(tmp_path)
    alone = predicted(None, path)
    ask(shared, visitor(ONE), path, tmp_path)
    for who in (visitor(ONE, is_on=False), visitor(ONE).detach()):
        answer = ask(shared, who, path, tmp_path)
        assert np.array_equal(points(answer), alone)
        assert "vitpose-tiny alone" in answer.caption and "base alone" not in answer.table["headers"]


def test_before_is_the_base_alone_in_the_same_boxes(tmp_path):
    path = picture(tmp_path)
    answer = ask(shared_base(), visitor(ONE), path, tmp_path, find=BOXES, boxes="5, 5, 60, 80; 40, 10, 70, 80")
    same = predicted(None, path, boxes={path: [[5, 5, 60, 80], [40, 10, 70, 80]]})
    head, rows = answer.table["headers"], answer.table["data"]
    assert len(rows) == 34 and [row[0] for row in rows] == [1] * 17 + [2] * 17
    column = [row[head.index("base alone")] for row in rows]
    assert column == [round(float(score), 2) for score in same[..., 2].reshape(-1)]
    assert answer.before.shape == answer.after.shape and not np.array_equal(answer.before, answer.after)


def test_key_points_that_the_base_does_not_know_have_an_empty_cell(tmp_path):
    base = tiny.tiny_base()
    shared = SharedBase("vitpose-tiny", base)
    mouse = Skeleton("mouse", ("nose", "tail"), links=((0, 1),), sigmas=(0.1, 0.1))
    shared.add("mouse", tiny.make_adapter("head", base, stirred=0.1, skeleton=mouse))
    answer = ask(shared, visitor("mouse"), picture(tmp_path), tmp_path)
    column = answer.table["headers"].index("base alone")
    cells = {row[1]: row[column] for row in answer.table["data"]}
    assert cells["tail"] == "" and isinstance(cells["nose"], float)


def test_visitors_at_the_same_time_do_not_see_each_others_adapters(tmp_path):
    shared = shared_base()
    path = picture(tmp_path)
    wanted = {None: predicted(None, path), ONE: predicted(ONE, path), TWO: predicted(TWO, path)}
    assert not np.array_equal(wanted[ONE], wanted[TWO])
    wrong, start = [], threading.Barrier(len(wanted))

    def visit(adapter):
        folder = tmp_path / str(adapter)
        folder.mkdir()
        start.wait()
        for _ in range(8):
            found = points(ask(shared, visitor(adapter), path, folder))
            if not np.array_equal(found, wanted[adapter]):
                wrong.append(adapter)

    threads = [threading.Thread(target=visit, args=(adapter,)) for adapter in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_files_hold_what_is_shown(tmp_path):
    path = picture(tmp_path / "uploads", name="my mouse.png")
    answer = ask(shared_base(), visitor(ONE), path, tmp_path, find=BOXES, boxes="5, 5, 60, 80")
    (pose,) = json.loads(answer.files.json.read_text())
    assert (pose["image"], pose["adapter"], pose["bbox"]) == ("my mouse.png", ONE, [5, 5, 60, 80])
    (row,) = csv.DictReader(answer.files.csv.read_text().splitlines())
    assert row["image"] == "my mouse.png" and float(row["nose_x"]) == pytest.approx(
        answer.poses[0].keypoints[0, 0], 1e-3
    )
    assert str(tmp_path) not in answer.files.json.read_text() + answer.files.csv.read_text()


BROKEN = {
    "text.jpg": b"no picture at all", "empty.png": b"", "cut.jpg": b"\xff\xd8\xff\xe0" + bytes(200),
    "cut.png": b"\x89PNG\r\n\x1a\n" + bytes(50), "archive.png": b"PK\x03\x04" + bytes(100),
    "<b>.jpg": b"<svg/>",
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_picture_is_told_in_our_words(name, tmp_path):
    path = tmp_path / "uploads" / name
    path.parent.mkdir()
    path.write_bytes(BROKEN[name])
    with pytest.raises(DataError) as error:
        ask(shared_base(), visitor(), str(path), tmp_path)
    said = str(error.value)
    assert said.startswith(name) and str(tmp_path) not in said and "uploads" not in said


def test_what_is_missing_or_too_large_is_told(tmp_path):
    shared, path = shared_base(), picture(tmp_path)
    with pytest.raises(UsageError, match="no picture"):
        ask(shared, visitor(), None, tmp_path)
    with pytest.raises(LvtuneError, match=r"photo\.png"):
        answer_picture(shared, visitor(), path, Question(), tmp_path, Limits(pixels=pixels().size // 3 - 1))
    with pytest.raises(UsageError, match="'box'"):
        ask(shared, visitor(), path, tmp_path, find="box")
    with pytest.raises(UsageError, match="no box"):
        ask(shared, visitor(), path, tmp_path, find=BOXES)
