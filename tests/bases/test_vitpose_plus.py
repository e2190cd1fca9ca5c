"""ViTPose++: named experts, routed by the base; methods attach as to ViTPose."""

import pytest
import torch
from pyramids import METHODS
from tiny import ARCH, SIZE, make_adapter, snapshot, tiny_pixels

from lvtune.adapters.factory import create_adapter
from lvtune.bases import as_base
from lvtune.bases.base_registry import find_loader, list_bases, load_base
from lvtune.bases.fingerprint import fingerprint
from lvtune.bases.vitpose import VitPoseBase, build_model, make_config
from lvtune.bases.vitpose_specs import ARCH as ARCH_OF
from lvtune.bases.vitpose_specs import EXPERTS, SPECS
from lvtune.core.errors import LvtuneError
from lvtune.export.foreign_models import convert_vitpose
from lvtune.language.bank import SentenceBank
from lvtune.patcher.attaching import attach

PIXELS = tiny_pixels()
NAMES = ("vitpose-plus-s", "vitpose-plus-b", "vitpose-plus-l", "vitpose-plus-h")


def plus_base(seed=0):
    config = make_config(ARCH, keypoints=17, input_size=SIZE, experts=6)
    model = build_model(config, (32, 24), 17, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            fan = value[0].numel() if value.dim() > 1 else 4
            value.copy_(torch.randn(value.shape, generator=generator) / fan**0.5)
    spec = SPECS["vitpose-plus-b"].with_(input_size=SIZE)
    return VitPoseBase(model.eval(), spec).freeze()


def test_the_names_and_sizes_are_the_published_ones():
    assert set(NAMES) <= set(list_bases())
    # configurations vitPose+_*_coco+aic+mpii+ap10k+apt36k+wholebody of ViTAE-Transformer/ViTPose
    for name, part, hub in zip(NAMES, (96, 192, 256, 320), ("small", "base", "large", "huge"), strict=True):
        spec = SPECS[name]
        config = make_config(spec.size, keypoints=17, input_size=spec.input_size, experts=6).backbone_config
        assert (config.num_experts, config.part_features) == (6, part)
        assert spec.hub_id == f"usyd-community/vitpose-plus-{hub}" and spec.expert == "coco"


def test_every_picture_goes_to_the_expert_of_the_spec():
    base = plus_base()
    assert base.experts == EXPERTS == ("coco", "aic", "mpii", "ap10k", "apt36k", "coco-wholebody")
    for index, name in enumerate(EXPERTS):
        variant = base.variant(name)
        expected = base.model(PIXELS, dataset_index=torch.full((4,), index)).heatmaps
        assert torch.equal(variant(PIXELS), expected)
        assert variant.model is base.model
        assert variant.name == ("vitpose-plus-b" if index == 0 else f"vitpose-plus-b/{name}")
        assert variant.spec.trained_on == ("coco" if index == 0 else "")
    assert not torch.allclose(base(PIXELS), base.variant("ap10k")(PIXELS))
    assert base.variant("ap10k").variant("coco").spec == base.spec


def test_variants_by_name():
    loader, variant = find_loader("vitpose-plus-s/mpii")
    assert loader is find_loader("vitpose-plus-s")[0] and variant == "mpii"
    with pytest.raises(LvtuneError, match=r"unknown expert 'ap-10k' of vitpose-plus-b.*did you mean 'ap10k'"):
        plus_base().variant("ap-10k")
    with pytest.raises(LvtuneError, match="vitpose-ti, which has no variants"):
        load_base("vitpose-ti/coco", "random")
    with pytest.raises(LvtuneError, match="unknown base 'vitpose-plus/coco'"):
        load_base("vitpose-plus/coco")


def test_a_plain_model_is_recognised():
    base = plus_base()
    view = as_base(base.model)
    assert view.spec.expert == "coco" and view.name == "vitpose-plus"
    assert torch.equal(view(PIXELS), base(PIXELS))


def test_a_copy_has_the_same_weights_and_no_hooks():
    base = plus_base()
    adapter = make_adapter("lora", base, stirred=0.1)
    state = torch.get_rng_state()
    with attach(base, adapter):
        copy = base.copy_model()
    assert torch.equal(torch.get_rng_state(), state)
    assert fingerprint(copy) == fingerprint(base)
    assert torch.equal(VitPoseBase(copy.eval(), base.spec)(PIXELS), base(PIXELS))


@pytest.mark.parametrize("method", METHODS)
def test_methods_attach_and_leave_all_as_it_was(method):
    base = plus_base()
    with torch.no_grad():
        plain = base(PIXELS)
    before = snapshot(base)
    adapter = make_adapter(method, base, stirred=0.1)
    with attach(base, adapter, name="art"), torch.no_grad():
        changed = base(PIXELS)
        mixed = base(PIXELS, adapters=["art", None, "art", None])
        assert not torch.allclose(changed, plain)
        torch.testing.assert_close(mixed[0::2], changed[0::2], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(mixed[1::2], plain[1::2], atol=1e-5, rtol=1e-4)
    assert snapshot(base) == before
    assert torch.equal(base(PIXELS), plain)


ORIGINAL = {
    "backbone.encoder.layer.": "backbone.blocks.",
    "backbone.embeddings.position_embeddings": "backbone.pos_embed",
    "backbone.embeddings.patch_embeddings.projection": "backbone.patch_embed.proj",
    "backbone.layernorm.": "backbone.last_norm.",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "attention.attention.query": "attn.qkv",
    "head.deconv1.": "keypoint_head.deconv_layers.0.",
    "head.batchnorm1.": "keypoint_head.deconv_layers.1.",
    "head.deconv2.": "keypoint_head.deconv_layers.3.",
    "head.batchnorm2.": "keypoint_head.deconv_layers.4.",
    "head.conv.": "keypoint_head.final_layer.",
}
"""Our names to those of ViTAE-Transformer/ViTPose."""


def original_state(base):
    state = base.model.state_dict()
    out = {"associate_keypoint_heads.0.final_layer.weight": torch.zeros(14, 24, 1, 1)}
    for name, value in state.items():
        if ".attention.key" in name or ".attention.value" in name:
            continue
        parts = [state[name.replace("query", part)] for part in ("query", "key", "value") if "query" in name]
        old = name
        for ours, theirs in ORIGINAL.items():
            old = old.replace(ours, theirs)
        out[old] = torch.cat(parts) if parts else value
    return out


def test_an_original_checkpoint_converts(monkeypatch):
    base = plus_base()
    monkeypatch.setitem(ARCH_OF, "x", ARCH)
    converted = convert_vitpose(original_state(base))
    assert converted.experts == EXPERTS and converted.spec.expert == "coco"
    for name in ("coco", "mpii"):
        torch.testing.assert_close(converted.variant(name)(PIXELS), base.variant(name)(PIXELS))


def test_deep_prompts_train_as_many_numbers_as_on_vitpose():
    # the specification's count for ViTPose-B: deep visual prompts of 20, token states of 768 numbers, no projection
    from transformers import VitPoseForPoseEstimation

    config = make_config("b", keypoints=17, input_size=(256, 192), experts=6)
    config.use_simple_decoder = False
    with torch.device("meta"):
        base = VitPoseBase(VitPoseForPoseEstimation(config), SPECS["vitpose-plus-b"])
    base.model.to_empty(device="cpu")
    bank = SentenceBank(("a",), ("b",), torch.zeros(1, 2, 768), torch.ones(1, 2, dtype=torch.bool), "test")
    adapter = create_adapter("vlpose", base, bank=bank, zero_init=False)
    assert sum(p.numel() for p in adapter.parameters()) == 6_747_921
