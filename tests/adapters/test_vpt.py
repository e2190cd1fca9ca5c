"""``vpt``: prompts against token insertion as published."""

import math

import pytest
import torch
from tiny import make_adapter, tiny_base, tiny_model, tiny_pixels

from lvtune.config.options import TrainOptions
from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach

PIXELS = tiny_pixels(3)


def oracle(model, prompts, placement):
    """Tokens in front of the picture's: new ones in each block (deep), or one set carried through (shallow)."""
    hidden = model.backbone.embeddings(PIXELS)
    count = len(prompts[0])
    for i, layer in enumerate(model.backbone.encoder.layer):
        if placement == "deep" and i > 0:
            hidden = hidden[:, count:]
        if placement == "deep" or i == 0:
            hidden = torch.cat([prompts[i].expand(len(hidden), -1, -1), hidden], dim=1)
        hidden = layer(hidden)
    hidden = model.backbone.layernorm(hidden)[:, count:]
    return model.head(hidden.transpose(1, 2).unflatten(2, (4, 3)))


@pytest.mark.parametrize("placement", ["deep", "shallow"])
@pytest.mark.parametrize("make", [tiny_base, tiny_model])
def test_published_prompts_equal_inserted_tokens(make, placement):
    target = make()
    adapter = make_adapter(
        "vpt", target, visual_prompts=4, placement=placement, zero_init=False, predictor=False, stirred=1
    )
    theirs = [tokens.detach().clone().requires_grad_() for tokens in adapter.prompts]
    expected = oracle(tiny_model(), theirs, placement)
    with attach(target, adapter):
        found = target(PIXELS)
    found = getattr(found, "heatmaps", found)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    gradients = torch.autograd.grad(found.square().sum(), list(adapter.prompts))
    for ours, other in zip(gradients, torch.autograd.grad(expected.square().sum(), theirs), strict=True):
        torch.testing.assert_close(ours, other, atol=1e-3, rtol=1e-3)
    bare = target(PIXELS)
    assert (expected - getattr(bare, "heatmaps", bare)).abs().max() > 0.02


def test_gates_open_by_head():
    base = tiny_base()
    adapter = make_adapter("vpt", base, predictor=False)
    bare = base(PIXELS)
    with attach(base, adapter):
        assert torch.equal(base(PIXELS), bare)
        with torch.no_grad():
            adapter.gates[1][2] = 1.0
        assert (base(PIXELS) - bare).abs().max() > 1e-3
    assert [gates.shape for gates in adapter.gates] == [(4,)] * 3
    assert adapter.lr_scale("gates.1", TrainOptions()) == 10 and adapter.lr_scale("prompts.1", TrainOptions()) == 1


@pytest.mark.parametrize(("placement", "layers"), [("deep", 3), ("shallow", 1)])
def test_prompts_are_drawn_as_published(placement, layers):
    adapter = make_adapter("vpt", tiny_base(), visual_prompts=50, placement=placement, predictor=False)
    assert [tokens.shape for tokens in adapter.prompts] == [(50, 48)] * layers
    bound = math.sqrt(6 / (3 * 16 * 16 + 48))
    every = torch.cat(list(adapter.prompts))
    assert 0.99 * bound < every.abs().max() <= bound
    assert every.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert (adapter.gates is None) == (placement == "shallow")


@pytest.mark.parametrize(
    ("options", "told"), [({"placement": "none"}, "deep, shallow"), ({"visual_prompts": 0}, "prompts")]
)
def test_options_that_do_not_fit_are_told(options, told):
    with pytest.raises(LvtuneError, match=told):
        make_adapter("vpt", tiny_base(), **options)
