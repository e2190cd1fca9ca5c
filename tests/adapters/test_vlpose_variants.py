"""VLPose's options on every family of bases: what they cost, what they leave alone, the released code's own ways."""

import functools

import pytest
import torch
from pyramids import FAMILIES, WITH_ATTENTION
from pyramids import pixels as pyramid_pixels
from pyramids import tiny as pyramid
from tiny import ARCH, SIZE, make_adapter, snapshot, tiny_bank, tiny_base, tiny_model, tiny_pixels
from torch import nn
from torch.nn import functional as F

from lvtune.adapters.vlpose import VLPose, VLPoseConfig
from lvtune.adapters.vlpose_decoders import DECODERS
from lvtune.adapters.vlpose_matchers import MATCHERS
from lvtune.bases.vitpose import VitPoseBase, build_model, make_config
from lvtune.bases.vitpose_specs import SPECS
from lvtune.config.options import TrainOptions
from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach
from lvtune.training.optim import param_groups

PIXELS = tiny_pixels(3)
RELEASED = {"zero_init": False, "frozen_batchnorm": False, "drop_path": 0.3}


def mixture():
    """A small ViTPose++."""
    config = make_config(ARCH, keypoints=17, input_size=SIZE, experts=6)
    return VitPoseBase(build_model(config, (32, 24), 17), SPECS["vitpose-plus-b"].with_(input_size=SIZE)).freeze()


BASES = {"classic": tiny_base, "simple": lambda: tiny_base(simple=True), "plus": mixture} | {
    name: lambda name=name: pyramid(name) for name in FAMILIES
}


def pixels_for(base):
    return PIXELS if base.input_size == SIZE else pyramid_pixels(3)


def options_for(family, **options):
    """ResNet has no blocks for prompts to enter."""
    return {"heads": 4, "placement": "deep" if family != "resnet" else "none"} | options


@pytest.mark.parametrize("family", BASES)
def test_taken_off_the_base_is_what_it_was(family):
    base = BASES[family]()
    pixels = pixels_for(base)[:2]
    bare, before = base(pixels), snapshot(base.model)
    for decoder in DECODERS.names():
        for matcher, extra in (("concat", {}), ("coscatcat", RELEASED)):
            adapter = make_adapter("vlpose", base, **options_for(family, decoder=decoder, matcher=matcher, **extra))
            with attach(base, adapter):
                start = base(pixels)
                assert torch.equal(start, bare) == (not extra or (decoder == "baseline" and family == "resnet"))
                base.train()
                base(pixels, category="sketch").square().sum().backward()
                base.eval()
            assert not [n for n, p in adapter.named_parameters() if p.requires_grad and p.grad is None]
        assert torch.equal(base(pixels), bare)
    assert snapshot(base.model) == before


@pytest.mark.parametrize("family", [name for name in BASES if name != "resnet"])
def test_a_trained_last_block_starts_as_the_bases_own(family):
    base = BASES[family]()
    pixels = pixels_for(base)
    bare, before = base(pixels), snapshot(base.model)
    adapter = make_adapter("vlpose", base, **options_for(family, placement="ll"))
    pairs = (adapter.block, adapter.norm), (base.blocks[-1].layer, base.final_norm)
    own, last = (dict(nn.ModuleDict({"block": b, "norm": n}).named_parameters()) for b, n in pairs)
    assert own.keys() == last.keys() and all(torch.equal(own[n], last[n]) and own[n] is not last[n] for n in own)
    assert {"norm.weight", "norm.bias"} <= own.keys()  # frozen only where all blocks are
    with attach(base, adapter):
        assert torch.equal(base(pixels), bare)
        base.train()
        base(pixels, category="sketch").square().sum().backward()
        base.eval()
        assert all(p.grad is not None for p in own.values())
        with torch.no_grad():
            next(iter(own.values())).add_(1)
        assert not torch.equal(base(pixels), bare)
    assert snapshot(base.model) == before


def test_without_blocks_there_is_no_last_one():
    base = pyramid("resnet")
    with pytest.raises(LvtuneError, match="last block"):
        make_adapter("vlpose", base, placement="ll", heads=4)


@pytest.mark.parametrize("family", BASES)
def test_ff_trains_the_whole_encoder(family):
    """Its released configurations set no frozen_stages, and the default freezes nothing."""
    base = BASES[family]()
    pixels = pixels_for(base)
    bare, before = base(pixels), snapshot(base.model)
    adapter = make_adapter("vlpose", base, **options_for(family, placement="ff"))
    own, theirs = dict(adapter.encoder.named_parameters()), dict(base.encoder.named_parameters())
    assert own.keys() == theirs.keys() and all(torch.equal(own[n], theirs[n]) and own[n] is not theirs[n] for n in own)
    with attach(base, adapter):
        assert torch.equal(base(pixels), bare)
        base.train()
        base(pixels, category="sketch").square().sum().backward()
        base.eval()
        assert all(p.grad is not None for p in own.values())
        for name in (next(iter(own)), list(own)[-1]):  # the first and the last layer
            with torch.no_grad():
                own[name].add_(1)
            assert not torch.equal(base(pixels), bare)
            with torch.no_grad():
                own[name].sub_(1)
    assert snapshot(base.model) == before
    assert torch.equal(base(pixels), bare)


@pytest.mark.parametrize("decoder", DECODERS.names())
@pytest.mark.parametrize("placement", ["deep", "shallow", "none", "ll", "ff"])
@pytest.mark.parametrize("prompts", [0, 2])
def test_every_trained_tensor_gets_a_gradient(decoder, placement, prompts):
    """Else training on several GPUs waits for one that never comes."""
    base = tiny_base()
    for matcher in MATCHERS.names() if (decoder, prompts) == ("dual", 2) else ["concat"]:
        options = {"decoder": decoder, "placement": placement, "visual_prompts": prompts, "matcher": matcher}
        adapter = make_adapter("vlpose", base, **options)
        with attach(base, adapter):
            base.train()
            base(PIXELS, category="sketch").square().sum().backward()
            base.eval()
        assert [n for n, p in adapter.named_parameters() if p.requires_grad and p.grad is None] == []


def test_the_baseline_reads_no_sentence():
    adapter = make_adapter("vlpose", tiny_base(), decoder="baseline", bank=None)
    assert adapter.bank is None
    assert {n.partition(".")[0] for n in adapter.tensors()} == {"prompts", "prompt_gates", "predictor"}
    with pytest.raises(LvtuneError, match="without sentences"):
        make_adapter("vlpose", tiny_base(), decoder="injector", bank=None)


@pytest.mark.parametrize("method", ["vlpose", "vpt"])
def test_inserted_tokens_are_not_among_the_hidden_states(method):
    model = tiny_model()
    bare = model(PIXELS, output_hidden_states=True).hidden_states
    adapter = make_adapter(method, model, placement="shallow", visual_prompts=5)
    with attach(model, adapter):
        seen = model(PIXELS, output_hidden_states=True)
        assert [s.shape for s in seen.hidden_states] == [s.shape for s in bare] == [(3, 12, 48)] * 4
        assert torch.equal(seen.hidden_states[0], bare[0]) and not torch.equal(seen.hidden_states[1], bare[1])
        assert torch.equal(seen.heatmaps, model(PIXELS).heatmaps)
    assert torch.equal(model(PIXELS, output_hidden_states=True).hidden_states[2], bare[2])


def test_statistics_follow_the_batch_as_released_in_the_adapters_copies():
    base, other = tiny_base(), tiny_model()
    adapter = make_adapter("vlpose", base, frozen_batchnorm=False, decoder="baseline", placement="none")
    before = snapshot(base.model)
    with attach(base, adapter):
        base.train()
        found = base(PIXELS)
        base.eval()
        other.head.train()  # what the released code does to its frozen branch
        torch.testing.assert_close(found, other(PIXELS).heatmaps, atol=1e-6, rtol=1e-5)
        other.eval()
        torch.testing.assert_close(base(PIXELS), other(PIXELS).heatmaps, atol=1e-6, rtol=1e-5)
    for own, norm in zip(adapter.following, (other.head.batchnorm1, other.head.batchnorm2), strict=True):
        assert torch.equal(own.running_mean, norm.running_mean) and torch.equal(own.running_var, norm.running_var)
        assert own.num_batches_tracked == norm.num_batches_tracked == 1
    assert snapshot(base.model) == before
    again = make_adapter("vlpose", base, frozen_batchnorm=False, decoder="baseline", placement="none")
    again.load_tensors(adapter.tensors())
    with attach(base, adapter, "one"):
        expected = base(PIXELS)
    with attach(base, again):
        assert torch.equal(base(PIXELS), expected)


def test_by_default_statistics_stay():
    base = tiny_base()
    adapter = make_adapter("vlpose", base, decoder="baseline", placement="none")
    bare = base(PIXELS)
    with attach(base, adapter):
        base.train()
        assert torch.equal(base(PIXELS), bare)


@pytest.mark.parametrize("family", ["classic", "plus", *WITH_ATTENTION])
def test_drop_path_leaves_out_whole_branches_by_picture_in_training_alone(family):
    base = BASES[family]()
    pixels = pixels_for(base)[:1].expand(64, -1, -1, -1)
    bare = base(pixels)
    adapter = make_adapter("vlpose", base, **options_for(family, placement="none", drop_path=0.5))
    seen = []
    handle = base.blocks[-1].layer.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    with attach(base, adapter):
        assert torch.equal(base(pixels), bare)
        base.train()
        torch.manual_seed(0)
        base(pixels)
        base.eval()
    handle.remove()
    entering, leaving = seen[-1]
    alone = (leaving - entering).flatten(1).abs().amax(1) < 1e-6  # both branches of the last block left out
    assert 5 <= alone.sum() <= 28  # of 64, a quarter expected
    assert len({tuple(row) for row in leaving.flatten(1).detach().round(decimals=3).tolist()}) >= 4


def test_branches_that_stay_are_larger_by_as_much():
    base = tiny_base()
    adapter = make_adapter("vlpose", base, placement="none", drop_path=0.5)
    layer, x = base.blocks[-1].layer, torch.randn(400, 12, 48)
    attention = layer.attention(layer.layernorm_before(x))
    outs = []
    handle = base.blocks[-1].out.register_forward_hook(lambda module, args, output: outs.append((args[0], output)))
    with attach(base, adapter), torch.no_grad():
        base.train()
        torch.manual_seed(0)
        base(PIXELS[:1].expand(400, -1, -1, -1))
    handle.remove()
    entering, leaving = outs[-1]
    plain = F.linear(entering, base.blocks[-1].out.weight, base.blocks[-1].out.bias)
    factor = (leaving * plain).sum((1, 2)) / plain.square().sum((1, 2))
    kept = factor > 1
    torch.testing.assert_close(factor[kept], torch.full_like(factor[kept], 2.0))
    assert not factor[~kept].any() and kept.float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert attention.shape == x.shape


def test_learning_rate_of_the_last_block():
    base = tiny_base()
    options = TrainOptions(layer_decay=0.8)

    def scale(**more):
        return make_adapter("vlpose", base, placement="ll", **more).lr_scale("block.mlp.fc1.weight", options)

    assert scale() == pytest.approx(0.8)
    # the released code counts 12 blocks whatever the size: in L the 24th learns at 0.8^(13 - 24) of the head's rate
    assert scale(layer_count=2) == pytest.approx(1.0) and scale(layer_count=1) == pytest.approx(0.8**-1)
    assert make_adapter("vlpose", base, placement="ll").lr_scale("matcher.q.weight", options) == 1.0
    # what is behind the last block learns as fast as the head, whatever is counted
    assert make_adapter("vlpose", base, placement="ll", layer_count=1).lr_scale("norm.weight", options) == 1.0


@pytest.mark.parametrize("method", ["vlpose", "full"])
def test_learning_rates_of_a_whole_encoder(method):
    """Three blocks; in the released code the embeddings learn at decay^(count + 1), block i at decay^(count - i)."""
    base, options = tiny_base(), TrainOptions(layer_decay=0.8)
    extra = {"placement": "ff"} if method == "vlpose" else {}
    for count, counted in ((0, 3), (12, 12), (2, 2)):
        adapter = make_adapter(method, base, layer_count=count, **extra)
        found = {name: adapter.lr_scale(f"encoder.{name}", options) for name, _ in adapter.encoder.named_parameters()}
        assert found["embeddings.position_embeddings"] == pytest.approx(0.8 ** (counted + 1))
        for i in range(3):
            assert found[f"encoder.layer.{i}.mlp.fc1.weight"] == pytest.approx(0.8 ** (counted - i))
        assert found["layernorm.weight"] == found["layernorm.bias"] == 1.0


def test_visual_prompts_decay_as_released_if_asked():
    base = tiny_base()

    def decay_of(**options):
        adapter = make_adapter("vlpose", base, **options)
        groups = param_groups(adapter, 0.1)
        return {group["weight_decay"] for group in groups for p in group["params"] if p is adapter.prompts}

    assert decay_of() == {0.0} and decay_of(visual_prompt_decay=True) == {0.1}


@pytest.mark.parametrize("method", ["vlpose-ll", "vlpose-ff", "full"])
@pytest.mark.parametrize("family", ["classic", *WITH_ATTENTION])
def test_drop_path_of_trained_copies(family, method):
    """Both branches of the last block are left out for a quarter of the pictures, in training alone."""
    base = BASES[family]()
    pixels = pixels_for(base)[:1].expand(64, -1, -1, -1)
    bare = base(pixels)
    if method == "full":
        adapter = make_adapter("full", base, drop_path=0.5, freeze_batchnorm=True)
    else:
        options = options_for(family, placement=method[-2:], drop_path=0.5, decoder="baseline")
        adapter = make_adapter("vlpose", base, **options)
    twin = type(base)(base.copy_model(), base.spec)
    last = twin.blocks[-1]
    if method == "vlpose-ll":
        norm, behind = _same_in(adapter.block, last.layer, last.norm), adapter.norm
    else:
        norm, behind = (_same_in(adapter.encoder, twin.encoder, part) for part in (last.norm, twin.final_norm))
    seen = []
    norm.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    behind.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    with attach(base, adapter):
        assert torch.equal(base(pixels), bare)
        base.train()
        torch.manual_seed(0)
        seen.clear()
        base(pixels)
        base.eval()
        assert torch.equal(base(pixels), bare)
    entering, leaving = seen[0], seen[1]
    alone = (leaving.flatten(1) - entering.flatten(1)).abs().amax(1) < 1e-6
    assert 5 <= alone.sum() <= 28  # of 64, a quarter expected


def _same_in(encoder, whole, part):
    """The module of ``encoder`` that stands where ``part`` stands in ``whole``."""
    return encoder.get_submodule(next(name for name, module in whole.named_modules() if module is part))


def test_what_is_decayed_is_told_by_object():
    base = pyramid("swin")
    adapter = make_adapter("vlpose", base, placement="ll", heads=4)
    names = {id(p): n for n, p in adapter.named_parameters()}
    groups = param_groups(adapter, 0.1)
    plain = {names[id(p)] for group in groups for p in group["params"] if not group["weight_decay"]}
    assert "block.attn.relative_position_bias_table" in plain
    assert "block.attn.qkv.weight" not in plain and "text_proj.weight" not in plain
    for method in ("vlpose", "vpt"):
        for placement in ("deep", "shallow"):
            adapter = make_adapter(method, tiny_base(), placement=placement)
            decayed = {id(p) for g in param_groups(adapter, 0.1) if g["weight_decay"] for p in g["params"]}
            assert not [n for n, p in adapter.named_parameters() if n.startswith("category") and id(p) in decayed]


def trainable(adapter):
    return sum(p.numel() for p in adapter.parameters() if p.requires_grad)


@functools.cache
def full_size(size):
    with torch.device("meta"):
        model = build_model(make_config(size, keypoints=17, input_size=(256, 192)), None, 17)
        return VitPoseBase(model, SPECS[f"vitpose-{size}"])


def published(size, matcher="concat", decoder="dual-released", placement="deep", dim=768):
    options = {"matcher": matcher, "decoder": decoder, "placement": placement, "zero_init": False}
    base = full_size(size)
    with torch.device("meta"):
        bank = tiny_bank(dim)
        adapter = VLPose(VLPoseConfig(**options), base, bank=bank, skeleton=base.skeleton)
    return trainable(adapter)


def by_hand(width, layers, prompts, dim=768):
    matcher = 4 * (width * width + width) + 2 * width
    auxiliary = 256 * 16 * (width + 256) + 4 * 256
    projection = 0 if dim == width else dim * width + width
    return prompts * layers * width + matcher + auxiliary + projection + 256 * 17 + 17


@pytest.mark.parametrize(
    ("size", "width", "layers", "prompts", "expected"),
    [
        ("s", 384, 12, 50, by_hand(384, 12, 50)),
        ("b", 768, 12, 20, 6_747_921),  # counted on the released code
        ("l", 1024, 24, 10, by_hand(1024, 24, 10)),
        ("h", 1280, 32, 5, by_hand(1280, 32, 5)),
    ],
)
def test_trainable_parameters_in_the_published_settings(size, width, layers, prompts, expected):
    assert published(size) == expected == by_hand(width, layers, prompts)
    assert published(size, placement="shallow") == expected - prompts * (layers - 1) * width
    assert published(size, placement="none") == expected - prompts * layers * width
    encoder = sum(p.numel() for p in full_size(size).encoder.parameters())
    assert published(size, placement="ff") == expected - prompts * layers * width + encoder


def test_a_narrower_text_encoder_costs_its_projection():
    assert published("b", dim=384) == 7_043_601


def test_trainable_parameters_of_every_matcher_and_decoder():
    width, predictor, prompts = 768, 256 * 17 + 17, 20 * 12 * 768
    matcher, stages = 4 * (width * width + width) + 2 * width, 256 * 16 * (width + 256) + 4 * 256
    for name in MATCHERS.names():
        join = 2 * width * width + width if name in ("catcat", "coscatcat") else 0
        for decoder in DECODERS.names():
            expected = predictor + prompts
            if decoder != "baseline":
                expected += matcher + join + (stages if decoder != "injector" else 0)
            if decoder == "extractor-injector":
                expected += width * 256
            assert published("b", name, decoder) == expected, (name, decoder)


def test_a_block_of_b_is_7_087_872():
    """And the normalisation behind it has 2 x 768 numbers."""
    assert published("b", placement="ll") - published("b", placement="none") == 7_087_872 + 2 * 768
    assert isinstance(make_adapter("vlpose", tiny_base(), placement="ll").block, nn.Module)
