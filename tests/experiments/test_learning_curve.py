"""The learning curve of a comparison, its forecasts, and the check by a number that was run."""

import json

import pytest
from test_comparing import adapted, report_of  # noqa: F401

from lvtune.api import adapting
from lvtune.cli.main import main
from lvtune.core.errors import UsageError
from lvtune.experiments.comparing import compare
from lvtune.experiments.learning_curve import check_forecast, learning_curve, words_of

PICTURES = {10: 10, 20: 20, 40: 40, "all": 93}


def error(n, seed):
    return (40 * n**-0.7 + 1.5) * (1 + 0.02 * (seed - 1))


def rows_of(main="px_mean", label="lora"):
    return [
        {"label": label, "shots": shots, "lr": None, "seed": seed, "main": main, "pictures": count,
         "target": error(count, seed) if main == "px_mean" else 100 - error(count, seed)}
        for shots, count in PICTURES.items()
        for seed in (0, 1, 2)
    ]  # fmt: skip


def summary_of(label="lora"):
    return [{"label": label, "shots": shots, "lr": None, "best": True} for shots in PICTURES]


@pytest.mark.parametrize("main", ["px_mean", "pck@0.2"])
def test_the_curve_its_forecast_and_its_check(main):
    found = learning_curve(rows_of(main), summary_of(), (200,))["lines"][0]
    assert [(one["pictures"], one["n"]) for one in found["points"]] == [(10, 3), (20, 3), (40, 3), (93, 3)]
    forecast, check = found["forecasts"][0], found["check"]
    truth = {n: error(n, 1) if main == "px_mean" else 100 - error(n, 1) for n in (93, 200)}
    assert forecast["low"] < truth[200] < forecast["high"] and forecast["score"] == pytest.approx(truth[200], rel=0.1)
    # 93 pictures from 10, 20 and 40 alone
    assert check["from"] == [10, 20, 40] and check["pictures"] == 93 and check["inside"]
    assert check["measured"] == pytest.approx(truth[93]) and check["score"] == pytest.approx(truth[93], rel=0.1)
    drawn = found["curve"]
    assert drawn[0]["pictures"] == 10 and drawn[-1]["pictures"] == pytest.approx(200) and len(drawn) == 40


def test_a_check_that_fails_says_so():
    rows = rows_of()
    for row in rows:
        row["target"] = 9.0 if row["pictures"] == 93 else row["target"]
    found = learning_curve(rows, summary_of())
    assert not found["lines"][0]["check"]["inside"]
    assert "outside the interval" in words_of(found, "px")[0]


def test_only_the_best_rate_of_each_number_counts_and_one_number_is_no_curve():
    rows = rows_of() + [{**row, "lr": 1.0, "target": 99.0} for row in rows_of()]
    summary = summary_of() + [{**line, "lr": 1.0, "best": False} for line in summary_of()]
    assert learning_curve(rows, summary)["lines"][0]["points"][0]["mean"] == pytest.approx(error(10, 1))
    assert learning_curve(rows[:3], summary_of()) is None


def test_forecasts_need_two_numbers():
    check_forecast((), ("all",))
    with pytest.raises(UsageError, match="--shots 10,20,40,all"):
        check_forecast((200,), ("all",))


@pytest.fixture
def falling(monkeypatch):
    """A run whose error falls with its pictures."""
    from pathlib import Path
    from types import SimpleNamespace

    def adapt(recipe, **options):
        count = PICTURES[recipe.data.shots]
        values = report_of(recipe, 30.0)
        sides = {when: {"px_mean": None} for when in ("before", "after_off")}
        values |= {"main": "px_mean", "target": sides | {"after_on": {"px_mean": error(count, recipe.seed)}},
                   "source": None, "also": {}, "gained": None, "few": {"pictures": count}}  # fmt: skip
        Path(recipe.out).mkdir(parents=True, exist_ok=True)
        (Path(recipe.out) / "report.json").write_text(json.dumps(values))
        return SimpleNamespace(to_dict=lambda: values)

    monkeypatch.setattr(adapting, "adapt", adapt)


def test_the_page_has_the_curve(falling, tmp_path, capsys):
    words = ["compare", "--methods", "lora", "--shots", "10,20,40,all", "--seeds", "0,1,2", "--predict", "200,400"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "lora: 200 pictures would give about" in said and "lora: 400 pictures" in said
    assert "93 were expected to give" in said and "px, inside the interval" in said
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["cells"][0]["pictures"] == 10 and len(stored["curve"]["lines"][0]["forecasts"]) == 2
    page = (tmp_path / "results.html").read_text()
    assert "Learning curve" in page and "lora: 400 pictures would give about" in page and "93" in page
    assert "## Learning curve" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "learning-curve.png").stat().st_size > 5000


def test_a_wrong_forecast_is_told_before_anything_runs(falling, tmp_path, capsys):
    assert main(["compare", "--methods", "lora", "--predict", "200", "--out", str(tmp_path / "c")]) == 2
    assert "--shots 10,20,40,all" in capsys.readouterr().err and not (tmp_path / "c").exists()


def test_one_number_of_pictures_has_no_curve(falling, tmp_path):
    values = compare(methods="lora", shots=(10,), out=tmp_path)
    assert values["curve"] is None and "Learning curve" not in (tmp_path / "results.html").read_text()
