"""A run that cannot teach anything is stopped, with samples, term and the last good state in the error."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from tiny import TinyPictures, make_adapter, tiny_base
from torch import nn

from lvtune.config.options import TRAIN_FALLBACK
from lvtune.core.errors import TrainingError
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from lvtune.training.step_guard import SILENT_STEPS, NotFiniteError, picture_of, terms_of


class Pictures(TinyPictures):
    """With a table, and with labels that can be spoilt."""

    def __init__(self, spoil=None, **options):
        super().__init__(**options)
        self.spoil = spoil or (lambda item, sample: sample)
        self.table = [SimpleNamespace(image=f"pics/{i}.jpg") for i in range(self.count)]

    def __getitem__(self, index):
        return self.spoil(index, super().__getitem__(index))


def fails(objective=None, data=None, *, steps=40, lr=5e-3, method="lora"):
    from dataclasses import replace

    base = tiny_base()
    adapter = make_adapter(method, base, seed=5)
    options = replace(TRAIN_FALLBACK, epochs=None, steps=steps, batch_size=4, lr=lr, workers=0)
    with pytest.raises(TrainingError) as caught:
        tune(base, adapter, data or Pictures(), objective or HeatmapObjective(), options)
    return caught.value


def test_one_bad_sample_is_named_with_what_is_wrong():
    def blind(item, sample):
        return sample | {"pixel_values": sample["pixel_values"] * (math.inf if item == 2 else 1)}

    error = fails(data=Pictures(blind))
    assert "the samples 2 (pics/2.jpg) (not finite: pixels of the pictures)" in error.given
    assert "lvtune check-data" in error.fix

    class Measured(HeatmapObjective):
        def __call__(self, base, batch):
            return super().__call__(base, batch) + batch["keypoints"].sum() * 0

    def spoil(item, sample):
        sample["keypoints"][3] = float("nan") if item == 7 else 1.0
        return sample

    error = fails(Measured(), data=Pictures(spoil))
    assert "the samples 7 (pics/7.jpg) (not finite: key points of the labels)" in error.given


def test_the_term_and_the_sample_are_named():
    class Two(HeatmapObjective):
        def __call__(self, base, batch):
            pose = super().__call__(base, batch)
            extra = torch.where(batch["index"] == 5, torch.inf, 0.0).sum() * pose.detach()
            self.terms = {"pose": pose.detach(), "extra": extra}
            return pose + extra

    error = fails(Two())
    assert "the samples 5 (pics/5.jpg)" in error.given and "term extra" in error.given
    assert "--train.lr, now 0.005" in error.fix
    wrapper = SimpleNamespace(pose=SimpleNamespace(terms={"heat": torch.ones(())}))
    assert list(terms_of(wrapper)) == ["heat"]


def test_weights_that_explode_are_named_and_the_last_good_state_comes_along():
    class Exploding(HeatmapObjective):
        left = 6

        def __call__(self, base, batch):
            self.left -= 1
            loss = super().__call__(base, batch)
            if self.left == 0:  # a finite loss with a gradient that is none
                loss.register_hook(lambda gradient: gradient * float("nan"))
            return loss

    error = fails(Exploding())
    assert isinstance(error, NotFiniteError)
    assert "the adapter's weights, such as" in error.given and error.expected == "a finite loss"
    assert error.step == 5 and all(torch.isfinite(value).all() for value in error.state.values())
    # the same at the very last step, after which no loss would tell
    error = fails(Exploding(), steps=6)
    assert "weights that are not finite after step 6" in error.given and error.step == 5


def test_a_loss_that_stays_zero():
    def unlabelled(item, sample):
        return sample | {"visible": torch.zeros(17)}

    error = fails(data=Pictures(unlabelled))
    assert f"a loss of 0 in {SILENT_STEPS} steps in a row" in error.given and "pics/" in error.given
    # a run that is shorter than that learns nothing either
    assert "a loss of 0 in 2 steps" in fails(data=Pictures(unlabelled), steps=2).given


def test_a_few_silent_steps_are_no_fault():
    from dataclasses import replace

    def half(item, sample):
        return sample | {"visible": torch.full((17,), float(item % 2))}

    base = tiny_base()
    adapter = make_adapter("lora", base, seed=5)
    options = replace(TRAIN_FALLBACK, epochs=None, steps=30, batch_size=1, workers=0)
    assert len(tune(base, adapter, Pictures(half), HeatmapObjective(), options).loss) == 30


def test_a_loss_that_does_not_depend_on_the_adapter():
    class Elsewhere(HeatmapObjective):
        def __init__(self):
            super().__init__()
            self.trained = nn.Linear(1, 1)

        def __call__(self, base, batch):
            return self.trained(torch.ones(1, 1)).square().sum() + super().__call__(base, batch).detach()

    assert "does not depend on the adapter" in fails(Elsewhere()).given

    class Constant(HeatmapObjective):
        def __call__(self, base, batch):
            return super().__call__(base, batch).detach()

    assert "does not depend on the adapter" in fails(Constant()).given


def test_pictures_of_samples():
    from lvtune.data.subset import Subset

    data = Pictures()
    assert picture_of(data, 3) == "pics/3.jpg" and picture_of(Subset(data, [4, 2]), 1) == "pics/2.jpg"
    data.views = ("a", "b", "c")
    assert picture_of(data, 7) == "pics/2.jpg" and picture_of(TinyPictures(), 1) is None
    assert picture_of(data, 10**6) is None
