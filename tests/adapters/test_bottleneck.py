"""``bottleneck``: what is added, where, and that it is nothing at first."""

import pytest
import torch
from tiny import make_adapter, tiny_base, tiny_model, tiny_pixels
from torch.nn import functional as F

from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach

PIXELS = tiny_pixels(2)
MODES = pytest.mark.parametrize("mode", ["parallel", "sequential"])


def oracle(model, adapter):
    """The blocks of ViT written out, with the formulas of the two papers."""
    parallel = adapter.config.mode == "parallel"
    act = F.relu if parallel else F.gelu
    mlp_of = lambda own, x: own.up(act(own.down(x)))  # noqa: E731
    hidden = model.backbone.embeddings(PIXELS)
    for layer, own in zip(model.backbone.encoder.layer, adapter.blocks, strict=True):
        seen = layer.attention(layer.layernorm_before(hidden))
        hidden = hidden + (seen if parallel else seen + mlp_of(own[0], seen))
        normed = layer.layernorm_after(hidden)
        out = layer.mlp(normed)
        added = adapter.config.scale * mlp_of(own[0], normed) if parallel else mlp_of(own[1], out)
        hidden = hidden + out + added
    hidden = model.backbone.layernorm(hidden)
    return model.head(hidden.transpose(1, 2).unflatten(2, (4, 3)))


@MODES
def test_the_answer_is_the_papers(mode):
    base, plain = tiny_base(), tiny_model()
    adapter = make_adapter("bottleneck", base, mode=mode, width=5, scale=0.3, predictor=False, stirred=0.3)
    expected = oracle(plain, adapter)
    with attach(base, adapter):
        torch.testing.assert_close(base(PIXELS), expected, atol=1e-5, rtol=0)
    assert (expected - base(PIXELS)).abs().max() > 0.02


@MODES
def test_a_fresh_bottleneck_adds_exactly_nothing(mode):
    adapter = make_adapter("bottleneck", tiny_base(), mode=mode)
    x = 100 * torch.randn(2, 12, 48)
    for own in adapter.blocks.modules():
        if hasattr(own, "down"):
            assert not own(x).any() and own.down.weight.any()
    assert [len(own) for own in adapter.blocks] == [1 if mode == "parallel" else 2] * 3


@MODES
def test_its_size(mode):
    adapter = make_adapter("bottleneck", tiny_base(), mode=mode, width=7, predictor=False)
    each = 48 * 7 + 7 + 7 * 48 + 48
    assert sum(p.numel() for p in adapter.parameters()) == 3 * each * (1 if mode == "parallel" else 2)


def test_dropout_is_on_in_training_alone():
    base = tiny_base()
    with attach(base, make_adapter("bottleneck", base, dropout=0.5, stirred=0.3)):
        assert torch.equal(base(PIXELS), base(PIXELS))
        base.train()
        assert not torch.equal(base(PIXELS), base(PIXELS))


@pytest.mark.parametrize(
    ("options", "told"), [({"mode": "serial"}, "parallel"), ({"width": 0}, "width"), ({"dropout": 2}, "dropout")]
)
def test_options_that_do_not_fit_are_told(options, told):
    with pytest.raises(LvtuneError, match=told):
        make_adapter("bottleneck", tiny_base(), **options)
