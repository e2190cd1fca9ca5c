"""ViTPose bases: what they say of themselves, what they compute, and where their weights come from."""

import pytest
import torch
from safetensors.torch import save_file
from tiny import SIZE, make_adapter, snapshot, tiny_base, tiny_model, tiny_pixels
from torch import nn

from lvtune.bases import as_base
from lvtune.bases import vitpose_weights as bases_loading
from lvtune.bases.base_registry import BASES, list_bases, load_base, register_base
from lvtune.bases.vit_positions import resize_positions
from lvtune.bases.vitpose import VitPoseBase, build_model, make_config, spec_of
from lvtune.bases.vitpose_specs import SPECS, skeleton_of
from lvtune.bases.weight_names import is_foreign, to_transformers
from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach

PIXELS = tiny_pixels()
BY_HEAD = pytest.mark.parametrize("simple", [False, True])


def test_the_names_of_the_contract_are_there():
    assert set(list_bases()) >= {"vitpose-ti", "vitpose-s", "vitpose-b", "vitpose-l", "vitpose-h", "vitpose-b-simple"}


@pytest.mark.parametrize(
    ("name", "encoder", "keypoints", "size"),
    [
        ("vitpose-ti", (192, 12, 3), 14, (128, 96)),
        ("vitpose-s", (384, 12, 12), 17, (256, 192)),
        ("vitpose-b", (768, 12, 12), 17, (256, 192)),
        ("vitpose-l", (1024, 24, 16), 17, (256, 192)),
        ("vitpose-h", (1280, 32, 16), 17, (256, 192)),
    ],
)
def test_the_published_sizes(name, encoder, keypoints, size):
    spec = SPECS[name]
    config = make_config(spec.size, keypoints=keypoints, input_size=spec.input_size).backbone_config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == encoder
    assert config.layer_norm_eps == 1e-6 and config.mlp_ratio == 4
    assert spec.input_size == size and spec.heatmap_size == (size[0] // 4, size[1] // 4)
    assert len(spec.skeleton.keypoints) == keypoints


@BY_HEAD
def test_a_base_computes_what_transformers_does(simple):
    base = tiny_base(simple=simple)
    expected = tiny_model(simple=simple)(PIXELS)
    found = base(PIXELS)
    assert torch.equal(found, expected.heatmaps)
    assert found.shape == (4, 17, *base.heatmap_size) and base.heatmap_size == (16, 12)
    assert torch.equal(base.heatmaps_of(base.model(PIXELS, return_dict=False)), found)


@BY_HEAD
def test_the_parts_make_the_whole(simple):
    base = tiny_base(simple=simple)
    features = base.encoder(PIXELS).feature_maps[-1].transpose(1, 2).unflatten(2, (4, 3))
    x = features
    for stage in base.stages:
        x = stage.forward(x)
        assert x.shape[1] == stage.channels
    torch.testing.assert_close(base.predictor(x), base(PIXELS))
    for stage, shape in zip(base.stages, [features.shape] + [None] * len(base.stages), strict=False):
        auxiliary = stage.auxiliary()
        made = auxiliary(torch.zeros(shape or (4, base.stages[0].channels, 8, 6)))
        assert made.shape[1] == stage.channels
        own = {id(m) for m in base.modules()}
        assert not any(id(m) in own for m in auxiliary.modules())
    assert len(base.blocks) == 3 and base.width == 48
    block = base.blocks[1]
    hidden = torch.randn(2, 12, 48)
    q, k, v = (
        getattr(block, n)(block.norm(hidden)).unflatten(-1, (4, 12)).transpose(1, 2) for n in ("query", "key", "value")
    )
    seen = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    hidden2 = hidden + block.out(seen)
    torch.testing.assert_close(block.attention(block.norm(hidden)), block.out(seen), atol=1e-6, rtol=1e-5)
    hidden3 = hidden2 + block.fc2(nn.functional.gelu(block.fc1(block.norm2(hidden2))))
    torch.testing.assert_close(block.layer(hidden), hidden3, atol=1e-6, rtol=1e-5)


def test_train_reaches_no_module_of_the_estimator():
    base = tiny_base()
    assert not base.training
    base.train()
    assert base.training and not any(m.training for m in base.model.modules())
    base.eval()
    assert not base.training


def test_a_copy_is_free_of_hooks_and_keeps_the_random_state():
    for simple in (False, True):
        base = tiny_base(simple=simple)
        expected = base(PIXELS)
        attach(base, make_adapter("norm", base, stirred=0.1), "a")
        attach(base, make_adapter("lora", base, stirred=0.1), "b")
        before, state = snapshot(base), torch.get_rng_state()
        model = base.copy_model()
        assert torch.equal(torch.get_rng_state(), state) and snapshot(base) == before
        assert torch.equal(model.eval()(PIXELS).heatmaps, expected)
        own = {id(t) for t in (*base.parameters(), *base.buffers())}
        assert not any(id(t) in own for t in (*model.parameters(), *model.buffers()))
        encoder, head = base.parts_of(model)
        assert {id(m) for m in (*encoder.modules(), *head.modules())} | {id(model)} == {id(m) for m in model.modules()}


def test_plain_models_are_seen_as_bases():
    model = tiny_model()
    before = snapshot(model)
    base = as_base(model)
    assert isinstance(base, VitPoseBase) and base.model is model and as_base(base) is base
    assert base.input_size == SIZE and base.skeleton.name == "coco-17" and base.heatmap_size == (16, 12)
    assert snapshot(model) == before
    assert spec_of(tiny_model(keypoints=14)).skeleton.name == "lsp-14"
    with pytest.raises(LvtuneError, match="Linear"):
        as_base(nn.Linear(2, 2))


def test_skeletons_by_their_number_of_key_points():
    assert skeleton_of(17).name == "coco-17" and skeleton_of(14).name == "lsp-14"
    assert skeleton_of(3).keypoints == ("keypoint_0", "keypoint_1", "keypoint_2")
    assert skeleton_of(3).flip_index == (0, 1, 2)


def test_random_weights_are_a_function_of_the_seed():
    state = torch.get_rng_state()
    first, again, other = (load_base("vitpose-ti", weights="random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    pixels = torch.randn(1, 3, 128, 96)
    assert torch.equal(first(pixels), again(pixels)) and not torch.equal(first(pixels), other(pixels))
    assert not first.training and not any(p.requires_grad for p in first.parameters())
    assert not any(m.training for m in first.modules())
    assert first(pixels).shape == (1, 14, 32, 24)


@pytest.fixture(scope="module")
def small():
    """A ``vitpose-ti`` and its file forms."""
    return load_base("vitpose-ti", weights="random", seed=3)


def answer(base):
    return base(torch.linspace(-1, 1, 3 * 128 * 96).reshape(1, 3, 128, 96))


def test_weights_from_a_file_in_half_precision(small, tmp_path):
    state = {n: v.half() if v.is_floating_point() else v for n, v in small.model.state_dict().items()}
    save_file(state, tmp_path / "ti.safetensors")
    base = load_base("vitpose-ti", weights=str(tmp_path / "ti.safetensors"))
    assert {p.dtype for p in base.parameters()} == {torch.float32}
    assert all(
        torch.equal(v, state[n].float() if v.is_floating_point() else v) for n, v in base.model.state_dict().items()
    )


def test_weights_from_a_folder_of_save_pretrained(small, tmp_path):
    small.model.save_pretrained(tmp_path)
    base = load_base("vitpose-ti", weights=str(tmp_path))
    assert torch.equal(answer(base), answer(small))
    with pytest.raises(LvtuneError, match="choose --base vitpose-ti"):
        load_base("vitpose-b", weights=str(tmp_path))


def test_hub_repositories_are_checked(tmp_path):
    model = build_model(make_config("ti", keypoints=14, input_size=(128, 96)), None, 14, seed=3)
    model.half().save_pretrained(tmp_path)
    base = bases_loading._from_hub(SPECS["vitpose-ti"].with_(skeleton=skeleton_of(17)), str(tmp_path), None)
    assert base.skeleton.name == "lsp-14" and {p.dtype for p in base.parameters()} == {torch.float32}
    with pytest.raises(LvtuneError, match="choose --base vitpose-ti"):
        bases_loading._from_hub(SPECS["vitpose-b"], str(tmp_path), None)
    state = {n: v for n, v in model.state_dict().items() if not n.startswith("head.conv")}
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(LvtuneError, match=r"head\.conv"):
        bases_loading._from_hub(SPECS["vitpose-ti"], str(tmp_path), None)


def test_an_encoder_alone_gets_a_head_of_the_seed(small, tmp_path):
    state = {n.removeprefix("backbone."): v for n, v in small.model.state_dict().items() if n.startswith("backbone.")}
    save_file(state, tmp_path / "encoder.safetensors")
    base, other = (load_base("vitpose-ti", weights=str(tmp_path / "encoder.safetensors"), seed=s) for s in (3, 4))
    assert torch.equal(answer(base), answer(small))
    assert not torch.equal(answer(other), answer(small))


def test_wrong_weights_are_told(small, tmp_path):
    state = small.model.state_dict()
    path = tmp_path / "a.safetensors"
    for change in ({"head.conv.weight": None}, {"head.more": torch.zeros(2)}, {"head.conv.bias": torch.zeros(3)}):
        save_file({n: v for n, v in {**state, **change}.items() if v is not None}, path)
        with pytest.raises(LvtuneError, match=next(iter(change))):
            load_base("vitpose-ti", weights=str(path))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(LvtuneError, match="undamaged"):
        load_base("vitpose-ti", weights=str(path))
    (tmp_path / "b.pth").write_bytes(b"")
    with pytest.raises(LvtuneError, match="lvtune convert"):
        load_base("vitpose-ti", weights=str(tmp_path / "b.pth"))
    with pytest.raises(LvtuneError, match=r"config\.json"):
        load_base("vitpose-ti", weights=str(tmp_path))
    for lacking in ("./nowhere", "nowhere.safetensors", "nowhere"):
        with pytest.raises(LvtuneError, match="nowhere"):
            load_base("vitpose-ti", weights=lacking)
    with pytest.raises(LvtuneError, match="did you mean 'vitpose-b'"):
        load_base("vitpos-b")


def test_without_network_the_error_says_what_is_missing_and_what_to_type():
    with pytest.raises(LvtuneError) as error:
        load_base("vitpose-b")
    assert "usyd-community/vitpose-base" in error.value.given
    assert "network" in error.value.expected and "--weights" in error.value.fix
    with pytest.raises(LvtuneError, match="lvtune convert vitpose"):
        load_base("vitpose-l")


def test_the_shipped_base_is_small_half_precision_and_complete():
    file = bases_loading.SHIPPED / "vitpose-ti.safetensors"
    assert file.stat().st_size <= 12e6
    assert {v.dtype for v in bases_loading.read_safetensors(file).values() if v.is_floating_point()} == {torch.float16}
    base = load_base("vitpose-ti")
    assert base.input_size == (128, 96) and base.skeleton.name == "lsp-14"
    assert answer(base).isfinite().all()


def test_a_base_of_another_package_registers_by_name():
    @register_base("mine")
    def load_mine(weights, *, revision=None, seed=0):
        base = tiny_base(seed)
        base.model.train().requires_grad_(True)
        return base

    try:
        base = load_base("mine", weights="random", seed=2)
        assert torch.equal(base(PIXELS), tiny_base(2)(PIXELS))  # frozen and in eval
        assert not any(p.requires_grad for p in base.parameters())
    finally:
        BASES._entries.pop("mine")


def test_timm_names():
    import timm

    vit = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=(64, 48), depth=2).eval()
    state = vit.state_dict()
    assert is_foreign(state) and not is_foreign(tiny_model().state_dict())
    renamed = to_transformers(state)
    shape = {"hidden_size": 192, "num_hidden_layers": 2, "num_attention_heads": 3}
    model = build_model(make_config(shape, keypoints=17, input_size=SIZE), (8, 8), 17).eval()
    model.backbone.load_state_dict({n.removeprefix("backbone."): v for n, v in renamed.items()})
    hidden = torch.randn(2, 12, 192)
    for ours, theirs in zip(model.backbone.encoder.layer, vit.blocks, strict=True):
        torch.testing.assert_close(ours(hidden), theirs(hidden), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.backbone.layernorm(hidden), vit.norm(hidden), atol=1e-6, rtol=1e-5)


def test_positions_are_resized_and_the_class_position_kept():
    square = torch.randn(1, 1 + 14 * 14, 8)
    found = resize_positions(square, (8, 6))
    assert found.shape == (1, 49, 8) and torch.equal(found[:, 0], square[:, 0])
    assert resize_positions(square, (14, 14)) is square
    flat = torch.full((1, 1 + 16 * 12, 8), 0.5)
    torch.testing.assert_close(resize_positions(flat, (8, 6), (16, 12)), torch.full((1, 49, 8), 0.5))
    ramp = torch.cat([torch.zeros(1, 1, 1), torch.arange(16.0).repeat_interleave(12).reshape(1, -1, 1)], 1)
    halved = resize_positions(ramp, (8, 6), (16, 12))[0, 1:].reshape(8, 6)
    assert torch.equal(halved[:, 0].round(decimals=3), halved[:, 5].round(decimals=3))
    # away from the border a ramp stays a ramp
    torch.testing.assert_close(halved[2:-2, 0], torch.arange(8.0)[2:-2] * 2 + 0.5, atol=1e-4, rtol=0)
    assert torch.equal(resize_positions(flat, (8, 6)), resize_positions(flat, (8, 6), (16, 12)))
    with pytest.raises(LvtuneError, match="192 position"):
        resize_positions(flat, (8, 6), (8, 6))
