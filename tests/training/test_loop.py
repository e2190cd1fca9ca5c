"""The tuning loop: same seed, same bytes; killed and resumed, the same bytes; nothing left behind."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny import TinyPictures, make_adapter, snapshot, tiny_base, tiny_model

from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.bases.base import as_base
from lvtune.config.options import TrainOptions
from lvtune.config.tables import merge
from lvtune.core.errors import LvtuneError, TrainingError
from lvtune.patcher.attaching import attach, attached, use_adapter
from lvtune.training import loop
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from lvtune.training.optim import lr_factor, make_optimizer


def options(**given):
    usual = {"epochs": 3, "batch_size": 4, "lr": 5e-3, "warmup": 0.0, "precision": "no"}
    given = merge(usual, given, TrainOptions)
    return Recipe(train=TrainOptions(**given)).resolved().train


def run(method="vlpose", *, adapter=None, base=None, seed=0, objective=None, data=None, more=None, **given):
    """Tunes a fresh adapter; returns it and the history."""
    base = tiny_base() if base is None else base
    adapter = make_adapter(method, base) if adapter is None else adapter
    objective, data = objective or HeatmapObjective(), TinyPictures(10) if data is None else data
    history = tune(base, adapter, data, objective, options(**given), seed=seed, device="cpu", **(more or {}))
    return adapter, history


def bytes_of(adapter):
    return {n: v.reshape(-1).view(torch.uint8).numpy().tobytes() for n, v in adapter.state_dict().items() if v.numel()}


@pytest.mark.parametrize("method", METHODS.names())
def test_the_same_seed_gives_the_same_bytes(method):
    first, history = run(method, ema=0.9)
    torch.rand(7)  # what came before must not matter
    again, other_history = run(method, ema=0.9)
    assert bytes_of(first) == bytes_of(again)
    assert history.loss == other_history.loss and all(map(math.isfinite, history.loss))
    other, _ = run(method, ema=0.9, seed=1)
    assert bytes_of(first) != bytes_of(other)


def test_workers_and_earlier_gradients_do_not_matter():
    expected, _ = run()
    found, _ = run(workers=2)
    assert bytes_of(found) == bytes_of(expected)
    base = tiny_base()
    adapter = make_adapter("vlpose", base)
    for parameter in adapter.parameters():
        parameter.grad = torch.ones_like(parameter)
    found, _ = run(base=base, adapter=adapter)
    assert bytes_of(found) == bytes_of(expected)
    assert all(p.grad is None for p in found.parameters())


class Breaking(HeatmapObjective):
    """Raises at one step."""

    def __init__(self, at):
        self.left = at

    def __call__(self, base, batch):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().__call__(base, batch)


@pytest.mark.parametrize("method", METHODS.names())
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_resumed_run_equals_an_unbroken_one(method, ema, tmp_path):
    scores = iter(range(100))
    given = {"ema": ema, "epochs": 4.5, "checkpoint_every": 2}  # 5 epochs of 2 steps, the last one of 1
    more = {"checkpoint": tmp_path / "run.safetensors", "key": "a", "validate": lambda: float(next(scores))}
    expected, history = run(method, more={"validate": more["validate"]}, **given)
    scores = iter(range(100))
    with pytest.raises(KeyboardInterrupt):
        run(method, objective=Breaking(5), more=more, **given)
    scores = iter(range(2, 100))  # two of them are in the checkpoint
    base = tiny_base()
    found, resumed = run(method, adapter=make_adapter(method, base, seed=5), base=base, more=more, **given)
    assert bytes_of(found) == bytes_of(expected)
    assert (resumed.steps, resumed.loss) == (history.steps, history.loss)
    assert (resumed.val_steps, resumed.val) == (history.val_steps, history.val) == ([2, 4, 6, 8, 9], [0, 1, 2, 3, 4])
    # a finished run, called again, is not run again
    finished, _ = run(method, objective=Breaking(0), more=more, **given)
    assert bytes_of(finished) == bytes_of(expected)
    assert [f.name for f in tmp_path.iterdir()] == ["run.safetensors"]


def test_a_checkpoint_of_another_run_is_passed_over_and_a_damaged_one_told(tmp_path):
    more = {"checkpoint": tmp_path / "run.safetensors", "key": "a"}
    expected, _ = run(more=more, checkpoint_every=1)
    found, history = run(more={**more, "key": "b"}, checkpoint_every=1)
    assert bytes_of(found) == bytes_of(expected) and history.steps == [1, 2, 3, 4, 5, 6]
    more["checkpoint"].write_bytes(more["checkpoint"].read_bytes()[:5000])
    with pytest.raises(TrainingError, match=r"truncated checkpoint.*now moved to.*type the same command again"):
        run(more=more)
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors.damaged"]
    again, _ = run(more=more)
    assert bytes_of(again) == bytes_of(expected)


SCRIPT = """
import sys, time
sys.path[:0] = sys.argv[2:]
import torch
from pathlib import Path
from test_loop import HeatmapObjective, run

torch.set_num_threads(1)

class Slow(HeatmapObjective):
    def __call__(self, base, batch):
        time.sleep(0.05)
        return super().__call__(base, batch)

run(objective=Slow(), epochs=40, ema=0.9, checkpoint_every=1,
    more={"checkpoint": Path(sys.argv[1]), "key": "a"})
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_process_resumes_to_the_same_bytes(tmp_path):
    here, file = Path(__file__).parent, tmp_path / "run.safetensors"
    folders = [str(here), str(here.parent), str(here.parents[1])]
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(file), *folders], stderr=subprocess.PIPE)
    started = time.monotonic()
    while not file.exists() and process.poll() is None and time.monotonic() - started < 300:
        time.sleep(0.02)
    time.sleep(0.23)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, said.decode()
    assert file.exists()
    given = {"epochs": 40, "ema": 0.9, "checkpoint_every": 1}
    expected, _ = run(**given)
    counted = Breaking(1000)
    base = tiny_base()
    adapter = make_adapter("vlpose", base, seed=5)
    found, _ = run(base=base, adapter=adapter, objective=counted, more={"checkpoint": file, "key": "a"}, **given)
    assert bytes_of(found) == bytes_of(expected)
    assert 0 < 1000 - counted.left < 80  # it did go on from where it was killed


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_a_loss_that_is_not_finite_is_told_and_the_base_restored(kind):
    base = tiny_base()
    base(torch.zeros(1, 3, 64, 48))
    before = snapshot(base)

    class Bad(Breaking):
        def __call__(self, base, batch):
            self.left -= 1
            return HeatmapObjective.__call__(self, base, batch) * (float(kind) if self.left < 0 else 1)

    with pytest.raises(LvtuneError) as error:
        run(base=base, objective=Bad(3))
    assert error.value.given.startswith(f"a loss of {kind} at step 3, on the samples ")
    assert "--train.lr" in error.value.fix and "0.005" in error.value.fix
    assert attached(base) == {} and snapshot(base) == before


@pytest.mark.parametrize("mode", [False, True])
@pytest.mark.parametrize("method", METHODS.names())
def test_the_base_is_as_it_was_after_twenty_steps(method, mode):
    base = tiny_base()
    base(torch.zeros(1, 3, 64, 48))
    base.train(mode)
    before = snapshot(base)
    adapter, history = run(method, base=base, steps=20)
    assert history.steps[-1] == 20 and not adapter.training
    assert snapshot(base) == before
    with pytest.raises(KeyboardInterrupt):
        run(method, base=base, objective=Breaking(1))
    assert snapshot(base) == before


def test_a_plain_transformers_model_is_tuned_as_a_base():
    model = tiny_model()
    model(torch.zeros(1, 3, 64, 48))
    before = snapshot(model)
    found, _ = run(base=as_base(model))
    assert snapshot(model) == before
    expected, _ = run()
    assert bytes_of(found) == bytes_of(expected)


def test_what_the_caller_has_chosen_or_attached_does_not_matter():
    expected, _ = run()
    base = tiny_base()
    with attach(base, make_adapter("norm", base, stirred=0.1), "other"), use_adapter(base, "other", category="cartoon"):
        found, _ = run(base=base)
        assert list(attached(base)) == ["other"]
    assert bytes_of(found) == bytes_of(expected)


def test_the_average_follows_its_formula():
    states = []

    class Watching(HeatmapObjective):
        def __call__(self, base, batch):
            states.append({n: v.clone() for n, v in attached(base)["tuning"].state_dict().items()})
            return super().__call__(base, batch)

    adapter, _ = run(objective=Watching(), steps=8, ema=0.5)
    plain, _ = run(steps=8)
    states = [*states[1:], plain.state_dict()]  # after each step
    average = {n: v.clone() for n, v in states[0].items()}
    for step in range(1, 8):
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in states[step].items():
            if value.is_floating_point():
                average[name] += (1 - decay) * (value - average[name])
            else:
                average[name] = value
    found = adapter.state_dict()
    assert found.keys() == average.keys()
    for name, value in average.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-5)
    assert not torch.equal(found["predictor.weight"], plain.state_dict()["predictor.weight"])


def test_validation_sees_the_average_and_training_goes_on_without_it():
    expected, _ = run(epochs=4)
    averaged, _ = run(epochs=4, ema=0.9)
    base, seen = tiny_base(), []
    adapter = make_adapter("vlpose", base)

    def validate():
        assert not adapter.training and list(attached(base)) == ["tuning"]
        seen.append(bytes_of(adapter))
        return 1.0

    more = {"validate": validate, "validate_every": 3}
    _, history = run(base=base, adapter=adapter, more=more, epochs=4, ema=0.9)
    assert history.val_steps == [6, 8] and seen[-1] == bytes_of(averaged) == bytes_of(adapter)
    found, _ = run(epochs=4, more={"validate": lambda: torch.rand(1).item()})
    assert bytes_of(found) == bytes_of(expected)  # what validation draws is not missed


def watched(monkeypatch, look):
    """Calls ``look(optimizer)`` before each of its steps."""

    def make(groups, lr, name="adamw"):
        optimizer = make_optimizer(groups, lr, name)
        optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: look(optimizer))
        return optimizer

    monkeypatch.setattr(loop, "make_optimizer", make)


def test_learning_rates_of_every_step(monkeypatch):
    found = []
    watched(monkeypatch, lambda o: found.append({g["lr_scale"]: g["lr"] for g in o.param_groups}))
    base = tiny_base()
    adapter = make_adapter("vlpose", base, visual_prompt_lr_scale=2.0, gate_lr_scale=10.0)
    run(base=base, adapter=adapter, steps=30, lr=1e-3, warmup=0.5)
    assert len(found) == 30
    for step, rates in enumerate(found):
        factor = lr_factor(step, 30, 0.5, "cosine")
        assert rates == {scale: pytest.approx(1e-3 * factor * scale, rel=1e-12) for scale in (1.0, 2.0, 10.0)}


def test_gradients_are_clipped_to_the_norm(monkeypatch):
    norms = []

    def look(optimizer):
        gradients = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        norms.append(torch.cat([g.flatten() for g in gradients]).norm().item())

    watched(monkeypatch, look)
    run("full", steps=3, clip=1e-3)
    assert norms == pytest.approx([1e-3] * 3, rel=1e-2)


@pytest.mark.parametrize("method", METHODS.names())
def test_the_optimiser_holds_the_adapters_parameters_and_no_others(method, monkeypatch):
    held = []
    watched(monkeypatch, lambda o: held.append([p for g in o.param_groups for p in g["params"]]))
    adapter, _ = run(method, steps=1)
    assert len(held[0]) == len({id(p) for p in held[0]})
    assert {id(p) for p in held[0]} == {id(p) for p in adapter.parameters() if p.requires_grad}


def test_frozen_parameters_of_an_adapter_stay():
    base = tiny_base()
    adapter = make_adapter("vlpose", base)
    adapter.predictor.requires_grad_(False)
    before = adapter.predictor.weight.clone()
    run(base=base, adapter=adapter)
    assert torch.equal(adapter.predictor.weight, before)


@pytest.mark.parametrize(
    ("given", "steps"),
    [({"epochs": 3}, 6), ({"epochs": 0.5}, 1), ({"epochs": 1.5}, 3), ({"epochs": 0.01}, 1), ({"steps": 5}, 5),
     ({"steps": 0}, 0), ({"epochs": 2, "batch_size": 64}, 2)],
)  # fmt: skip
def test_how_long_it_runs(given, steps):
    _, history = run("norm", **given)
    assert history.steps == list(range(1, steps + 1)) and len(history.loss) == steps


def test_no_pictures_are_told():
    with pytest.raises(LvtuneError, match="no pictures"):
        run(data=TinyPictures(0))


def test_each_epoch_sees_its_own_pictures_in_its_own_order():
    seen = []

    class Watching(HeatmapObjective):
        def __call__(self, base, batch):
            seen.append((batch["index"].tolist(), batch["pixel_values"].sum().item()))
            return super().__call__(base, batch)

    run("norm", objective=Watching(), epochs=2, data=TinyPictures(8))
    first, second = seen[:2], seen[2:]
    for epoch in (first, second):
        assert sorted(i for indices, _ in epoch for i in indices) == list(range(8))
    assert [i for i, _ in first] != [i for i, _ in second]
    assert {s for _, s in first}.isdisjoint({s for _, s in second})


def test_progress_is_told_in_plain_lines(capsys):
    run("norm", epochs=2, products="torch", more={"validate": lambda: 12.345})
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == ""
    assert lines[0].startswith("tuning: step 1/4 loss ")
    assert any(line.startswith("tuning: step 4/4 loss ") for line in lines)
    assert "tuning: step 2: validation 12.35" in lines or "tuning: step 2: validation 12.34" in lines
