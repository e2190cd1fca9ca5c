"""What every base with the classic head must do, whatever its encoder."""

from math import log2

import pytest
import torch
from pyramids import FAMILIES, METHODS, SIZE, WINDOWED_AND_PYRAMIDS, WITH_ATTENTION, load, pixels, tiny
from safetensors.torch import save_file
from tiny import make_adapter, snapshot
from torch import nn
from torch.nn import functional as F

from lvtune.bases import as_base
from lvtune.bases.deconv_head import DeconvHead
from lvtune.bases.fingerprint import fingerprint
from lvtune.bases.parts import Block
from lvtune.config.options import TrainOptions
from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach

PIXELS = pixels()
BY_FAMILY = pytest.mark.parametrize("family", FAMILIES)


@BY_FAMILY
def test_the_parts_make_the_whole(family):
    base = tiny(family)
    features = base.encoder(PIXELS)
    stride = 16 if family == "vit" else 32
    assert features.shape == (3, base.width, SIZE[0] // stride, SIZE[1] // stride)
    assert len(base.stages) == (2 if family == "vit" else 3)
    x = features
    for stage in base.stages:
        auxiliary = stage.auxiliary().eval()
        assert auxiliary(x).shape == (3, 256, 2 * x.shape[2], 2 * x.shape[3])
        own = {id(m) for m in base.modules()}
        assert not any(id(m) in own for m in auxiliary.modules())
        x = stage.forward(x)
    heatmaps = base(PIXELS)
    assert heatmaps.shape == (3, 17, *base.heatmap_size) == (3, 17, 16, 16)
    torch.testing.assert_close(base.predictor(x), heatmaps)
    encoder, head = base.parts_of(base.model)
    assert encoder is base.encoder and head is base.head
    torch.testing.assert_close(base.head(features), heatmaps)


def test_the_head_is_the_published_one():
    head = DeconvHead(768, 17, 3)
    layers = [module for module in head.modules() if not list(module.children())]
    assert [type(m) for m in layers] == [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU] * 3 + [nn.Conv2d]
    assert head(torch.zeros(1, 768, 8, 6)).shape == (1, 17, 64, 48)
    # 768·256·16 + 2·256·256·16 of the deconvolutions, 3·512 of BatchNorm, 256·17 + 17 of the predictor
    assert sum(p.numel() for p in head.parameters()) == 5_242_880 + 1_536 + 4_369


@BY_FAMILY
def test_random_weights_are_a_function_of_the_seed(family):
    state = torch.get_rng_state()
    first, same, other = load(family), load(family), load(family, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert fingerprint(first) == fingerprint(same) != fingerprint(other)


@BY_FAMILY
def test_a_copy_has_the_same_weights_and_no_hooks(family):
    base = tiny(family)
    adapter = make_adapter("bitfit", base, stirred=0.1)
    state = torch.get_rng_state()
    with attach(base, adapter):
        copy = base.copy_model()
    assert torch.equal(torch.get_rng_state(), state)
    assert fingerprint(copy) == fingerprint(base)
    assert not any(m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in copy.modules())
    assert not {id(p) for p in copy.parameters()} & {id(p) for p in base.parameters()}
    assert torch.equal(as_base(copy.eval())(PIXELS), base(PIXELS))
    base.model.double()
    assert fingerprint(base.copy_model()) == fingerprint(base)


@BY_FAMILY
def test_a_whole_model_comes_back_from_a_file(family, tmp_path, caplog):
    base = tiny(family)
    save_file(base.model.state_dict(), tmp_path / "model.safetensors")
    for source in (tmp_path, tmp_path / "model.safetensors"):
        again = load(family, str(source), seed=3)
        assert fingerprint(again) == fingerprint(base)
    assert not caplog.records


@BY_FAMILY
def test_an_encoder_alone_gets_a_new_head(family, tmp_path, caplog):
    base = tiny(family)
    path = tmp_path / "encoder.safetensors"
    save_file({name: value.clone() for name, value in base.encoder.state_dict().items()}, path)
    again = load(family, str(path), seed=3)
    assert fingerprint(again.encoder) == fingerprint(base.encoder)
    assert fingerprint(again.head) == fingerprint(load(family, seed=3).head) != fingerprint(base.head)
    assert "the head is new" in caplog.text


@BY_FAMILY
def test_wrong_weights_are_told(family, tmp_path):
    base = tiny(family)
    state = base.model.state_dict()
    path = tmp_path / "w.safetensors"
    save_file({n: v for n, v in state.items() if n != "head.blocks.0.0.weight"}, path)
    with pytest.raises(LvtuneError, match=r"1 missing \(first: head.blocks.0.0.weight"):
        load(family, str(path))
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(LvtuneError, match=r"missing|do not fit"):
        load(family, str(path))
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(LvtuneError, match="pickled checkpoints are not read"):
        load(family, str(tmp_path / "w.pth"))
    with pytest.raises(LvtuneError, match="an existing file or folder"):
        load(family, str(tmp_path / "none.safetensors"))


@BY_FAMILY
def test_a_plain_model_is_recognised(family):
    base = tiny(family)
    view = as_base(base.model)
    assert type(view) is type(base) and view.spec == base.spec and view.model is base.model
    assert torch.equal(view(PIXELS), base.model(PIXELS))


@pytest.mark.parametrize("family", WITH_ATTENTION)
def test_blocks_are_made_of_the_bases_own_modules(family):
    base = tiny(family)
    own = {id(m) for m in base.model.modules()}
    parts = ("layer", "norm", "attention", "query", "key", "value", "out", "norm2", "fc1", "fc2")
    assert len(base.blocks) == {"swin": 8, "pvt": 5, "pvtv2": 5, "vit": 2}[family]
    assert len({id(block.layer) for block in base.blocks}) == len(base.blocks)
    assert id(base.final_norm) in own and isinstance(base.final_norm, nn.LayerNorm)
    for block in base.blocks:
        assert all(id(getattr(block, part)) in own for part in parts)
        assert block.key_norm is None or id(block.key_norm) in own
        assert block.width % block.heads == 0
        x = torch.randn(2, 5, block.width)
        shared = {"swin": 3, "vit": 3, "pvt": 1}.get(family)
        for place, part in enumerate(("query", "key", "value")):
            weight, bias = block.linear(part)
            assert weight.shape == (block.width, block.width) and bias.shape == (block.width,)
            # rows of a shared matrix in the order in which the attention takes them apart
            joint, at = (shared, place) if shared else (1, 0) if part == "query" else (2, place - 1)
            whole = getattr(block, part)(x).unflatten(-1, (joint, -1))[..., at if joint > 1 else 0, :]
            torch.testing.assert_close(F.linear(x, weight, bias), whole)
        prompts = torch.randn(3, block.width)
        norm = block.key_norm or block.norm
        torch.testing.assert_close(block.row("key", prompts), F.linear(norm(prompts), *block.linear("key")))


def seen_attentions(base):
    """(arguments, output) of every block's attention in one pass."""
    seen = []
    handles = [
        block.attention.register_forward_hook(
            lambda m, args, kwargs, out: seen.append((args, kwargs, out)), with_kwargs=True
        )
        for block in base.blocks
    ]
    base(PIXELS)
    for handle in handles:
        handle.remove()
    return seen


def reference_attention(block: Block, args, kwargs, rows=None):
    """The block's attention by einsum; ``rows`` (keys, values), each (P, D), join the softmax at bias 0."""
    x = args[0]
    source = x
    reduce = getattr(block.attention, "sr", None)
    if hasattr(block.attention, "self"):
        reduce = block.attention.self.sequence_reduction
    if reduce is not None:
        height, width = args[1]
        source = reduce(x.transpose(1, 2).reshape(len(x), -1, height, width)).flatten(2).transpose(1, 2)
        source = block.key_norm(source)
    inputs = {"query": x, "key": source, "value": source}
    q, k, v = (F.linear(inputs[part], *block.linear(part)) for part in inputs)
    if rows is not None:
        k, v = (torch.cat([a, b.expand(len(a), -1, -1)], dim=1) for a, b in zip((k, v), rows, strict=True))
    q, k, v = (y.reshape(*y.shape[:2], block.heads, -1) for y in (q, k, v))
    scores = torch.einsum("bnhd,bmhd->bhnm", q, k) * q.shape[-1] ** -0.5
    if hasattr(block.attention, "relative_position_bias_table"):
        size = x.shape[1]
        bias = block.attention.relative_position_bias_table[block.attention.relative_position_index.flatten()]
        scores[..., :size] += bias.reshape(size, size, -1).permute(2, 0, 1)
        mask = kwargs.get("mask")
        if mask is not None:
            for i in range(len(x)):
                scores[i, :, :, :size] += mask[i % len(mask)]
    out = torch.einsum("bhnm,bmhd->bnhd", scores.softmax(-1), v)
    return block.out(out.reshape(*x.shape))


@pytest.mark.parametrize("family", WITH_ATTENTION)
def test_blocks_describe_the_attention(family):
    base = tiny(family)
    seen = seen_attentions(base)
    assert len(seen) == len(base.blocks)
    for block, (args, kwargs, out) in zip(base.blocks, seen, strict=True):
        torch.testing.assert_close(reference_attention(block, args, kwargs), out, atol=1e-5, rtol=1e-4)
    if family == "swin":
        assert sum(kwargs["mask"] is not None for _, kwargs, _ in seen) == 4  # every second block is shifted


@pytest.mark.parametrize("family", WITH_ATTENTION)
def test_published_prompts_are_further_keys_and_values_of_every_block(family):
    base = tiny(family)
    adapter = make_adapter("vlpose", base, visual_prompts=3, zero_init=False, stirred=0.3)
    with attach(base, adapter):
        seen = seen_attentions(base)
    for layer, (block, (args, kwargs, out)) in enumerate(zip(base.blocks, seen, strict=True)):
        prompts = adapter.prompts[layer]
        assert prompts.shape == (3, block.width)
        norm = block.key_norm or block.norm
        rows = [F.linear(norm(prompts), *block.linear(part)) for part in ("key", "value")]
        expected = reference_attention(block, args, kwargs, rows)
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(out, reference_attention(block, args, kwargs), atol=1e-3)


@pytest.mark.parametrize("family", WITH_ATTENTION)
def test_every_prompt_and_gate_gets_a_gradient(family):
    base = tiny(family)
    adapter = make_adapter("vlpose", base, visual_prompts=3)
    with attach(base, adapter):
        torch.testing.assert_close(base(PIXELS), base(PIXELS, adapters=None), atol=1e-4, rtol=1e-4)
        with torch.no_grad():
            for gates in adapter.prompt_gates:
                gates.add_(0.5)
        base(PIXELS).square().mean().backward()
    assert [len(gates) for gates in adapter.prompt_gates] == [block.heads for block in base.blocks]
    for layer in range(len(base.blocks)):
        for name in ("prompts", "prompt_gates"):
            entry = getattr(adapter, name)
            grad = entry.grad[layer] if isinstance(entry, nn.Parameter) else entry[layer].grad
            assert grad.abs().max() > 0


@pytest.mark.parametrize("family", WINDOWED_AND_PYRAMIDS)
def test_shallow_prompts_are_refused_with_a_reason(family):
    with pytest.raises(LvtuneError, match=r"stages merge patches on a grid.*--method.placement deep"):
        make_adapter("vlpose", tiny(family), placement="shallow")


def test_prompts_without_attention_are_refused_with_a_reason():
    base = tiny("resnet")
    with pytest.raises(LvtuneError, match=r"no attention blocks.*--method.placement none"):
        make_adapter("vlpose", base)
    with pytest.raises(LvtuneError, match="no attention blocks"):
        make_adapter("lora", base)
    assert make_adapter("vlpose", base, placement="none").count == 0


def options_of(method, family):
    return {"placement": "none"} if method == "vlpose" and family == "resnet" else {}


@pytest.mark.parametrize("method", METHODS)
@BY_FAMILY
def test_methods_attach_and_leave_all_as_it_was(family, method):
    base = tiny(family)
    with torch.no_grad():
        plain = base(PIXELS)
    before = snapshot(base)
    try:
        adapter = make_adapter(method, base, stirred=0.1, **options_of(method, family))
    except LvtuneError:
        assert family == "resnet"
        return
    assert snapshot(base) == before
    with attach(base, adapter, name="art"), torch.no_grad():
        changed = base(PIXELS)
        assert changed.shape == plain.shape and not torch.allclose(changed, plain)
        mixed = base(PIXELS, adapters=["art", None, "art"])
        torch.testing.assert_close(mixed[0::2], changed[0::2], atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(mixed[1], plain[1], atol=1e-3, rtol=1e-3)
    assert snapshot(base) == before
    assert torch.equal(base(PIXELS), plain)


@pytest.mark.parametrize("family", WINDOWED_AND_PYRAMIDS)
@pytest.mark.parametrize("method", ["vlpose", "lora", "full"])
def test_a_few_steps_lower_the_loss_and_leave_the_base_as_it_was(family, method):
    base = tiny(family)
    plain, before = base(PIXELS), snapshot(base)
    target = plain + 0.3
    adapter = make_adapter(method, base).train()
    optimizer = torch.optim.AdamW([p for p in adapter.parameters() if p.requires_grad], lr=3e-3)
    with attach(base, adapter):
        base.train()
        losses = []
        for _ in range(8):
            loss = (base(PIXELS) - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        base.train(False)
    assert losses[-1] < losses[0]
    assert snapshot(base) == before and torch.equal(base(PIXELS), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_early_layers_of_a_copy_move_less_than_late_ones(family):
    base = tiny(family)
    adapter = make_adapter("full", base)
    options = TrainOptions(layer_decay=0.5)
    scales = {name: adapter.lr_scale(name, options) for name, _ in adapter.named_parameters()}
    assert all(scale == 1 for name, scale in scales.items() if name.startswith("head."))
    places = [log2(1 / scale) for name, scale in scales.items() if name.startswith("encoder.")]
    count = len(base.blocks)
    if family == "resnet":
        assert set(places) == {0}
        return
    for i, block in enumerate(base.blocks):
        own = {id(p) for p in block.layer.parameters()}
        assert {p for p, q in zip(places, base.encoder.parameters(), strict=True) if id(q) in own} == {count - i}
    assert places[0] == count + 1 and places[-1] == 0
    if family == "pvt":
        found = {i: scales[f"encoder.patch_embeddings.{i}.projection.weight"] for i in range(4)}
        assert found == {0: 2**-6, 1: 2**-5, 2: 2**-3, 3: 2**-2}
    if family == "swin":
        assert scales["encoder.backbone.layers.1.downsample.norm.weight"] == 2**-7
