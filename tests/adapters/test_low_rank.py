"""The low-rank product beside a layer: the values and gradients of the operations that it stands for."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lvtune.adapters import low_rank
from lvtune.adapters.low_rank import added, beside
from lvtune.core import linear_products
from lvtune.core.linear_products import faster_linears

CASES = {
    "a number": (2, 5, 12, 20, None, True),
    "a factor for all": (3, 7, 12, 8, 1, True),
    "a factor for each sample": (3, 7, 12, 8, 3, True),
    "no bias": (1, 4, 6, 6, None, False),
}


def tensors(samples, tokens, width, out, factors, bias, rank=3):
    draw = torch.Generator().manual_seed(0)
    new = lambda *size: torch.randn(*size, generator=draw, dtype=torch.float64)  # noqa: E731
    linear = nn.Linear(width, out, bias=bias, dtype=torch.float64).requires_grad_(False)
    down, up = new(rank, width).requires_grad_(), new(out, rank).requires_grad_()
    factor = 1.5 if factors is None else new(factors, 1, rank).requires_grad_()
    return linear, new(samples, tokens, width).requires_grad_(), down, up, factor


def gradients(values, result, trained):
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result)
    return torch.autograd.grad((result * weights).sum(), [value for value in (values, *trained) if value.requires_grad])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("reaches_x", [True, False])
def test_it_gives_what_the_operations_one_by_one_give(case, reaches_x):
    linear, x, down, up, factor = tensors(*CASES[case])
    x = x.detach().requires_grad_(reaches_x)
    trained = [value for value in (down, up, factor) if isinstance(value, torch.Tensor)]
    expected = linear(x) + F.linear(F.linear(x, down) * factor, up)
    wanted = gradients(x, expected, trained)
    for found in (beside(linear.forward, x, down, up, factor), added(linear(x), x, down, up, factor)):
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(gradients(x, found, trained), wanted)


@pytest.mark.parametrize("frozen", ["down", "up", "factor"])
def test_a_part_that_is_not_tuned_gets_no_gradient(frozen):
    linear, x, *own = tensors(*CASES["a factor for each sample"])
    parts = dict(zip(("down", "up", "factor"), own, strict=True))
    parts[frozen].requires_grad_(False)
    for found in (beside(linear.forward, x, **parts), added(linear(x), x, **parts)):
        found.sum().backward()
        assert {name for name, value in parts.items() if value.grad is None} == {frozen}
        for value in parts.values():
            value.grad = None


def test_without_gradients_neither_the_input_nor_the_output_is_written():
    linear, x, down, up, factor = tensors(*CASES["a number"])
    before = x.detach().clone()
    with torch.no_grad():
        output = linear(x)
        kept = output.clone()
        found = beside(linear.forward, x, down, up, factor)
        torch.testing.assert_close(added(output, x, down, up, factor), found)
    assert torch.equal(output, kept)
    assert torch.equal(x, before)
    torch.testing.assert_close(found, kept + F.linear(F.linear(x, down) * factor, up))


@pytest.mark.parametrize("tokens", [1, 400])
@pytest.mark.parametrize("case", CASES)
def test_a_call_with_few_rows_and_one_with_many_give_the_same(case, tokens):
    samples, _, *rest = CASES[case]
    linear, x, down, up, factor = (
        value.float() if isinstance(value, torch.Tensor | nn.Module) else value
        for value in tensors(samples, tokens, *rest)
    )
    weight = linear.weight.clone()
    with torch.no_grad():
        found = beside(linear.forward, x, down, up, factor)
        torch.testing.assert_close(found, linear(x) + F.linear(F.linear(x, down) * factor, up), rtol=1e-4, atol=1e-4)
    assert torch.equal(linear.weight, weight)


def test_a_layer_that_gives_its_own_input_is_not_written_over():
    x, down, up = torch.randn(2, 3, 6), torch.randn(2, 6), torch.randn(6, 2)
    before = x.clone()
    with torch.no_grad():
        beside(nn.Identity().forward, x, down, up, 1.0)
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", ["another forward", "a weight that is tuned", "autocast", "other types"])
def test_other_layers_are_computed_operation_by_operation(kind):
    linear, x, down, up, factor = (
        value.float() if isinstance(value, torch.Tensor | nn.Module) else value for value in tensors(*CASES["a number"])
    )
    original = linear.forward
    if kind == "another forward":
        original = lambda value: 2 * linear(value)  # noqa: E731
    if kind == "a weight that is tuned":
        linear.requires_grad_(True)
    if kind == "other types":
        x, original = x.double(), linear.double().forward
        down, up = down.double(), up.double().detach()
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
        found = beside(original, x, down, up, factor)
        expected = original(x) + F.linear(F.linear(x, down) * factor, up)
    # under autocast B's product is not rounded before it is added
    torch.testing.assert_close(found, expected, **({"rtol": 0.02, "atol": 0.02} if kind == "autocast" else {}))
    if kind == "a weight that is tuned":
        found.sum().backward()
        assert linear.weight.grad is not None


def test_under_autocast_the_product_and_the_sum_are_one_operation(monkeypatch):
    linear, x, down, up, factor = (
        value.detach().float().requires_grad_() if isinstance(value, torch.Tensor) else value
        for value in tensors(*CASES["a factor for each sample"])
    )
    linear.float()
    with torch.autocast("cpu", torch.bfloat16):
        expected = linear(x) + F.linear(F.linear(x, down) * factor, up)
        wanted = gradients(x, expected, [down, up, factor])
        sums = []
        monkeypatch.setattr(torch, "addmm", lambda *given: sums.append(1) or torch.ops.aten.addmm(*given))
        for found in (beside(linear.forward, x, down, up, factor), added(linear(x), x, down, up, factor)):
            assert found.dtype == torch.bfloat16
            torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
            for one, other in zip(gradients(x, found, [down, up, factor]), wanted, strict=True):
                assert one.dtype == torch.float32 and (one - other).norm() < 0.02 * other.norm()
    assert len(sums) == 2


def test_inputs_in_windows_and_strided_ones_are_taken():
    linear, _, down, up, factor = tensors(*CASES["a number"])
    x = torch.randn(12, 5, 2, dtype=torch.float64).permute(2, 1, 0).requires_grad_()
    assert not x.is_contiguous()
    found, expected = beside(linear.forward, x, down, up, factor), linear(x) + F.linear(F.linear(x, down) * factor, up)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(x, found, [down, up]), gradients(x, expected, [down, up]))


@pytest.fixture(params=[True, False], ids=["oneDNN", "torch"])
def library(request, monkeypatch):
    """By which library the adapter's own products go."""
    for module in (linear_products, low_rank):
        monkeypatch.setattr(module, "is_faster", lambda: request.param)
    monkeypatch.setattr(linear_products, "LEAST_WORK", 1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 5, 12, 20), (2, 200, 96, 384), (3, 130, 256, 64)])
def test_a_product_of_zero_leaves_the_layers_own_bits(library, bias, sizes):
    linear, x, down, up, _ = (
        value.float() if isinstance(value, torch.Tensor | nn.Module) else value for value in tensors(*sizes, None, bias)
    )
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            expected = linear(x)
            assert torch.equal(beside(linear.forward, x, down, 0 * up, 1.5), expected)
            assert torch.equal(added(expected, x, down, 0 * up, 1.5), expected)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("in_step", [False, True])
def test_both_libraries_give_the_values_and_gradients_of_the_operations(library, case, in_step):
    samples, tokens, *rest = CASES[case]
    linear, x, down, up, factor = (
        value.detach().float().requires_grad_() if isinstance(value, torch.Tensor) else value
        for value in tensors(samples, tokens, *rest)
    )
    linear.float()
    trained = [value for value in (down, up, factor) if isinstance(value, torch.Tensor)]
    expected = linear(x) + F.linear(F.linear(x, down) * factor, up)
    wanted = gradients(x, expected, trained)
    with faster_linears(in_step):
        for compute in (lambda: beside(linear.forward, x, down, up, factor),
                        lambda: added(linear(x), x, down, up, factor)):  # fmt: skip
            found = compute()
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(gradients(x, found, trained), wanted, rtol=1e-4, atol=1e-4)
            with torch.no_grad():
                torch.testing.assert_close(compute(), expected, rtol=1e-4, atol=1e-4)
