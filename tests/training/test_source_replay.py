"""Replay of source pictures: what the adapter is asked for; a run is repeatable, resumable and the same in parts."""

import pytest
import torch
from test_loop import bytes_of, options
from tiny import TinyPictures, make_adapter, snapshot, tiny_base

from lvtune.data.dataset import collate
from lvtune.data.skeletons import Skeleton
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from lvtune.training.mean_teacher import MeanTeacher
from lvtune.training.objectives import ObjectiveContext
from lvtune.training.source_replay import TERM, Replay, SourceReplay, base_answers


class Epochs(TinyPictures):
    """Pictures that note in which epoch they were asked for."""

    def __init__(self, count=6):
        super().__init__(count)
        self.asked = []

    def __getitem__(self, index):
        self.asked.append((self.epoch, index))
        return super().__getitem__(index)


def replaying(*, every=2, weight=1.0, labels=False, seed=0, pool=None, inner=None):
    return SourceReplay(inner or HeatmapObjective(), Replay(pool or Epochs(), every, weight, labels, seed))


def run(method="lora", *, given=None, more=None, **train):
    base = tiny_base()
    adapter, made, before = make_adapter(method, base), replaying(**(given or {})), snapshot(base.model)
    history = tune(base, adapter, TinyPictures(8), made, options(**train), device="cpu", **(more or {}))
    assert snapshot(base.model) == before
    return adapter, history, made


def batch(count=4):
    return collate([TinyPictures(8)[i] for i in range(count)])


@pytest.mark.parametrize("method", ["lora", "vlpose", "full"])
def test_without_labels_the_base_with_the_adapter_off_is_what_is_asked_for(method):
    base = tiny_base()
    samples = batch()
    pixels = samples["pixel_values"]
    alone, mirrored = base(pixels), base(pixels.flip(-1)).flip(-1)[:, list(base.skeleton.flip_index)]
    adapter = make_adapter(method, base, stirred=0.3)
    made = replaying()
    with attach(base, adapter, name="on"), use_adapter(base, "on"), torch.no_grad():
        target, weight = made.answers(base, samples)
        changed = base(pixels)
        error = float(made.error(base, samples))
    assert torch.equal(target, (alone + mirrored) / 2) and not torch.equal(alone, mirrored)
    assert not torch.equal(changed, alone) and bool((weight == 1).all())
    # a mean over all elements; the adapter's own answer is the other side, not the base's
    with attach(base, adapter, name="on"), use_adapter(base, "on", category=None), torch.no_grad():
        assert error == pytest.approx(float((base(pixels) - target).square().mean()), rel=1e-4)


def test_no_label_is_read_without_labels_and_labels_are_the_target_with_them():
    base, samples = tiny_base(), batch()
    other = {**samples, "keypoints": torch.zeros(4, 17, 2), "visible": torch.zeros(4, 17)}
    with torch.no_grad():
        assert torch.equal(replaying().answers(base, samples)[0], replaying().answers(base, other)[0])
        found, weight = replaying(labels=True).answers(base, samples)
    target, wanted = base.codec.encode(samples["keypoints"], samples["visible"])
    assert torch.equal(found, target) and torch.equal(weight, wanted)


def test_without_mirror_pairs_the_base_s_answer_to_the_picture_alone_is_asked_for():
    base = tiny_base(skeleton=Skeleton("unpaired", ("nose", "tail", "paw"), (0.1, 0.1, 0.1)))
    adapter, made = make_adapter("lora", base), replaying()
    pixels = batch()["pixel_values"]
    with attach(base, adapter, name="on"), torch.no_grad():
        assert torch.equal(base_answers(base, pixels), tiny_base(skeleton=base.skeleton)(pixels))
        # a fresh adapter changes nothing: there is no error
        assert float(made.error(base, {"pixel_values": pixels})) == pytest.approx(0, abs=1e-9)


def test_replay_holds_the_base_s_answer():
    def away(adapter):
        base = tiny_base()
        pixels = collate([Epochs()[i] for i in range(6)])["pixel_values"]
        with torch.no_grad(), attach(base, adapter, name="on"):
            return float((base(pixels) - tiny_base()(pixels)).square().mean())

    train = {"epochs": 12, "lr": 0.01}
    free, _, _ = run(given={"weight": 0.0}, **train)
    held, history, made = run(given={"weight": 5.0, "every": 1}, **train)
    assert away(held) < 0.5 * away(free)
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


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_run_is_repeatable(method, labels):
    first, history, _ = run(method, given={"labels": labels}, epochs=2)
    again, other, _ = run(method, given={"labels": labels}, epochs=2)
    assert bytes_of(first) == bytes_of(again) and history.loss == other.loss
    assert bytes_of(first) != bytes_of(run(method, given={"labels": labels, "seed": 1}, epochs=2)[0])


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
