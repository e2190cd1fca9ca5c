"""Mixtures of domains: what is read, what is drawn, how each part is scored."""

import layouts
import numpy as np
import pytest
from tiny import tiny_base

import lvtune
from lvtune.adapters.factory import create_adapter
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError
from lvtune.domains import get_domain
from lvtune.evaluation.inference import split_dataset
from lvtune.training.sampler import MixSampler, make_sampler


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    layouts.coco(folder / "coco")
    return layouts.humanart(folder)


def test_a_mixture_has_the_persons_and_the_sentences_of_its_parts(folder):
    domain = get_domain("coco+humanart")
    assert domain.name == "coco+humanart" and len(domain.categories) == 20
    assert domain.sentences["photo"] == "a photo of a human" and domain.sentences["sketch"] == "a sketch of a human"
    split = domain.open("train", folder)
    table = split.table
    assert split.name == "COCO train2017 + Human-Art training" and len(table) == 4
    assert table.column("category").tolist() == ["photo", "garage_kits", "acrobatics", "acrobatics"]
    assert [person.category for person in table] == table.column("category").tolist()
    assert table.column("bbox").shape == (4, 4) and np.array_equal(table[2].bbox, table.column("bbox")[2])
    assert all(table.image_path(i).is_file() for i in range(4)) and table[3].index == 3
    part = table.select([3, 0])
    assert part.column("category").tolist() == ["acrobatics", "photo"] and part.fingerprint != table.fingerprint
    assert [person.image for person in split.first(1).table] == [table[0].image, table[1].image]


@pytest.mark.parametrize("form", ["coco={0}/coco,humanart={0}", "{0}"])
def test_each_part_finds_its_folder(folder, form):
    data = DataOptions(data=form.format(folder), boxes="published")
    split = get_domain("coco+humanart/acrobatics").open("test", data)
    assert len(split.table) == 3 and split.detected.box_format.startswith("coco: xywh")
    assert "humanart/acrobatics: xyxy" in split.detected.box_format
    assert set(split.first(1).detected.column("image_id")) == {785, 15000000000590}


def test_samples_are_those_of_the_parts(folder):
    base = tiny_base()
    mixed = split_dataset(base, get_domain("coco+humanart").open("train", folder))
    alone = split_dataset(base, get_domain("humanart").open("train", folder))
    assert len(mixed) == 4 and mixed.groups is None
    for i in range(3):
        assert mixed[i + 1]["pixel_values"].equal(alone[i]["pixel_values"])
        assert mixed[i + 1]["category"] == alone[i]["category"]


def test_each_part_is_scored_by_itself(folder):
    base, data = tiny_base(), DataOptions(data=str(folder), boxes="published")
    mixed = lvtune.evaluate(base, None, "coco+humanart", data=data)["target"]
    coco = DataOptions(data=f"{folder}/coco", boxes="published")
    parts = {
        "coco": lvtune.evaluate(base, None, "coco", data=coco)["target"],
        "humanart": lvtune.evaluate(base, None, "humanart", data=data)["target"],
    }
    for name, alone in parts.items():
        assert mixed["parts"][name]["ap"] == alone["ap"] and mixed["parts"][name]["pck@0.5"] == alone["pck@0.5"]
        detected = mixed["protocols"]["detector boxes"]["parts"][name]
        assert detected["ap"] == alone["protocols"]["detector boxes"]["ap"]
    assert mixed["ap"] == np.mean([alone["ap"] for alone in parts.values()])
    assert mixed["instances"] == sum(alone["instances"] for alone in parts.values())


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("coco+", {}, "two or more different domains"),
        ("coco+coco", {}, "two or more different domains"),
        ("coco+humanrat", {}, "did you mean 'humanart'"),
        ("coco+ap10k", {}, r"coco \(coco-17\) and ap10k \(ap10k-17\)"),
        ("coco+humanart", {"mix": "1:0"}, "2 numbers above 0, for coco, humanart"),
        ("coco+humanart", {"mix": "1:2:3"}, "such as --mix 1:1"),
        ("humanart", {"mix": "1:1"}, "leave --mix out"),
        ("coco+humanart", {"data": "coco=/nowhere"}, "data of the mixture without humanart"),
        ("coco+humanart", {"boxes": "mine.json"}, r"data\.boxes with the mixture"),
        ("coco+humanart", {"data": "/nowhere"}, "no folder at /nowhere"),
    ],
)
def test_what_does_not_mix_is_told(folder, name, data, said):
    with pytest.raises(LvtuneError, match=said):
        get_domain(name).open("train", DataOptions(**{"data": str(folder), **data}))


def test_an_epoch_holds_each_part_by_its_share(folder):
    split = get_domain("coco+humanart").open("train", DataOptions(data=str(folder), mix="1:1"))
    data = split_dataset(tiny_base(), split)
    sampler = make_sampler(data, 2, seed=0)
    assert isinstance(sampler, MixSampler) and sampler.counts() == [2, 2] and len(sampler) == 2
    seen = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        items = [item for batch in sampler for item in batch]
        assert items.count(0) == 2  # the one picture of COCO
        seen += [item for item in items if item]
    assert sorted(seen) == [1, 1, 2, 2, 3, 3]  # Human-Art's three persons in turn
    # testing is on every person once
    assert split_dataset(tiny_base(), get_domain("coco+humanart").open("test", folder)).groups is None


def test_tuning_on_a_mixture_from_the_command_line(folder, tmp_path, capsys):
    given = ["--domain", "coco+humanart", "--mix", "1:3", "--data", str(folder), "--base", "timm:resnet10t"]
    options = ["--weights", "random", "--method", "head", "--train.steps", "2", "--train.batch-size", "2"]
    assert main(["adapt", *given, *options, "--no-flip-test", "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "target AP (coco)" in out and "target AP (humanart)" in out
    assert main(["check-data", "--domain", "coco+humanart", "--data", str(folder)]) == 0


def test_an_adapter_reads_the_sentences_of_all_parts():
    adapter = create_adapter("vlpose", tiny_base(), domain="coco+humanart", visual_prompts=1)
    assert adapter.bank.categories[0] == "photo" and len(adapter.bank.categories) == 20
    assert Recipe(domain="coco+humanart", method="lora").folder.name == "vitpose-ti-coco+humanart-lora"
