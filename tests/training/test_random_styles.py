"""Looks drawn at random: each of them, and a batch of them."""

import cv2
import numpy as np
import pytest
import torch
from tiny import TinyPictures, tiny_base

from lvtune.data.dataset import collate
from lvtune.data.images import read_image
from lvtune.domains.demo_art import FOLDER
from lvtune.training.random_styles import STYLES, RandomStyles, style_batch, styled

BY_NAME = {style.__name__: style for style in STYLES}


@pytest.fixture(scope="module")
def picture():
    image = cv2.resize(read_image(next(iter(sorted(FOLDER.rglob("*.jpg"))))), (48, 64), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def random(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_style_changes_the_look_and_repeats_itself(picture, name):
    before = picture.clone()
    made = BY_NAME[name](picture, random())
    assert made.shape == picture.shape and made.dtype == picture.dtype and made.isfinite().all()
    assert (made.clamp(0, 1) - picture).abs().mean() > 0.005
    assert torch.equal(made, BY_NAME[name](picture, random())) and torch.equal(picture, before)
    drawn = [BY_NAME[name](picture, random(seed)) for seed in range(6)]
    is_fixed = name in ("inverted", "equalised")  # nothing in these is drawn
    assert is_fixed == all(torch.equal(one, drawn[0]) for one in drawn)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_picture_of_one_colour_stays_finite(name):
    assert BY_NAME[name](torch.full((3, 64, 48), 0.4), random()).isfinite().all()


def test_mixed_precision_changes_no_style(picture):
    for seed in range(20):
        with torch.autocast("cpu", torch.bfloat16):
            made = styled(picture, random(seed))
        assert made.dtype == torch.float32
        torch.testing.assert_close(made, styled(picture, random(seed)), rtol=0, atol=0)


def test_the_person_stays_where_it_was(picture):
    """A bright square stands out at the same place, whatever it is drawn with."""
    image = torch.full((3, 64, 48), 0.2)
    image[:, 20:40, 10:30] = 0.9
    for name in ("jitter", "palette", "two_tone", "grain", "coarse", "daubed", "unsteady", "blurred"):
        made = BY_NAME[name](image, random(3)).mean(0)
        inside, outside = made[23:37, 13:27].mean(), made[:15].mean()
        # of the palette alone a channel may be the darker one
        assert abs(inside - outside) > 0.05, name


def test_pictures_stay_in_range_and_look_different(picture):
    made = [styled(picture, random(seed)) for seed in range(8)]
    assert all(one.min() >= 0 and one.max() <= 1 for one in made)
    assert min((a - b).abs().mean() for i, a in enumerate(made) for b in made[:i]) > 0.01


def test_a_batch_is_a_function_of_seed_step_and_item():
    base = tiny_base()
    batch = collate([TinyPictures(4)[i] for i in range(4)])
    part = {**batch, "pixel_values": batch["pixel_values"][2:], "index": batch["index"][2:]}
    whole = style_batch(base, batch, seed=1, step=5, p=1.0)
    assert torch.equal(style_batch(base, part, seed=1, step=5, p=1.0), whole[2:])
    for other in ({"seed": 2, "step": 5}, {"seed": 1, "step": 6}):
        assert not torch.equal(style_batch(base, batch, **other, p=1.0), whole)


def test_p_is_the_share_of_styled_pictures():
    base = tiny_base()
    images = torch.rand(60, 3, 64, 48)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (base.mean, base.std))
    batch = {"pixel_values": (images - mean) / std, "index": torch.arange(60)}
    for p in (0.0, 0.5, 1.0):
        made = style_batch(base, batch, seed=0, step=0, p=p)
        same = (made - batch["pixel_values"]).flatten(1).abs().amax(1) < 1e-5
        assert (~same).float().mean().item() == pytest.approx(p, abs=0.15)
    assert RandomStyles().config.p == 0.85
