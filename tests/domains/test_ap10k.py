"""AP-10K in its published layout: key points, species, and what is said where it is missing."""

import json

import layouts
import numpy as np
import pytest

from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import AP10K_17, get_skeleton
from lvtune.domains import get_domain
from lvtune.domains.custom import custom_domain


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return layouts.ap10k(tmp_path_factory.mktemp("ap10k"))


def test_the_skeleton_is_that_of_the_annotations(folder):
    for category in json.loads((folder / "annotations/ap10k-test-split1.json").read_text())["categories"]:
        assert tuple(category["keypoints"]) == AP10K_17.keypoints
        assert tuple((a - 1, b - 1) for a, b in category["skeleton"]) == AP10K_17.links
    assert get_skeleton("ap10k-17") is AP10K_17
    mirrored = {AP10K_17.keypoints[i]: AP10K_17.keypoints[j] for i, j in enumerate(AP10K_17.flip_index)}
    assert mirrored["left_front_paw"] == "right_front_paw" and mirrored["root_of_tail"] == "root_of_tail"
    sigmas = dict(zip(AP10K_17.keypoints, AP10K_17.sigmas, strict=True))
    assert [sigmas[f"left_{limb}"] for limb in ("shoulder", "elbow", "front_paw", "hip", "knee", "back_paw")] == [
        0.079, 0.072, 0.062, 0.107, 0.087, 0.089,
    ]  # fmt: skip
    assert sigmas["neck"] == sigmas["root_of_tail"] == 0.035
    assert get_skeleton("lsp-14").sigmas[12] == 0.079  # a human neck keeps its own


def test_species_come_from_each_animals_annotation(folder):
    split = get_domain("ap10k").open("test", folder)
    assert split.name == "AP-10K test (split 1)" and split.table.skeleton == AP10K_17
    assert split.table.column("category").tolist() == ["jaguar", "antelope"]
    assert split.table[0].keypoints[0].tolist() == [134, 415, 2]
    truth = split.table.coco_ground_truth()
    assert {a["category_id"] for a in truth["annotations"]} == {1} and len(truth["annotations"]) == 2


def test_families_and_species_are_parts(folder):
    domain = get_domain("ap10k")
    assert len(domain.categories) == 54 and len(domain.groups) == 23
    assert domain.sentences["antelope"] == "a photo of an antelope"
    assert domain.sentences["polar_bear"] == "a photo of a polar bear"
    assert get_domain("ap10k/Felidae").open("train", folder).table.column("category").tolist() == ["jaguar"]
    assert get_domain("ap10k/polar bear").categories == ("polar_bear",)
    with pytest.raises(LvtuneError, match="no person in zebra"):
        get_domain("ap10k/zebra").open("test", folder)


def test_two_kinds_in_one_picture_keep_their_own_names(folder, tmp_path):
    whole = json.loads((folder / "annotations/ap10k-test-split1.json").read_text())
    cat = {**whole["annotations"][0], "id": 9999, "category_id": 24}
    file = tmp_path / "own.json"
    file.write_text(json.dumps({**whole, "annotations": [*whole["annotations"], cat]}))
    own = custom_domain(DataOptions(data=str(folder / "data"), annotations=str(file)))
    assert own.categories == ("antelope", "cat", "jaguar")
    table = own.open("all").table if "all" in own.splits else own.open("test").table
    assert sorted(np.concatenate([own.open(part).table.column("category") for part in ("train", "test")])) == [
        "antelope", "cat", "jaguar",
    ]  # fmt: skip
    assert table.skeleton == AP10K_17


def test_missing_ap10k_says_where_from_and_the_layout(folder, tmp_path):
    with pytest.raises(LvtuneError, match=r"no annotation file .*ap10k-val-split1\.json") as error:
        get_domain("ap10k").open("val", tmp_path)
    assert "github.com/AlexTheBad/AP-10K" in error.value.expected and "FOLDER/data/" in error.value.expected
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/ap10k-val-split1.json").touch()
    with pytest.raises(LvtuneError, match="no folder of pictures"):
        get_domain("ap10k").open("val", tmp_path)
