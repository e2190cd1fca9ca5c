"""``ssf``: an exact affine map behind each layer, which could be merged into the weights."""

import pytest
import torch
from tiny import make_adapter, tiny_base, tiny_model, tiny_pixels

from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.patcher.attaching import attach

PIXELS = tiny_pixels(2)


def test_each_layer_is_scaled_and_shifted():
    base = tiny_base()
    adapter = make_adapter("ssf", base, stirred=0.1)
    block, x = base.blocks[1], torch.randn(2, 12, 48)
    plain = {part: getattr(block, part)(x) for part in ("norm", "query", "key", "value", "out", "norm2", "fc1")}
    with attach(base, adapter):
        for part, y in plain.items():
            name = next(n for n, m in base.model.named_modules() if m is getattr(block, part))
            affine = adapter.affines[name.replace(".", "/")]
            expected = y * (1 + affine.scale) + affine.shift
            torch.testing.assert_close(getattr(block, part)(x), expected, atol=1e-6, rtol=1e-6)


def test_the_answer_is_that_of_a_model_with_merged_weights():
    base, merged = tiny_base(), tiny_model()
    adapter = make_adapter("ssf", base, predictor=False, stirred=0.1)
    for key, affine in adapter.affines.items():
        module = merged.get_submodule(key.replace("/", "."))
        with torch.no_grad():
            scale = 1 + affine.scale
            module.weight.mul_(scale[:, None] if module.weight.dim() == 2 else scale)
            module.bias.mul_(scale).add_(affine.shift)
    with attach(base, adapter):
        found = base(PIXELS)
    torch.testing.assert_close(found, merged(PIXELS).heatmaps, atol=1e-5, rtol=0)
    assert (found - base(PIXELS)).abs().max() > 0.02


def test_it_attaches_to_every_layer_of_the_blocks_and_the_last_norm():
    base = tiny_base()
    adapter = make_adapter("ssf", base, predictor=False)
    assert len(adapter.affines) == 3 * 8 + 1
    # norms, query, key, value, out, fc2: 7 of width 48; fc1: 96; scale and shift of each
    assert sum(p.numel() for p in adapter.parameters()) == 2 * (3 * (7 * 48 + 96) + 48)
    assert not any("embeddings" in key or "head" in key for key in adapter.affines)


def test_other_key_points_need_the_predictor():
    with pytest.raises(LvtuneError, match="predictor"):
        make_adapter("ssf", tiny_base(), predictor=False, skeleton=LSP_14)
