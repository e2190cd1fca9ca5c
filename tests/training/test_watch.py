"""What is shown while a run goes on; the run is the same with it and without it."""

import pytest
import torch
from tiny import TinyPictures, make_adapter, tiny_base

from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.training import loop as loop_module
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from lvtune.training.watch import EmptyLoss, Watch


def options(**train):
    return Recipe(train=TrainOptions(**{"batch_size": 4, "lr": 1e-3, "steps": 20, **train})).resolved().train


def run(train=None, objective=None, method="lora", **more):
    base = tiny_base()
    adapter = make_adapter(method, base, **({"dropout": 0.5} if method == "lora" else {}))
    history = tune(base, adapter, TinyPictures(8), objective or HeatmapObjective(), train or options(), device="cpu",
                   **more)  # fmt: skip
    return adapter, history


def test_it_looks_now_and_then_and_changes_nothing(capsys):
    answers = iter([(9.0, 8.0), (7.0, 6.0), (5.5, 4.0), (3.0, 2.0), (2.5, 1.5)])

    def error():
        torch.rand(3)  # as a DataLoader does
        return next(answers)

    drawn = []
    seen, history = run(watch=Watch(error, lambda step: drawn.append(step) or f"drawn {torch.rand(1).numel()}"))
    plain, _ = run()
    assert (history.px_steps, history.px_mean) == ([2, 5, 10, 15, 20], [9.0, 7.0, 5.5, 3.0, 2.5])
    assert drawn == history.px_steps
    assert all(torch.equal(v, plain.state_dict()[n]) for n, v in seen.state_dict().items())
    assert "step 10: held-out frames: 5.5 px mean error, 4.0 px median; drawn 1" in capsys.readouterr().err


def test_the_loss_stands_beside_that_of_an_empty_answer(capsys):
    _, history = run()
    objective, base = HeatmapObjective(), tiny_base()
    batch = torch.utils.data.default_collate([TinyPictures(8)[i] for i in range(8)])
    expected = objective.empty_loss(base, batch)
    assert history.empty_loss == pytest.approx(expected, rel=0.2) and expected > 0
    assert "an empty answer has" in capsys.readouterr().err
    _, other = run(objective=lambda base, batch: base(batch["pixel_values"]).square().mean())
    assert other.empty_loss is None


def test_an_empty_answer_has_the_loss_of_zero_heatmaps():
    base, objective = tiny_base(), HeatmapObjective()
    batch = torch.utils.data.default_collate([TinyPictures(4)[i] for i in range(4)])
    target, weight = base.codec.encode(batch["keypoints"], batch["visible"])
    assert objective.empty_loss(base, batch) == pytest.approx(
        float((target.square().sum((-2, -1)) * weight).sum() / target.numel())
    )
    empty = EmptyLoss()
    empty.add(None)
    assert empty.is_full and empty.mean is None


def test_the_time_left_is_told(capsys):
    run()
    assert "s left)" in capsys.readouterr().err


def test_a_time_budget_decides_the_number_of_steps(monkeypatch, capsys):
    monkeypatch.setattr(loop_module, "Budget", _Fixed)
    _, history = run(options(minutes=2.0, steps=None))
    said = capsys.readouterr().err
    assert len(history.steps) == 11 and "11 steps fit 2 minutes" in said
    # neither a number of steps nor a time is told before the first steps were timed
    first = next(line for line in said.splitlines() if "step 1" in line)
    assert "step 1 of as many as fit" in first and "left" not in first and "000000" not in said
    assert "step 11/11" in said and "0 s left" in said


def test_a_time_budget_counts_steps_and_not_the_parts_of_a_step(monkeypatch):
    monkeypatch.setattr(loop_module, "Budget", _Fixed)
    _, whole = run(options(minutes=2.0, steps=None))
    _, parts = run(options(minutes=2.0, steps=None, accumulate=2))
    assert len(parts.steps) == len(whole.steps) == 11


class _Fixed:
    def __init__(self, seconds):
        assert seconds == 120.0

    def take(self, step):
        return 11 if step == 3 else None


def test_a_budget_survives_a_resumption(tmp_path, monkeypatch):
    monkeypatch.setattr(loop_module, "Budget", _Fixed)
    train = options(minutes=2.0, steps=None, checkpoint_every=1, stop_after=2)
    run(train, checkpoint=tmp_path / "c.safetensors", key="k")
    monkeypatch.setattr(loop_module, "Budget", lambda seconds: None)
    _, history = run(options(minutes=2.0, steps=None, checkpoint_every=1), checkpoint=tmp_path / "c.safetensors",
                     key="k")  # fmt: skip
    assert history.steps[-1] == 11


def test_a_resumed_run_keeps_what_was_seen_before(tmp_path):
    more = {"checkpoint": tmp_path / "c.safetensors", "key": "k"}
    run(options(checkpoint_every=1, stop_after=5), watch=Watch(lambda: (9.0, 9.0)), **more)
    _, history = run(options(checkpoint_every=1), watch=Watch(lambda: (1.0, 1.0)), **more)
    assert (history.px_steps, history.px_mean) == ([2, 5, 10, 15, 20], [9.0, 9.0, 9.0, 1.0, 1.0])


def test_the_predictor_has_its_own_rate():
    start = {n: v.clone() for n, v in make_adapter("lora", tiny_base()).state_dict().items()}
    moved = {}
    for rate in (None, 1e-9, 1e-2):
        adapter, _ = run(options(predictor_lr=rate, steps=4))
        moved[rate] = {n: float((v - start[n]).abs().max()) for n, v in adapter.state_dict().items()}
    name = "predictor.weight"
    assert moved[1e-9][name] < 1e-6 < moved[None][name] < moved[1e-2][name]
    other = next(n for n in start if n.startswith("lora_B"))
    assert moved[1e-9][other] > 1e-5


@pytest.mark.parametrize("method", ["full", "head", "lora", "vlpose-light", "vlpose", "last-blocks"])
def test_every_predictor_is_known_by_name(method):
    base = tiny_base()
    names = make_adapter(method, base).predictor_names()
    shapes = {name: tuple(value.shape) for name, value in make_adapter(method, base).named_parameters()}
    assert [shapes[name] for name in sorted(names)] == [(17,), tuple(base.predictor.weight.shape)]
