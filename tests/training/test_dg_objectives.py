"""Baselines of domain generalisation and text-style: what each computes, on numbers and tiny models."""

import math

import joints
import numpy as np
import pytest
import torch
from tiny import TinyPictures, make_adapter, snapshot, tiny_base
from tiny_hands import tiny_hand_base, tiny_hands

from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.core.errors import LvtuneError
from lvtune.data.dataset import collate
from lvtune.patcher.attaching import attach
from lvtune.training import augmentation
from lvtune.training.augmentation import KINDS, augmented
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from lvtune.training.objectives import OBJECTIVES, ObjectiveContext
from lvtune.training.peclr import moved, moved_back
from lvtune.training.style import Style, change_at, mixed
from lvtune.training.text_style import StyleMap, shifted

SENTENCES = {"sketch": "a sketch of a human", "mural": "a mural of a human"}
AROUND = {name: {} for name in ("augmentation", "random-styles", "mixstyle", "peclr")}
AROUND["text-style"] = {"encoder": "toy", "after": 1}


def objective(name, base, seed=0, **options):
    cls = OBJECTIVES.get(name)
    made = cls(cls.Config(**AROUND[name] | options))
    made.prepare(ObjectiveContext(base, domain="tests", sentences=SENTENCES, plain=lambda: TinyPictures(8), seed=seed))
    return made


def batch_of(count=4):
    return collate([TinyPictures(count)[i] for i in range(count)])


@pytest.mark.parametrize("name", AROUND)
def test_a_run_is_repeatable_and_leaves_the_base_as_it_was(name):
    def run(seed=0):
        base = tiny_base()
        before, adapter, made = snapshot(base.model), make_adapter("full", base), objective(name, base, seed)
        options = TrainOptions(epochs=2, batch_size=4, lr=1e-3, warmup=0.0, precision="no")
        history = tune(base, adapter, TinyPictures(8), made, Recipe(train=options).resolved().train, device="cpu")
        assert snapshot(base.model) == before and made.trained.step == 4
        return history.loss

    first = run()
    assert all(map(math.isfinite, first)) and first == run() != run(seed=1)


def test_each_differs_from_the_pose_alone_and_some_reach_it():
    base, batch = tiny_base(), batch_of()
    with attach(base, make_adapter("full", base, stirred=0.01), name="on"):
        plain = HeatmapObjective()(base, batch).item()
        assert objective("mixstyle", base, p=0.0)(base, batch).item() == plain
        assert objective("peclr", base, weight=0.0)(base, batch).item() == plain
        made = objective("text-style", base, p=0.0)
        assert [made(base, batch).item() for _ in range(3)] == [pytest.approx(plain, rel=1e-5)] * 3
        made = objective("text-style", base, p=1.0)
        assert made(base, batch).item() == plain  # the regression has seen nothing yet
        changed = [made(base, batch), objective("mixstyle", base, p=1.0)(base, batch)]
        changed += [objective("augmentation", base)(base, batch), objective("peclr", base)(base, batch)]
    assert all(abs(loss.item() - plain) > 1e-5 for loss in changed)


@pytest.mark.parametrize("name", AROUND)
def test_hands_too(name):
    base = tiny_hand_base()
    made = objective(name, base)
    with attach(base, make_adapter("full", base), name="on"):
        for _ in range(2):
            assert made(base, tiny_hands()).isfinite()


def picture():
    return np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8)


def test_kinds_of_augmentation():
    image, points = picture(), np.array([[20.0, 30.0]])
    rng = lambda: np.random.default_rng(5)  # noqa: E731
    assert len(KINDS) == 6
    for change in KINDS.values():
        found = change(image, points, rng())
        assert found.shape == image.shape and found.dtype == np.uint8 and (found != image).any()
    grey = augmentation.color_drop(image, points, rng())
    assert (grey[..., 0] == grey[..., 1]).all() and grey[3, 4, 0] == round(float(image[3, 4] @ [0.299, 0.587, 0.114]))
    hole = (augmentation.cut_out(image, points, rng()) != image).any(-1)
    rows, columns = np.nonzero(hole)
    side = 0.16 * 64 * rng().uniform() / 1
    assert rows.max() - rows.min() + 1 <= side + 2 and abs(rows.mean() - 30) < 1.5 and abs(columns.mean() - 20) < 1.5
    assert augmentation.noise(np.full((200, 200, 3), 128, np.uint8), points, rng()).std() == pytest.approx(25, rel=0.02)
    flat = np.full((30, 30, 3), 90, np.uint8)
    assert not augmentation.sobel(flat, points, rng()).any()
    ramp = np.repeat(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], 30, axis=0).repeat(3, axis=2)
    # a slope of 8 a pixel is 64 after Sobel's 3x3, and there is none the other way
    assert (augmentation.sobel(ramp, points, rng())[5:-5, 5:-5] == 32).all()
    assert augmentation.blur(image, points, rng()).std() < image.std()
    off = augmented(image, points, rng(), p=0.0)
    assert (off == augmentation.color_jitter(image, points, rng())).all()  # jitter always


def test_the_style_of_features_and_another_put_on():
    x = torch.tensor([[[1.0, 3.0], [10.0, 10.0]], [[0.0, 4.0], [2.0, 6.0]]])  # (B, C, positions)
    style = Style.of(x, 1)
    torch.testing.assert_close(style.mean, torch.tensor([[2.0, 10.0], [2.0, 4.0]]))
    torch.testing.assert_close(style.std, torch.tensor([[1.0, 0.0], [2.0, 2.0]]), atol=2e-3, rtol=0)
    swapped = mixed(style, torch.tensor([1, 0]), torch.tensor([0.0, 0.5]))
    torch.testing.assert_close(swapped.mean, torch.tensor([[2.0, 4.0], [2.0, 7.0]]))
    torch.testing.assert_close(swapped.put_on(x, 1)[0, 0], torch.tensor([0.0, 4.0]))
    torch.testing.assert_close(style.put_on(x, 1), x)
    tokens = x.transpose(1, 2)
    torch.testing.assert_close(Style.of(tokens, 2).mean, style.mean)
    torch.testing.assert_close(swapped.put_on(tokens, 2), swapped.put_on(x, 1).transpose(1, 2))


def test_places_of_a_change():
    base, pixels = tiny_base(), batch_of()["pixel_values"]
    shapes = []
    look = lambda x, channels: shapes.append((tuple(x.shape), channels)) or x  # noqa: E731
    with change_at(base, "features", 0, look), change_at(base, "blocks", 1, look):
        base(pixels)
    assert shapes == [((4, 12, 48), 2), ((4, 48, 4, 3), 1)]
    with pytest.raises(LvtuneError, match="which has 3"), change_at(base, "blocks", 3, look):
        base(pixels)
    replaced = make_adapter("full", base)
    with attach(base, replaced, name="on"), pytest.raises(LvtuneError, match="replaces its encoder"):
        objective("mixstyle", base, p=1.0, place="blocks")(base, batch_of())
    with attach(base, make_adapter("lora", base), name="on"):
        assert objective("mixstyle", base, p=1.0, place="blocks")(base, batch_of()).isfinite()


def test_a_moved_picture_and_its_projection_moved_back():
    pixels = torch.zeros(1, 3, 40, 40)
    pixels[0, :, 20, 30] = 1.0  # to the right of the centre
    turned = moved(pixels, torch.tensor([math.pi / 2]), torch.zeros(1, 2), torch.ones(1))[0, 0]
    assert divmod(int(turned.argmax()), 40) in ((30, 19), (30, 20))  # a quarter turn, x to y: below
    right = moved(pixels, torch.zeros(1), torch.tensor([[0.1, 0.0]]), torch.ones(1))[0, 0]
    assert divmod(int(right.argmax()), 40) == (20, 34)  # a tenth of 40
    points = torch.tensor([[[1.0, 0.0], [0.0, -2.0]]])
    angle, shift = torch.tensor([0.7]), torch.tensor([[0.1, -0.05]])
    cos, sin = math.cos(0.7), math.sin(0.7)
    there = points @ torch.tensor([[cos, sin], [-sin, cos]])
    back = moved_back(there.flatten(1), angle, torch.zeros(1, 2)).view(1, 2, 2)
    torch.testing.assert_close(back, points)
    reach = there.abs().max()
    again = moved_back((there + 2 * shift * reach).flatten(1), angle, shift)
    assert again.isfinite().all() and (again.view(1, 2, 2) - points).abs().max() < 0.2 * reach


def test_the_regression_finds_what_goes_with_what():
    torch.manual_seed(0)
    truth = torch.randn(joints.DIM, 4)
    style_map = StyleMap(joints.DIM, 4, 0.99)
    for _ in range(60):
        x = torch.randn(16, joints.DIM) + 3
        style_map.learn(x, x @ truth + 5)
    torch.testing.assert_close(style_map.coefficients(1e-4), truth, atol=0.02, rtol=0)
    assert style_map.coefficients(1e4).abs().max() < 0.01  # a large penalty knows nothing
    moved_style = shifted(Style(torch.zeros(1, 2), torch.ones(1, 2)), torch.tensor([[1.0, 2.0, math.log(3), 9.0]]))
    torch.testing.assert_close(moved_style.mean, torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(moved_style.std, torch.tensor([[3.0, math.exp(1.5)]]))  # kept within bounds
