"""Features of an encoder that is left as it is: computed once for each view, and read in later epochs."""

import pytest
import torch
from tiny import TinyPictures, make_adapter, snapshot, tiny_base
from torch import nn

from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.core.errors import UsageError
from lvtune.training.feature_cache import FeatureCache
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune

USUAL = {"epochs": 5.0, "batch_size": 5, "lr": 5e-3, "warmup": 0.0, "precision": "no"}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LVTUNE_CACHE", str(tmp_path))
    return tmp_path / "features"


class Repeating(TinyPictures):
    """Has two views of each picture, without a cache."""

    def set_epoch(self, epoch):
        super().set_epoch(epoch % 2)


def run(method="head", *, data=None, objective=None, more=None, base=None, **options):
    base, calls = tiny_base() if base is None else base, []
    adapter = make_adapter(method, base, **(more or {}))
    hook = base.final_norm.register_forward_hook(lambda *_: calls.append(1))
    train = Recipe(train=TrainOptions(**(USUAL | options))).resolved().train
    history = tune(base, adapter, data or TinyPictures(10), objective or HeatmapObjective(), train, device="cpu")
    hook.remove()
    return adapter, history, len(calls)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_encoder_runs_in_the_first_epochs_alone(folder, workers):
    adapter, history, calls = run(cached_views=2, workers=workers)
    assert calls == 2 * 2  # two views of two batches; the loop does not call the base otherwise
    assert "30 of 50 samples" in " ".join(history.notes)
    assert not list(folder.iterdir())
    plain, other, calls = run(data=Repeating(10))
    assert calls == 5 * 2
    torch.testing.assert_close(torch.tensor(history.loss), torch.tensor(other.loss), rtol=5e-3, atol=0)
    assert adapter.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize(("method", "more"), [("head", {"part": "predictor"}), ("vlpose", {"placement": "none"})])
def test_it_serves_every_method_that_leaves_the_encoder(method, more):
    _, history, calls = run(method, more=more, cached_views=1)
    assert calls == 2
    assert torch.tensor(history.loss).isfinite().all()


@pytest.mark.parametrize(
    ("method", "more"), [("vlpose-light", {}), ("lora", {}), ("vlpose", {"placement": "deep"}), ("full", {})]
)
def test_a_method_that_changes_the_encoder_is_refused(method, more):
    with pytest.raises(UsageError, match="changes the encoder"):
        run(method, more=more, cached_views=1)


def test_an_objective_that_may_change_what_the_encoder_does_is_refused():
    class Other(HeatmapObjective):
        objective = "other"
        encodes_plainly = False

    with pytest.raises(UsageError, match="objective other"):
        run(objective=Other(), cached_views=1)


def test_what_does_not_fit_is_computed_in_each_epoch():
    whole, _, _ = run(cached_views=1)
    part, history, calls = run(cached_views=1, cache_size=5 * 2 * 12 * 48 / 1e9)  # 5 of 10 pictures, 12 tokens of 48
    assert calls > 2 and history.notes
    none, _, calls = run(cached_views=1, cache_size=0.0)
    assert calls == 10
    for one in (part, none):
        for name, value in whole.state_dict().items():
            torch.testing.assert_close(one.state_dict()[name], value, rtol=0.1, atol=0.02)


def test_other_pictures_than_the_batch_are_computed(folder):
    base = tiny_base()
    adapter = make_adapter("head", base)
    pixels = torch.randn(2, 3, *base.input_size)
    batch = {"pixel_values": pixels, "index": torch.tensor([0, 1])}
    with FeatureCache(base, adapter, count=2, views=1, most_bytes=1e9, folder=folder) as cache, torch.no_grad():
        with cache.reading(batch):
            first, again, other = base(pixels), base(pixels), base(pixels.flip(3))
        assert (cache.hits, cache.misses) == (2, 2)
        assert torch.equal(first, again)
        outside = base(pixels)
    torch.testing.assert_close(first, outside, rtol=1e-2, atol=1e-2)
    assert torch.equal(other, base(pixels.flip(3)))


def test_the_base_is_given_back():
    base = tiny_base()
    before = snapshot(base.model)
    run(base=base, cached_views=1)
    assert snapshot(base.model) == before


def test_features_too_large_for_half_precision_are_not_kept():
    base = tiny_base()
    with torch.no_grad():
        base.final_norm.weight.mul_(1e6)
    assert isinstance(base.final_norm, nn.LayerNorm)
    _, _, calls = run(base=base, cached_views=1, lr=1e-9)
    assert calls == 10
