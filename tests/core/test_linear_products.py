"""Linear layers by oneDNN: the values and gradients of torch's own, where it suits and only there."""

import threading

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lvtune.core import linear_products as module
from lvtune.core.linear_products import faster_linears, is_faster, linear, product, recomputation_contexts, suits
from lvtune.core.private_api import onednn_linear

pytestmark = pytest.mark.skipif(
    onednn_linear() is None or not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Any processor, and layers of any size."""
    monkeypatch.setattr(module, "is_faster", lambda: True)
    monkeypatch.setattr(module, "LEAST_WORK", 1)


@pytest.fixture
def counted(monkeypatch):
    """Shapes of the weights that oneDNN has multiplied with."""
    shapes, compute = [], onednn_linear()

    def count(x, weight, *rest):
        shapes.append(tuple(weight.shape))
        return compute(x, weight, *rest)

    monkeypatch.setattr(module, "onednn_linear", lambda: count)
    return shapes


def drawn(*size, seed=0, **options):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("shape", [(7, 12), (3, 5, 12), (2, 3, 5, 12), (0, 12)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", ["nothing", "x", "weight", "weight and bias"])
def test_values_and_gradients_are_those_of_torch(shape, bias, frozen, counted):
    x, weight, b = drawn(*shape), drawn(20, 12, seed=1), drawn(20, seed=2) if bias else None
    for name, value in (("x", x), ("weight", weight), ("bias", b)):
        if value is not None:
            value.requires_grad_(name not in frozen)
    given = [value for value in (x, weight, b) if value is not None and value.requires_grad]
    found, wanted = linear(x, weight, b), F.linear(x, weight, b)
    assert bool(counted) == bool(x.numel())
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    like = drawn(*wanted.shape, seed=3)
    for one, other in zip(
        torch.autograd.grad(found, given, like), torch.autograd.grad(wanted, given, like), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_strided_tensors_are_taken(counted):
    x, weight = drawn(12, 30).t(), drawn(12, 20, seed=1).t()
    torch.testing.assert_close(product(x, weight), x @ weight.t(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        product(drawn(2, 5, 12, 3).transpose(1, 3), drawn(7, 5)),
        F.linear(drawn(2, 5, 12, 3).transpose(1, 3), drawn(7, 5)),
    )
    assert counted


class Own(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return linear(x, self.weight)


@pytest.mark.parametrize("what", ["double", "half", "vector", "exported", "autocast", "a class of its own"])
def test_what_does_not_suit_is_torchs_own(what, counted):
    x, weight = drawn(6, 12), drawn(20, 12, seed=1)
    if what == "double":
        x, weight = x.double(), weight.double()
    if what == "half":
        x, weight = x.bfloat16(), weight.bfloat16()
    if what == "vector":
        x = x[0]
    if what == "a class of its own":
        x = x.as_subclass(type("Own", (torch.Tensor,), {}))
    if what == "exported":
        graph = torch.export.export(Own(weight), (x,)).graph
        assert not [node for node in graph.nodes if "mkldnn" in str(node.target)]
    else:
        with torch.autocast("cpu", torch.bfloat16, enabled=what == "autocast"), faster_linears():
            assert torch.equal(linear(x, weight), F.linear(x, weight))
    assert not counted


def test_inside_the_block_every_linear_layer_goes_this_way_and_no_other_operation(counted):
    model = nn.Sequential(nn.Linear(12, 16), nn.GELU(), nn.Linear(16, 8, bias=False), nn.LayerNorm(8))
    model[0].requires_grad_(False)
    x = drawn(4, 12).requires_grad_()
    wanted = torch.autograd.grad(model(x).square().sum(), [x, model[2].weight])
    assert not counted
    with faster_linears():
        loss = model(x).square().sum()
        assert counted == [(16, 12), (8, 16)]
    for one, other in zip(torch.autograd.grad(loss, [x, model[2].weight]), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert len(counted) == 5  # and three products for the gradients
    model(x)
    with faster_linears(wanted=False):
        model(x)
    assert len(counted) == 5


def test_it_ends_with_an_error_and_holds_in_its_thread_alone(counted):
    layer, x = nn.Linear(12, 16), drawn(4, 12)
    with pytest.raises(ZeroDivisionError), faster_linears():
        thread = threading.Thread(target=layer, args=(x,))
        thread.start()
        thread.join()
        raise ZeroDivisionError
    layer(x)
    assert not counted


def test_layers_that_are_computed_again_give_the_same_bits(counted):
    model = nn.Sequential(nn.Linear(12, 16), nn.GELU(), nn.Linear(16, 8))
    x, found = drawn(4, 12).requires_grad_(), []
    for again in (False, True):
        with faster_linears():
            y = checkpoint(model, x, use_reentrant=False, context_fn=recomputation_contexts) if again else model(x)
            found.append(torch.autograd.grad(y.square().sum(), [x, *model.parameters()]))
    assert all(map(torch.equal, *found))
    y = checkpoint(model, x, use_reentrant=False, context_fn=recomputation_contexts)
    before = len(counted)
    y.sum().backward()
    assert len(counted) == before


def test_small_products_are_torchs_own(monkeypatch):
    monkeypatch.setattr(module, "LEAST_WORK", 100)
    assert suits(drawn(5, 4), drawn(5, 4)) and not suits(drawn(5, 4), drawn(4, 4))


@pytest.mark.parametrize(
    ("vendor", "capability", "mkl", "expected"),
    [("AuthenticAMD", "AVX512", True, True), ("GenuineIntel", "AVX512", True, False), ("", "AVX512", True, False),
     ("AuthenticAMD", "AVX2", True, False), ("AuthenticAMD", "AVX512", False, False)],
)  # fmt: skip
def test_the_rule_for_processors(vendor, capability, mkl, expected, monkeypatch):
    monkeypatch.setattr(module, "processor_vendor", lambda: vendor)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: mkl)
    assert is_faster.__wrapped__() == expected


def test_a_torch_without_the_operation_uses_its_own(monkeypatch):
    monkeypatch.setattr(module, "processor_vendor", lambda: "AuthenticAMD")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(module, "onednn_linear", lambda: None)
    assert not is_faster.__wrapped__()
    torch.testing.assert_close(product(drawn(3, 4), drawn(5, 4)), drawn(3, 4) @ drawn(5, 4).t())
