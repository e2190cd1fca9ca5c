"""w and lambda 3 chosen on folds of the source: what the folds are, what is chosen, and going on after a stop."""

import json

import joints  # noqa: F401
import numpy as np
import pytest

from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.domains import get_domain
from lvtune.domains.source import source_split
from lvtune.experiments import cross_validation as selecting
from lvtune.experiments.cross_validation import SelectOptions, folds_of, select


def recipe(folder, **given):
    values = {"weights": "random", "method": "lora", "objective_options": {"encoder": "toy"}, "text_only": True,
              "data": {"limit": 8}, "train": {"steps": 1, "batch_size": 2}, "device": "cpu", "out": str(folder),
              "evaluate": {"flip_test": False}}  # fmt: skip
    return Recipe.from_dict(values | given)


def test_folds_part_the_source_and_keep_equal_poses_together():
    split = source_split(get_domain("demo-art"), "train").first(40)
    folds = folds_of(split, SelectOptions(folds=10), seed=0)
    assert sorted(np.concatenate(folds).tolist()) == list(range(40)) and {len(fold) for fold in folds} == {4}
    twice = split.with_table(split.table.select([*range(20), *range(20)]))
    for fold in folds_of(twice, SelectOptions(folds=4), seed=1):
        assert set(fold % 20) == set(fold[fold < 20]) == set(fold[fold >= 20] - 20)
    with pytest.raises(LvtuneError, match="10 folds of 1 categories"):
        folds_of(split, SelectOptions(by="category"), seed=0)
    hands = get_domain("hand-figures/green_screen,clutter,skin").open("train", None).first(9)
    by_name = folds_of(hands, SelectOptions(by="category", folds=3), seed=0)
    names = hands.table.column("category")
    assert sorted(len(set(names[fold])) for fold in by_name) == [1, 1, 1]


def test_the_best_mean_is_chosen_in_turns_or_over_the_grid(tmp_path, monkeypatch):
    scored = {(0.9, 0.1): 40.0, (0.4, 0.1): 50.0, (0.4, 0.01): 60.0, (0.9, 0.01): 70.0}

    def run(self, pair, number):
        assert set(self.folds[number]) <= set(range(8))
        return {"score": scored[pair] + number, "main": "pck@0.2"}

    monkeypatch.setattr(selecting._Runs, "run", run)
    options = {"w": (0.9, 0.4), "weight": (0.1, 0.01), "folds": 2}
    values = select(recipe(tmp_path / "a"), SelectOptions(**options))
    # at the recipe's weight of 0.1 w 0.4 is better; at w 0.4 then weight 0.01; the better pair is never looked at
    assert values["chosen"] == {"w": 0.4, "weight": 0.01} and values["main"] == "pck@0.2"
    assert [(row["w"], row["weight"], row["mean"]) for row in values["tried"]] == [
        (0.9, 0.1, 40.5), (0.4, 0.1, 50.5), (0.4, 0.01, 60.5),
    ]  # fmt: skip
    values = select(recipe(tmp_path / "b"), SelectOptions(search="grid", **options))
    assert values["chosen"] == {"w": 0.9, "weight": 0.01} and len(values["tried"]) == 4


def test_a_stopped_search_goes_on(tmp_path, monkeypatch):
    done, real = [], selecting._Runs.run

    def run(self, pair, number):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append((pair, number))
        return real(self, pair, number)

    options = SelectOptions(w=(0.5,), weight=(0.1,), folds=2)
    monkeypatch.setattr(selecting._Runs, "run", run)
    with pytest.raises(KeyboardInterrupt):
        select(recipe(tmp_path), options)
    kept = json.loads((tmp_path / "select.json").read_text())["runs"]
    assert list(kept) == ["0.5 0.1 0"]
    again = []
    monkeypatch.setattr(selecting._Runs, "run", lambda self, *args: again.append(args) or real(self, *args))
    values = select(recipe(tmp_path), options)
    assert again == [((0.5, 0.1), 1)] and values["tried"][0]["folds"][0] == kept["0.5 0.1 0"]["score"]


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(selecting._Runs, "run", lambda self, pair, n: {"score": pair[0], "main": "pck@0.2"})
    argv = ["select", "--weights", "random", "--method", "lora", "--limit", "8", "--objective.encoder", "toy",
            "--out", str(tmp_path), "--select.folds", "2", "--device", "cpu"]  # fmt: skip
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chosen"] == {"w": 0.9, "weight": 1.0}
    assert main(argv) == 0
    assert "chosen: --objective.w 0.9 --objective.weight 1" in capsys.readouterr().out
    assert main([*argv, "--objective", "heatmap"]) != 0
    assert main([*argv, "--select.folds", "1"]) == 2
    assert "at least 2" in capsys.readouterr().err
