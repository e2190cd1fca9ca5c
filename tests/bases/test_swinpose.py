"""SwinPose: names, sizes, windows, weights."""

import pytest
import timm
import torch
from pyramids import SIZE, SWIN, load, pixels, tiny
from safetensors.torch import save_file

from lvtune.adapters.factory import create_adapter
from lvtune.bases.base_registry import list_bases, load_base
from lvtune.bases.fingerprint import fingerprint
from lvtune.bases.swinpose import SPECS, TIMM_NAMES
from lvtune.core.errors import LvtuneError
from lvtune.language.bank import SentenceBank
from lvtune.patcher.attaching import attach

PIXELS = pixels()


def bank(dim):
    return SentenceBank(("a",), ("a photo",), torch.zeros(1, 2, dim), torch.ones(1, 2, dtype=torch.bool), "test")


def numbers(module):
    return sum(p.numel() for p in module.parameters())


def test_the_names_of_the_contract_are_there():
    assert set(list_bases()) >= {"swinpose-t", "swinpose-b", "swinpose-l"}
    for spec in SPECS.values():
        assert spec.input_size == (256, 192) and spec.heatmap_size == (64, 48)
        assert len(spec.skeleton.keypoints) == 17 and spec.mean == (0.485, 0.456, 0.406)
    assert set(TIMM_NAMES.values()) <= set(timm.list_pretrained())


@pytest.fixture(scope="module")
def swin_t():
    return load_base("swinpose-t", "random")


def test_the_published_size(swin_t):
    base = swin_t
    assert [block.width for block in base.blocks] == [96] * 2 + [192] * 2 + [384] * 6 + [768] * 2
    assert [block.heads for block in base.blocks] == [3] * 2 + [6] * 2 + [12] * 6 + [24] * 2
    assert {block.attention.window_size for block in base.blocks} == {(7, 7)}
    # timm's Swin-T without its classifier, and the head of 5,248,785
    classifier = timm.create_model("swin_tiny_patch4_window7_224").head
    whole = numbers(timm.create_model("swin_tiny_patch4_window7_224"))
    assert numbers(base.encoder) == whole - numbers(classifier) == 27_519_354
    assert numbers(base.head) == 5_248_785
    with torch.no_grad():
        assert base(torch.zeros(1, 3, 256, 192)).shape == (1, 17, 64, 48)
        assert base.encoder(torch.zeros(1, 3, 256, 192)).shape == (1, 768, 8, 6)


def test_trainable_counts_of_vlpose(swin_t):
    matcher = 4 * (768 * 768 + 768) + 2 * 768
    auxiliary = (768 + 256 + 256) * 256 * 16 + 3 * 2 * 256
    predictor = 256 * 17 + 17
    prompts = 20 * (2 * 96 + 2 * 192 + 6 * 384 + 2 * 768)
    adapter = create_adapter("vlpose", swin_t, bank=bank(768), zero_init=False)
    assert numbers(adapter) == matcher + auxiliary + predictor + prompts == 7_701_009
    adapter = create_adapter("vlpose", swin_t, bank=bank(384), zero_init=False, placement="none")
    assert numbers(adapter) == matcher + auxiliary + predictor + 384 * 768 + 768


def test_the_encoder_is_timms():
    base = tiny("swin")
    reference = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, **SWIN).eval()
    reference.load_state_dict(base.encoder.backbone.state_dict())
    expected = reference.forward_features(PIXELS).permute(0, 3, 1, 2)  # (B, H, W, C)
    torch.testing.assert_close(base.encoder(PIXELS), expected)


def test_prompts_reach_every_window_and_merging_sees_none():
    base = tiny("swin")
    adapter = create_adapter("vlpose", base, bank=bank(20), visual_prompts=2, zero_init=False)
    windows, merged = {}, []
    note = lambda m, args, out: windows.setdefault(m, []).append((args[0].shape, out.shape))  # noqa: E731
    for block in base.blocks:
        block.attention.register_forward_hook(note)
    for stage in base.encoder.backbone.layers[1:]:
        stage.downsample.register_forward_pre_hook(lambda m, args: merged.append(args[0].shape[1:3]))
    with attach(base, adapter):
        base(PIXELS)
    # 16x16, 8x8, 4x4 and 2x2 cells in windows of 7x7: 9, 4, 1 and 1 windows a picture, whatever the prompts
    counts = [3 * n for n in (9, 9, 4, 4, 1, 1, 1, 1)]
    found = [windows[block.attention] for block in base.blocks]
    assert [shapes[0][0][0] for shapes in found] == counts
    assert all(given == out and given[1] == 49 for ((given, out),) in found)
    assert merged == [(16, 16), (8, 8), (4, 4)]


def test_imagenet_weights_come_through_timm(tmp_path):
    """A file as the Hub holds it: 224x224 pixels, windows of 7x7, a classifier."""
    options = {k: v for k, v in SWIN.items() if k not in ("img_size", "always_partition")}
    published = timm.create_model("swin_tiny_patch4_window7_224", **options)
    path = tmp_path / "model.safetensors"
    save_file(published.state_dict(), path)
    base = load("swin", str(path), seed=1)
    for name, value in base.encoder.backbone.state_dict().items():
        assert torch.equal(value, published.state_dict()[name]), name
    assert fingerprint(base.head) == fingerprint(load("swin", seed=1).head)
    state = {k: v for k, v in published.state_dict().items() if "layers.1.blocks.0" not in k}
    save_file(state, path)
    with pytest.raises(LvtuneError, match=r"do not fit .*Missing key"):
        load("swin", str(path))


@pytest.mark.parametrize("weights", ["pretrained", "timm/swin_tiny_patch4_window7_224.ms_in1k"])
def test_without_a_network_the_error_says_what_to_do(weights):
    with pytest.raises(LvtuneError, match=r"swin_tiny_patch4_window7_224.*network access.*--weights random"):
        load_base("swinpose-t", weights)


def test_pictures_of_another_size_are_refused():
    with pytest.raises(AssertionError):
        tiny("swin")(torch.zeros(1, 3, SIZE[0], SIZE[1] + 32))
