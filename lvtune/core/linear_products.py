"""Products of linear layers by oneDNN, where torch's own library for them is slow on the processor.

On x86, torch multiplies float32 matrices by Intel's MKL. On AMD's processors MKL does not use AVX-512, so a product
takes about twice the time that it takes in oneDNN, which torch brings as well (benchmarks/README.md). Such products
go to oneDNN here, by the operation that ``torch.compile`` uses for linear layers. Both libraries compute in float32;
they sum in another order, so results differ by rounding. On other processors, and for what does not suit, nothing
changes.

:func:`product` and :func:`linear` compute one layer; adapters use them for what is theirs. Inside
:func:`faster_linears` every ``F.linear`` goes this way, whatever the model and the method: the tuning loop uses it in
its steps. Outside of them a base's answers are torch's own, to the last bit.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from lvtune.core.machine import processor_vendor
from lvtune.core.private_api import onednn_linear

LEAST_WORK = 1 << 23
"""Multiplications below which a product is torch's own: the call of oneDNN takes longer there."""
_wanted: ContextVar[bool | None] = ContextVar("lvtune_faster_linears", default=None)
"""True and False inside of a block of :func:`faster_linears`; None: adapters decide for what is theirs."""


@functools.cache
def is_faster() -> bool:
    """Returns True if oneDNN multiplies float32 matrices faster than torch by itself on this machine.

    It is a rule, not a measurement: the same machine always gives the same results.
    """
    return (
        processor_vendor() == "AuthenticAMD"
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and onednn_linear() is not None
    )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns x Wᵀ + b, (…, D) -> (…, D'), without gradients.

    Args:
        x: (…, D).
        weight: W (D', D), of any strides.
        bias: b (D',).
    """
    compute: Any = onednn_linear() if suits(x, weight, bias) else None
    return F.linear(x, weight, bias) if compute is None else compute(x, weight, bias, "none", [], "")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns the same with gradients; the arguments are those of ``torch.nn.functional.linear``."""
    if not suits(x, weight, bias):
        return F.linear(x, weight, bias)
    given = (x, weight) if bias is None else (x, weight, bias)
    if not torch.is_grad_enabled() or not any(value.requires_grad for value in given):
        return product(x, weight, bias)
    return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return]


@contextlib.contextmanager
def faster_linears(wanted: bool = True) -> Iterator[None]:
    """Inside the block, every linear layer that this thread runs goes by :func:`linear`; none if not ``wanted``.

    A layer that a backward pass runs again (activation checkpointing) needs a block of its own there.
    """
    token = _wanted.set(wanted)
    try:
        with _Mode() if wanted and is_faster() else contextlib.nullcontext():
            yield
    finally:
        _wanted.reset(token)


def product_of_base() -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """Returns what multiplies with a base's own weights now: :func:`product` inside of a block, else torch's own."""
    return product if _wanted.get() else F.linear


def recomputation_contexts() -> tuple[Any, Any]:
    """For ``torch.utils.checkpoint``: what is run again goes the way that it went at first."""
    wanted = _wanted.get()
    return contextlib.nullcontext(), contextlib.nullcontext() if wanted is None else faster_linears(wanted)


def suits(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Returns True for ordinary float32 tensors on a CPU that are large enough, of which nothing is traced."""
    jit: Any = torch.jit
    if torch.compiler.is_compiling() or jit.is_tracing() or torch.is_autocast_enabled("cpu"):
        return False
    if not is_faster() or _wanted.get() is False:
        return False
    if x.dim() < 2 or weight.dim() != 2 or x.numel() * weight.shape[0] < LEAST_WORK:
        return False
    return all(
        type(one) in (Tensor, nn.Parameter)
        and one.dtype == torch.float32
        and one.device.type == "cpu"
        and one.layout == torch.strided
        for one in ((x, weight) if bias is None else (x, weight, bias))
    )


class _Linear(torch.autograd.Function):
    """A linear layer; it keeps what the gradients that are wanted need."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        wants_x, wants_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(x if wants_weight else None, weight if wants_x else None)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (x, weight), wanted = ctx.saved_tensors, ctx.needs_input_grad
        rows = gradient.reshape(-1, gradient.shape[-1])
        d_weight = product(rows.t(), x.reshape(-1, x.shape[-1]).t()) if wanted[1] else None
        return (
            product(gradient, weight.t()) if wanted[0] else None,
            d_weight,
            rows.sum(0) if len(wanted) > 2 and wanted[2] else None,
        )


class _Mode(TorchFunctionMode):
    """Puts :func:`linear` in the place of torch's."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (linear if func is F.linear else func)(*args, **(kwargs or {}))
