"""One base, many adapters, each request with its own: loaded when first asked for, under a budget of memory.

The adapters are fresh ones made on the spot, so that it runs without network; in life they are folders and
``user/repo@revision`` on the Hub.

    python examples/many_adapters.py
"""

import tempfile

import torch

import lvtune

base = lvtune.load_base("vitpose-ti")
pixel_values = torch.randn(3, 3, *base.input_size)

with tempfile.TemporaryDirectory() as folder:
    sources = {}
    for seed in range(8):
        adapter = lvtune.create_adapter("lora", base, seed=seed)
        sources[f"domain-{seed}"] = lvtune.save_adapter(adapter, f"{folder}/{seed}")

    pool = lvtune.AdapterPool(base, sources, budget="1 MB")
    for step in range(8):
        names = [f"domain-{step}", None, f"domain-{(step + 1) % 8}"]  # one adapter, or none, per sample
        heatmaps = pool(pixel_values, adapters=names)
        print(f"{tuple(heatmaps.shape)}; loaded: {', '.join(pool.loaded)}; {pool.bytes / 1e3:.0f} kB")
    pool.close()
