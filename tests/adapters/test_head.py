"""``head``: a copy of the head, or of the predictor alone, learns; the features stay."""

import pytest
import torch
from tiny import make_adapter, tiny_base, tiny_model, tiny_pixels
from torch import nn

from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach

PIXELS = tiny_pixels(2)


@pytest.mark.parametrize("simple", [False, True])
def test_the_adapter_is_the_head_and_nothing_else(simple):
    base = tiny_base(simple=simple)
    adapter = make_adapter("head", base, stirred=0.1)
    own = base.head.state_dict()
    assert {f"copy.{name}": value.shape for name, value in own.items()} == {
        name: value.shape for name, value in adapter.tensors().items()
    }
    seen = []
    base.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    base(PIXELS)
    with attach(base, adapter):
        found = base(PIXELS)
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(found, adapter.copy(seen[0]))


def test_the_predictor_alone_is_one_convolution():
    base, twin = tiny_base(), tiny_model()
    adapter = make_adapter("head", base, part="predictor", stirred=0.1)
    assert {name: value.shape for name, value in adapter.tensors().items()} == {
        "copy.weight": (17, 24, 1, 1), "copy.bias": (17,)
    }  # fmt: skip
    twin.head.conv.load_state_dict(adapter.copy.state_dict())
    with attach(base, adapter):
        assert torch.equal(base(PIXELS), twin(PIXELS).heatmaps)


@pytest.mark.parametrize("frozen", [False, True])
def test_batchnorm_of_the_copy_follows_the_pictures_unless_told_not_to(frozen):
    base = tiny_base()
    adapter = make_adapter("head", base, freeze_batchnorm=frozen)
    before = {name: value.clone() for name, value in adapter.named_buffers()}
    with attach(base, adapter):
        base.train()
        base(PIXELS)
    assert all(torch.equal(value, before[name]) for name, value in adapter.named_buffers()) == frozen
    assert all(m.training != frozen for m in adapter.modules() if isinstance(m, nn.BatchNorm2d))


def test_parts_that_do_not_exist_are_told():
    with pytest.raises(LvtuneError, match="head, predictor"):
        make_adapter("head", tiny_base(), part="decoder")
