"""``timm:<name>``: any backbone with a feature map, or a clear error."""

import pytest
import timm
import torch
from pyramids import load, pixels, tiny
from tiny import make_adapter
from torch import nn

from lvtune.bases.base_registry import find_loader, list_bases, load_base
from lvtune.bases.timmpose import TimmPoseBase, load_any
from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach

PIXELS = pixels()


def test_the_family_is_listed_and_found_by_its_prefix():
    assert "timm:<name>" in list_bases()
    loader, variant = find_loader("timm:resnet18.a1_in1k")
    assert loader.func is load_any and loader.args == ("resnet18.a1_in1k",) and variant == ""
    with pytest.raises(LvtuneError, match="unknown timm model '<name>'"):
        load_base("timm:<name>")


@pytest.mark.parametrize(
    ("name", "width", "stages", "blocks", "mean"),
    [
        ("resnet18", 512, 3, 0, (0.485, 0.456, 0.406)),
        ("vit_tiny_patch16_224", 192, 2, 12, (0.5, 0.5, 0.5)),
        ("pvt_v2_b0", 256, 3, 8, (0.485, 0.456, 0.406)),
        ("mobilenetv3_small_100.lamb_in1k", 576, 3, 0, (0.485, 0.456, 0.406)),
    ],
)
def test_backbones_of_several_kinds(name, width, stages, blocks, mean):
    state = torch.get_rng_state()
    base = load_base(f"timm:{name}", "random")
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(base, TimmPoseBase) and base.name == f"timm:{name}"
    assert (base.width, len(base.stages), len(base.blocks), base.mean) == (width, stages, blocks, mean)
    with torch.no_grad():
        assert base(torch.zeros(1, 3, 256, 192)).shape == (1, 17, 64, 48)
    assert not any(p.requires_grad for p in base.model.parameters())


def test_wrong_names_are_told():
    with pytest.raises(LvtuneError, match=r"unknown timm model 'resnet1'.*did you mean 'resnet1"):
        load_base("timm:resnet1", "random")
    with pytest.raises(LvtuneError, match=r"feature map of 256x192 pictures is 18x13.*a stride of 8, 16, 32 or 64"):
        load_base("timm:vit_base_patch14_dinov2", "random")
    with pytest.raises(LvtuneError, match=r"resnet18.*network access"):
        load_base("timm:resnet18")


def test_the_feature_map_is_timms():
    base = tiny("resnet")
    reference = timm.create_model("resnet10t", num_classes=0).eval()
    reference.load_state_dict(base.encoder.backbone.state_dict())
    torch.testing.assert_close(base.encoder(PIXELS), reference.forward_features(PIXELS))
    base = tiny("vit")
    tokens = base.encoder.backbone.forward_features(PIXELS)[:, 1:]  # behind the class token
    torch.testing.assert_close(base.encoder(PIXELS), tokens.transpose(1, 2).unflatten(2, (4, 4)))


def test_deep_prompts_of_a_vit_are_tokens_dropped_behind_each_block():
    """The published function: tokens in front of every block, dropped behind it."""
    base = tiny("vit")
    adapter = make_adapter("vlpose", base, visual_prompts=3, zero_init=False, stirred=0.3)
    vit = base.encoder.backbone
    x = vit._pos_embed(vit.patch_embed(PIXELS))
    for layer, block in enumerate(vit.blocks):
        x = block(torch.cat([adapter.prompts[layer].expand(3, -1, -1), x], dim=1))[:, 3:]
    expected = vit.norm(x)[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    with attach(base, adapter):
        torch.testing.assert_close(base.encoder(PIXELS), expected, atol=1e-5, rtol=1e-4)


def test_shallow_prompts_of_a_vit_are_carried_through():
    base = tiny("vit")
    assert base.carries_tokens
    adapter = make_adapter("vlpose", base, visual_prompts=3, placement="shallow", stirred=0.3)
    vit = base.encoder.backbone
    x = torch.cat([adapter.prompts[0].expand(3, -1, -1), vit._pos_embed(vit.patch_embed(PIXELS))], dim=1)
    for block in vit.blocks:
        x = block(x)
    expected = vit.norm(x)[:, 4:].transpose(1, 2).unflatten(2, (4, 4))
    with attach(base, adapter):
        torch.testing.assert_close(base.encoder(PIXELS), expected, atol=1e-5, rtol=1e-4)


def test_layers_that_are_more_than_their_torch_class_are_left_alone():
    base = load("resnet")
    assert base.is_plain(nn.BatchNorm2d(2)) and base.is_plain(nn.LayerNorm(2)) and base.is_plain(nn.Conv2d(1, 1, 1))
    assert not base.is_plain(nn.LayerNorm(2, elementwise_affine=False))
    from timm.layers import BatchNormAct2d, LayerNorm, LayerNorm2d

    assert base.is_plain(LayerNorm(2))
    assert not base.is_plain(LayerNorm2d(2)) and not base.is_plain(BatchNormAct2d(2))
    for name in ("convnext_atto", "efficientnet_b0"):
        base = load_base(f"timm:{name}", "random")
        x = torch.zeros(1, 3, 256, 192)
        for method in ("norm", "bitfit"):
            with attach(base, make_adapter(method, base, stirred=0.1)), torch.no_grad():
                assert base(x).isfinite().all() and not torch.equal(base(x), base(x, adapters=None))
