"""Frozen layers in the type of autocast are converted once, and anew when they have changed."""

import pytest
import torch
from torch import nn

from lvtune.core.autocast_weights import cast_linear, kept_casts


@pytest.mark.parametrize("bias", [True, False])
def test_inside_the_block_a_layer_is_converted_once(bias):
    linear = nn.Linear(4, 3, bias=bias).requires_grad_(False)
    with kept_casts():
        first, second = cast_linear(linear, torch.bfloat16), cast_linear(linear, torch.bfloat16)
        assert first[0] is second[0] and first[1] is second[1]
        assert cast_linear(linear, torch.float16)[0].dtype == torch.float16
    assert torch.equal(first[0], linear.weight.bfloat16()) and (first[1] is None) == (not bias)
    assert cast_linear(linear, torch.bfloat16)[0] is not cast_linear(linear, torch.bfloat16)[0]


def written(linear):
    with torch.no_grad():
        linear.weight.mul_(2)


def bias_written(linear):
    with torch.no_grad():
        linear.bias.add_(1)


def replaced(linear):
    linear.weight = nn.Parameter(torch.ones(3, 4), requires_grad=False)


def swapped(linear):
    linear.weight.data = torch.ones(3, 4)


@pytest.mark.parametrize("change", [written, bias_written, replaced, swapped])
def test_a_changed_layer_is_converted_anew(change):
    linear = nn.Linear(4, 3).requires_grad_(False)
    with kept_casts():
        cast_linear(linear, torch.bfloat16)
        change(linear)
        weight, bias = cast_linear(linear, torch.bfloat16)
    assert torch.equal(weight, linear.weight.bfloat16()) and torch.equal(bias, linear.bias.bfloat16())


def test_a_layer_that_takes_the_place_of_a_freed_one_is_not_taken_for_it():
    with kept_casts():
        for value in range(20):
            linear = nn.Linear(2, 2).requires_grad_(False)
            nn.init.constant_(linear.weight, value)
            assert cast_linear(linear, torch.bfloat16)[0][0, 0] == value
            del linear


def test_what_is_converted_has_no_gradient():
    weight, bias = cast_linear(nn.Linear(4, 3), torch.bfloat16)
    assert not weight.requires_grad and not bias.requires_grad


def test_what_inference_mode_made_is_not_trained_through():
    linear, x = nn.Linear(4, 3).requires_grad_(False), torch.randn(2, 4, requires_grad=True)
    with kept_casts():
        with torch.inference_mode():
            cast_linear(linear, torch.bfloat16)
        nn.functional.linear(x.bfloat16(), *cast_linear(linear, torch.bfloat16)).sum().backward()
    assert x.grad is not None


def test_a_layer_made_in_inference_mode_is_taken():
    with torch.inference_mode():
        linear = nn.Linear(4, 3)
    with kept_casts():
        assert torch.equal(cast_linear(linear, torch.bfloat16)[0], linear.weight.bfloat16())
