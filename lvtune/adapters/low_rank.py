"""A low-rank product beside a frozen linear layer, in few passes over memory.

    y = W x + b + B (m ⊙ A x)

A (r, D), B (D', r) and m are tuned; W and b are frozen. Written as separate operations, thin products such as gᵀ (A x)
take much of a step, most of it in orders of the factors that the libraries are slow at, and each sum is a tensor
of its own. Here the sum is made in place, and the backward pass takes the fast orders. Sums are rounded in another
order; nothing else differs. What cannot be done this way (a layer that is not a plain ``nn.Linear``, autocast, compiled
code, other types) is computed operation by operation. Under autocast, on a GPU, starting an operation takes longer than
computing it: there the operations are torch's own, and few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lvtune.bases.float_types import autocast_type, is_autocast
from lvtune.core.linear_products import is_faster, product, product_of_base, suits

Factor = Tensor | float
"""m: a number, or a tensor that broadcasts against A x, (B or 1, …, r)."""


def beside(original: Callable[..., Tensor], x: Tensor, down: Tensor, up: Tensor, factor: Factor) -> Tensor:
    """Returns ``original(x) + B (m ⊙ A x)``, (B, …, D) -> (B, …, D').

    Args:
        original: the layer's forward.
        x: (B, …, D).
        down: A (r, D).
        up: B (D', r).
        factor: m.
    """
    linear = plain_linear(original)
    if linear is None or not _is_plain(x, linear.weight, down, up):
        return _one_by_one(original(x), x, down, up, factor)
    if not torch.is_grad_enabled():
        return _without_gradient(linear, x, product(x, down) * factor, up)
    return _Beside.apply(x, linear.weight, linear.bias, down, up, factor)  # type: ignore[no-any-return]


def added(output: Tensor, x: Tensor, down: Tensor, up: Tensor, factor: Factor) -> Tensor:
    """Returns ``output + B (m ⊙ A x)``; ``output`` (B, …, D') stays as it is.

    The arguments are those of :func:`beside`.
    """
    if not _is_plain(x, output, down, up) or output.shape[:-1] != x.shape[:-1]:
        return _one_by_one(output, x, down, up, factor)
    if not torch.is_grad_enabled():
        return _sum(output, product(x, down) * factor, up)
    return _Added.apply(output, x, down, up, factor)  # type: ignore[no-any-return]


def _one_by_one(output: Tensor, x: Tensor, down: Tensor, up: Tensor, factor: Factor) -> Tensor:
    """Returns the sum by torch's own operations; under autocast B and the sum are one of them."""
    low = F.linear(x, down) * factor
    if output.dtype != autocast_type(x) or _is_traced() or output.shape[:-1] != low.shape[:-1]:
        return output + F.linear(low, up)
    return torch.addmm(_rows(output), _rows(low), up.t()).view(output.shape)


def plain_linear(original: Any) -> nn.Linear | None:
    """Returns the layer whose own forward ``original`` is, if it is frozen and computes what ``nn.Linear`` does."""
    if getattr(original, "__func__", None) is not nn.Linear.forward:
        return None
    linear: nn.Linear = original.__self__
    values = [linear.weight] if linear.bias is None else [linear.weight, linear.bias]
    return None if any(value.requires_grad for value in values) else linear


def _is_plain(x: Tensor, *others: Tensor) -> bool:
    """Returns True for ordinary tensors of one type, of which nothing is traced and no operation changes the type."""
    if _is_traced() or x.dim() < 2 or is_autocast(x):
        return False
    return all(type(one) in (Tensor, nn.Parameter) and one.dtype == x.dtype for one in (x, *others))


def _is_traced() -> bool:
    jit: Any = torch.jit
    return torch.compiler.is_compiling() or jit.is_tracing()


def _rows(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _without_gradient(linear: nn.Linear, x: Tensor, low: Tensor, up: Tensor) -> Tensor:
    """Returns W x + b + B low. B low + b is written first and W x added to it, as torch itself adds W x to b.

    So there is no second pass over the output, and where B is zero the result is the layer's own to the last bit. That
    holds for what ``is_faster`` says yes to; elsewhere B low is added behind.
    """
    if not is_faster() or (x.device.type, x.dtype) != ("cpu", torch.float32) or not x.is_contiguous():
        return _plus(F.linear(x, linear.weight, linear.bias), low, up)
    output = product(low, up, linear.bias)
    output.view(-1, output.shape[-1]).addmm_(_rows(x), linear.weight.t())
    return output


def _sum(output: Tensor, low: Tensor, up: Tensor) -> Tensor:
    """Returns ``output`` (…, D') plus ``low`` (…, r) times ``up`` as a new tensor."""
    if suits(low, up):
        return product(low, up).add_(output)
    return torch.addmm(_rows(output), _rows(low), up.t()).view(output.shape)


def _plus(output: Tensor, low: Tensor, up: Tensor) -> Tensor:
    """Adds ``low`` (…, r) times ``up``, in place, to what a linear layer has just given, (…, D')."""
    if not output.is_contiguous():
        return output + F.linear(low, up)
    output.view(-1, output.shape[-1]).addmm_(_rows(low), up.t())
    return output


class _Beside(torch.autograd.Function):
    """The linear layer and what is beside it as one operation; it keeps x, once, and A x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, factor: Factor
    ) -> Any:
        low, ctx.product = product(x, down), product_of_base()
        _keep(ctx, x, low, down, up, factor, weight)
        return _plus(ctx.product(x, weight, bias), low * factor, up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        gradient = gradient.contiguous()
        rows, found = _rows(gradient), _Gradients(ctx, gradient)
        d_x = None
        if ctx.needs_input_grad[0]:
            d_x = ctx.product(rows, found.weight.t(), None)
            d_x = d_x.addmm_(found.d_low, found.down).view(found.x.shape)
        return d_x, None, None, found.d_down, found.d_up, found.d_factor


class _Added(torch.autograd.Function):
    """An output and what is added to it as one operation; it keeps x, which the layer does not, and A x."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, x: Tensor, down: Tensor, up: Tensor, factor: Factor) -> Any:
        low = product(x, down)
        _keep(ctx, x, low, down, up, factor)
        return _sum(output, low * factor, up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        found = _Gradients(ctx, gradient.contiguous())
        d_x = (found.d_low @ found.down).view(found.x.shape) if ctx.needs_input_grad[1] else None
        return gradient, d_x, found.d_down, found.d_up, found.d_factor


def _keep(ctx: Any, x: Tensor, low: Tensor, down: Tensor, up: Tensor, factor: Factor, *weight: Tensor) -> None:
    ctx.number = None if isinstance(factor, Tensor) else factor
    ctx.save_for_backward(x, low, down, up, factor if ctx.number is None else None, *weight)


class _Gradients:
    """What both operations share of their backward pass; ``gradient`` is that of y, (…, D'), contiguous."""

    def __init__(self, ctx: Any, gradient: Tensor) -> None:
        self.x, low, self.down, up, kept, *weight = ctx.saved_tensors
        self.weight = weight[0] if weight else self.down
        factor: Any = ctx.number if kept is None else kept
        rows = _rows(gradient)
        # (…, r) of D' numbers each: as rows of B, which is small, this is several times as fast as g B
        d_scaled = product(rows, up.t().contiguous()).view(low.shape)
        self.d_low = _rows(d_scaled * factor)  # (rows, r)
        needed = dict(zip(("down", "up", "factor"), ctx.needs_input_grad[-3:], strict=True))
        # in this order of the factors, and not as gᵀ (A x)
        self.d_up = product(_rows(low * factor).t(), rows.t()).t() if needed["up"] else None
        self.d_down = product(self.d_low.t(), _rows(self.x).t()) if needed["down"] else None
        self.d_factor = (d_scaled * low).sum_to_size(factor.shape) if needed["factor"] and kept is not None else None
