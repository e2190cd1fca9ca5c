"""The domain that ships: its photographs, its splits, what is drawn over and what is not."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import numpy as np
import pytest

from lvtune.core.errors import LvtuneError
from lvtune.data.images import read_image
from lvtune.data.skeletons import LSP_14
from lvtune.domains import apply_filter, get_domain
from lvtune.domains.demo_art import FILTERS_USED, FOLDER
from lvtune.domains.source import source_split

SIX = ("sketch", "ink_painting", "oil_painting", "watercolor", "cartoon", "stained_glass")


@pytest.fixture(scope="module")
def domain():
    return get_domain("demo-art")


def test_sizes_and_skeleton(domain):
    train, test = domain.open("train"), domain.open("test")
    assert (len(train.table), len(test.table)) == (430, 270)
    assert train.table.skeleton == test.table.skeleton == domain.get_skeleton() == LSP_14
    assert domain.categories == FILTERS_USED == SIX
    assert list(domain.sentences) == list(SIX)
    assert domain.sentences["stained_glass"] == "a stained glass window of a human"
    assert train.name == test.name == "LSPET photographs under filters (demo-art)"


def test_photographs_lie_in_the_package_once_and_in_four_megabytes():
    files = sorted((FOLDER / "images").iterdir())
    assert len(files) == 700
    assert len({hashlib.sha256(f.read_bytes()).hexdigest() for f in files}) == 700
    size = sum(f.stat().st_size for f in FOLDER.rglob("*") if f.suffix in (".jpg", ".json", ".md"))
    assert size <= 4_000_000


def test_train_and_test_are_disjoint_and_chosen_by_the_stated_rule():
    names = {
        split: {image["file_name"] for image in json.loads((FOLDER / f"{split}.json").read_text())["images"]}
        for split in ("train", "test")
    }
    assert not names["train"] & names["test"]
    assert names["train"] | names["test"] == {f.name for f in (FOLDER / "images").iterdir()}
    ordered = sorted(names["train"] | names["test"], key=lambda n: hashlib.sha256(n.encode()).hexdigest())
    assert names["test"] == set(ordered[:270])


def test_every_photograph_reads_at_the_annotated_size(domain):
    for table in (domain.open("train").table, domain.open("test").table):
        for person in list(table)[::9]:
            assert read_image(table.root / person.image).shape == (person.height, person.width, 3)


def test_tuning_sees_every_filter_and_testing_one_filter_a_photograph(domain):
    train, test = domain.open("train"), domain.open("test")
    assert train.views == SIX and test.views is None
    kinds = test.table.column("category")
    assert Counter(kinds) == dict.fromkeys(SIX, 45)
    assert kinds[:7].tolist() == [*SIX, "sketch"]


def test_what_is_drawn_is_the_filter_and_test_papers_are_not_those_of_tuning(domain):
    train, test = domain.open("train"), domain.open("test")
    person = test.table[2]
    image = read_image(test.table.root / person.image)
    drawn = test.render(image, person.category, person.index)
    assert drawn.tobytes() == test.render(image, person.category, person.index).tobytes()
    assert not np.array_equal(drawn, train.render(image, person.category, person.index))
    assert np.array_equal(train.render(image, "sketch", 5), apply_filter(image, "sketch", 5))


def test_source_is_the_same_photographs_unfiltered(domain):
    test, source = domain.open("test"), source_split(domain, "test", None, "lspet")
    assert source.render is None and source.views is None
    assert source.name == "the same LSPET photographs, unfiltered"
    assert source.table.column("image").tolist() == test.table.column("image").tolist()
    assert np.array_equal(source.table.column("keypoints"), test.table.column("keypoints"))
    assert set(source.table.column("category")) == {""}


def test_a_part_of_the_domain(domain):
    part = get_domain("demo-art/sketch,cartoon")
    assert part.categories == ("sketch", "cartoon")
    assert part.open("train").views == ("sketch", "cartoon")
    assert Counter(part.open("test").table.column("category")) == {"sketch": 135, "cartoon": 135}
    with pytest.raises(LvtuneError, match="did you mean 'cartoon'"):
        get_domain("demo-art/cartoons")


def test_no_validation_split(domain):
    with pytest.raises(LvtuneError) as error:
        domain.open("val")
    assert error.value.expected == "one of train, test"


def test_card_says_what_it_is():
    card = (FOLDER / "README.md").read_text()
    for words in ("Johnson", "Everingham", "CVPR 2011", "filtered photographs", "noisy", "176 pixels"):
        assert words in card
