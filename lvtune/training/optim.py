"""AdamW or Adam with the field's usual groups, and the learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lvtune.core.errors import UsageError

if TYPE_CHECKING:
    from lvtune.config.options import TrainOptions


def param_groups(
    module: nn.Module, weight_decay: float, scale: Callable[[str], float] = lambda name: 1.0
) -> list[dict]:
    """Trainable parameters in groups of one decay and one learning-rate scale.

    Vectors (biases, norms, gates) and embeddings (positions, visual prompts) are not decayed, as in ViTPose's recipe.

    Args:
        module: its parameters with ``requires_grad`` are taken; an adapter says by ``undecayed`` which of them are
            embeddings.
        weight_decay: for the others.
        scale: name of a parameter to the factor on its learning rate (``lr_scale`` in the group).
    """
    embeddings = {id(parameter) for parameter in getattr(module, "undecayed", tuple)()}
    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        is_plain = parameter.dim() <= 1 or id(parameter) in embeddings
        key = (0.0 if is_plain else weight_decay, float(scale(name)))
        group = groups.setdefault(key, {"params": [], "weight_decay": key[0], "lr_scale": key[1]})
        group["params"].append(parameter)
    return list(groups.values())


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
"""Name to class; the states of both are saved in the same way."""


def make_optimizer(groups: list[dict], lr: float, name: str = "adamw") -> torch.optim.Optimizer:
    """Makes one of ``OPTIMIZERS`` with betas (0.9, 0.999) for the groups of :func:`param_groups`.

    All its tensors are updated in one operation where torch has it: adapters have hundreds of small ones.
    """
    parameters = [one for group in groups for one in group["params"]]
    fused = all(one.device.type in ("cpu", "cuda") and one.is_floating_point() for one in parameters)
    return OPTIMIZERS[name](groups, lr=lr, betas=(0.9, 0.999), fused=fused)


MIN_WARMUP = 20
"""Steps of warm-up at the least: Adam's first steps have the full size whatever the gradient, and a run of a few
steps at the peak rate would leave a wreck."""


def lr_factor(step: int, total: int, warmup: float, schedule: str, warmup_steps: int | None = None) -> float:
    """Factor on the learning rate at ``step`` of ``total``.

    Args:
        step: from 0.
        total: number of steps.
        warmup: share of the steps in which it rises linearly from 0.001.
        schedule: ``cosine`` falls to 1 % of the peak; ``step`` is the published one, a tenth at 170/210 and a
            hundredth at 200/210 of the way; ``constant`` stays.
        warmup_steps: number of steps in which it rises, in place of ``warmup``.
    """
    rising = warmup_steps if warmup_steps is not None else max(round(warmup * total), MIN_WARMUP if warmup else 0)
    if step < rising:
        return 0.001 + (1 - 0.001) * step / rising
    return SCHEDULES[schedule](step / max(1, total), (step - rising) / max(1, total - rising))


SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "cosine": lambda whole, done: 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))),
    "step": lambda whole, done: 0.1 ** ((whole >= 170 / 210) + (whole >= 200 / 210)),
    "constant": lambda whole, done: 1.0,
}
"""Name to (share of all steps, share of the steps behind the warm-up) -> factor."""


def lr_scales(adapter: Any, options: TrainOptions) -> Callable[[str], float]:
    """Returns a function from a parameter's name to the factor on its learning rate.

    The predictor has its own rate where the options name one; for the rest the adapter says the factor.
    """
    if options.predictor_lr is None or options.lr is None:
        return lambda name: adapter.lr_scale(name, options)
    predictor, factor = adapter.predictor_names(), options.predictor_lr / options.lr
    return lambda name: factor if name in predictor else adapter.lr_scale(name, options)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets each group to ``lr`` times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


MOST_STEPS = 1_000_000
"""Number of steps of a run with a time budget, until its first steps have been timed."""


def number_of_steps(options: TrainOptions, per_epoch: int) -> int:
    """Returns the number of steps of a run with ``per_epoch`` steps in an epoch; the options are resolved."""
    if options.minutes is not None:
        return MOST_STEPS  # until the first steps were timed
    if options.steps is not None:
        return options.steps
    least = options.min_steps or 0
    if options.max_epochs is not None:
        least = min(least, options.max_epochs * per_epoch)
    return max(1, round(max((options.epochs or 0.0) * per_epoch, least)))


def peak_lr(options: TrainOptions, per_epoch: int) -> float:
    """Returns the peak learning rate: lower where few pictures are passed over more often than ``epochs`` says."""
    if options.lr is None:
        raise UsageError("a tuning without a learning rate", "resolved options", "give --lr, or use Recipe.resolved")
    if not options.gentle or options.steps is not None or options.minutes is not None:
        return options.lr
    return gentle_lr(options, per_epoch, number_of_steps(options, per_epoch))


def gentle_lr(options: TrainOptions, per_epoch: int, steps: int) -> float:
    """Lowers the rate by the square root of how many more passes ``steps`` are than ``epochs``.

    Measured on lsp-art (benchmarks/README.md): at the rate that is best for many pictures, a few pictures that come
    again and again are overfitted.
    """
    return (options.lr or 0.0) * min(1.0, ((options.epochs or 0.0) * per_epoch / max(1, steps)) ** 0.5)
