"""Few pictures: how much of a change is kept, and that nothing else is touched while finding out."""

import pytest
import torch
from tiny import TinyPictures, make_adapter, snapshot, tiny_base, tiny_pixels

from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.patcher.attaching import attach
from lvtune.training import guard
from lvtune.training.guard import SHARES, between, choose_share, keep_share
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.optim import number_of_steps, peak_lr

OPTIONS = Recipe(train=TrainOptions(steps=4, batch_size=4, lr=5e-3)).resolved().train


class Learnable(TinyPictures):
    """Pictures whose key points lie where the base can learn them: in the middle, always."""

    def __getitem__(self, index):
        return {**super().__getitem__(index), "keypoints": torch.tensor([[24.0, 32.0]]).repeat(17, 1)}


def choose(base, adapter, data, judge=None, **options):
    names = [f"{i // 2}.jpg" for i in range(len(data))]
    judge = judge or HeatmapObjective()
    return choose_share(
        base, adapter, data, HeatmapObjective(), OPTIONS, plain=data, judge=judge, pictures=names,
        kinds=["a"] * len(data), device="cpu", **options,
    )  # fmt: skip


def test_what_helps_pictures_kept_out_is_kept_whole():
    base = tiny_base()
    adapter = make_adapter("bitfit", base)
    before, start = snapshot(base), {n: v.clone() for n, v in adapter.state_dict().items()}
    found = choose(base, adapter, Learnable(12))
    assert found.share == 1.0 and found.losses[1.0] < found.losses[0.0]
    assert list(found.losses) == list(SHARES)
    assert snapshot(base) == before
    assert all(torch.equal(v, start[n]) for n, v in adapter.state_dict().items())
    assert "100% of the change is kept" in found.note()


def test_what_does_not_help_is_not_kept():
    def worse(base, batch):
        return HeatmapObjective()(base, batch) * -1

    base = tiny_base()
    found = choose(base, make_adapter("bitfit", base), Learnable(12), judge=worse)
    assert found.share == 0.0 and "nothing of it is kept" in found.note()


def test_a_gain_within_chance_is_not_kept():
    rows = torch.randn(16, generator=torch.Generator().manual_seed(0))
    losses = {share: torch.ones(16) for share in SHARES} | {0.5: 1 + rows - rows.mean() - 0.01}
    found = guard._decide(losses)
    assert found.share == 0.0 and found.chance > 0.1
    losses[0.75] = torch.full((16,), 0.9)
    assert guard._decide(losses).share == 0.75


def test_with_nothing_to_protect_a_gain_within_chance_is_kept():
    """Two pictures, of which one gains much: no test could be sure, and the start answers nothing."""
    losses = {0.0: torch.tensor([0.012, 0.007]), 1.0: torch.tensor([0.001, 0.003])}
    assert guard._decide(losses).share == 0.0
    assert guard._decide(losses, beyond_chance=False).share == 1.0
    worse = {0.0: torch.tensor([0.002, 0.002]), 1.0: torch.tensor([0.001, 0.004])}
    assert guard._decide(worse, beyond_chance=False).share == 0.0


@pytest.mark.parametrize(("freedom", "quantile"), [(2, 2.920), (4, 2.132), (9, 1.833), (14, 1.761), (24, 1.711)])
def test_chance_is_that_of_student(freedom, quantile):
    assert guard._sure(freedom) == pytest.approx(quantile, rel=0.06 if freedom < 4 else 0.01)


def test_a_few_samples_must_agree_to_count():
    gains = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.15])  # mean 0.15, standard error 0.05: three of them
    assert guard._decide({0.0: torch.ones(5), 1.0: 1 - gains}).share == 1.0
    gains = torch.tensor([-0.1, 0.1, 0.2, 0.3, 0.0])  # mean 0.1, standard error 0.071
    assert guard._decide({0.0: torch.ones(5), 1.0: 1 - gains}).share == 0.0


def test_persons_of_one_picture_are_kept_out_together_and_kinds_are_shared_out():
    pictures = [f"{i // 2}.jpg" for i in range(16)]
    kinds = ["a" if i < 8 else "b" for i in range(16)]
    out = guard._kept_out(pictures, kinds, seed=0)
    assert len(out) == 4
    assert all((2 * i in out) == (2 * i + 1 in out) for i in range(8))
    assert sum(i < 8 for i in out) == sum(i >= 8 for i in out) == 2
    assert guard._kept_out(pictures, kinds, seed=1) != out


def test_the_check_costs_a_fifth_of_the_steps_and_is_tuned_on_the_others(monkeypatch):
    seen = []
    monkeypatch.setattr(guard, "tune", lambda *args, **more: seen.append((args[2], args[4], more["label"])))
    base = tiny_base()
    options = Recipe(train=TrainOptions(steps=200, batch_size=4, lr=5e-3)).resolved().train
    names = [f"{i}.jpg" for i in range(12)]
    choose_share(
        base, make_adapter("bitfit", base), TinyPictures(12), HeatmapObjective(), options, plain=TinyPictures(12),
        judge=HeatmapObjective(), pictures=names, kinds=["a"] * 12, device="cpu",
    )  # fmt: skip
    ((tuned_on, short, label),) = seen
    assert len(tuned_on) == 9 and short.steps == 40 and short.lr == 5e-3 and "check" in label


def test_the_rate_of_the_check_suits_its_steps():
    options = Recipe.from_dict({}).resolved({"epochs": 3, "lr": 1e-3}).train
    short = guard.short_run(options, 60)  # two steps an epoch: 200 steps in place of six, of which 40 check
    assert short.steps == 40 and short.lr == pytest.approx(1e-3 * (6 / 40) ** 0.5) and not short.gentle
    assert guard.short_run(options, 4).steps == guard.LEAST_STEPS
    assert guard.short_run(Recipe(train=TrainOptions(minutes=5)).resolved().train, 60).minutes == 1.0


def test_all_or_nothing_where_the_predictor_is_new():
    base = tiny_base()
    found = choose(base, make_adapter("bitfit", base), Learnable(12), shares=(0.0, 1.0))
    assert list(found.losses) == [0.0, 1.0] and found.share == 1.0


@pytest.mark.parametrize("method", METHODS.names())
def test_no_share_of_any_method_is_the_base_itself(method):
    base, pixels = tiny_base(), tiny_pixels()
    bare = base(pixels)
    adapter = make_adapter(method, base)
    start = {name: value.clone() for name, value in adapter.state_dict().items()}
    with torch.no_grad():
        for value in adapter.parameters():
            value.add_(0.1 * torch.randn(value.shape))
    tuned = {name: value.clone() for name, value in adapter.state_dict().items()}
    keep_share(adapter, start, 1.0)
    assert all(torch.equal(v, tuned[n]) for n, v in adapter.state_dict().items())
    keep_share(adapter, start, 0.5)
    middle = adapter.state_dict()
    assert all(torch.allclose(middle[n], (v + tuned[n]) / 2, atol=1e-6) for n, v in start.items() if v.dim())
    keep_share(adapter, start, 0.0)
    with attach(base, adapter), torch.no_grad():
        assert torch.equal(base(pixels), bare)


def test_between_keeps_counts_whole():
    start, end = {"w": torch.zeros(2), "n": torch.tensor(0)}, {"w": torch.ones(2), "n": torch.tensor(7)}
    assert between(start, end, 0.25)["w"].tolist() == [0.25, 0.25] and between(start, end, 0.25)["n"] == 7


@pytest.mark.parametrize(
    ("train", "per_epoch", "steps"),
    [
        ({}, 80, 800),  # ten epochs are enough
        ({}, 11, 200),  # of 370 pictures: the least number of steps
        ({}, 1, 100),  # of 20 pictures: each is seen 100 times at most
        ({"max_epochs": 30}, 1, 30),
        ({"min_steps": 0}, 1, 10),
        ({"epochs": 3}, 1, 3),  # who says how long gets that
        ({"epochs": 3, "min_steps": 50}, 1, 50),
        ({"steps": 5}, 1, 5),
        ({"steps": 0}, 1, 0),
    ],
)
def test_the_number_of_steps_suits_the_number_of_pictures(train, per_epoch, steps):
    options = Recipe(train=TrainOptions(**train)).resolved().train
    assert number_of_steps(options, per_epoch) == steps


@pytest.mark.parametrize(
    ("train", "per_epoch", "rate"),
    [
        ({}, 80, 1e-3),  # three epochs are 240 steps: as the method says
        ({}, 12, 1e-3 * (36 / 200) ** 0.5),  # 200 steps in place of 36
        ({}, 1, 1e-3 * (3 / 100) ** 0.5),  # a hundred passes at most
        ({"lr": 1e-3}, 12, 1e-3),
        ({"gentle": False}, 12, 1e-3),
        ({"lr": 1e-3, "gentle": True}, 12, 1e-3 * (36 / 200) ** 0.5),
        ({"steps": 200}, 12, 1e-3),
        ({"epochs": 17}, 12, 1e-3),
    ],
)
def test_few_pictures_are_passed_over_at_a_lower_rate(train, per_epoch, rate):
    options = Recipe.from_dict({"train": train}).resolved({"epochs": 3, "lr": 1e-3}).train
    assert peak_lr(options, per_epoch) == pytest.approx(rate, rel=1e-12)
    assert (options.guard == 0) == ("epochs" in train or "steps" in train)


def test_a_resolved_recipe_stays_as_it_is():
    recipe = Recipe().resolved({"epochs": 3, "min_steps": 120})
    assert (recipe.train.min_steps, recipe.train.guard) == (120, 100)
    assert recipe.resolved() == recipe and Recipe.from_dict(recipe.to_dict()) == recipe
