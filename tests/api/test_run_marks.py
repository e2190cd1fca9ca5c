"""What a run is made of is in its keys; what changes nothing, and the spelling of a path, is not."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from own_files import draw_pictures, mice, write

import lvtune
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.api.recipe_settings import settings_without_places
from lvtune.api.run_marks import MarkReader, changed_mark, marks_of, run_key
from lvtune.bases.fingerprint import fingerprint


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pics").mkdir()
    values = mice(6)
    draw_pictures(values, tmp_path / "pics")
    write(values, tmp_path / "pics")
    return values


def recipe(**more):
    start = {"weights": "random", "method": "lora", "seed": 1, "data": {"data": "pics", "annotations": None}}
    changed = start | more
    changed["data"] = {"data": "pics", "annotations": "pics/annotations.json"} | more.get("data", {})
    return Recipe.from_dict(changed)


def key_of(one):
    job = prepare(one)
    print_ = fingerprint(job.base)
    marks = marks_of(job, print_)
    # what a comparison computes without an adapter is what a run computes
    assert MarkReader().of(one) == marks
    return run_key(job, print_), marks, settings_without_places(one)


def test_what_changes_nothing_is_in_no_key(data, tmp_path):
    first = key_of(recipe())
    shutil.copytree("pics", tmp_path / "elsewhere" / "copy")
    os.symlink("pics", "linked")
    cv2.imwrite("look.png", np.zeros((9, 9, 3), np.uint8))
    for same in (
        {"train": {"workers": 2}}, {"train": {"checkpoint_every": 3}}, {"evaluate": {"batch_size": 3}},
        {"device": "cpu"}, {"look": ["look.png"]}, {"out": "somewhere"},
        {"data": {"data": "./pics/", "annotations": "pics/../pics/annotations.json"}},
        {"data": {"data": str(tmp_path / "pics"), "annotations": str(tmp_path / "pics/annotations.json")}},
        {"data": {"data": "elsewhere/copy", "annotations": "elsewhere/copy/annotations.json"}},
        {"data": {"data": "linked", "annotations": "linked/annotations.json"}},
    ):  # fmt: skip
        assert key_of(recipe(**same)) == first, same


def test_what_decides_is_in_every_key(data):
    first = key_of(recipe())
    for other in (
        {"seed": 2}, {"method": "vpt"}, {"train": {"lr": 0.5}}, {"train": {"augment": {"flip": 0.25}}},
        {"evaluate": {"p_cutoff": 0.1}}, {"data": {"limit": 2}}, {"data": {"shots": 2}}, {"data": {"box_margin": 0.4}},
        {"data": {"flip_pairs": "midline"}}, {"base_options": {"input_size": "192x192"}},
    ):  # fmt: skip
        key, marks, settings = key_of(recipe(**other))
        assert key != first[0], other
        assert (marks, settings) != first[1:], other


def test_data_edited_in_place(data, tmp_path):
    first = key_of(recipe())
    file = tmp_path / "pics" / "annotations.json"
    times = file.stat()
    text = file.read_text()
    changed = json.loads(text)
    point = changed["annotations"][0]["keypoints"]
    point[0] = round(point[0] + 1, 2)
    file.write_text(json.dumps(changed))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    key, marks, settings = key_of(recipe())
    assert key != first[0] and settings == first[2]
    assert {name for name in marks if marks[name] != first[1][name]} <= {"train", "test"}
    assert changed_mark(first[1], marks) in ("other data to tune on", "other test data")
    file.write_text(text)
    assert key_of(recipe()) == first


def test_pictures_replaced_in_place(data, tmp_path):
    first = key_of(recipe())
    for image in data["images"]:
        picture = cv2.imread(str(tmp_path / "pics" / image["file_name"]))
        cv2.imwrite(str(tmp_path / "pics" / image["file_name"]), 255 - picture)
    key, marks, _ = key_of(recipe())
    assert key != first[0] and marks["train"] != first[1]["train"] and marks["test"] != first[1]["test"]


def test_another_base_and_another_start(data, tmp_path):
    base = lvtune.load_base("vitpose-ti", weights="random", seed=7)
    base.model.save_pretrained("weights")
    shutil.copytree("weights", "again")
    own = {"seed": 1, "data": {"limit": 4}}  # of the domain that ships, whose key points the start predicts
    plain = Recipe.from_dict({"weights": "weights", "method": "lora", **own})
    one, same = key_of(plain), key_of(replace(plain, weights=str(tmp_path / "again")))
    assert one == same and one[1]["base"] != key_of(replace(plain, weights="random"))[1]["base"]
    with_start = {}
    for name in ("first", "second"):
        adapter = lvtune.create_adapter("lora", base, seed=len(name))
        for value in adapter.parameters():
            value.data += len(name)
        lvtune.save_adapter(adapter, tmp_path / name, base)
        given = replace(plain, start=name)
        with_start[name] = key_of(given)
        assert key_of(replace(given, start=f"./{name}/")) == with_start[name]
    assert with_start["first"][1]["start"] != with_start["second"][1]["start"]
    assert with_start["first"][0] != with_start["second"][0]


def test_sentences_are_read_not_their_place(data):
    from pathlib import Path

    for name, text in (("one.json", "a mouse"), ("two.json", "a mouse"), ("three.json", "a rat")):
        Path(name).write_text(json.dumps({"default": text}))
    keys = [key_of(recipe(language={"sentences": f"{name}.json"})) for name in ("one", "two", "three")]
    assert keys[0] == keys[1] and keys[0][0] != keys[2][0] and keys[0][1]["domain"] != keys[2][1]["domain"]


def test_pictures_to_replay_are_in_the_key_by_their_content(data, tmp_path):
    own = {"seed": 1, "weights": "random", "method": "lora", "data": {"limit": 70}, "keep": 99.0}
    for name in ("first", "second"):
        shutil.copytree("pics", name)
    one, same = (key_of(Recipe.from_dict({**own, "keeping": {"replay_pictures": n}})) for n in ("first", "./second/"))
    assert one == same
    (picture, *_) = sorted((tmp_path / "second").glob("*.png")) or sorted((tmp_path / "second").glob("*.jpg"))
    cv2.imwrite(str(picture), np.zeros((90, 90, 3), np.uint8))
    other = key_of(Recipe.from_dict({**own, "keeping": {"replay_pictures": "second"}}))
    assert (
        other[0] != one[0]
        and changed_mark(one[1], other[1]) == "other pictures of the source to replay and to check on"
    )
    assert key_of(Recipe.from_dict(own))[0] != key_of(Recipe.from_dict({**own, "keeping": {"replay_weight": 1.0}}))[0]
