"""Tables of publications: what is read, what is refused, how our figures are found beside the printed ones."""

from __future__ import annotations

import json

import pytest
import yaml

from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.config.yaml_files import list_recipes, read_yaml
from lvtune.core.errors import LvtuneError
from lvtune.evaluation.intervals import mean_and_deviation
from lvtune.experiments.published_runs import differences
from lvtune.experiments.published_tables import QUOTED, list_tables, load_table
from lvtune.experiments.reproducing import reproduce
from lvtune.experiments.runners import RUNNERS, register_runner

TABLE = {
    "title": "A small table",
    "source": "a paper",
    "note": "a note",
    "needs": "a data set",
    "scores": {"target": "target/after_on", "source": "source/after_off"},
    "columns": {
        "art": {"title": "art", "report": "{target}/ap (detector boxes)"},
        "photo": {"title": "photo", "report": "{source}/ap"},
        "mean": {"title": "mean", "mean": ["art", "photo"]},
    },
    "rows": ["ours", "base"],
}
ROW = {"row": {"label": "Ours", "group": "g", "trainable": 12_345}, "reference": {"art": 34.5, "mean": 50},
       "method": "lora", "train": {"steps": 5}}  # fmt: skip
BASE = {"row": {"label": "Base", "run": "evaluate", "scores": {"target": "target/before"}, "needs": "weights"},
        "reference": None}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A table of two rows in a folder of its own."""

    def write(table=TABLE, **rows):
        place = tmp_path / "small"
        place.mkdir(exist_ok=True)
        for name, values in {"table": table, "ours": ROW, "base": BASE, **rows}.items():
            (place / f"{name}.yaml").write_text(yaml.safe_dump(values))
        return str(place)

    return write


def report(folder, row, target, source, recipe=None, *, seed=None):
    """As a run leaves it."""
    place = folder / "small" / row / (f"seed-{seed}" if seed is not None else "")
    place.mkdir(parents=True)
    values = {"target": target, "source": source, "recipe": recipe or {}, "adapter": {"parameters": 12_345}}
    (place / "report.json").write_text(json.dumps(values))


def scores(ap, detected=None):
    return {"ap": ap, "ap (detector boxes)": detected}


def test_shipped_tables_and_their_rows_are_listed(capsys):
    assert "vlpose-main" in list_tables()
    assert {"vitpose-ti", "vlpose-main/vlpose-b"} <= set(list_recipes())
    assert not any(name.endswith("/table") for name in list_recipes())
    assert main(["list", "tables", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tables"] == list_tables()


@pytest.mark.parametrize("name", list_tables())
def test_every_shipped_table_reads(name):
    table = load_table(name)
    assert len({row.name for row in table.rows}) == len(table.rows) > 1
    for row in table.rows:
        assert table.needs(row), row.name
        assert row.facts.run in RUNNERS or (row.facts.run == QUOTED and row.reference and not row.recipe)
        if row.reference is not None:
            assert set(row.reference) <= set(table.columns) and row.reference


@pytest.mark.parametrize("name", list_tables())
def test_printed_means_are_those_of_the_printed_figures(name):
    table = load_table(name)
    for row in (row for row in table.rows if row.reference):
        for column, facts in table.columns.items():
            if facts.mean and column in row.reference and set(facts.mean) <= set(row.reference):
                mean = sum(row.reference[part] for part in facts.mean) / len(facts.mean)
                assert row.reference[column] == pytest.approx(mean, abs=0.0101), (row.name, column)


def test_a_row_is_a_recipe_too():
    recipe = Recipe.from_yaml("vlpose-main/vlpose-b")
    assert (recipe.base, recipe.method, recipe.train.warmup_steps) == ("vitpose-b", "vlpose", 500)
    assert not {"row", "reference"} & set(read_yaml("vlpose-main/vlpose-b"))


def test_quoted_figures_are_shown_and_never_run(folder, tmp_path):
    quoted = {"theirs": {"label": "Theirs", "reference": {"art": 12.5}}}
    name = folder(TABLE | {"rows": ["theirs", "base"], "quoted": quoted})
    (row,) = reproduce(name, rows=["theirs"], runs=tmp_path, run=True)["rows"]
    assert row["quoted"] and row["reference"]["art"] == 12.5 and row["runs"] == 0 and row["problem"] is None
    assert not reproduce(name, rows=["base"], runs=tmp_path)["rows"][0]["quoted"]
    for wrong, message in (
        ({"label": "x", "reference": {"arts": 1}}, "reference for 'arts'"),
        ({"label": "x"}, "reference"),
    ):
        with pytest.raises(LvtuneError, match=message):
            load_table(folder(TABLE | {"rows": ["theirs"], "quoted": {"theirs": wrong}}))


def test_ours_stands_beside_what_was_printed(folder, tmp_path):
    runs, name = tmp_path / "runs", folder()
    report(runs, "ours", {"after_on": scores(1, 40.0)}, {"after_off": scores(60.0)}, {"method": "lora"})
    values = reproduce(name, runs=runs)
    ours, base = values["rows"]
    assert ours["ours"] == {"art": 40.0, "photo": 60.0, "mean": 50.0}
    assert ours["reference"] == {"art": 34.5, "photo": None, "mean": 50.0}
    assert (ours["runs"], ours["parameters"], ours["spread"]["art"]) == (1, 12_345, None)
    assert base["runs"] == 0 and base["needs"] == "weights" and set(base["ours"].values()) == {None}
    # an evaluated base has its scores elsewhere in the report
    report(runs, "base", {"before": scores(1, 30.0)}, {"after_off": scores(None)})
    assert reproduce(name, rows=["base"], runs=runs)["rows"][0]["ours"] == {"art": 30.0, "photo": None, "mean": None}


def test_several_seeds_give_mean_and_spread(folder, tmp_path):
    for seed, ap in enumerate((40.0, 41.0, 45.0)):
        report(tmp_path, "ours", {"after_on": scores(1, ap)}, {"after_off": scores(60.0)}, seed=seed)
    (row,) = reproduce(folder(), rows=["ours"], runs=tmp_path)["rows"]
    assert row["ours"]["art"] == 42.0 and row["spread"]["art"] == pytest.approx(7**0.5) and row["runs"] == 3
    assert mean_and_deviation([1.0, None]) is None and mean_and_deviation([]) is None
    assert mean_and_deviation([2.0]) == (2.0, None)


def test_a_run_of_other_settings_is_marked(folder):
    row = load_table(folder()).row("ours")
    same = Recipe.from_dict(row.recipe | {"seed": 3, "device": "cpu"}).resolved(METHODS.get("lora").defaults).to_dict()
    same["data"]["data"] = "elsewhere"
    assert differences(row, {"recipe": same}) == []
    same["train"]["steps"], same["data"]["limit"] = 2, 8
    same["evaluate"]["flip_test"] = False
    assert set(differences(row, {"recipe": same})) == {"data.limit", "train.steps", "evaluate.flip_test"}


def test_the_printed_table(folder, tmp_path, capsys):
    report(tmp_path, "ours", {"after_on": scores(1, 40.0)}, {"after_off": scores(60.0)},
           {"train": {"steps": 2}})  # fmt: skip
    assert main(["reproduce", folder(), "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "34.50 / 40.00" in lines["Ours"] and "- / 60.00" in lines["Ours"] and "12,345" in lines["Ours"]
    assert "not the row's settings" in lines["Ours"] and "train.steps" in lines["Ours"]
    assert lines["Base"].endswith("not run here: needs weights")
    assert "A small table (a paper)" in out and out.rstrip().endswith("a note")


def test_one_failing_row_does_not_keep_the_others_from_running(folder, tmp_path, capsys):
    @register_runner("test-only")
    def run(recipe, place, say):
        if recipe.method == "lora":
            raise LvtuneError("weights that are not there", "weights", "get them")
        place.mkdir(parents=True)
        (place / "report.json").write_text(json.dumps({"target": {"before": scores(1, recipe.train.steps)}}))

    try:
        rows = {"ours": {**ROW, "row": {**ROW["row"], "run": "test-only"}},
                "base": {**BASE, "row": {**BASE["row"], "run": "test-only"}, "method": "norm"}}  # fmt: skip
        name = folder(**rows)
        given = ["reproduce", name, "--run", "--runs", str(tmp_path / "runs"), "--set", "train.steps=7"]
        assert main(given) == 1
        out, err = capsys.readouterr()
        assert "failed (see below)" in out and "7.00" in out
        assert "error: weights that are not there; expected weights; get them" in err
    finally:
        del RUNNERS._entries["test-only"]


def test_gains_and_claims_of_the_main_table(capsys):
    """As the paper prints them in brackets; its text claims 2.26 and 3.74."""
    values = reproduce("vlpose-main")
    gains = {row["name"]: row["gain"]["reference"] for row in values["rows"]}
    for row, column, printed in (
        ("vlpose-s", "humanart_det", 2.47), ("vlpose-s", "coco_gt", 4.72), ("vlpose-b", "humanart_gt", 3.57),
        ("vlpose-l", "coco_det", 2.74), ("vlpose-h", "avg_gt", 3.47), ("swinpose-b-vl", "humanart_det", 0.91),
        ("pvtpose-s-vl", "avg_det", 0.73), ("pvtv2pose-b-vl", "coco_gt", -0.66), ("pvtv2pose-b-vl", "avg_det", 1.52),
    ):  # fmt: skip
        assert gains[row][column] == pytest.approx(printed, abs=0.0101), (row, column)
    assert set(gains["vitpose-s-ft"].values()) == {None}
    claims = {claim["name"]: claim for claim in values["claims"]}
    assert claims["humanart"]["reference"] == pytest.approx(2.26) and claims["humanart"]["agrees"]
    assert claims["coco"]["reference"] == pytest.approx(3.74) and claims["coco"]["ours"] is None
    assert main(["reproduce", "vlpose-main"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("vlpose-main, main table: ") and "in brackets the gain" in lines[0]
    (line,) = (line for line in lines if line.startswith("VLPose-B, released settings "))
    assert " ViTPose-B " in line and "34.33 (+1.78) / -" in line and "75.75 (+3.75) / -" in line
    claimed = [line for line in lines if line.startswith("+") and "claim" in line]
    assert len(claimed) == 2 and "+2.26 / -" in claimed[0] and "+3.74 / -" in claimed[1]
    assert "computed as vlpose-h minus vitpose-h-ft" in claimed[0] and "DIFFERS" not in "".join(claimed)


def test_gains_and_claims_from_runs(folder, tmp_path, capsys):
    claim = {"title": "+9 on art", "column": "art", "row": "ours", "over": "base", "printed": 9.0}
    ours = {**ROW, "row": {**ROW["row"], "gain_over": "base"}}
    name = folder({**TABLE, "claims": {"big": claim}}, ours=ours, base={**BASE, "reference": {"art": 30.0}})
    report(tmp_path, "ours", {"after_on": scores(1, 40.0)}, {"after_off": scores(60.0)}, {"method": "lora"})
    report(tmp_path, "base", {"before": scores(1, 33.0)}, {"after_off": scores(None)})
    values = reproduce(name, rows=["ours"], runs=tmp_path)
    assert values["rows"][0]["gain"] == {"reference": {"art": 4.5, "photo": None, "mean": None},
                                         "ours": {"art": 7.0, "photo": None, "mean": None}}  # fmt: skip
    (claim,) = values["claims"]
    assert (claim["reference"], claim["ours"], claim["agrees"]) == (4.5, 7.0, False)
    assert main(["reproduce", name, "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "34.50 (+4.50) / 40.00 (+7.00)" in out and "printed as +9.00" in out and "THE TABLE DIFFERS" in out


def test_a_hand_table_names_its_tables(capsys):
    assert main(["reproduce", "hand-dg", "--rows", "t4a-ie"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("hand-dg, tables 3 to 6: ")
    assert any(line.startswith("image encoder only  table 4a  ") for line in lines)


def test_a_row_that_only_scores_is_marked_for_what_scores(folder):
    row = load_table(folder()).row("base")
    same = Recipe.from_dict(row.recipe).to_dict()
    assert differences(row, {"recipe": same}) == []
    # as earlier versions wrote it: with a method's training options filled in, which nothing reads here
    same["train"] |= {"epochs": 10.0, "lr": 0.5}
    same["method"], same["method_options"] = "lora", {"r": 4}
    assert differences(row, {"recipe": same}) == []
    same["evaluate"]["flip_test"], same["data"]["limit"] = False, 3
    assert set(differences(row, {"recipe": same})) == {"evaluate.flip_test", "data.limit"}


_CLAIM = {"title": "t", "column": "art", "row": "our", "over": "base", "printed": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"table": {**TABLE, "titel": "x"}}, "unknown option 'titel'.*did you mean 'title'"),
        ({"table": {k: v for k, v in TABLE.items() if k != "source"}}, "without `source`"),
        ({"table": {**TABLE, "rows": ["ours", "lost"]}}, r"no file .*lost\.yaml"),
        ({"table": {**TABLE, "columns": {"mean": TABLE["columns"]["mean"]}}}, "a mean of 'art'"),
        ({"table": {**TABLE, "figure": {"source": "foto"}}}, "a figure of 'foto'"),
        ({"table": {**TABLE, "figure": {"source": "photo", "join": "rows"}}}, "a figure of 'join: rows'"),
        ({"table": {**TABLE, "claims": {"c": {"title": "t"}}}}, "without `column`"),
        ({"table": {**TABLE, "claims": {"c": _CLAIM}}}, "c with row 'our'"),
        ({"ours": {**ROW, "row": {**ROW["row"], "gain_over": "lost"}}}, "ours with gain_over 'lost'"),
        ({"ours": {k: v for k, v in ROW.items() if k != "reference"}}, "without `reference`.*reference: null"),
        ({"ours": {**ROW, "reference": {"arts": 1}}}, "a reference for 'arts'.*did you mean 'art'"),
        ({"ours": {**ROW, "row": {"label": "x", "trainible": 3}}}, "did you mean 'trainable'"),
        ({"ours": {**ROW, "metod": "lora"}}, "unknown option 'metod'"),
    ],
)
def test_a_fault_in_a_table_is_told(folder, change, said):
    with pytest.raises(LvtuneError, match=said):
        load_table(folder(**change))


def test_names_that_do_not_exist(folder, capsys):
    with pytest.raises(LvtuneError, match="did you mean 'vlpose-main'"):
        load_table("vlpose-mian")
    with pytest.raises(LvtuneError, match="did you mean 'ours'"):
        reproduce(folder(), rows=["our"])
    with pytest.raises(LvtuneError, match=r"--data for 'humanrat'.*did you mean 'humanart'"):
        reproduce("vlpose-main", data={"humanrat": "x"})
    with pytest.raises(LvtuneError, match=r"--weights for 'vitpose-b'.*expected one of vitpose-s;"):
        reproduce("vlpose-main", rows=["vlpose-s"], weights={"vitpose-b": "x"})
    assert main(["reproduce"]) == 2
    assert "lvtune reproduce TABLE" in capsys.readouterr().err


def test_a_row_that_starts_from_another_says_how_to_get_it(tmp_path):
    values = reproduce("vlpose-main", rows=["swinpose-t-vl"], runs=tmp_path, run=True)
    problem = values["rows"][0]["problem"]
    assert "swinpose-t trained as row 'swinpose-t-sc'" in problem["given"]
    assert problem["fix"] == "run row swinpose-t-sc first, or give --weights swinpose-t=FILE"
