"""Cost of adapters as inputs of an ONNX model, compared with a merged model, in the same run, in turn.

    python benchmarks/onnx_adapters.py            # lora of rank 4 and 8, vlpose-light; vitpose-ti; one thread

Prints processor time for each picture in batches of 1 and 8, the largest difference between the two, and the file
sizes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.numpy import load_file

import lvtune

ADAPTERS = {
    "lora-4": ("lora", {"r": 4}),
    "lora-8": ("lora", {"r": 8}),
    "light": ("vlpose-light", {"domain": "demo-art"}),
}
TURNS, CALLS = 15, 8


def session_of(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def seconds(session: onnxruntime.InferenceSession, feeds: dict[str, np.ndarray]) -> float:
    begun = time.process_time()
    for _ in range(CALLS):
        session.run(None, feeds)
    return (time.process_time() - begun) / CALLS


def main() -> None:
    base = lvtune.load_base(sys.argv[1] if len(sys.argv) > 1 else "vitpose-ti")
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as room:
        for name, (method, options) in ADAPTERS.items():
            adapter = lvtune.create_adapter(method, base, **options)
            with torch.no_grad():
                for parameter in adapter.parameters():
                    parameter.add_(torch.randn_like(parameter), alpha=0.01)
            merged = lvtune.export_onnx(base, adapter, Path(room) / f"{name}.onnx")
            shared = lvtune.export_onnx_adapters(base, {name: adapter}, Path(room) / f"{name}-shared.onnx")
            tensors = load_file(shared.file.with_name(f"{shared.file.stem}.{name}.safetensors"))
            one, two = session_of(merged.file), session_of(shared.file)
            size = shared.bytes[f"{shared.file.stem}.{name}.safetensors"] / 1e6
            print(f"{name}: merged {merged.bytes / 1e6:.2f} MB; shared {shared.bytes[shared.file.name] / 1e6:.2f} MB, "
                  f"and {size:.2f} MB an adapter in {shared.inputs} inputs")  # fmt: skip
            for batch in (1, 8):
                pixels = np.random.default_rng(0).standard_normal((batch, 3, *base.input_size), dtype=np.float32)
                feeds = {"pixel_values": pixels}
                far = np.abs(one.run(None, feeds)[0] - two.run(None, {**feeds, **tensors})[0]).max()
                times = [(seconds(one, feeds), seconds(two, {**feeds, **tensors})) for _ in range(TURNS)]
                plain, beside = np.median(times, 0)
                ratio = np.median([b / a for a, b in times])
                print(f"  batch {batch}: merged {1e3 * plain / batch:.2f} ms a picture, as inputs "
                      f"{1e3 * beside / batch:.2f}: ratio {ratio:.2f}; difference {far:.1e}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
