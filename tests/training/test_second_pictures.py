"""Pictures that come beside those of a step: how many, which, and how much they count."""

from types import SimpleNamespace

import pytest
import torch

from lvtune.core.step_part import StepPart, computing
from lvtune.training.second_pictures import SecondPictures

BASE = SimpleNamespace(device=torch.device("cpu"))


class Numbers:
    def __len__(self):
        return 7

    def __getitem__(self, item):
        return {"index": item, "pixel_values": torch.full((1, 2, 2), float(item))}


@pytest.mark.parametrize("every", [1, 3, 6, 16, 64, 1000])
@pytest.mark.parametrize("rows", [1, 4, 16])
def test_they_count_as_one_mean_however_few_they_are(every, rows):
    batch, factor = SecondPictures(Numbers(), every, 0).batch(BASE, 2, rows)
    assert len(batch["index"]) == -(-rows // every) and factor == pytest.approx(1.0)


@pytest.mark.parametrize("every", [1, 3, 5, 64])
def test_parts_of_a_step_add_up_to_the_whole(every):
    pool = SecondPictures(Numbers(), every, 0)
    whole, factor = pool.batch(BASE, 1, 16)
    mean, found, seen = whole["pixel_values"].mean() * factor, 0.0, []
    for start, end in ((0, 5), (5, 6), (6, 16)):
        with computing(StepPart(start, end, 16)):
            batch, factor = pool.batch(BASE, 1, end - start)
        if batch is not None:
            found += (end - start) / 16 * batch["pixel_values"].mean() * factor
            seen += batch["index"].tolist()
    assert seen == whole["index"].tolist() and float(found) == pytest.approx(float(mean), rel=1e-6)
