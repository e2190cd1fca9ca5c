"""``last-blocks``: copies of the last blocks, the norm and the head; the blocks before them are never tuned."""

import pytest
import torch
from tiny import make_adapter, tiny_base, tiny_model, tiny_pixels

from lvtune.config.options import TrainOptions
from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach

PIXELS = tiny_pixels(2)


def tuned_twin(adapter):
    """A plain model with the adapter's weights in it."""
    model = tiny_model()
    layers = model.backbone.encoder.layer
    for layer, copy in zip(layers[-len(adapter.blocks) :], adapter.blocks, strict=True):
        layer.load_state_dict(copy.state_dict())
    model.backbone.layernorm.load_state_dict(adapter.norm.state_dict())
    model.head.load_state_dict(adapter.head.state_dict())
    return model


@pytest.mark.parametrize("called_before", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_answer_is_that_of_a_model_with_these_weights(count, called_before):
    model = tiny_model()
    if called_before:
        model(PIXELS)
    adapter = make_adapter("last-blocks", model, blocks=count, stirred=0.1)
    expected = tuned_twin(adapter)(PIXELS, output_hidden_states=True)
    with attach(model, adapter):
        found = model(PIXELS, output_hidden_states=True)
    assert torch.equal(found.heatmaps, expected.heatmaps)
    assert len(found.hidden_states) == len(expected.hidden_states) > 0
    assert all(torch.equal(a, b) for a, b in zip(found.hidden_states, expected.hidden_states, strict=True))
    assert (expected.heatmaps - tiny_model()(PIXELS).heatmaps).abs().max() > 0.01


def test_nothing_is_computed_backwards_before_the_first_copy():
    base = tiny_base()
    needed = []
    for block in base.blocks:
        block.layer.register_forward_hook(lambda module, args, output: needed.append(output.requires_grad))
    with attach(base, make_adapter("last-blocks", base, blocks=2)):
        base.train()
        base(PIXELS).sum().backward()
    assert needed == [False, True, True]


def test_learning_rates_fall_towards_the_input():
    adapter = make_adapter("last-blocks", tiny_base(), blocks=2)
    scale = lambda name: adapter.lr_scale(name, TrainOptions(layer_decay=0.5))  # noqa: E731
    assert scale("head.conv.weight") == 1.0
    assert scale("norm.weight") == scale("blocks.1.mlp.fc1.weight") == 0.5
    assert scale("blocks.0.mlp.fc1.weight") == 0.25


@pytest.mark.parametrize("count", [0, 4])
def test_more_blocks_than_there_are_is_told(count):
    with pytest.raises(LvtuneError, match="blocks"):
        make_adapter("last-blocks", tiny_base(), blocks=count)
