"""Cheap activations are computed again: the gradients are the same, and less is kept."""

from contextlib import nullcontext

import pyramids
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lvtune
from lvtune.training import recomputed_activations as module
from lvtune.training.recomputed_activations import is_computed_again, recomputed_activations


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(module, "LEAST_NUMBERS", 8)


class Block(nn.Module):
    def __init__(self, width, approximate="none", affine=True, bias=True):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=affine, bias=bias)
        self.fc1, self.act, self.fc2 = nn.Linear(width, 4 * width), nn.GELU(approximate), nn.Linear(4 * width, width)

    def forward(self, x):
        normed = self.norm(x)
        return x + self.fc2(self.act(self.fc1(normed))) + normed.sin()


def stirred(model):
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn(value.shape, generator=torch.Generator().manual_seed(value.numel())) / 5)
    return model


@pytest.mark.parametrize(
    "options",
    [{}, {"approximate": "tanh"}, {"affine": False}, {"bias": False}],
    ids=["plain", "tanh", "bare", "no bias"],
)
def test_gradients_are_the_same(options):
    torch.manual_seed(0)
    model = stirred(nn.Sequential(Block(6, **options), Block(6, **options)))
    x = torch.randn(2, 5, 6, requires_grad=True)
    wanted = torch.autograd.grad(model(x).square().sum(), [x, *model.parameters()])
    with recomputed_activations():
        loss = model(x).square().sum()
    found = torch.autograd.grad(loss, [x, *model.parameters()])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_mixed_precision(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), stirred(Block(6)), nn.LayerNorm(6), nn.Linear(6, 3))
    x = torch.randn(2, 5, 6, requires_grad=True)
    found = []
    for is_on in (False, True):
        recomputed = recomputed_activations() if is_on else nullcontext()
        with recomputed, torch.autocast("cpu", dtype=dtype):
            loss = model(x).float().square().sum()
        found.append(torch.autograd.grad(loss, [x, *model.parameters()]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2 * float(other.abs().max()))


@pytest.mark.parametrize("method", ["vlpose-light", "bottleneck", "lora"])
@pytest.mark.parametrize("family", pyramids.WITH_ATTENTION)
def test_every_family_is_tuned_in_mixed_precision(family, method):
    base = pyramids.load(family)
    adapter = lvtune.create_adapter(method, base, **({"domain": "demo-art"} if method == "vlpose-light" else {}))
    pixels = torch.randn(2, 3, *pyramids.SIZE)
    with lvtune.attach(base, adapter), recomputed_activations(), torch.autocast("cpu", dtype=torch.bfloat16):
        loss = base(pixels).float().square().mean()
        loss.backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in adapter.parameters())


def test_what_gelu_and_layer_norm_give_is_let_go():
    x = torch.randn(2, 5, 6, requires_grad=True)
    linear, alive = nn.Linear(6, 6), []
    with recomputed_activations():
        y = x
        for act in (F.gelu, lambda value: F.layer_norm(value, (6,))):
            made = act(y * 2)
            alive.append(torch.multiprocessing.reductions.StorageWeakRef(made.untyped_storage()))
            y = linear(made)
            del made
        assert all(one.expired() for one in alive)
    y.sum().backward()
    assert x.grad.abs().sum() > 0


def test_small_and_other_tensors_are_kept():
    x = torch.randn(4, 4, requires_grad=True)
    with recomputed_activations():
        assert is_computed_again(F.gelu(x * 2))
        assert is_computed_again(F.gelu(x * 2).view(2, 8))
        assert not is_computed_again(F.gelu(x * 2)[:3])
        assert not is_computed_again(F.gelu(x * 2).t())
        assert not is_computed_again(F.relu(x * 2))
        assert not is_computed_again(F.gelu((x * 2)[0]))
    assert not is_computed_again(F.gelu(x * 2))


def test_a_graph_without_a_backward_pass_is_let_go():
    x = torch.randn(8, 8, requires_grad=True)
    with recomputed_activations():
        made = x.exp()
        ref = torch.multiprocessing.reductions.StorageWeakRef(made.untyped_storage())
        del made
    assert ref.expired()


@pytest.mark.parametrize("make", [lambda: nn.LayerNorm(6), nn.GELU], ids=["LayerNorm", "GELU"])
def test_what_is_computed_from_a_transposed_tensor_may_lie_in_another_order(make):
    """As behind a patch embedding that is tuned: its output is transposed in memory."""
    torch.manual_seed(0)
    layer, linear = make(), nn.Linear(6, 3)
    x = torch.randn(2, 6, 5, requires_grad=True)

    def loss():
        return linear(layer(x.transpose(1, 2))).square().sum()

    inputs = [x, *linear.parameters(), *layer.parameters()]
    wanted = torch.autograd.grad(loss(), inputs)
    with recomputed_activations():
        again = loss()
    for one, other in zip(torch.autograd.grad(again, inputs), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
