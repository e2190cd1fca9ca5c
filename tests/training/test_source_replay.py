"""Replay of source pictures: what the adapter is asked for; a run is repeatable, resumable and the same in parts."""

import pytest
import torch
from test_loop import bytes_of, options
from tiny import TinyPictures, make_adapter, snapshot, tiny_base

from lvtune.data.dataset import collate
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from lvtune.training.losses import keypoint_mse
from lvtune.training.mean_teacher import MeanTeacher
from lvtune.training.objectives import ObjectiveContext
from lvtune.training.source_replay import TERM, Replay, SourceReplay


class Epochs(TinyPictures):
    """Pictures that note in which epoch they were asked for."""

    def __init__(self, count=6):
        super().__init__(count)
        self.asked = []

    def __getitem__(self, index):
        self.asked.append((self.epoch, index))
        return super().__getitem__(index)


class Still(TinyPictures):
    """Pictures that stay as they are."""

    def __init__(self):
        super().__init__(6)

    def set_epoch(self, epoch):
        """Stays."""


class Faint(Still):
    """Pictures whose points ask for a low answer everywhere but there."""

    def __getitem__(self, index):
        return {**super().__getitem__(index), "keypoints": torch.full((17, 2), 2.0)}


def replaying(*, every=2, weight=1.0, seed=0, pool=None, inner=None):
    pool = pool or Epochs()
    return SourceReplay(inner or HeatmapObjective(), Replay(lambda: pool, every, weight, seed))


def run(method="lora", *, given=None, more=None, **train):
    base = tiny_base()
    adapter, made, before = make_adapter(method, base), replaying(**(given or {})), snapshot(base.model)
    history = tune(base, adapter, TinyPictures(8), made, options(**train), device="cpu", **(more or {}))
    assert snapshot(base.model) == before
    return adapter, history, made


def batch(count=4):
    return collate([TinyPictures(8)[i] for i in range(count)])


@pytest.mark.parametrize("method", ["lora", "vlpose", "full"])
def test_the_points_of_the_samples_are_asked_for_as_far_as_each_is_believed(method):
    base, samples = tiny_base(), batch()
    samples = {**samples, "visible": torch.linspace(0, 1, 17).expand(4, 17)}
    adapter, made = make_adapter(method, base, stirred=0.3), replaying()
    with attach(base, adapter, name="on"), torch.no_grad():
        with use_adapter(base, "on"):
            error = made.error(base, samples)
        target, weight = base.codec.encode(samples["keypoints"], samples["visible"])
        with use_adapter(base, "on", category=None):
            expected = keypoint_mse(base(samples["pixel_values"]), target, weight)
    assert weight[:, 0].max() == 0 and 0 < weight[:, 8].max() < 1
    assert float(error) == pytest.approx(float(expected), rel=1e-5)


def test_replay_holds_what_is_asked_for():
    def away(adapter):
        base = tiny_base()
        pixels = collate([Still()[i] for i in range(6)])["pixel_values"]
        with torch.no_grad(), attach(base, adapter, name="on"):
            return float(base(pixels).square().mean())

    pool = Faint()
    train = {"epochs": 20, "lr": 0.01}
    free, _, _ = run(given={"weight": 0.0, "pool": pool}, **train)
    held, history, made = run(given={"weight": 20.0, "every": 1, "pool": pool}, **train)
    assert away(held) < 0.7 * away(free)
    assert set(made.terms) == {"pictures to tune on", TERM} and min(history.loss) > 0


def test_statistics_of_batchnorms_stay_and_the_modes_come_back():
    base = tiny_base()
    adapter, made = make_adapter("full", base), replaying()
    with attach(base, adapter, name="on"):
        base.train(True)
        before = {name: value.clone() for name, value in adapter.named_buffers()}
        made(base, batch()).backward()
        modes = [one.training for one in adapter.modules() if hasattr(one, "running_mean")]
        assert modes and all(modes) and before
        assert all(torch.equal(value, before[name]) for name, value in adapter.named_buffers())
        assert any(value.grad is not None for value in adapter.parameters())
        HeatmapObjective()(base, batch())
        assert any(not torch.equal(value, before[name]) for name, value in adapter.named_buffers())


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_run_is_repeatable(method):
    first, history, _ = run(method, epochs=2)
    again, other, _ = run(method, epochs=2)
    assert bytes_of(first) == bytes_of(again) and history.loss == other.loss
    assert bytes_of(first) != bytes_of(run(method, given={"seed": 1}, epochs=2)[0])


def test_stopped_and_resumed_it_gives_the_same_bytes(tmp_path):
    expected, _, _ = run(epochs=4, checkpoint_every=1)
    more = {"checkpoint": tmp_path / "c.safetensors", "key": "this"}
    run(epochs=4, checkpoint_every=1, stop_after=2, more=more)
    found, history, _ = run(epochs=4, checkpoint_every=1, more=more)
    assert bytes_of(found) == bytes_of(expected) and len(history.loss) == 8


@pytest.mark.parametrize("every", [1, 2, 3])
def test_the_parts_of_a_step_give_the_step(every):
    whole, one, _ = run(epochs=2, given={"every": every})
    parts, two, _ = run(epochs=2, given={"every": every}, accumulate=2)
    pairs = zip(whole.parameters(), parts.parameters(), strict=True)
    assert max((a - b).abs().max().item() for a, b in pairs) < 1e-4
    assert one.loss == pytest.approx(two.loss, rel=1e-4)


def test_each_pass_sees_every_picture_once_and_changed_otherwise():
    pool = Epochs(6)
    run(given={"pool": pool, "every": 2}, epochs=3)  # two steps of four pictures an epoch: two replayed a step
    asked = [index for _, index in pool.asked]
    assert len(asked) == 12 and sorted(asked[:6]) == sorted(asked[6:]) == list(range(6))
    assert [epoch for epoch, _ in pool.asked] == [step for step in range(6) for _ in range(2)]


def test_the_rest_is_the_wrapped_objective_s():
    inner = MeanTeacher()
    base = tiny_base()
    inner.prepare(ObjectiveContext(base, adapter=make_adapter("lora", base), unlabelled=lambda: TinyPictures(6)))
    made = replaying(inner=inner)
    assert made.takes_unlabelled and made.config is inner.config and made.objective == "mean-teacher"
    assert {name.partition(".")[0] for name in made.trained.state_dict()} == {"replay", "inner"}
    assert not hasattr(made, "nothing_of_this_name")
