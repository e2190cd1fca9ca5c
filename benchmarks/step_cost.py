"""Cost of a tuning step and of a call, compared with peft's LoRA and full fine-tuning in the same run.

    python benchmarks/step_cost.py --base vitpose-b --batch 8 --threads 1 --repeats 5

Random weights of the base's shape, float32. Everything is timed in turns in one process, so only the ratios count: each
is the median over the turns of the ratio of two times of one turn. With one thread it is processor time, which other
programs disturb less; with more it is time on the clock. A step is forward, loss, backward and optimiser. Our steps are
those of `lvtune adapt`; rows with ``torch's products`` are those of `lvtune adapt --train.products torch`; they are
shown where oneDNN is faster than torch's own library (lvtune/core/linear_products.py). ``peft`` rows are plain
peft on the plain transformers model, and full fine-tuning is that model with all weights trained. ``routing`` is the
cost of attaching for a call: a batch under an adapter that changes one layer by a zero bias, compared with the plain
model. The last lines compare a call of the default method and of peft with a plain call; there linear layers of the
base are torch's own.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

import lvtune
from lvtune.core.linear_products import faster_linears, is_faster
from lvtune.training.recomputed_activations import recomputed_activations

LINEAR = ("query", "key", "value", "out", "fc1", "fc2")
PEFT_LINEAR = ["query", "key", "value", "dense", "fc1", "fc2"]
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "vlpose-light (default)": ("vlpose-light", {"domain": "demo-art"}),
    "vlpose": ("vlpose", {"domain": "demo-art"}),
    "lora r8 (query, value)": ("lora", {"r": 8, "predictor": False}),
    "lora r4 (all linear)": ("lora", {"r": 4, "targets": LINEAR, "predictor": False}),
}
PEERS = ("full", "peft lora r8 (query, value)", "peft lora r4 (all linear)")


class OneBias(lvtune.Adapter):
    """Adds a zero bias to one layer: the least that an adapter can do."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(base.width))

    def changes(self, base: Any) -> Iterator[Any]:
        """One addition."""
        yield lvtune.AddToOutput(base.final_norm, lambda x: self.bias)


@functools.cache
def first_of(name: str) -> Any:
    """The base that holds the random weights."""
    return lvtune.load_base(name, weights="random")


def model_of(name: str) -> Any:
    """A base with random weights; all of a name share them, so that only what is done with them differs."""
    base = lvtune.load_base(name, weights="random")
    for own, first in zip(base.model.parameters(), first_of(name).model.parameters(), strict=True):
        own.data = first.data
    return base


def peft_model(name: str, r: int, targets: list[str]) -> nn.Module:
    """Plain peft on a plain transformers model."""
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = LoraConfig(r=r, lora_alpha=16, target_modules=targets)
        return get_peft_model(model_of(name).model, config)


def heatmaps_of(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """A call of a plain transformers model."""
    return model(pixels).heatmaps


def stepper(
    call: Callable[[], torch.Tensor], parameters: list[nn.Parameter], fused: bool | None = None
) -> Callable[[], None]:
    """A tuning step of plain torch; ``fused``: of the optimiser, by default torch's own choice."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=fused)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        call().square().mean().backward()
        optimizer.step()

    return step


def own(call: Callable[[], torch.Tensor], parameters: list[nn.Parameter], faster: bool) -> Callable[[], None]:
    """A step as `lvtune adapt` takes it: without the results of GELU and LayerNorm, with its products and optimiser."""
    step = stepper(call, parameters, fused=True)

    def run() -> None:
        with recomputed_activations(), faster_linears(faster):
            step()

    return run


def attached(
    name: str, adapter_of: Callable[[Any], nn.Module], pixels: torch.Tensor, device: Any = "cpu"
) -> tuple[Callable, nn.Module]:
    """A call of a base under an adapter of its own."""
    base = model_of(name).to(device)
    adapter = adapter_of(base)
    lvtune.attach(base, adapter)
    base.train()
    return lambda: base(pixels), adapter


def ratios(calls: dict[str, Callable[[], Any]], repeats: int) -> Callable[[str, str], float]:
    """Times each call in turns, after one to warm up; returns the median ratio of two of them."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if turn:
                found[name].append(clock() - start)
    return lambda one, other: statistics.median(a / b for a, b in zip(found[one], found[other], strict=True))


def trained(module: nn.Module) -> list[nn.Parameter]:
    """The parameters with a gradient."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def main() -> None:
    """Times all and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="vitpose-b")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    plain = model_of(options.base)
    pixels = torch.randn(options.batch, 3, *plain.input_size, generator=torch.Generator().manual_seed(0))
    steps, calls, tuned = {}, {"plain": lambda: plain(pixels)}, []
    whole = model_of(options.base).model.train().requires_grad_(True)
    steps["full"] = stepper(partial(heatmaps_of, whole, pixels), trained(whole))
    for name, r, targets in ((PEERS[1], 8, ["query", "value"]), (PEERS[2], 4, PEFT_LINEAR)):
        model = peft_model(options.base, r, targets).train()
        call = partial(heatmaps_of, model, pixels)
        steps[name], calls[name] = stepper(call, trained(model)), call
        tuned.append(model)
    for name, (method, given) in METHODS.items():
        call, adapter = attached(
            options.base, lambda base, method=method, given=given: lvtune.create_adapter(method, base, **given), pixels
        )
        steps[name] = own(call, trained(adapter), True)
        if is_faster():
            steps[f"{name}, torch's products"] = own(call, trained(adapter), False)
        calls[name] = call
        tuned.append(adapter)
    calls["routing (one zero bias)"], _ = attached(options.base, OneBias, pixels)
    print(f"{options.base}, batch {options.batch}, {options.threads} threads, oneDNN faster here: {is_faster()}")
    print("a tuning step", flush=True)
    ratio = ratios(steps, options.repeats)
    for name in (name for name in steps if name not in PEERS):
        print(f"  {name:42}" + "  ".join(f"{ratio(name, peer):.2f} x {peer}" for peer in PEERS), flush=True)
    print("a call")
    for module in tuned:
        module.eval()
    with torch.no_grad():
        ratio = ratios(calls, options.repeats)
    for name in calls:
        print(f"  {name:42}{ratio(name, 'plain'):.3f} x plain", flush=True)
    for name, peer in (("lora r8 (query, value)", PEERS[1]), ("lora r4 (all linear)", PEERS[2])):
        print(f"  {name:42}{ratio(name, peer):.3f} x {peer}", flush=True)


if __name__ == "__main__":
    main()
