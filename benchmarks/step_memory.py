"""Peak memory of a tuning step, as a ratio to full fine-tuning; with and without activation checkpointing.

    python benchmarks/step_memory.py --base vitpose-b --batch 8 --threads 1

Each row is its own process. It runs two steps of AdamW (the second has the moments) and measures peak resident memory
above that after importing all libraries. `full fine-tuning` is the plain model with every weight trained, without
lvtune. Weights and pictures are random; memory does not depend on them. lvtune's rows give freed memory back to the
system at once, as runs with large bases do (lvtune/core/freed_memory.py); the second row does so with the plain model.
`estimate` is what `train.accumulate auto` computes for the activations of the step, divided by the peak above weights,
gradients and moments.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

ROWS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "full fine-tuning": ("plain", {}, False),
    "full fine-tuning, freed memory back": ("plain", {"returned": True}, False),
    "full fine-tuning, checkpointing": ("plain", {}, True),
    "vlpose-light (default)": ("vlpose-light", {"domain": "demo-art"}, False),
    "vlpose-light, checkpointing": ("vlpose-light", {"domain": "demo-art"}, True),
    "vlpose": ("vlpose", {"domain": "demo-art"}, False),
    "vlpose, checkpointing": ("vlpose", {"domain": "demo-art"}, True),
    "lora r8 (q, v)": ("lora", {"r": 8}, False),
    "lora r8, checkpointing": ("lora", {"r": 8}, True),
    "head": ("head", {}, False),
}


def measure(base_name: str, batch: int, threads: int, method: str, given: dict[str, Any], again: bool) -> dict:
    """Peak of two steps in this process, in MB above the imports."""
    import contextlib

    import torch

    import lvtune
    from lvtune.api.memory import peak_memory_mb, reset_peak_memory, resident_memory_mb
    from lvtune.core.freed_memory import returning_memory
    from lvtune.training.accumulation import MemoryProbe
    from lvtune.training.recomputed_activations import recomputed_activations
    from lvtune.training.recomputed_blocks import recomputed_blocks

    torch.set_num_threads(threads)

    def made(name: str) -> tuple[Any, Any, Any]:
        base = lvtune.load_base(name, "random")
        if method == "plain":
            return base, base.model.train().requires_grad_(True), object()
        adapter = lvtune.create_adapter(method, base, **given)
        lvtune.attach(base, adapter)
        return base.train(), adapter, adapter

    small, _, _ = made("vitpose-ti")  # what is imported late, and the libraries' threads
    small(torch.randn(1, 3, *small.input_size)).sum().backward()
    del small
    imported = resident_memory_mb()
    base, trained, adapter = made(base_name)
    pixels = torch.randn(batch, 3, *base.input_size)
    parameters = [value for value in trained.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    loss_of = lambda one: base(one["pixel_values"]).square().mean()  # noqa: E731
    with contextlib.ExitStack() as stack:
        if again:
            stack.enter_context(recomputed_blocks(base, adapter))
        if method != "plain":  # as `lvtune adapt` does
            stack.enter_context(recomputed_activations())
        if method != "plain" or given:
            stack.enter_context(returning_memory())
        reset_peak_memory()
        for _ in range(2):
            optimizer.zero_grad(set_to_none=True)
            loss_of({"pixel_values": pixels}).backward()
            optimizer.step()
        peak = peak_memory_mb() - imported
        estimate = MemoryProbe(trained, loss_of, torch.device("cpu")).measure([{"pixel_values": pixels}])[0] / 1e6
    held = sum(value.nbytes for value in {*base.model.parameters(), *parameters}) + 12 * sum(
        p.numel() for p in parameters
    )
    return {"peak": peak, "estimate": estimate / max(1.0, peak - held / 1e6)}


def main() -> None:
    """Prints the peak of each row, and its ratio to full fine-tuning."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="vitpose-b")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--row", help="measure this row in this process, and print JSON")
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measure(options.base, options.batch, options.threads, *ROWS[options.row])))
        return
    print(f"{options.base}, batch {options.batch}: peak of a step above imports")
    own = [sys.executable, __file__, "--base", options.base, "--batch", str(options.batch)]
    whole = None
    for name in ROWS:
        command = [*own, "--threads", str(options.threads), "--row", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        whole = found["peak"] if whole is None else whole
        print(f"  {name:38}{found['peak']:8,.0f} MB  {found['peak'] / whole:.2f} x full   "
              f"estimate {found['estimate']:.2f} x", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
