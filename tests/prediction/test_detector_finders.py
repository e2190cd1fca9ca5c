"""`--find detector` and `--find "words"`: real model classes, saved and loaded as those of the Hub are."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
import transformers
from detectors import QUERIES, save_owlv2, save_rtdetr
from tiny import make_adapter, tiny_bank, tiny_base

import lvtune
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.data.skeletons import COCO_17, Skeleton
from lvtune.prediction.box_choice import BoxChoice
from lvtune.prediction.detector_finder import detector_finder
from lvtune.prediction.detector_models import checked_boxes
from lvtune.prediction.word_finder import own_sentences

MOUSE = Skeleton("mouse", ("snout", "tail"), (0.1, 0.1))


@pytest.fixture(scope="module")
def rtdetr(tmp_path_factory):
    return save_rtdetr(tmp_path_factory.mktemp("rtdetr"))


@pytest.fixture(scope="module")
def owl(tmp_path_factory):
    return save_owlv2(tmp_path_factory.mktemp("models") / "owlv2")


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(3)
    paths = [tmp_path / "in" / f"{i}.png" for i in range(3)]
    paths[0].parent.mkdir()
    for i, path in enumerate(paths):
        cv2.imwrite(str(path), rng.integers(0, 255, (60 + 10 * i, 90, 3), np.uint8))
    return paths


def by_pipeline(folder, path, threshold=0.0):
    """(score, class, x, y, right, bottom) of transformers' own pipeline, the surest first."""
    found = transformers.pipeline("object-detection", model=str(folder))(str(path), threshold=threshold)
    return sorted([(one["score"], one["label"], *one["box"].values()) for one in found], reverse=True)


def boxes_of(poses, path):
    return [(p.box_score, p.label, *p.bbox) for p in poses if p.image == str(path)]


def test_boxes_of_a_detector_are_those_of_transformers_own_pipeline(rtdetr, pictures):
    given = {"base": tiny_base(), "find": "detector", "detector": str(rtdetr), "flip_test": False}
    poses = lvtune.predict(pictures, **given, box_choice=BoxChoice(box_class="all"), detector_threshold=0.0)
    for path in pictures:
        mine, theirs = boxes_of(poses, path), by_pipeline(rtdetr, path)
        assert 1 < len(mine) <= QUERIES and {one[1] for one in mine} <= {"person", "dog", "cat"}
        size = np.array(cv2.imread(str(path)).shape[1::-1])
        for score, label, x, y, width, height in mine:
            close = [one for one in theirs if abs(one[0] - score) < 1e-4 and one[1] == label]
            # the pipeline gives whole pixels, also outside the picture
            corners = np.clip(np.array([one[2:] for one in close]).reshape(-1, 2, 2), 0, size).reshape(-1, 4)
            assert (np.abs(corners - [x, y, x + width, y + height]) <= 1.01).all(1).any()


def test_no_one_and_many_detections(rtdetr, pictures, tmp_path):
    given = {"base": tiny_base(), "find": "detector", "detector": rtdetr.as_posix(), "flip_test": False}
    every = by_pipeline(rtdetr, pictures[0])
    of_class = [one[0] for one in every if one[1] == "person"]
    choice = BoxChoice(box_class="person")
    none = lvtune.predict(pictures[0], **given, box_choice=choice, detector_threshold=1.0, out=tmp_path / "none")
    assert (len(none), json.loads((tmp_path / "none/poses.json").read_text())) == (0, [])
    assert any("no box" in note for note in none.notes)
    one = lvtune.predict(pictures[0], **given, box_choice=choice, detector_threshold=np.mean(of_class[:2]))
    assert len(one) == 1 and one[0].box_score == pytest.approx(of_class[0], abs=1e-5)
    many = lvtune.predict(pictures, **given, box_choice=choice, detector_threshold=0.0)
    assert len(boxes_of(many, pictures[0])) == len(of_class) > 1
    assert any(f"found by {rtdetr}: person, score at least 0" in note for note in many.notes)
    assert any("other classes than person left out" in note for note in many.notes)


def test_the_class_is_a_person_for_people_and_must_be_named_for_others(rtdetr, tmp_path):
    assert list(detector_finder(str(rtdetr), None, 0.3, COCO_17, "cpu").classes.values()) == ["person"]
    assert detector_finder(str(rtdetr), "Dog,2", 0.3, MOUSE, "cpu").classes == {1: "dog", 2: "cat"}
    with pytest.raises(UsageError, match=r"without a class.*person, dog, cat, or all; give --class NAME"):
        detector_finder(str(rtdetr), None, 0.3, MOUSE, "cpu")
    with pytest.raises(UsageError, match=r"class 'dgo'.*did you mean 'dog'"):
        detector_finder(str(rtdetr), "dgo", 0.3, MOUSE, "cpu")
    alone = save_rtdetr(tmp_path / "mouse", {0: "mouse"})
    assert detector_finder(str(alone), None, 0.3, MOUSE, "cpu").classes == {0: "mouse"}


def test_words_find_what_transformers_own_post_processing_finds(owl, pictures):
    words = "a sketch of a human,a mural"
    given = {"base": tiny_base(), "detector": str(owl), "flip_test": False}
    poses = lvtune.predict(pictures, **given, find=words, detector_threshold=0.0)
    model = transformers.Owlv2ForObjectDetection.from_pretrained(owl).eval()
    processor = transformers.Owlv2Processor.from_pretrained(owl)
    for path in pictures:
        image = np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1])
        inputs = processor(text=[words.split(",")], images=[image], return_tensors="pt", padding=True)
        with torch.inference_mode():
            found = processor.post_process_grounded_object_detection(
                model(**inputs), threshold=0.0, target_sizes=[image.shape[:2]], text_labels=[words.split(",")]
            )[0]
        names = found["text_labels"]
        expected = checked_boxes(found["boxes"].numpy(), found["scores"].numpy(), names, image.shape[1::-1], 0.5)
        mine = boxes_of(poses, path)
        assert len(mine) == len(expected.boxes) >= 1 and {one[1] for one in mine} <= set(words.split(","))
        np.testing.assert_allclose([one[0] for one in mine], expected.scores, atol=1e-5)
        np.testing.assert_allclose([one[2:] for one in mine], expected.boxes, atol=1e-2)
    assert not lvtune.predict(pictures, **given, find=words, detector_threshold=1.0)
    assert any("with the words 'a sketch of a human', 'a mural', score at least 0" in note for note in poses.notes)


def test_the_word_words_takes_the_adapters_sentences(owl, pictures):
    base = tiny_base()
    adapter = make_adapter("vlpose", base, bank=tiny_bank())
    assert own_sentences([adapter]) == ["a sketch of a human", "a cartoon of a human", "a mural of a human"]
    given = {"base": base, "find": "words", "detector": str(owl), "detector_threshold": 0.0, "flip_test": False}
    poses = lvtune.predict(pictures[:1], adapter=adapter, **given)
    assert {pose.label for pose in poses} <= {"a sketch of a human", "a cartoon of a human", "a mural of a human"}
    with pytest.raises(UsageError, match=r"no adapter that has sentences.*a mouse"):
        lvtune.predict(pictures[:1], **given)


@pytest.mark.parametrize(("find", "name"), [("detector", "PekingU/rtdetr"), ("a mouse", "google/owlv2")])
def test_without_network_it_is_said_what_is_missing_and_what_to_type(find, name, pictures, capsys):
    with pytest.raises(LvtuneError, match=rf"{name}.*offline.*--detector FOLDER; --find pose and --find whole"):
        lvtune.predict(pictures, base=tiny_base(), find=find)
    assert main(["predict", str(pictures[0]), "--find", find, "--detector", "/nowhere"]) == 1
    assert "no folder /nowhere with a detector" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["detektor", "Whole", "poses", " "])
def test_a_slip_of_the_pen_is_no_search_for_words(word, pictures):
    with pytest.raises(UsageError, match="one of whole, pose, detector, words, a box file, or words"):
        lvtune.predict(pictures, base=tiny_base(), find=word)


def test_another_kind_of_model_is_refused(owl, rtdetr, pictures):
    with pytest.raises(LvtuneError, match="expected an object detector"):
        lvtune.predict(pictures, base=tiny_base(), find="detector", detector=str(owl))
    with pytest.raises(LvtuneError, match="expected a zero-shot object detector"):
        lvtune.predict(pictures, base=tiny_base(), find="a mouse", detector=str(rtdetr))


def test_boxes_are_cut_at_the_edge_and_each_object_comes_once():
    corners = np.array([[-5, -5, 50, 50], [0, 0, 50, 51], [90, 10, 200, 60], [120, 0, 150, 50], [5, 5, 5.5, 40]])
    found = checked_boxes(corners, np.array([0.5, 0.9, 0.8, 0.7, 0.6]), ["a", "b", "c", "d", "e"], (100, 80), 0.5)
    assert (found.labels, found.scores.tolist()) == (("b", "c"), [0.9, 0.8])
    assert found.boxes.tolist() == [[0, 0, 50, 51], [90, 10, 10, 50]]
