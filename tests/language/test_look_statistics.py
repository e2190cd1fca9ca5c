"""Statistics of the look of pictures: what changes them, and what does not."""

import pytest
import torch
from torch.nn import functional as F

from lvtune.language.look_statistics import SIDES, STATISTICS, look_statistics


def pictures(count=2):
    """Smooth random pictures (B, 3, H, W)."""
    coarse = torch.rand(count, 3, 8, 6, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, size=SIDES, mode="bicubic", align_corners=False).clamp(0, 1)


def test_each_picture_by_itself_and_of_any_size():
    images = pictures(3)
    found = look_statistics(images)
    assert found.shape == (3, STATISTICS) and found.isfinite().all()
    torch.testing.assert_close(look_statistics(images[1:2]), found[1:2])
    large = F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
    assert (look_statistics(large) - found).abs().mean() < 0.05


def test_black_and_white_pictures_have_no_colour_and_no_infinite_number():
    for value in (0.0, 0.5, 1.0):
        found = look_statistics(torch.full((1, 3, *SIDES), value))
        assert found.isfinite().all() and found[0, 0] == pytest.approx(value, abs=1e-5)  # mean grey
        assert found[0, 3].abs() < 1e-6 and found[0, 6].abs() < 1e-6  # mean of both colour differences


def test_a_mirrored_picture_has_nearly_the_same_look_and_a_blurred_one_another():
    images = pictures() + 0.1 * torch.randn(2, 3, *SIDES, generator=torch.Generator().manual_seed(2))
    images = images.clamp(0, 1)
    found = look_statistics(images)
    mirrored = (look_statistics(images.flip(-1)) - found).abs().mean()
    blurred = (look_statistics(F.avg_pool2d(images, 5, 1, 2)) - found).abs().mean()
    red = (look_statistics(images * torch.tensor([1.0, 0.3, 0.3]).view(3, 1, 1)) - found).abs().mean()
    assert mirrored < 0.05 and blurred > 5 * mirrored and red > 2 * mirrored
