"""A small adapter for the tests of this folder."""

import copy

import torch

CONFIG = {
    "method": "vlpose",
    "method_config": {"visual_prompts": 4},
    "base": {
        "name": "vitpose-ti",
        "hub_id": None,
        "revision": None,
        "fingerprint": {"float32": "0" * 64, "float16": "1" * 64, "bfloat16": "2" * 64},
        "input_size": [128, 96],
    },
    "skeleton": {"name": "lsp-14", "keypoints": ["neck"], "sigmas": [0.079], "links": []},
    "domain": "demo-art",
    "prompts": {"sketch": "a pencil sketch of a person", "cartoon": "a cartoon of a person"},
    "text_encoder": "minilm",
    "training": {"recipe": {"seed": 0}, "steps": 10},
    "metrics": None,
}


def adapter(value=1.0):
    """Tensors filled with ``value``, and a config that says so too."""
    config = copy.deepcopy(CONFIG)
    config["training"]["steps"] = int(10 * value)
    return {"a": torch.full((4,), value), "bank.tokens": torch.full((2, 3), value)}, config
