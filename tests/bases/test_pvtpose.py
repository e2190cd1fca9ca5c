"""PVTPose: PVT v1 against transformers', PVTv2 against timm's; sizes, positions, weights."""

import pytest
import timm
import torch
from pyramids import PVT, PVT_V2, SIZE, load, pixels, tiny
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import PvtConfig, PvtForImageClassification

from lvtune.adapters.factory import create_adapter
from lvtune.bases.base_registry import list_bases, load_base
from lvtune.bases.fingerprint import fingerprint
from lvtune.bases.pvtpose import PVT_S, PVTV2_B
from lvtune.core.errors import LvtuneError
from lvtune.language.bank import SentenceBank

PIXELS = pixels()


def transformers_pvt(image_size=64, widths=PVT.widths, depths=PVT.depths, heads=PVT.heads, mlp_ratios=PVT.mlp_ratios):
    config = PvtConfig(
        image_size=image_size,
        hidden_sizes=list(widths),
        depths=list(depths),
        num_attention_heads=list(heads),
        mlp_ratios=list(mlp_ratios),
        num_labels=5,
    )
    torch.manual_seed(0)
    return PvtForImageClassification(config).eval()


def bank(dim):
    return SentenceBank(("a",), ("a photo",), torch.zeros(1, 2, dim), torch.ones(1, 2, dtype=torch.bool), "test")


def numbers(module):
    return sum(p.numel() for p in module.parameters())


def test_the_names_of_the_contract_are_there():
    assert set(list_bases()) >= {"pvtpose-s", "pvtv2pose-b"}
    for spec in (PVT_S, PVTV2_B):
        assert spec.input_size == (256, 192) and spec.heatmap_size == (64, 48)
        assert len(spec.skeleton.keypoints) == 17 and spec.mean == (0.485, 0.456, 0.406)
    assert PVT_S.hub_id == "Zetatech/pvt-small-224"


MATCHER = 4 * (512 * 512 + 512) + 2 * 512
AUXILIARY = (512 + 256 + 256) * 256 * 16 + 3 * 2 * 256
PREDICTOR = 256 * 17 + 17


def test_pvt_s_has_the_published_size():
    base = load_base("pvtpose-s", "random")
    assert [b.width for b in base.blocks] == [64] * 3 + [128] * 4 + [320] * 6 + [512] * 3
    assert [b.heads for b in base.blocks] == [1] * 3 + [2] * 4 + [5] * 6 + [8] * 3
    with torch.device("meta"):
        whole = PvtForImageClassification(PvtConfig(depths=[3, 4, 6, 3]))
    # beside the classifier and the class token: positions of 64x48 .. 8x6 cells in place of 56x56 .. 7x7 and a class
    positions = lambda cells: sum(n * w for n, w in zip(cells, (64, 128, 320, 512), strict=True))  # noqa: E731
    ours, theirs = positions((3072, 768, 192, 48)), positions((3136, 784, 196, 50))
    assert numbers(base.encoder) == numbers(whole.pvt) - 512 + ours - theirs == 23_963_904
    with torch.no_grad():
        assert base(torch.zeros(1, 3, 256, 192)).shape == (1, 17, 64, 48)
        assert base.encoder(torch.zeros(1, 3, 256, 192)).shape == (1, 512, 8, 6)
    adapter = create_adapter("vlpose", base, bank=bank(512), zero_init=False)
    prompts = 50 * (3 * 64 + 4 * 128 + 6 * 320 + 3 * 512)
    assert numbers(adapter) == MATCHER + AUXILIARY + PREDICTOR + prompts == 5_459_857


def test_pvtv2_b_has_the_published_size():
    base = load_base("pvtv2pose-b", "random")
    assert [b.width for b in base.blocks] == [64] * 3 + [128] * 4 + [320] * 6 + [512] * 3
    with torch.device("meta"):
        whole = timm.create_model("pvt_v2_b2")
    assert numbers(base.encoder) == numbers(whole) - numbers(whole.head) == 24_849_856
    with torch.no_grad():
        assert base(torch.zeros(1, 3, 256, 192)).shape == (1, 17, 64, 48)
    adapter = create_adapter("vlpose", base, bank=bank(512), zero_init=False, visual_prompts=20)
    prompts = 20 * (3 * 64 + 4 * 128 + 6 * 320 + 3 * 512)
    assert numbers(adapter) == MATCHER + AUXILIARY + PREDICTOR + prompts


def test_pvt_computes_what_transformers_does(tmp_path):
    """Square pictures, which transformers' PVT takes; its class token is kept from being seen."""
    reference = transformers_pvt()
    with torch.no_grad():
        for value in reference.parameters():
            value.add_(0.05 * torch.randn_like(value))
    save_file(reference.state_dict(), tmp_path / "model.safetensors")
    base = load("pvt", str(tmp_path))
    encoder, x = reference.pvt.encoder, PIXELS
    for i, (embedding, layers) in enumerate(zip(encoder.patch_embeddings, encoder.block, strict=True)):
        tokens, h, w = embedding(x)
        if i == 3:
            tokens = tokens[:, 1:]
        for ours, layer in zip(base.encoder.block[i], layers, strict=True):
            expected = layer(tokens, h, w)[0]
            torch.testing.assert_close(ours(tokens, (h, w)), expected, atol=1e-5, rtol=1e-4)
            tokens = expected
        x = (encoder.layer_norm(tokens) if i == 3 else tokens).transpose(1, 2).unflatten(2, (h, w))
    torch.testing.assert_close(base.encoder(PIXELS), x, atol=1e-5, rtol=1e-4)


def test_positions_are_fitted_to_the_grid(tmp_path):
    """From 32x32 pixels, 8x8 .. 1x1 cells and a class position, to 64x64: bilinear, the class position left out."""
    reference = transformers_pvt(32)
    save_file(reference.state_dict(), tmp_path / "model.safetensors")
    base = load("pvt", str(tmp_path))
    for i, side in enumerate((8, 4, 2, 1)):
        old = reference.pvt.encoder.patch_embeddings[i].position_embeddings[:, 1 if i == 3 else 0 :]
        assert old.shape == (1, side * side, PVT.widths[i])
        square = old.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        expected = F.interpolate(square, scale_factor=2, mode="bilinear").permute(0, 2, 3, 1).flatten(1, 2)
        found = base.encoder.patch_embeddings[i].position_embeddings
        assert found.shape == (1, 4 * side * side, PVT.widths[i])
        torch.testing.assert_close(found, expected)
    state = base.encoder.state_dict()
    assert not any("cls_token" in name or "classifier" in name for name in state)
    # its own file goes back in as it is
    save_file(base.model.state_dict(), tmp_path / "model.safetensors")
    assert fingerprint(load("pvt", str(tmp_path), seed=5)) == fingerprint(base)


def test_pvt_of_another_shape_is_refused(tmp_path):
    save_file(transformers_pvt(widths=(8, 16, 24, 40)).state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(LvtuneError, match=r"of another shape \(first: patch_embeddings.3.position_embeddings"):
        load("pvt", str(tmp_path))


def test_the_pvtv2_encoder_is_timms():
    base = tiny("pvtv2")
    reference = timm.create_model("pvt_v2_b2", num_classes=0, **PVT_V2).eval()
    reference.load_state_dict(base.encoder.backbone.state_dict())
    torch.testing.assert_close(base.encoder(PIXELS), reference.forward_features(PIXELS))
    assert base.encoder(torch.zeros(1, 3, *SIZE)).shape == (1, 32, 2, 2)


@pytest.mark.parametrize(("name", "repository"), [("pvtpose-s", "pvt-small-224"), ("pvtv2pose-b", "pvt_v2_b2")])
def test_without_a_network_the_error_says_what_to_do(name, repository):
    with pytest.raises(LvtuneError, match=rf"{repository}.*network access.*--weights random"):
        load_base(name)
