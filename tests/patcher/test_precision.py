"""Adapters keep float32 weights over bases in half precision, and small updates are not lost."""

import pytest
import torch
from safetensors.torch import load_file
from tiny import TinyPictures, make_adapter, snapshot, tiny_base, tiny_pixels
from torch import nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.factory import create_adapter
from lvtune.adapters.method_registry import METHODS
from lvtune.api.recipe import Recipe
from lvtune.bases.changes import AddToOutput, ExtendKeyValue, InsertTokens, ReplaceForward
from lvtune.config.options import TrainOptions
from lvtune.core.errors import LvtuneError
from lvtune.hub.adapter_loading import load_adapter
from lvtune.patcher.attaching import attach
from lvtune.patcher.merging import merge
from lvtune.storage.store import save_adapter
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune

PIXELS = tiny_pixels()
HALF = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("method", METHODS.names())
def test_every_method_tunes_in_float32_and_answers_in_the_type_of_the_base(method, dtype, tmp_path):
    base = tiny_base()
    base.to(dtype)
    before, adapter = snapshot(base), make_adapter(method, base)
    assert {p.dtype for p in adapter.parameters()} == {torch.float32}
    with attach(base, adapter):
        base.train()
        heatmaps = base(PIXELS)
        heatmaps.float().square().mean().backward()
        base.eval()
    assert heatmaps.dtype == dtype
    gradients = [p.grad for p in adapter.parameters() if p.grad is not None]
    assert gradients and all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)
    assert snapshot(base) == before
    again = load_adapter(save_adapter(adapter, tmp_path), base)
    tensors = again.tensors()
    assert {v.dtype for v in tensors.values() if v.is_floating_point()} == {torch.float32}
    assert all(torch.equal(v, tensors[n]) for n, v in adapter.tensors().items())


@pytest.mark.parametrize("dtype", HALF)
def test_updates_of_a_ten_thousandth_are_not_lost(dtype):
    """The next number above 1 is 1.0078 in bfloat16 and 1.00098 in float16: a step of 1e-4 is rounded away there."""
    base = tiny_base()
    base.to(dtype)
    adapter = make_adapter("lora", base, stirred=0.1)
    start = {name: value.clone() for name, value in adapter.named_parameters()}
    with attach(base, adapter), torch.no_grad():
        for _ in range(100):
            for value in adapter.parameters():
                value.mul_(1 + 1e-4)
    for name, value in adapter.named_parameters():
        torch.testing.assert_close(value, start[name] * (1 + 1e-4) ** 100, rtol=1e-4, atol=0)
    with torch.no_grad():
        for value in start.values():
            lost = value.to(dtype)
            assert torch.equal(lost * (1 + 1e-4), lost)


def losses_of(dtype, method="lora", steps=30):
    base = tiny_base().to(dtype)
    adapter = make_adapter(method, base)
    options = Recipe(train=TrainOptions(steps=steps, batch_size=4, lr=5e-3, precision="no")).resolved().train
    return tune(base, adapter, TinyPictures(8), HeatmapObjective(), options, device="cpu").loss


@pytest.mark.parametrize("method", ["lora", "vlpose-light", "vlpose"])
def test_a_tuning_over_bfloat16_ends_where_one_over_float32_ends(method):
    full, half = (losses_of(dtype, method) for dtype in (torch.float32, torch.bfloat16))
    assert full[-1] < 0.8 * full[0]
    assert half[-1] == pytest.approx(full[-1], rel=0.05)


class Of(Adapter):
    """An adapter of another package: given changes, and a weight of its own."""

    def __init__(self, make):
        super().__init__()
        self.weight, self.make = nn.Parameter(torch.randn(48, 48)), make

    def changes(self, base):
        return self.make(self, base)


CHANGES = {
    "add": lambda own, base: [AddToOutput(base.blocks[0].fc2, lambda x: nn.functional.linear(x[..., :48], own.weight))],
    "extend": lambda own, base: [base.blocks[0].extend(lambda: own.weight[:3], lambda: own.weight[3:6])],
    "rows alone": lambda own, base: [
        ExtendKeyValue(base.blocks[0].key, base.blocks[0].value, lambda: own.weight[:3], lambda: own.weight[:3])
    ],
    "insert": lambda own, base: [InsertTokens(base.blocks[0].layer, base.final_norm, lambda: own.weight[:2])],
    "replace": lambda own, base: [
        ReplaceForward(base.final_norm, lambda call, x: nn.functional.linear(call.original(x), own.weight))
    ],
}


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("kind", CHANGES)
def test_changes_of_other_packages_need_no_care(kind, dtype):
    base = tiny_base()
    adapter = Of(CHANGES[kind])
    with attach(base, adapter):
        expected = base(PIXELS)
    base.to(dtype)
    with attach(base, adapter):
        found = base(PIXELS)
        mixed = base(PIXELS, adapters=["default", None, "default", None])
        found.float().sum().backward()
    assert found.dtype == dtype and adapter.weight.dtype == adapter.weight.grad.dtype == torch.float32
    torch.testing.assert_close(found.float(), expected, atol=0.1 * expected.abs().max().item(), rtol=0)
    torch.testing.assert_close(mixed[[0, 2]], found[[0, 2]], atol=0.05 * expected.abs().max().item(), rtol=0)


def test_an_adapter_that_is_only_used_may_take_the_type_of_the_base(tmp_path):
    base = tiny_base().to(torch.bfloat16)
    adapter = make_adapter("lora", base, stirred=0.1)
    with attach(base, adapter):
        expected = base(PIXELS)
    with attach(base, adapter, full_precision=False):
        assert {p.dtype for p in adapter.parameters()} == {torch.bfloat16}
        found = base(PIXELS)
        saved = load_file(save_adapter(adapter, tmp_path) / "adapter_model.safetensors")
        assert {value.dtype for value in saved.values()} == {torch.float32}
        base.to(torch.float32)
        assert {p.dtype for p in adapter.parameters()} == {torch.float32}
    torch.testing.assert_close(found.float(), expected.float(), atol=0.05 * expected.abs().max().item(), rtol=0)


def test_a_model_that_goes_to_half_precision_and_back_leaves_the_adapter_as_it_was():
    base = tiny_base()
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    before = {name: value.clone() for name, value in adapter.state_dict().items()}
    with attach(base, adapter):
        base.half()
        base(PIXELS)
        base.float()
        base.to(torch.bfloat16)
    assert all(torch.equal(value, before[name]) for name, value in adapter.state_dict().items())


@pytest.mark.parametrize("part", ["encoder", "head"])
def test_a_base_of_which_a_part_is_in_half_precision(part):
    base = tiny_base()
    adapter = make_adapter("lora", base, stirred=0.1, targets=("query", "fc1"))
    with attach(base, adapter):
        expected = base(PIXELS)
    getattr(base, part).to(torch.bfloat16)
    inner, outer = (torch.bfloat16, torch.float32) if part == "encoder" else (torch.float32, torch.bfloat16)
    base.head.register_forward_pre_hook(lambda module, args: (args[0].to(outer), *args[1:]))
    base.encoder.register_forward_pre_hook(lambda module, args: (args[0].to(inner), *args[1:]))
    with attach(base, adapter):
        found = base(PIXELS)
    assert {p.dtype for p in adapter.parameters()} == {torch.float32}
    torch.testing.assert_close(found.float(), expected, atol=0.1 * expected.abs().max().item(), rtol=0)


class Int8Linear(nn.Module):
    """A linear layer whose weights are int8 with a scale for each row, as quantising libraries make them."""

    def __init__(self, linear, dtype):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        scale = linear.weight.abs().amax(1, keepdim=True) / 127
        self.weight = nn.Parameter((linear.weight / scale).round().to(torch.int8), requires_grad=False)
        self.register_buffer("scale", scale.to(dtype))
        self.bias = nn.Parameter(linear.bias.to(dtype), requires_grad=False)

    def forward(self, x):
        return nn.functional.linear(x, self.weight.to(x.dtype) * self.scale, self.bias)


def quantised(dtype):
    base = tiny_base().to(dtype)
    for name, module in list(base.model.named_modules()):
        if isinstance(module, nn.Linear):
            base.model.set_submodule(name, Int8Linear(module, dtype))
    return base


@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
@pytest.mark.parametrize("method", ["lora", "vlpose-light", "bottleneck"])
def test_int8_weights(method, dtype):
    base = quantised(dtype)
    before, bare = snapshot(base), base(PIXELS)
    adapter = make_adapter(method, base)
    with attach(base, adapter):
        # float16 rounds between the products of a convolution, which its copy in float32 does not
        torch.testing.assert_close(base(PIXELS), bare, atol=1e-3 if dtype == torch.float16 else 0, rtol=0)
        base.train()
        base(PIXELS).float().square().mean().backward()
        base.eval()
    assert {p.grad.dtype for p in adapter.parameters() if p.grad is not None} == {torch.float32}
    assert snapshot(base) == before


def test_what_int8_weights_cannot_do_is_refused():
    base = quantised(torch.float32)
    with attach(base, make_adapter("vpt", base)), pytest.raises(LvtuneError, match=r"torch\.int8 weights.*method lora"):
        base(PIXELS)
    for use in (lambda: merge(base, make_adapter("lora", base)), lambda: make_adapter("full", base)):
        with pytest.raises(LvtuneError, match=r"a base whose layers were exchanged \(backbone.*such as lora"):
            use()


def test_the_precision_of_the_base_is_that_of_its_floating_weights():
    base = quantised(torch.bfloat16)
    base.predictor.weight = nn.Parameter(base.predictor.weight.to(torch.int8), requires_grad=False)
    assert base.dtype == torch.bfloat16 and base.adapter_dtype == torch.float32
    assert tiny_base().to(torch.float64).adapter_dtype == torch.float64


def test_an_adapter_is_made_in_float32_from_weights_of_the_base():
    base = tiny_base().to(torch.bfloat16)
    adapter = create_adapter("full", base)
    assert torch.equal(adapter.head.conv.weight, base.predictor.weight.float())
