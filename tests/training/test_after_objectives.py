"""``replay``, ``ewc``, ``lwf``, ``lfl``, ``plain``: what each adds to the loss, by hand; that runs are repeatable."""

import math

import pytest
import torch
from test_loop import bytes_of, options
from tiny import TinyPictures, make_adapter, snapshot, tiny_base
from tiny_hands import TinyHands, tiny_hand_base

from lvtune.core.errors import TrainingError
from lvtune.data.dataset import collate
from lvtune.data.earlier_samples import EarlierSamples
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from lvtune.training.objectives import OBJECTIVES, ObjectiveContext, objective_config

WAYS = ("plain", "replay", "ewc", "lwf", "lfl")
EARLIER = {"count": 5, "categories": ("cartoon",)}


def objective(name, base, adapter, *, seed=0, earlier=None, **given):
    made = OBJECTIVES.get(name)(objective_config(name, given))
    pool = earlier or TinyPictures(**EARLIER)
    made.prepare(ObjectiveContext(base, adapter=adapter, earlier=lambda: pool, seed=seed))
    return made


def batch_of(count=4, **given):
    data = TinyPictures(count, **given)
    return collate([data[i] for i in range(count)])


def moved(adapter, amount=0.05):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in adapter.parameters():
            value.add_(amount * torch.randn(value.shape, generator=generator))


def heatmaps(base, batch):
    with torch.no_grad(), use_adapter(base, category=batch["category"]):
        return base(batch["pixel_values"])


def at_work(name, method="lora", **given):
    """A base with an attached adapter that has left the place where its objective was prepared, and the batch."""
    base = tiny_base()
    adapter = make_adapter(method, base, stirred=0.1)
    made = objective(name, base, adapter, **given)
    before = {key: value.clone() for key, value in adapter.state_dict().items()}
    return base, adapter, made, before


@pytest.mark.parametrize("method", ["lora", "vlpose-light", "full"])
def test_lwf_aims_at_the_heatmaps_of_the_earlier_adapter(method):
    base, adapter, made, before = at_work("lwf", method, weight=3.0)
    batch = batch_of()
    with attach(base, adapter):
        old = heatmaps(base, batch)
        moved(adapter)
        now, pose = heatmaps(base, batch), float(HeatmapObjective()(base, batch).detach())
        loss = float(made(base, batch).detach())
    assert not torch.equal(now, old)
    assert loss == pytest.approx(pose + 3.0 * float((now - old).square().mean()), rel=1e-5)
    assert all(torch.equal(made.trained.state()[name], value) for name, value in before.items())


def test_lfl_compares_the_features_in_front_of_the_head():
    base, adapter, made, _ = at_work("lfl", weight=2.0)
    batch, seen = batch_of(), []
    with attach(base, adapter):
        hook = base.head.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
        heatmaps(base, batch)
        moved(adapter)
        heatmaps(base, batch)
        hook.remove()
        pose, loss = float(HeatmapObjective()(base, batch).detach()), float(made(base, batch).detach())
    old, now = seen
    apart = float((now - old).square().mean() / old.square().mean())
    assert apart > 0 and loss == pytest.approx(pose + 2.0 * apart, rel=1e-5)


def test_ewc_penalises_the_squared_distance_by_the_squared_gradients_of_single_pictures():
    base, adapter, made, before = at_work("ewc", weight=0.5, pictures=3)
    pool, batch = TinyPictures(**EARLIER), batch_of()
    with attach(base, adapter):
        squares = {name: torch.zeros_like(value) for name, value in adapter.named_parameters()}
        for place in (0, 1, 3):  # 3 of 5, evenly spread
            adapter.zero_grad()
            HeatmapObjective()(base, collate([pool[place]])).backward()
            for name, value in adapter.named_parameters():
                squares[name] += value.grad.square() / 3
        adapter.zero_grad()
        mean = torch.cat([value.flatten() for value in squares.values()]).mean()
        first = float(made(base, batch).detach())
        assert first == pytest.approx(float(HeatmapObjective()(base, batch).detach()), rel=1e-6)  # it has not moved yet
        moved(adapter)
        weights = dict(adapter.named_parameters())
        by_hand = sum(float((squares[n] / mean * (weights[n].detach() - before[n]).square()).sum()) for n in weights)
        pose, loss = float(HeatmapObjective()(base, batch).detach()), float(made(base, batch).detach())
    assert by_hand > 0 and loss == pytest.approx(pose + 0.25 * by_hand, rel=1e-4)


def test_the_gradient_of_ewc_pulls_a_weight_that_matters_more_strongly():
    base, adapter, made, _ = at_work("ewc", weight=1.0)
    with attach(base, adapter):
        made(base, batch_of())
        moved(adapter)
        value = next(iter(adapter.parameters()))
        gradient = torch.autograd.grad(made.trained.penalty(adapter), value)[0]
    fisher, old = made.trained.fisher_0, made.trained.before_0
    assert torch.allclose(gradient, 2 * fisher * (value - old))


def test_replay_adds_labels_and_earlier_answers_on_earlier_pictures():
    base, adapter, made, _ = at_work("replay", weight=2.0, answers=3.0, every=2)
    batch, shown = batch_of(4), []
    real = made.pool.data.__class__.__getitem__
    made.pool.data.__class__ = type("Spy", (TinyPictures,), {
        "__getitem__": lambda self, item: (shown.append((self.epoch, item)), real(self, item))[1]})  # fmt: skip
    with attach(base, adapter):
        moved(adapter)
        pose, loss = float(HeatmapObjective()(base, batch).detach()), float(made(base, batch).detach())
        assert len(shown) == 2  # one for two new pictures
        pool = TinyPictures(**EARLIER)
        pool.set_epoch(shown[0][0])
        more = collate([pool[item] for _, item in shown])
        labels, now = float(HeatmapObjective()(base, more).detach()), heatmaps(base, more)
        with made.trained.lent_to(adapter):
            old = heatmaps(base, more)
    by_hand = pose + 2.0 * (labels + 3.0 * float((now - old).square().mean()))
    assert loss == pytest.approx(by_hand, rel=1e-5)


def test_each_earlier_domain_counts_as_much_as_the_new_one():
    parts = [(TinyPictures(3), {}), (TinyPictures(2), {"sketch": "sketch-before"})]
    _, _, made, _ = at_work("replay", earlier=EarlierSamples(parts))
    assert made.weight == 2.0 and len(made.pool) == 5
    assert made.pool.data[3]["category"] == "sketch-before" and made.pool.data[0]["category"] == "sketch"
    assert at_work("replay")[2].weight == 1.0


def test_replay_shows_every_earlier_picture_before_any_comes_again():
    base, _, made, _ = at_work("replay")
    drawn = [made.pool.batch(base, step, 4)[0]["index"].tolist() for step in range(5)]
    places = [place for step in drawn for place in step]
    assert sorted(places[:5]) == sorted(places[5:10]) == list(range(5)) and places[:5] != places[5:10]
    assert drawn == [made.pool.batch(base, step, 4)[0]["index"].tolist() for step in range(5)]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_repeatable_and_leaves_the_base_bit_for_bit(way):
    def run(seed=0):
        base = tiny_base()
        adapter = make_adapter("vlpose-light", base, stirred=0.05)
        made = objective(way, base, adapter, seed=seed)
        before = snapshot(base.model)
        history = tune(base, adapter, TinyPictures(8), made, options(epochs=2), seed=seed, device="cpu")
        assert snapshot(base.model) == before
        return bytes_of(adapter), history.loss

    first = run()
    assert first == run() and first != run(1)
    assert all(map(math.isfinite, first[1])) and min(first[1]) > 0


@pytest.mark.parametrize("way", WAYS)
def test_stopped_and_resumed_it_gives_the_same_bytes(way, tmp_path):
    def run(**train):
        base = tiny_base()
        adapter = make_adapter("lora", base, stirred=0.05)
        made = objective(way, base, adapter)
        more = {"checkpoint": tmp_path / "c.safetensors", "key": "this"} if "stop_after" in train or goes_on else {}
        tune(base, adapter, TinyPictures(8), made, options(epochs=4, checkpoint_every=1, **train), device="cpu", **more)
        return bytes_of(adapter)

    goes_on = False
    straight = run()
    run(stop_after=2)
    goes_on = True
    assert run() == straight


@pytest.mark.parametrize("way", ["replay", "ewc", "lwf"])
def test_a_step_in_parts_is_the_same_step(way):
    def run(parts):
        base = tiny_base()
        adapter = make_adapter("lora", base, stirred=0.05)
        made = objective(way, base, adapter)
        return tune(base, adapter, TinyPictures(8), made, options(epochs=2, accumulate=parts), device="cpu").loss

    assert run(2) == pytest.approx(run(1), rel=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_it_works_for_hands(way):
    base = tiny_hand_base()
    adapter = make_adapter("lora", base, stirred=0.05)
    made = objective(way, base, adapter, earlier=TinyHands(4))
    history = tune(base, adapter, TinyHands(4), made, options(epochs=1), device="cpu")
    assert all(map(math.isfinite, history.loss))


@pytest.mark.parametrize("way", ["replay", "ewc"])
def test_what_needs_earlier_pictures_says_so(way):
    base = tiny_base()
    made = OBJECTIVES.get(way)()
    with pytest.raises(TrainingError, match="without pictures of an earlier domain"):
        made.prepare(ObjectiveContext(base, adapter=make_adapter("lora", base)))


def test_plain_is_the_pose_loss_alone():
    base, adapter, made, _ = at_work("plain")
    with attach(base, adapter):
        moved(adapter)
        assert float(made(base, batch_of()).detach()) == float(HeatmapObjective()(base, batch_of()).detach())
