"""The gate of a run: fitted on pictures that were tuned on, said, saved, used; and where there is none."""

import json

import numpy as np
import pytest
from own_files import draw_pictures, mice, write

import lvtune
from lvtune.api import gating
from lvtune.api.gating import features_of_split, gate_from
from lvtune.api.recipe import Recipe
from lvtune.bases.look_features import features_of_pictures
from lvtune.cli.main import main
from lvtune.config.options import DataOptions
from lvtune.domains import get_domain
from lvtune.patcher.domain_looks import VIEWS
from lvtune.patcher.gate import looks_of
from lvtune.storage.adapter_file import read_config


def adapted(out, said=None, **values):
    recipe = {
        "method": "bitfit", "start": "none", "out": str(out), "device": "cpu", "evaluate": {"flip_test": False},
        "train": {"steps": 1, "batch_size": 4}, **values,
    }  # fmt: skip
    return lvtune.adapt(Recipe.from_dict(recipe), say=(said if said is not None else []).append).to_dict()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out, said = tmp_path_factory.mktemp("run") / "out", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gating, "MOST", 100)
        values = adapted(out, said, data={"limit": 70})
    return out, values, said


def test_a_run_says_on_what_its_gate_was_fitted_and_keeps_it(run, capsys):
    out, values, said = run
    line = next(line for line in said if line.startswith("gate: "))
    assert "70 pictures that were tuned on" in line and "apart" in line
    decision = next(one for one in values["decisions"] if one["what"] == "gate")
    assert (
        decision["value"] in line and json.loads((out / "report.json").read_text())["decisions"] == values["decisions"]
    )
    gate = read_config(out)["gate"]
    assert gate["pictures"] == 70 and gate["layer"] == "blocks 3, 5 of 12" and gate["right"] > 0.6
    assert len(gate["weights"]) == 768 and (out / "lvtune_config.json").stat().st_size < 120_000
    assert main(["inspect", str(out)]) == 0
    assert "70 pictures beside" in capsys.readouterr().out


def test_it_tells_filters_from_photographs_that_it_has_not_seen(run):
    base = lvtune.load_base("vitpose-ti")
    looks = looks_of({"art": lvtune.load_adapter(run[0], base)})["art"]
    domain = get_domain("demo-art")
    own, plain = domain.open("test"), domain.source_reader(domain, "test", DataOptions())
    places = np.linspace(0, len(plain.table) - 1, 24).round().astype(int)
    art = looks.probabilities(features_of_pictures(base, [own.picture(int(i)) for i in places]), "whole")
    photographs = looks.probabilities(features_of_pictures(base, [plain.picture(int(i)) for i in places]), "whole")
    assert (art > 0.5).mean() > 0.7 and (photographs < 0.5).mean() > 0.7


def test_the_same_pictures_and_seed_give_the_same_gate():
    base, domain = lvtune.load_base("vitpose-ti"), get_domain("demo-art")
    plain = domain.source_reader(domain, "train", DataOptions()).first(35)
    made = [gate_from(base, plain, plain, "itself", seed).to_dict() for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]
    found = features_of_split(base, plain, 0, "looking", most=32, varied=True)
    assert {len(rows) for rows in found.values()} == {32} and set(VIEWS) < set(found)


def test_the_gate_of_an_adapter_for_several_domains_knows_all_of_them():
    base, domain = lvtune.load_base("vitpose-ti"), get_domain("demo-art")
    plain = domain.source_reader(domain, "train", DataOptions()).first(35)
    art, other = (get_domain(f"demo-art/{name}").open("train").first(35) for name in ("sketch", "stained_glass"))
    alone, both = (gate_from(base, art, plain, "them", earlier=earlier) for earlier in ([], [other]))
    assert alone.pictures == both.pictures  # half of them are of the other domain
    shown = [get_domain("demo-art/stained_glass").open("test").picture(i) for i in range(0, 160, 10)]
    features = features_of_pictures(base, shown)
    assert both.probabilities(features, "whole").mean() > alone.probabilities(features, "whole").mean()


def test_own_pictures_without_a_source_are_held_beside_the_photographs_that_ship(tmp_path):
    data = mice(45)
    write(data, tmp_path)
    draw_pictures(data, tmp_path)
    said = []
    data = {"data": str(tmp_path), "annotations": str(tmp_path / "annotations.json")}
    adapted(tmp_path / "out", said, method="lora", data=data)
    line = next(line for line in said if line.startswith("gate: "))
    assert "apart" in line and ("photographs" in line)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"gate": False, "data": {"limit": 40}}, "the recipe says none"),
        ({"data": {"limit": 20}}, "20 pictures were tuned on; it takes 30"),
    ],
)
def test_where_there_is_none_it_is_said_why(tmp_path, values, why):
    said = []
    adapted(tmp_path / "out", said, **values)
    assert f"gate: none ({why}: adapters are chosen by CLIP)" in said
    assert "gate" not in read_config(tmp_path / "out")
