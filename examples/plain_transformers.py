"""Attaches an adapter to a plain transformers VitPose: the model object stays, its answers change.

Random weights, so that it runs without network; with network use
``VitPoseForPoseEstimation.from_pretrained("usyd-community/vitpose-base")``.

    python examples/plain_transformers.py
"""

import torch
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

import lvtune

backbone = VitPoseBackboneConfig(hidden_size=192, num_hidden_layers=4, num_attention_heads=3)
model = VitPoseForPoseEstimation(VitPoseConfig(backbone_config=backbone, num_labels=17)).eval()
model.requires_grad_(False)

pixel_values = torch.randn(2, 3, 256, 192)
before, original = lvtune.fingerprint(model), model(pixel_values).heatmaps

adapter = lvtune.create_adapter("lora", model, r=4)
attachment = lvtune.attach(model, adapter, name="mine")

# a step of your own: only the adapter learns
optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-3)
target = torch.zeros_like(original)
loss = (model(pixel_values).heatmaps - target).square().mean()
loss.backward()
optimizer.step()

adapted = model(pixel_values).heatmaps
print(f"{sum(p.numel() for p in adapter.parameters()):,} trainable parameters")
print(f"attached: heatmaps {tuple(adapted.shape)}, moved by up to {(adapted - original).abs().max():.4f}")

attachment.detach()
print(f"detached: the answer is the original one: {torch.equal(model(pixel_values).heatmaps, original)}")
print(f"the model is as it was: {lvtune.fingerprint(model) == before}")
