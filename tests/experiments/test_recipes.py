"""Every row of every table: its exact trainable count at full size, and two steps on samples in the real layouts.

Counts are taken on bases without storage (torch's meta device), at the published size. The two steps run on the same
families at a reduced width and depth (pictures stay 256x192), since one step of ViTPose-H would take minutes here.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from functools import partial

import layouts
import numpy as np
import pyramids
import pytest
import torch

from lvtune.adapters.factory import create_adapter
from lvtune.adapters.method_registry import METHODS
from lvtune.api.job import prepare, training_data
from lvtune.bases import swinpose
from lvtune.bases.base_registry import BASES, load_base
from lvtune.bases.pvtpose import load_pvt
from lvtune.bases.timmpose import load_timm
from lvtune.bases.vitpose_specs import ARCH
from lvtune.domains import get_domain
from lvtune.experiments.published_tables import list_tables, load_table
from lvtune.experiments.reproducing import recipe_of, reproduce
from lvtune.experiments.runners import RUNNERS
from lvtune.language.bank import SentenceBank
from lvtune.training.loop import tune

ROWS = [(name, row.name) for name in list_tables() for row in load_table(name).rows]
PEOPLE = [(table, row) for table, row in ROWS if "hand" not in table]
DIMS = {"blip": 768, "clip": 512, "clip-tokens": 512, "siglip": 768, "minilm": 384}
"""Widths of the text encoders' published weights (transformers' configurations of the models named in encoders.py)."""


class Words:
    """A text encoder of a given width: numbers drawn from each sentence."""

    def __init__(self, name, dim):
        self.name, self.dim = name, dim

    def encode(self, sentences):
        draw = [np.random.default_rng(zlib.crc32(s.encode())).standard_normal((3, self.dim)) for s in sentences]
        return np.stack(draw).astype(np.float32), np.ones((len(sentences), 3), bool)


def bank_for(recipe):
    """One sentence of the width of the recipe's text encoder."""
    dim = DIMS[recipe.language.encoder]
    return SentenceBank(("a",), ("a",), torch.zeros(1, 2, dim), torch.ones(1, 2, dtype=torch.bool), "test")


@pytest.mark.parametrize(("table", "row"), PEOPLE)
def test_the_trainable_count_is_exact(table, row):
    row = load_table(table).row(row)
    recipe = recipe_of(load_table(table), replace(row, facts=replace(row.facts, weights_of="")))
    if row.facts.run == "evaluate":
        assert row.facts.trainable is None
        return
    method = METHODS.get(recipe.method)
    bank = bank_for(recipe) if method.reads_language else None
    with torch.device("meta"):
        base = load_base(recipe.base, "random")
        skeleton = get_domain(recipe.domain).get_skeleton()
        adapter = create_adapter(recipe.method, base, skeleton=skeleton, bank=bank, **recipe.method_options)
    assert sum(p.numel() for p in adapter.parameters() if p.requires_grad) == row.facts.trainable


def test_counts_of_the_main_table_by_hand():
    """The formula of the published system: prompts, matcher, auxiliary stages, predictor, projection of 768-d text."""

    def count(width, prompts, stages=2):
        matcher = 4 * (width * width + width) + 2 * width
        auxiliary = (width + (stages - 1) * 256) * 256 * 16 + stages * 2 * 256
        projection = 0 if width == 768 else 768 * width + width
        return prompts + matcher + auxiliary + 256 * 17 + 17 + projection

    swin = {"t": ([96] * 2 + [192] * 2 + [384] * 6 + [768] * 2, 20), "b": ([128] * 2 + [256] * 2, 20)}
    expected = {
        "vlpose-s": count(384, 12 * 50 * 384),
        "vlpose-b": count(768, 12 * 20 * 768),
        "vlpose-l": count(1024, 24 * 10 * 1024),
        "vlpose-h": count(1280, 32 * 5 * 1280),
        "swinpose-t-vl": count(768, 20 * sum(swin["t"][0]), 3),
        "swinpose-b-vl": count(1024, 20 * (2 * 128 + 2 * 256 + 18 * 512 + 2 * 1024), 3),
        "swinpose-l-vl": count(1536, 10 * (2 * 192 + 2 * 384 + 18 * 768 + 2 * 1536), 3),
        "pvtpose-s-vl": count(512, 50 * (3 * 64 + 4 * 128 + 6 * 320 + 3 * 512), 3),
        "pvtv2pose-b-vl": count(512, 20 * (3 * 64 + 4 * 128 + 6 * 320 + 3 * 512), 3),
    }
    table = load_table("vlpose-main")
    assert {name: table.row(name).facts.trainable for name in expected} == expected
    assert expected["vlpose-b"] == 6_747_921
    printed = [row for row in table.rows if row.reference is not None]
    assert len(printed) == 27 and {row.name for row in table.rows if row not in printed} == {
        *(f"{name}-corrected" for name in expected), *(f"vitpose-{size}-ft-corrected" for size in "blh")
    }  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return {"humanart": str(layouts.humanart(folder)), "coco": str(layouts.coco(folder / "coco"))}


def without_hub(loader, weights, **options):
    """Random weights in place of those on the Hub."""
    return loader("random" if weights == "pretrained" else weights, **options)


@pytest.fixture
def small(monkeypatch):
    """The families of the tables at a reduced width and depth, and text encoders that need no weights."""
    for size in ("s", "b", "l", "h"):
        monkeypatch.setitem(ARCH, size, {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4})
    swin = {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 4)}
    loaders = {
        f"swinpose-{size}": partial(load_timm, spec, swinpose.TIMM_NAMES[size], swinpose.swin_options(spec) | swin)
        for size, spec in ((spec.size, spec) for spec in swinpose.SPECS.values())
    }
    spec = BASES.get("pvtv2pose-b").args[0]
    loaders["pvtv2pose-b"] = partial(load_timm, spec, "pvt_v2_b2", pyramids.PVT_V2)
    spec = BASES.get("pvtpose-s").args[0]
    loaders["pvtpose-s"] = partial(load_pvt, spec, replace(pyramids.PVT, input_size=(256, 192)))
    for name, loader in loaders.items():
        monkeypatch.setitem(BASES._entries, name, partial(without_hub, loader))
    monkeypatch.setattr("lvtune.language.bank.load_text_encoder", lambda name, *rest: Words(name, 16))


TRIAL = {"train.steps": 2, "train.batch_size": 1, "evaluate.flip_test": False}


# the corrected rows differ in options that every other row has too; those of the main table stand for them
RUN = [(table, row) for table, row in PEOPLE if not row.endswith("-corrected") or table == "vlpose-main"]


@pytest.mark.parametrize(("table", "row"), RUN)
def test_two_steps_on_samples_in_the_real_layout(small, data, table, row, tmp_path):
    read = load_table(table)
    row = read.row(row)
    alone = replace(row, facts=replace(row.facts, weights_of=""))
    recipe = recipe_of(read, alone, data=data, changes={**TRIAL, "weights": "random"})
    if row.facts.run == "evaluate":
        RUNNERS.get("evaluate")(recipe, tmp_path, print)
        assert (tmp_path / "report.json").is_file()
        return
    job = prepare(recipe)
    assert job.test.detected is not None and job.source.detected is not None
    before = {name: value.clone() for name, value in job.adapter.state_dict().items()}
    history = tune(job.base, job.adapter, training_data(job), job.objective, job.recipe.train, device="cpu")
    assert history.steps == [1, 2] and all(np.isfinite(history.loss))
    after = job.adapter.state_dict()
    assert any(not torch.equal(value, after[name]) for name, value in before.items())


def test_rows_are_run_and_compared(small, data, tmp_path):
    rows = ["vitpose-b-sc", "vlpose-b", "swinpose-t-sc", "swinpose-t-vl"]
    values = reproduce(
        "vlpose-main", rows=rows, runs=tmp_path, run=True, data=data, changes={**TRIAL, "data.limit": 2},
        weights={"vitpose-b": "random"},
    )  # fmt: skip
    found = {row["name"]: row for row in values["rows"]}
    assert [found[name]["runs"] for name in rows] == [1, 1, 1, 1] and not any(row["problem"] for row in values["rows"])
    sc, vl = found["vitpose-b-sc"], found["vlpose-b"]
    assert sc["ours"]["coco_gt"] == vl["ours"]["coco_gt"]  # the adapter is off there
    assert vl["ours"]["avg_gt"] == pytest.approx((vl["ours"]["humanart_gt"] + vl["ours"]["coco_gt"]) / 2)
    assert found["swinpose-t-sc"]["ours"]["coco_gt"] == found["swinpose-t-vl"]["ours"]["coco_gt"]
    assert vl["reference"]["humanart_det"] == 34.33
    # the trial's steps take the place of the row's epochs
    options = {"train.steps", "train.epochs", "train.batch_size", "data.limit", "evaluate.flip_test"}
    assert options == set(vl["differs"])
    # of a base that is only scored, what trains does not count: its row is marked for the limit and the flip test alone
    assert set(sc["differs"]) == {"data.limit", "evaluate.flip_test"}
    # the published evaluation reads Human-Art's corners as x, y, width, height; both readings are there, by name
    report = json.loads((tmp_path / "vlpose-main/vitpose-b-sc/report.json").read_text())
    protocols = report["target"]["before"]["protocols"]
    assert protocols["detector boxes"]["box_format"].startswith("xyxy")
    assert protocols["detector boxes as published"]["box_format"].startswith("xywh")
    assert sc["ours"]["humanart_corners"] == protocols["detector boxes"]["ap"]
    assert sc["ours"]["humanart_det"] == protocols["detector boxes as published"]["ap"]
    source = report["source"]["before"]["protocols"]  # of COCO both readings are the same
    assert source["detector boxes as published"] == source["detector boxes"]
    stamp = (tmp_path / "vlpose-main/vlpose-b/report.json").stat().st_mtime_ns
    reproduce("vlpose-main", rows=["vlpose-b"], runs=tmp_path, run=True, data=data)
    assert (tmp_path / "vlpose-main/vlpose-b/report.json").stat().st_mtime_ns == stamp  # a finished run is kept


def test_a_mixture_row_finds_the_figures_of_each_part(small, data, tmp_path):
    rows = ["vitpose-b-coco", "vitpose-b-both"]
    values = reproduce("humanart-vitpose", rows=rows, runs=tmp_path, run=True, data=data,
                       changes=TRIAL | {"weights": "random"})  # fmt: skip
    for row in values["rows"]:
        assert row["problem"] is None and None not in row["ours"].values()
        assert set(row["reference"]) == {"humanart_det", "humanart_corners", "humanart_gt", "coco_det"}
