"""Tunes an adapter for a new look, switches it on and off, and leaves the base as it was.

python examples/adapt_from_python.py [OUT]
"""

import sys

import torch

import lvtune

out = sys.argv[1] if len(sys.argv) > 1 else "lvtune-out/example"
recipe = lvtune.Recipe.from_dict(
    {
        "base": "vitpose-ti",
        "domain": "demo-art",
        "method": "vlpose",
        "method_options": {"visual_prompts": 20},
        "train": {"epochs": 2},
        "out": out,
    }
)
report = lvtune.adapt(recipe, say=print)
target = report.to_dict()["target"]
print(f"PCK@0.2: {target['before']['pck@0.2']:.1f} before, {target['after_on']['pck@0.2']:.1f} after")

base = lvtune.load_base("vitpose-ti")
before = lvtune.fingerprint(base)
pixel_values = torch.randn(1, 3, *base.input_size)
plain = base(pixel_values)

attachment = lvtune.attach(base, lvtune.load_adapter(out, base), name="art")
adapted = base(pixel_values)
with lvtune.use_adapter(base, None):  # the adapter stays, and is not asked
    off = base(pixel_values)
attachment.detach()

print(f"the adapter moves the heatmaps by up to {(adapted - plain).abs().max():.3f}")
print(f"switched off, the answer is the base's own: {torch.equal(off, plain)}")
print(f"taken off, the base is as it was: {lvtune.fingerprint(base) == before}")
