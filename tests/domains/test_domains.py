"""Domains by name, Human-Art and COCO in their published layouts, and what is said where they are missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import COCO_17, HUMANART_21, LSP_14
from lvtune.domains import DOMAINS, Domain, Split, get_domain, list_domains, register_domain
from lvtune.domains.humanart import CATEGORIES, category_of
from lvtune.domains.source import source_split
from lvtune.language import get_bank
from lvtune.language.sentences import SENTENCES

SAMPLES = Path(__file__).parents[1] / "samples"
DETECTIONS = SAMPLES / "HumanArt/person_detection_results/HumanArt_validation_detections_AP_H_56_person.json"


def test_names():
    assert {"demo-art", "humanart", "coco"} <= set(list_domains())
    with pytest.raises(LvtuneError, match="did you mean 'humanart'"):
        get_domain("human-art")


@pytest.mark.parametrize("name", list_domains())
def test_every_domain_has_a_sentence_that_ships_for_each_category(name):
    domain = get_domain(name)
    assert domain.categories and tuple(domain.sentences) == domain.categories
    assert get_bank(domain.name).categories == (*domain.categories, *domain.further)
    assert domain.source and set(domain.splits) <= {"train", "val", "test"}


def test_humanart_has_the_19_released_categories_in_three_groups():
    domain = get_domain("humanart")
    assert len(domain.categories) == 19
    assert {name: len(kinds) for name, kinds in domain.groups.items()} == {
        "real_human": 5, "2D_virtual_human": 11, "3D_virtual_human": 3,
    }  # fmt: skip


@pytest.mark.parametrize("folder", [SAMPLES, SAMPLES / "HumanArt"])
def test_humanart_in_its_real_layout_from_either_folder(folder):
    split = get_domain("humanart").open("test", folder)
    assert split.name == "Human-Art validation" and split.render is None and split.views is None
    assert split.table.column("category").tolist() == [
        "digital_art",
        "garage_kits",
        "acrobatics",
        "acrobatics",
    ]
    assert split.table.image_path(1).is_file()
    assert split.table.skeleton == COCO_17


def test_humanart_with_21_key_points():
    split = get_domain("humanart").open("val", DataOptions(data=str(SAMPLES), skeleton="humanart-21"))
    assert split.table.skeleton == HUMANART_21


@pytest.mark.parametrize(
    ("part", "persons"), [("relief,garage kits", 1), ("real_human", 2), ("acrobatics,digital art", 3)]
)
def test_parts_of_humanart(part, persons):
    domain = get_domain(f"humanart/{part}")
    assert len(domain.open("test", SAMPLES).table) == persons
    assert set(domain.sentences) == set(domain.categories)


def test_a_part_that_the_file_lacks():
    with pytest.raises(LvtuneError, match="no person in sketch") as error:
        get_domain("humanart/sketch").open("test", SAMPLES)
    assert "acrobatics, digital_art, garage_kits" in error.value.expected


def test_detector_boxes_are_for_testing():
    data = DataOptions(data=str(SAMPLES), boxes=str(DETECTIONS))
    split = get_domain("humanart").open("test", data)
    assert split.table.box_format is None and len(split.table) == 4
    table = split.detected
    assert table.box_format.startswith("xyxy")
    assert np.all(table.column("score") <= 1) and len(table) == 13
    # of a person's picture all boxes are kept, and of a picture without any the persons still count
    part = split.with_table(split.table.select([1]))
    assert set(part.detected.column("image_id")) == {12000000005603} == set(part.table.column("image_id"))
    assert len(part.detected.select([]).in_pictures_of(part.table).coco_ground_truth()["annotations"]) == 1
    assert get_domain("humanart").open("test", str(SAMPLES)).detected is None


def test_published_boxes_are_found_in_the_layout(tmp_path):
    data = DataOptions(data=str(SAMPLES), source_data=str(SAMPLES / "coco"), boxes="published")
    assert len(get_domain("humanart").open("test", data).detected) == 13
    source = source_split(get_domain("humanart"), "test", data, trained_on="coco")
    assert source.detected.box_format.startswith("xywh") and len(source.detected) == 118
    with pytest.raises(LvtuneError, match="boxes 'published' of domain 'demo-art', which has none"):
        get_domain("demo-art").open("test", DataOptions(boxes="published"))
    shutil.copytree(SAMPLES / "coco", tmp_path / "coco")
    shutil.rmtree(tmp_path / "coco/person_detection_results")
    with pytest.raises(LvtuneError, match=r"no detector boxes .*COCO_val2017") as error:
        get_domain("coco").open("test", DataOptions(data=str(tmp_path / "coco"), boxes="published"))
    assert "FOLDER/person_detection_results/" in error.value.expected


def test_category_is_as_annotated_never_from_the_path():
    where = "HumanArt/images/2D_virtual_human/sketch/000000000001.jpg"
    assert category_of({"file_name": where, "category": "digital art"}) == "digital_art"
    assert category_of({"file_name": where, "category": ""}) == ""
    assert category_of({"file_name": "coco/train2017/000000000785.jpg", "category": None}) == ""


@pytest.mark.parametrize(
    ("data", "given"),
    [
        (None, "domain 'humanart' without its data"),
        ("/nowhere", "no folder at /nowhere"),
        (SAMPLES / "coco", "no folder HumanArt in"),
        (SAMPLES, "no annotation file"),
    ],
)
def test_missing_humanart_says_what_where_from_and_the_layout(data, given):
    with pytest.raises(LvtuneError) as error:
        get_domain("humanart").open("train", data)
    assert given in error.value.given
    assert "https://idea-research.github.io/HumanArt" in error.value.expected
    assert "FOLDER/HumanArt/annotations/{training,validation}_humanart.json" in error.value.expected
    assert "--data" in error.value.fix


def test_humanart_under_another_folder_name(tmp_path):
    (tmp_path / "art" / "annotations").mkdir(parents=True)
    (tmp_path / "art" / "annotations" / "validation_humanart.json").touch()
    with pytest.raises(LvtuneError, match="a folder named art"):
        get_domain("humanart").open("test", tmp_path / "art")


def test_coco_in_its_real_layout(tmp_path):
    split = get_domain("coco").open("test", SAMPLES / "coco")
    assert (len(split.table), split.name) == (12, "COCO val2017")
    assert set(split.table.column("category")) == {"photo"}
    assert get_domain("coco").sentences == {"photo": "a photo of a human"}
    with pytest.raises(LvtuneError, match="person_keypoints_train2017") as error:
        get_domain("coco").open("train", SAMPLES / "coco")
    assert "cocodataset.org" in error.value.expected
    (tmp_path / "annotations").mkdir()
    shutil.copy(SAMPLES / "coco/annotations/person_keypoints_val2017.json", tmp_path / "annotations")
    with pytest.raises(LvtuneError, match="no folder of pictures"):
        get_domain("coco").open("test", tmp_path)
    (tmp_path / "images" / "val2017").mkdir(parents=True)
    assert get_domain("coco").open("test", tmp_path).table.root == tmp_path / "images" / "val2017"


def test_source_data_are_read_in_the_layout_of_what_the_base_was_trained_on():
    data = DataOptions(data=str(SAMPLES), source_data=str(SAMPLES / "coco"))
    source = source_split(get_domain("humanart"), "test", data, trained_on="coco")
    assert source.name == "COCO val2017" and len(source.table) == 12
    assert source_split(get_domain("humanart"), "test", SAMPLES, trained_on="coco") is None
    named = DataOptions(data=str(SAMPLES), source_data=str(SAMPLES / "coco"), source_domain="coco")
    assert source_split(get_domain("humanart"), "test", named).name == "COCO val2017"


def test_source_annotations_of_ones_own():
    file = SAMPLES / "coco/annotations/person_keypoints_val2017.json"
    data = DataOptions(source_data=str(SAMPLES / "coco/val2017"), source_annotations=str(file))
    source = source_split(get_domain("demo-art"), "test", data, trained_on="lspet")
    assert len(source.table) == 12  # all of them, not the fifth that is held back of pictures to tune on


def test_a_domain_of_ones_own_registers_with_its_sentences():
    def reader(domain, split, data):
        raise AssertionError("not read here")

    @register_domain("woodcuts")
    def woodcuts():
        sentences = {"old": "a woodcut of a human"}
        return Domain("woodcuts", "woodcuts", LSP_14.name, ("old",), sentences, reader, "mine")

    try:
        assert get_domain("woodcuts").get_skeleton() == LSP_14
        assert dict(SENTENCES.get("woodcuts")) == {"old": "a woodcut of a human"}
        with pytest.raises(LvtuneError, match="a second domain named"):
            register_domain("woodcuts")(woodcuts)
    finally:
        del DOMAINS._entries["woodcuts"], SENTENCES._entries["woodcuts"]


def test_split_names_are_checked():
    with pytest.raises(LvtuneError, match="did you mean 'train'"):
        get_domain("coco").open("training", SAMPLES / "coco")
    assert isinstance(get_domain("coco").open("val", SAMPLES / "coco"), Split)


def test_categories_match_the_published_file_names():
    file = SAMPLES / "HumanArt/annotations/validation_humanart.json"
    for image in json.loads(file.read_text())["images"]:
        assert Path(image["file_name"]).parent.name in CATEGORIES
