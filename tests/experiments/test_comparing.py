"""``lvtune compare``: cells, what is run and what is not, the table."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny import tiny_base

from lvtune.api import adapting
from lvtune.api.recipe import Recipe
from lvtune.bases.base_registry import BASES
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.evaluation.metrics import ahead_words
from lvtune.experiments import comparing
from lvtune.experiments.cells import cells_of, variants_of
from lvtune.experiments.comparing import compare
from lvtune.experiments.result_rows import summary_of

TARGETS = {"full": 30.0, "norm": 32.0, "lora": 31.0}
REPO = Path(__file__).parents[2]


def report_of(recipe, target):
    scores = {"pck@0.2": 0.0, "pck@0.5": 60.0, "ap": None}
    side = lambda on: {  # noqa: E731
        when: scores | {"pck@0.2": value} for when, value in (("before", 25.0), ("after_on", on), ("after_off", 25.0))
    }
    return {
        "main": "pck@0.2",
        "target": side(target),
        "source": side(24.5),
        "also": {"demo-art/sketch": {"name": "sketch", **side(target - 1)}},
        "retention": {"on": 0.98, "off": 1.0},
        "gap_closed": 0.2,
        "gained": target - 25.0,
        "adapter": {"method": recipe.method, "parameters": 1000, "share_of_base": 0.01, "bytes": 4000},
        "seconds": {"load": 1.0, "tune": 6.0, "evaluate": 2.0},
        "seconds_per_step": 0.5,
        "peak_memory_mb": 700.0,
        "peak_device_memory_mb": None,
        "curves": {"steps": [1, 2, 3], "loss": [3.0, 2.0, 1.0]},
        "target_name": "LSPET photographs under filters (demo-art)",
        "source_name": "the same",
    }


@pytest.fixture
def adapted(monkeypatch):
    """Recipes that ``adapt`` was given; it answers with scores that depend on method and seed."""
    seen = []

    def adapt(recipe, **options):
        seen.append(recipe)
        assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK"} & set(os.environ)
        if recipe.train.lr == 666.0:
            raise LvtuneError("a loss of nan", "a finite loss", "lower it")
        values = report_of(recipe, TARGETS[recipe.method] + recipe.seed + (recipe.train.lr or 0))
        Path(recipe.out).mkdir(parents=True, exist_ok=True)
        (Path(recipe.out) / "report.json").write_text(json.dumps(values))
        return SimpleNamespace(to_dict=lambda: values)

    monkeypatch.setattr(adapting, "adapt", adapt)
    return seen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("norm, full", {"norm": {"method": "norm"}, "full": {"method": "full"}}),
        (
            "lora:r=4,lr=1e-3,targets=query,value,norm",
            {
                "lora:r=4,lr=1e-3,targets=query,value": {
                    "method": "lora",
                    "method_options": {"r": "4", "targets": "query,value"},
                    "train": {"lr": "1e-3"},
                },
                "norm": {"method": "norm"},
            },
        ),
        (
            "norm:train.augment.color=0.2",
            {"norm:train.augment.color=0.2": {"method": "norm", "train": {"augment": {"color": "0.2"}}}},
        ),
    ],
)
def test_methods_with_options(text, expected):
    assert {one.label: one.changes for one in variants_of(text)} == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nrom", "'norm'"),
        ("norm,ful", "'full'"),
        ("lora:rr=4", "option 'rr'"),
        ("norm,norm", "besides"),
        ("", "nothing"),
    ],
)
def test_what_cannot_be_compared(text, told):
    with pytest.raises(LvtuneError, match=told):
        variants_of(text)


def test_cells_are_the_product_and_own_learning_rates_stay():
    grid = {"shots": [6, "all"], "seeds": [0, 1], "lrs": [1e-3, 1e-4], "out": Path("there")}
    cells = cells_of({"data": {"limit": 9}}, variants_of("norm,lora:lr=0.01"), **grid)
    assert len(cells) == 2 * 2 * (2 + 1)
    first = cells[0]
    assert first.folder == Path("there/cells/norm-6-0-lr0.001")
    assert (first.recipe.data.shots, first.recipe.data.limit, first.recipe.train.lr) == (6, 9, 1e-3)
    assert {cell.recipe.train.lr for cell in cells if cell.recipe.method == "lora"} == {0.01}
    assert {cell.recipe.data.shots for cell in cells} == {6, "all"}
    assert len({cell.name for cell in cells}) == len(cells)
    assert [cell.seed for cell in cells] == [0] * 6 + [1] * 6


def test_mean_interval_and_difference_by_seed(adapted, tmp_path):
    found = compare(methods="full,norm", seeds=(0, 1, 2), out=tmp_path)
    full, norm = found["summary"]
    assert full["target"] == {"mean": 31.0, "half": pytest.approx(2.48416, abs=1e-5), "n": 3}
    assert norm["ahead"] == {"mean": 2.0, "half": 0.0, "n": 3} and full["ahead"] is None
    assert norm["also"]["demo-art/sketch"]["mean"] == 32.0
    assert json.loads((tmp_path / "results.json").read_text()) == found
    assert {"method", "parameters", "target", "source", "label"} <= set(found["cells"][0])
    line = next(text for text in (tmp_path / "results.md").read_text().splitlines() if text.startswith("| norm"))
    assert "33.00 ± 2.48" in line and "+2.00 ± 0.00" in line and "98.0" in line
    page = (tmp_path / "results.html").read_text()
    assert "filtered photographs" in page.lower() and "33.00 ± 2.48" in page and "<svg" in page
    assert (tmp_path / "target-source.png").is_file()


def test_a_finished_cell_is_not_run_again(adapted, tmp_path):
    first = compare(methods="full,norm", out=tmp_path)
    assert len(adapted) == 2
    again = compare(methods="full,norm,lora", out=tmp_path)
    assert [recipe.method for recipe in adapted] == ["full", "norm", "lora"]
    assert again["cells"][:2] == first["cells"]
    (tmp_path / "cells/norm-all-0/cell.json").unlink()
    compare(methods="full,norm,lora", out=tmp_path)
    assert [recipe.method for recipe in adapted[3:]] == ["norm"]


def test_a_cell_of_other_settings_is_no_answer(adapted, tmp_path):
    compare({"train": {"epochs": 2}}, methods="norm", out=tmp_path)
    compare({"train": {"epochs": 2, "workers": 3}, "device": "cpu"}, methods="norm", out=tmp_path)
    assert len(adapted) == 1
    with pytest.raises(LvtuneError, match=r"train\.epochs 2\.0, now 3\.0"):
        compare({"train": {"epochs": 3}}, methods="norm", out=tmp_path)


def test_the_best_learning_rate_of_each_stands_for_it(adapted, tmp_path):
    found = compare(methods="full,norm", lrs=(0.1, 0.5), out=tmp_path)
    assert [(line["label"], line["lr"]) for line in found["summary"] if line["best"]] == [("full", 0.5), ("norm", 0.5)]
    worse = next(line for line in found["summary"] if line["label"] == "norm" and line["lr"] == 0.1)
    assert worse["ahead"]["mean"] == pytest.approx(1.6)


@pytest.mark.parametrize(("main", "ahead"), [("pck@0.2", 2.0), ("px_mean", -2.0)])
def test_more_ahead_is_better_of_an_error_too(main, ahead):
    def row(label, target):
        return {
            "label": label, "method": label, "shots": "all", "lr": None, "seed": 0, "target": target, "main": main,
            "also": {}, "start": None, "parameters": 1, "share_of_base": 0.1, "bytes": 1, "target_before": None,
            "source_before": None,
        }  # fmt: skip

    first, second = summary_of([row("full", 30.0), row("norm", 32.0)])
    assert first["ahead"] is None and second["ahead"]["mean"] == pytest.approx(ahead)
    assert ("minus this one's" if main == "px_mean" else "target score minus") in ahead_words(main)


def test_the_learning_rate_is_searched_on_other_pictures(adapted, tmp_path):
    found = compare(
        methods="full,norm:lr=0.25", shots=(6,), seeds=(3, 4), lrs=(0.1, 666, 0.5), out=tmp_path, search=True
    )
    tried, run = adapted[:3], adapted[3:]
    assert {(recipe.evaluate.split, recipe.seed) for recipe in tried} == {("val", 3)}
    assert {recipe.method for recipe in tried} == {"full"}
    assert [(r.method, r.seed, r.train.lr, r.evaluate.split) for r in run] == [
        ("full", 3, 0.5, "test"), ("norm", 3, 0.25, "test"), ("full", 4, 0.5, "test"), ("norm", 4, 0.25, "test"),
    ]  # fmt: skip
    assert [line["lr"] for line in found["summary"]] == [0.5, None]
    with pytest.raises(LvtuneError, match="at least two"):
        compare(methods="full", lrs=(0.1,), out=tmp_path, search=True)
    with pytest.raises(LvtuneError, match="failed at every learning rate: a loss of nan"):
        compare(methods="full", lrs=(666.0, 666.0), out=tmp_path / "b", search=True)


def test_a_cell_that_fails_leaves_the_others(adapted, tmp_path, capsys):
    line = f"compare --methods norm:lr=666,full --seeds 0 --out {tmp_path} --json"
    assert main(line.split()) == 1
    out, err = capsys.readouterr()
    values = json.loads(out)
    assert [row["label"] for row in values["cells"]] == ["full"]
    assert list(values["failed"]) == ["norm-lr=666-all-0"]
    assert "error: a loss of nan; expected a finite loss; lower it" in err
    assert main(line.split()) == 1
    assert [recipe.method for recipe in adapted] == ["norm", "full", "norm"]


def test_a_dry_run_lists_and_writes_nothing(adapted, tmp_path, capsys):
    assert main(f"compare --methods norm --shots 6,all --seeds 0,1 --out {tmp_path / 'x'} --dry-run".split()) == 0
    assert "4 of 4 cells to run" in capsys.readouterr().out
    assert not adapted and not (tmp_path / "x").exists()


def test_variants_from_a_file_come_alone_unless_methods_are_named(adapted, tmp_path):
    file = tmp_path / "variants.yaml"
    file.write_text("slow: {method: full, train: {lr: 0.25}}\n")
    found = compare(methods="", variants=file, out=tmp_path / "a")
    assert [(row["label"], row["target"]) for row in found["cells"]] == [("slow", 30.25)]
    assert main(f"compare --variants {file} --seeds 0 --out {tmp_path / 'b'}".split()) == 0
    assert [recipe.method for recipe in adapted] == ["full", "full"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--methods nrom", "did you mean 'norm'"),
        ("--shots few", "such as --shots 20,60,all"),
        ("--seed 3", "'--seeds'"),
        ("--train.lrr 1", "--train.lr"),
        ("--methods norm --shots 0", "at least 1"),
    ],
)
def test_bad_usage(line, told, capsys):
    assert main(["compare", *line.split()]) == 2
    assert told in capsys.readouterr().err


def test_two_processes_share_the_cells_out(adapted, tmp_path, monkeypatch):
    """As a launcher sets them; each runs its cells as if alone."""
    monkeypatch.setattr(comparing, "meet", lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("RANK", "1")
    assert compare(methods="full,norm", seeds=(0, 1), out=tmp_path) == {}
    assert [(recipe.method, recipe.seed) for recipe in adapted] == [("norm", 0), ("full", 1)]
    monkeypatch.setenv("RANK", "0")
    found = compare(methods="full,norm", seeds=(0, 1), out=tmp_path)
    assert [(recipe.method, recipe.seed) for recipe in adapted[2:]] == [("full", 0), ("norm", 1)]
    assert [row["label"] for row in found["cells"]] == ["full", "norm", "full", "norm"]
    assert os.environ["WORLD_SIZE"] == "2"


def test_processes_meet_once_in_a_launch(adapted, tmp_path, monkeypatch):
    """A second process group of the same launch would be given the addresses of the first; what failed is run again."""
    met = []
    monkeypatch.setattr(comparing, "meet", lambda: met.append(list(tmp_path.glob("**/failed.json"))))
    searched = {"methods": "full,norm", "lrs": (0.1, 0.5), "out": tmp_path, "search": True}
    alone = compare(**searched)
    compare(methods="norm:lr=666", out=tmp_path)
    assert len(list(tmp_path.glob("**/failed.json"))) == 1 and not met
    for name, value in {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert compare(**searched) == alone
    assert met == [[]]


SHARED = {
    "base": "vitpose-tiny-lsp",
    "data": {"limit": 2},
    "train": {"steps": 1, "batch_size": 2},
    "evaluate": {"flip_test": False},
    "device": "cpu",
}
SCRIPT = """
import sys
from tiny import tiny_base
from lvtune.experiments.comparing import compare
from lvtune.bases import BASES
from lvtune.data.skeletons import LSP_14
BASES.register("vitpose-tiny-lsp")(lambda weights, revision=None, seed=0: tiny_base(skeleton=LSP_14))
compare({shared!r}, methods="norm,head", shots=(4,), seeds=(0, 1), out=sys.argv[1], say=print)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_killed_and_started_again(tmp_path, monkeypatch):
    """A real process on real pictures, killed as soon as one cell is finished; the rest is run here."""
    paths = os.pathsep.join([str(REPO), str(REPO / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT.format(shared=SHARED), str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while not list(tmp_path.glob("cells/*/cell.json")):
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (tmp_path / "results.json").exists()
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("cells/*/cell.json")}
    assert 1 <= len(before) < 4
    monkeypatch.setitem(
        BASES._entries, "vitpose-tiny-lsp", lambda weights, revision=None, seed=0: tiny_base(skeleton=LSP_14)
    )
    said = []
    found = compare(SHARED, methods="norm,head", shots=(4,), seeds=(0, 1), out=tmp_path, say=said.append)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert sum(text.startswith("cell ") for text in said) == 4 - len(before)
    assert len(found["cells"]) == 4 and not found["failed"]
    assert all(row["source_off"] == row["source_before"] is not None for row in found["cells"])
    assert {row["steps"] for row in found["cells"]} == {1}


def test_two_real_processes(tmp_path):
    """As torchrun launches them: each cell is run by one of the two, and the first writes one table of all."""
    script = tmp_path / "launched.py"
    script.write_text(SCRIPT.format(shared=SHARED) + "\nimport os\nprint('done by rank', os.environ['RANK'])\n")
    paths = os.pathsep.join([str(REPO), str(REPO / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    out = tmp_path / "out"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*launcher, str(script), str(out)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout
    assert "done by rank 0" in said and "done by rank 1" in said
    # two processes may write into one line
    cells = re.findall(r"cell \d+ of \d+: (\w+-4-[01])", said)
    assert sorted(cells) == sorted(set(cells)) and len(cells) == 4
    # each had two
    assert said.count("cell 1 of 2") == said.count("cell 2 of 2") == 2
    found = json.loads((out / "results.json").read_text())
    assert sorted(row["name"] for row in found["cells"]) == sorted(cells) and not found["failed"]


def test_a_recipe_with_the_method_that_its_domain_names_can_be_shared(tmp_path):
    """Its published options of vlpose are none of lora's."""
    recipe = Recipe(domain="humanart")
    assert recipe.settings == "published" and recipe.method_options
    values = compare(recipe, methods="lora,vlpose,full", out=tmp_path, dry_run=True)
    assert [cell["method"] for cell in values["cells"]] == ["lora", "vlpose", "full"]
