"""``lvtune compare --in-a-row``: the matrix comes from the runs, shared steps are run once, a second call runs none."""

import json

import pytest

from lvtune.cli.main import main
from lvtune.experiments.in_a_row import compare_in_a_row
from lvtune.experiments.row_figures import row_figures

DOMAINS = ["demo-art/sketch", "demo-art/cartoon", "demo-art/watercolor"]
SHARED = {
    "device": "cpu", "start": "none", "gate": False, "calibrate": "none", "evaluate": {"flip_test": False},
    "data": {"limit": 6}, "train": {"steps": 3, "batch_size": 2, "lr": 0.02},
}  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("row")
    options = {"ways": "plain,lwf:weight=300,separate", "method": "lora", "out": out}
    return out, options, compare_in_a_row(DOMAINS, SHARED, **options)


def report(out, name):
    return json.loads((out / "cells" / name / "report.json").read_text())


def test_each_score_is_that_of_its_run(done):
    out, _, values = done
    plain, lwf, own = values["ways"]
    runs = [report(out, name) for name in ("alone-0-1", "plain-0-2", "plain-0-3")]
    for step, run in enumerate(runs):
        assert plain["matrix"][step][step] == run["target"]["after_on"]["pck@0.2"]
        assert plain["source"][step] == run["source"]["after_on"]["pck@0.2"]
    assert plain["matrix"][2][:2] == [one["after"] for one in runs[2]["after"]["domains"]]
    assert plain["matrix"][0][1:] == [runs[0]["also"][name]["after_on"]["pck@0.2"] for name in DOMAINS[1:]]
    assert plain["matrix"][0] == lwf["matrix"][0]
    assert runs[1]["curves"]["loss"] != report(out, "lwf-weight=300-0-2")["curves"]["loss"]
    assert [runs[1]["recipe"]["after"], runs[2]["recipe"]["after"]] == [
        str(out / "cells" / name) for name in ("alone-0-1", "plain-0-2")
    ]
    # the earlier adapter's score is the one that its run ended with, and tuning has moved it
    (row,) = runs[1]["after"]["domains"]
    assert row["before"] == plain["matrix"][0][0] > 0 and row["after"] == plain["matrix"][1][0] != row["before"]
    found = row_figures(plain["matrix"])
    assert {name: plain["figures"][name]["mean"] for name in found} == found
    base = [runs[0]["target"]["before"]["pck@0.2"], *(runs[0]["also"][n]["before"]["pck@0.2"] for n in DOMAINS[1:])]
    assert values["pretrained"]["domains"] == base
    # one adapter for each domain: it keeps its score, and the base answers until it is there
    scores = [report(out, f"alone-0-{step}")["target"]["after_on"]["pck@0.2"] for step in (1, 2, 3)]
    assert own["matrix"] == [[*scores[: i + 1], *base[i + 1 :]] for i in range(3)]
    assert own["figures"]["forgetting"]["mean"] == 0.0
    assert set(own["source"]) == {values["pretrained"]["source"]} != {None}


def test_what_was_run_is_not_run_again(done, monkeypatch):
    _, options, values = done
    from lvtune.api import adapting

    monkeypatch.setattr(adapting, "adapt", lambda *args, **more: pytest.fail("it was run again"))
    again = compare_in_a_row(DOMAINS, SHARED, **options)
    assert again["ways"] == values["ways"]
    plan = compare_in_a_row(DOMAINS, SHARED, dry_run=True, **{**options, "ways": "plain,ewc"})
    assert {one["name"]: one["finished"] for one in plan["cells"]} == {
        "alone-0-1": True, "plain-0-2": True, "plain-0-3": True, "ewc-0-2": False, "ewc-0-3": False,
    }  # fmt: skip


def test_the_tables_have_the_published_columns(done):
    out, _, values = done
    text = (out / "in-a-row.md").read_text()
    assert "| PCK@0.2 | pretrained | fine-tuned | LwF (weight=300) | one adapter each |" in text
    assert "| backward transfer |" in text and "| 3. after demo-art/watercolor |" in text
    assert json.loads((out / "in-a-row.json").read_text())["ways"] == values["ways"]


@pytest.mark.parametrize(
    ("argv", "given"),
    [(["demo-art/sketch"], "demo-art/sketch in a row"),
     (["demo-art/sketch,demo-art/sketch"], "in a row"),
     (["demo-art/sketch,demo-art/nothing"], "unknown part 'nothing'"),
     (["demo-art/sketch,demo-art/cartoon", "--ways", "hope"], "unknown way 'hope'"),
     (["demo-art/sketch,demo-art/cartoon", "--methods", "lora,full"], "2 methods in a row"),
     (["demo-art/sketch,demo-art/cartoon", "--lrs", "1e-3"], "--in-a-row with --lrs"),
     (["demo-art/sketch,demo-art/cartoon", "--domain", "demo-art"], "--in-a-row with --domain")],
)  # fmt: skip
def test_wrong_input_is_told_before_anything_runs(argv, given, tmp_path, capsys):
    assert main(["compare", "--in-a-row", *argv, "--out", str(tmp_path / "out")]) == 2
    assert given in capsys.readouterr().err and not (tmp_path / "out").exists()
