"""Each form of the contrast on numbers that can be checked by hand, its gradient on both sides of the margin."""

import math

import pytest
import torch

from lvtune.core.errors import LvtuneError
from lvtune.training.contrast import contrastive, farthest, l1, mean_distance, nt_xent

PUBLISHED = {"margin_scale": "constant", "normalize": False}
"""Distances and margin as in the paper."""

# distances to the negative (0, 0): 0.2 lies within the margin of 0.5, 0.8 beyond it; the positive is at 0.3
NEAR_NEGATIVE, FAR_NEGATIVE, POSITIVE = 0.2, 0.8, 0.3


def setting(distance):
    """(anchors, positives, negatives): the second anchor lies at 0, and is the first one's negative."""
    anchors = torch.tensor([[distance, 0.0], [0.0, 0.0]], requires_grad=True)
    positives = torch.tensor([[distance + POSITIVE, 0.0], [0.0, 0.0]])
    return anchors, positives, torch.tensor([1, 1])


def value_and_gradient(form, distance):
    """Loss of the first anchor, and its gradient by d⁻ alone: the negative moves, the anchor stays."""
    anchors, positives, negatives = setting(distance)
    loss = contrastive(anchors, positives, negatives, form=form, **PUBLISHED).loss
    # the second sample is its own negative and positive: d⁺ = d⁻ = 0
    own = {"clamped": 0.5, "paper": -0.5, "triplet": 0.5}[form]
    (gradient,) = torch.autograd.grad(loss, anchors)
    return 2 * loss.item() - own, 2 * gradient[0, 0].item()


# d⁺ falls as the anchor moves towards the positive: -1. What is left of the gradient is that of d⁻.
@pytest.mark.parametrize(
    ("form", "distance", "loss", "by_negative"),
    [
        ("clamped", NEAR_NEGATIVE, 0.3 + 0.5 - 0.2, -1.0),
        ("clamped", FAR_NEGATIVE, 0.3, 0.0),
        ("paper", NEAR_NEGATIVE, 0.3 - 0.5, 0.0),
        ("paper", FAR_NEGATIVE, 0.3 - 0.8, -1.0),
        ("triplet", NEAR_NEGATIVE, 0.3 - 0.2 + 0.5, -1.0),
        # not 0.8: there the margin is met exactly, and rounding decides
        ("triplet", 0.9, 0.0, None),
    ],
)
def test_value_and_gradient_on_both_sides_of_the_margin(form, distance, loss, by_negative):
    found, gradient = value_and_gradient(form, distance)
    assert found == pytest.approx(loss, abs=1e-6)
    # a triplet that is met has no gradient at all, d⁺ neither
    expected = 0.0 if by_negative is None else -1.0 + by_negative
    assert gradient == pytest.approx(expected, abs=1e-6)


def descend(form, steps=200):
    """Encodings moved freely down the loss; how it goes on, and how long they get."""
    torch.manual_seed(0)
    anchors, positives = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6, requires_grad=True)
    negatives, losses = torch.tensor([1, 2, 3, 0]), []
    for _ in range(steps):
        loss = contrastive(anchors, positives, negatives, form=form, **PUBLISHED).loss
        moved = torch.autograd.grad(loss, (anchors, positives))
        with torch.no_grad():
            for value, gradient in zip((anchors, positives), moved, strict=True):
                value.sub_(0.1 * gradient)
        losses.append(loss.item())
    return losses, anchors.abs().max().item()


def test_paper_has_no_lower_bound_where_clamped_has():
    (first, *_, last), length = descend("paper")
    assert last < -20 and length > 3 and last < first
    longer, farther = descend("paper", 800)
    assert longer[-1] < 3 * last and farther > 2 * length  # and so on without an end
    for form in ("clamped", "triplet"):
        losses, length = descend(form)
        assert min(losses) >= 0 and losses[-1] < 0.2 * losses[0] and length < 3


def test_nt_xent_by_hand():
    anchor, positive = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    # each has its partner at cosine 1 and two others at cosine 0; tau 0.5
    expected = -math.log(math.exp(2) / (math.exp(2) + 2))
    assert nt_xent(anchor, positive, 0.5).item() == pytest.approx(expected, abs=1e-6)
    found = contrastive(anchor, positive, torch.tensor([1, 0]), form="ntxent")
    assert found.loss.item() == pytest.approx(expected, abs=1e-6) and found.active is None
    swapped = nt_xent(anchor, positive.flip(0), 0.5).item()
    assert swapped == pytest.approx(-math.log(1 / (math.exp(2) + 2)), abs=1e-6)


def test_reduce_and_normalize():
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0]])
    assert l1(a, b).item() == 7.0 and l1(a, b, "mean").item() == 3.5
    anchors, positives = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[0.0, 5.0], [0.0, 9.0]])
    # to length 1: (.6, .8), (0, 1) against (0, 1), (0, 1): d+ = .8, 0; d- = .8 both
    found = contrastive(anchors, positives, torch.tensor([1, 0]), margin_scale="constant").loss
    assert found.item() == pytest.approx(0.4, abs=1e-6)
    half = contrastive(anchors, positives, torch.tensor([1, 0]), margin_scale="constant", reduce="mean").loss
    # d+ = .4, 0; d- = .4, within the margin by .1
    assert half.item() == pytest.approx(0.2 + 0.1, abs=1e-6)


def encodings(count=16, width=128, spread=1.0):
    """Encodings as the branch makes them: about 50 apart, all about one mean; the positives lie near."""
    generator = torch.Generator().manual_seed(3)
    draw = lambda: torch.randn(count, width, generator=generator)  # noqa: E731
    anchors = 0.5 + 0.35 * spread * draw()
    return anchors, anchors + 0.1 * draw(), torch.arange(count).roll(1)


def test_by_default_negatives_count_where_as_published_none_does():
    anchors, positives, negatives = encodings()
    far = l1(anchors, anchors[negatives])
    assert far.min() > 40  # against a published margin of 0.5
    published = contrastive(anchors, positives, negatives, **PUBLISHED)
    assert published.active == 0
    for changes in ({}, {"normalize": False}, {"reduce": "mean"}):
        found = contrastive(anchors, positives, negatives, **changes)
        assert 0.2 < found.active < 0.8
    # a negative gets a gradient: the loss falls as the negatives go apart
    own = anchors.clone().requires_grad_()
    (moved,) = torch.autograd.grad(contrastive(own, own.detach(), negatives).loss, own)
    assert moved.abs().sum() > 0


def test_in_units_of_the_batch_the_scale_of_the_encodings_does_not_matter():
    anchors, positives, negatives = encodings()
    one = contrastive(anchors, positives, negatives, normalize=False)
    other = contrastive(1000 * anchors, 1000 * positives, negatives, normalize=False)
    torch.testing.assert_close(one.loss, other.loss)
    assert one.active == other.active
    three = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 3.0]])  # distances 2, 3, 3
    assert mean_distance(three).item() == pytest.approx(8 / 3) and mean_distance(three, "mean").item() == pytest.approx(
        4 / 3
    )
    alike = contrastive(torch.ones(3, 4), torch.ones(3, 4), torch.tensor([1, 2, 0]))
    assert alike.loss.isfinite() and alike.loss.item() == pytest.approx(1.0)  # all within the margin, fully


@pytest.mark.parametrize(("form", "active"), [("clamped", 2 / 3), ("paper", 1 / 3), ("triplet", 1.0)])
def test_the_share_of_active_negatives_by_hand(form, active):
    # d- = 0.2 and 0.8 against a margin of 0.5; the positives are 0.4 away
    anchors = torch.tensor([[0.2, 0.0], [0.0, 0.0], [0.8, 0.0]])
    positives = anchors + torch.tensor([0.4, 0.0])
    negatives = torch.tensor([1, 1, 1])
    found = contrastive(anchors, positives, negatives, form=form, **PUBLISHED)
    # the second is its own negative, at 0: within the margin
    assert found.active.item() == pytest.approx(active)
    assert not found.active.requires_grad


def test_the_negative_is_the_farthest_other():
    predicted, true = torch.zeros(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    true[:, 0, 0, 0] = torch.tensor([9.0, 1.0, 5.0])
    predicted[:, 0, 0, 0] = torch.tensor([0.0, 6.0, 9.0])
    # 0 is farthest from its own 9, which does not count: then 5 (sample 2); 6 from 1 (own) then 9 or 5; 9 from 1
    assert farthest(predicted, true).tolist() == [2, 0, 1]


def test_faults_are_told():
    with pytest.raises(LvtuneError, match="batch of one"):
        farthest(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
    with pytest.raises(LvtuneError, match="form 'cosine'"):
        contrastive(torch.zeros(2, 2), torch.zeros(2, 2), torch.tensor([1, 0]), form="cosine")


def test_half_precision_is_computed_in_float32():
    anchors, positives, negatives = setting(FAR_NEGATIVE)
    exact = contrastive(anchors, positives, negatives, **PUBLISHED).loss
    halved = contrastive(anchors.bfloat16(), positives.bfloat16(), negatives, **PUBLISHED).loss
    assert halved.dtype == torch.float32 and halved.item() == pytest.approx(exact.item(), abs=5e-3)
