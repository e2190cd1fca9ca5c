"""Pictures a second on a GPU, the share of its matrix products' ceiling, bfloat16, `torch.compile`; steps and memory.

    python benchmarks/gpu.py --base vitpose-b --batch 64

Random weights of the base's shape and random pictures that lie on the GPU already, so no reading of pictures is timed.
The ceiling is an 8192 x 8192 x 8192 bfloat16 product on the same card in the same run. ``bf16`` calls run under
autocast, as `lvtune adapt` does; ``half base`` is a base in bfloat16 under an adapter in float32. Each figure is the
median of single calls that are timed by events of the device, after some to warm up; the rows are timed in turns.
Peers are the plain model, full fine-tuning, and peft's LoRA on the plain transformers model. ``--parts calls,steps``
leaves out what `torch.compile` gives, which takes minutes to compile. ``--device cpu`` runs all of it with few repeats,
to check the script.
"""

from __future__ import annotations

import argparse
import contextlib
import contextvars
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from step_cost import LINEAR, METHODS, attached, heatmaps_of, model_of, peft_model, trained
from torch.utils.flop_counter import FlopCounterMode

import lvtune
from lvtune.core.autocast_weights import kept_casts
from lvtune.training.recomputed_activations import recomputed_activations

Call = Callable[[], Any]
DEFAULT = "vlpose-light (default)"


class Clock:
    """Times calls on one device."""

    def __init__(self, device: str, repeats: int) -> None:
        self.is_gpu, self.repeats = device.startswith("cuda"), repeats

    def once(self, call: Call) -> float:
        """Seconds of one call."""
        if not self.is_gpu:
            begun = time.perf_counter()
            call()
            return time.perf_counter() - begun
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1000

    def medians(self, calls: dict[Any, Call]) -> dict[Any, float]:
        """Median seconds of each call, in turns, after three to warm up."""
        for call in calls.values():
            for _ in range(3 if self.is_gpu else 1):
                call()
        found: dict[Any, list[float]] = {name: [] for name in calls}
        for _ in range(self.repeats):
            for name, call in calls.items():
                found[name].append(self.once(call))
        return {name: statistics.median(times) for name, times in found.items()}


def ceiling(clock: Clock, device: str, side: int) -> float:
    """Operations a second of a square bfloat16 product."""
    one, other = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / clock.medians({"product": lambda: one @ other})["product"]


def operations(base: Any, pixels: torch.Tensor) -> float:
    """Operations of one plain call for one picture."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        base(pixels[:1])
    return float(counter.get_total_flops())


def without_gradients(call: Call, bf16: bool, device: str) -> Call:
    """A call as `predict` makes it."""

    def run() -> Any:
        with torch.no_grad(), torch.autocast(device.split(":", maxsplit=1)[0], torch.bfloat16, enabled=bf16):
            return call()

    return run


def step_of(call: Call, parameters: list[Any], device: str, own: bool) -> Call:
    """A tuning step in bfloat16 by autocast; ``own``: as `lvtune adapt` takes it."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=device != "cpu")

    with kept_casts():  # from step to step, as the loop does
        context = contextvars.copy_context()

    def run() -> None:
        context.run(step)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with (
            recomputed_activations() if own else contextlib.nullcontext(),
            torch.autocast(device.split(":", maxsplit=1)[0], torch.bfloat16),
        ):
            loss = call().float().square().mean()
        loss.backward()
        optimizer.step()

    return run


def adapters(name: str, pixels: torch.Tensor) -> dict[str, tuple[Call, Any]]:
    """A call and what is tuned, for each method and for peft."""
    found: dict[str, tuple[Call, Any]] = {}
    for method, (kind, given) in METHODS.items():
        made = partial(lvtune.create_adapter, kind, **given)
        call, adapter = attached(name, lambda base, made=made: made(base=base).to(pixels.device), pixels, pixels.device)
        found[method] = call, adapter
    for title, r, targets in (("peft lora r8", 8, ["query", "value"]), ("peft lora r4 (all linear)", 4, list(LINEAR))):
        model = (
            peft_model(name, r, ["dense" if target == "out" else target for target in targets])
            .to(pixels.device)
            .train()
        )
        found[title] = partial(heatmaps_of, model, pixels), model
    return found


def peak_of(call: Call) -> float:
    """Most memory of the GPU in a call above what is held before it, in MB; 0 on another device."""
    if not torch.cuda.is_available():
        call()
        return 0.0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def print_calls(options: argparse.Namespace, clock: Clock, pixels: torch.Tensor, made: dict[str, Any]) -> None:
    """Pictures a second of calls."""
    device = options.device
    plain = model_of(options.base).to(device)
    most, each = ceiling(clock, device, options.side), operations(plain, pixels)
    print(f"ceiling {most / 1e12:.0f} TFLOP/s (bfloat16); a plain call {each / 1e9:.1f} GFLOP a picture", flush=True)
    for module in [tuned for _, tuned in made.values()]:
        module.eval()
    half = model_of(options.base).to(torch.bfloat16).to(device)
    over_half = model_of(options.base).to(torch.bfloat16).to(device)
    lvtune.attach(over_half, lvtune.create_adapter("vlpose-light", over_half, domain="demo-art").to(device).eval())
    everything = {"plain": lambda: plain(pixels)} | {name: call for name, (call, _) in made.items()}
    rows: dict[tuple[str, str], Call] = {}
    for kind in ("float32", "bf16"):
        rows |= {(name, kind): without_gradients(call, kind == "bf16", device) for name, call in everything.items()}
    rows["plain", "half base"] = without_gradients(lambda: half(pixels), False, device)
    rows[DEFAULT, "half base"] = without_gradients(lambda: over_half(pixels), False, device)
    print("| a call | kind | pictures a second | time to plain of its kind | of the ceiling |\n|---|---|---|---|---|")
    found = clock.medians(rows)
    for (name, kind), took in found.items():
        share = each * len(pixels) / took / most
        pace = f"{len(pixels) / took:.0f} | {took / found['plain', kind]:.3f}"
        print(f"| {name} | {kind} | {pace} | {share:.1%} |", flush=True)


def print_compiled(options: argparse.Namespace, clock: Clock, pixels: torch.Tensor, made: dict[str, Any]) -> None:
    """Calls and steps, compiled and not; ``reduce-overhead``: replayed as CUDA graphs."""
    print("| bf16 | kind | pictures a second | time to that as it is | to compile, s |\n|---|---|---|---|---|")
    for name, what, mode in (
        (DEFAULT, "step", "default"),
        (DEFAULT, "call", "default"),
        ("plain", "call", "default"),
        (DEFAULT, "call", "reduce-overhead"),
        (DEFAULT, "step", "reduce-overhead"),
    ):
        base = model_of(options.base).to(options.device)
        tuned = base.model
        if name == DEFAULT:
            tuned = lvtune.create_adapter("vlpose-light", base, domain="demo-art").to(options.device)
            lvtune.attach(base, tuned)
        tuned.train(what == "step")
        rows: dict[str, Call] = {}
        for kind, whole in (("as it is", base), ("compiled", torch.compile(base, mode=mode))):
            call = partial(whole, pixels)
            if what == "call":
                rows[kind] = without_gradients(call, True, options.device)
            else:
                # both keep what GELU gives, so that only the compiler differs
                rows[kind] = step_of(call, trained(tuned), options.device, False)
        begun = time.perf_counter()
        rows["compiled"]()
        compiling = time.perf_counter() - begun
        found = clock.medians(rows)
        took = found["compiled"]
        pace = f"{len(pixels) / took:.0f} | {took / found['as it is']:.3f} | {compiling:.0f}"
        print(f"| {name}, a {what} | compiled, {mode} | {pace} |", flush=True)


def print_steps(options: argparse.Namespace, clock: Clock, pixels: torch.Tensor, made: dict[str, Any]) -> None:
    """Pictures a second and memory of tuning steps."""
    whole = model_of(options.base).model.to(options.device).train().requires_grad_(True)
    rows = {"full": step_of(partial(heatmaps_of, whole, pixels), trained(whole), options.device, False)}
    for name, (call, tuned) in made.items():
        tuned.train()
        rows[name] = step_of(call, trained(tuned), options.device, name in METHODS)
    found = clock.medians(rows)
    print("| a step, bf16 | pictures a second | time to full | memory above weights, MB | to full |")
    print("|---|---|---|---|---|")
    peaks = {name: peak_of(call) for name, call in rows.items()}
    for name, took in found.items():
        more = peaks[name] / peaks["full"] if peaks["full"] else 0.0
        print(f"| {name} | {len(pixels) / took:.0f} | {took / found['full']:.2f} | {peaks[name]:.0f} | {more:.2f} |")


PARTS = {"steps": print_steps, "calls": print_calls, "compiled": print_compiled}


def main() -> None:
    """Times all and prints the tables."""
    parser = argparse.ArgumentParser(description="Times calls and steps on a GPU.")
    parser.add_argument("--base", default="vitpose-b")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, default=8192, help="of the product whose speed is the ceiling")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of them, by commas")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"--parts {','.join(unknown)}; expected some of {','.join(PARTS)}")
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else "processor"
    print(f"{name}, torch {torch.__version__}, {options.base}, batch {options.batch}", flush=True)
    base = model_of(options.base)
    pixels = torch.randn(options.batch, 3, *base.input_size, generator=torch.Generator().manual_seed(0))
    pixels = pixels.to(options.device)
    clock, made = Clock(options.device, options.repeats), adapters(options.base, pixels)
    for part in parts:
        PARTS[part](options, clock, pixels, made)


if __name__ == "__main__":
    main()
