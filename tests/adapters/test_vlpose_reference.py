"""Every matcher, decoder and kind of visual category against plain einsums, values and gradients.

The reference below is written from the specification alone (arXiv 2402.14456 and the notes on its released code,
commit f312a9f) over named tensors; of the package it uses nothing but the tensors themselves.
"""

import functools
import itertools
import math

import pytest
import torch
from pyramids import pixels as pyramid_pixels
from pyramids import tiny as pyramid
from tiny import make_adapter, tiny_bank, tiny_base, tiny_pixels
from torch import einsum

from lvtune.adapters.vlpose_decoders import DECODERS
from lvtune.adapters.vlpose_matchers import MATCHERS
from lvtune.patcher.attaching import attach

PIXELS = tiny_pixels(2).double()
SENTENCES = ("sketch", "cartoon")  # of five and of three tokens
HEADS, LAYERS, EPS = 4, 3, 1e-6
PLACEMENTS = ("deep", "gated", "shallow", "ff", "ll")


def linear(t, name, x):
    return einsum("...i,oi->...o", x, t[f"{name}.weight"]) + t[f"{name}.bias"]


def layer_norm(t, name, x, eps=EPS):
    x = x - x.mean(-1, keepdim=True)
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * t[f"{name}.weight"] + t[f"{name}.bias"]


def batch_norm(t, name, x):
    part = lambda key: t[f"{name}.{key}"][:, None, None]  # noqa: E731
    return (x - part("running_mean")) / (part("running_var") + 1e-5).sqrt() * part("weight") + part("bias")


def attend(q, k, v, heads, seen=None):
    """q (B, N, D), k and v (B, M, D), seen (B, M) -> (B, N, D)."""
    q, k, v = (x.unflatten(-1, (heads, -1)) for x in (q, k, v))
    scores = einsum("bnhd,bmhd->bhnm", q, k) / math.sqrt(q.shape[-1])
    if seen is not None:
        scores = scores.masked_fill(~seen[:, None, None], -math.inf)
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
    return einsum("bhnm,bmhd->bnhd", weights, v).flatten(2)


def conv_transposed(weight, x):
    """4x4, stride 2, pad 1: y[2i + a - 1] gathers w[a] x[i]."""
    b, _, h, w = x.shape
    out = x.new_zeros(b, weight.shape[1], 2 * h + 2, 2 * w + 2)
    for a in range(4):
        for c in range(4):
            out[:, :, a : a + 2 * h : 2, c : c + 2 * w : 2] += einsum("bihw,io->bohw", x, weight[:, :, a, c])
    return out[:, :, 1:-1, 1:-1]


def block(t, name, x, prompts=None, gates=None):
    """A layer of the encoder with P tokens in front, whose outputs are dropped; or gated attention to them."""
    attention = f"{name}.attention.attention"
    tokens = x if prompts is None or gates is not None else torch.cat([prompts.expand(len(x), -1, -1), x], dim=1)
    normed = layer_norm(t, f"{name}.layernorm_before", tokens)
    q, k, v = (linear(t, f"{attention}.{part}", normed) for part in ("query", "key", "value"))
    seen = attend(q, k, v, HEADS)
    if gates is not None:
        rows = layer_norm(t, f"{name}.layernorm_before", prompts.expand(len(x), -1, -1))
        k, v = (linear(t, f"{attention}.{part}", rows) for part in ("key", "value"))
        seen = seen + attend(q, k, v, HEADS) * gates.repeat_interleave(q.shape[-1] // HEADS)
    x = tokens + linear(t, f"{name}.attention.output.dense", seen)
    hidden = linear(t, f"{name}.mlp.fc1", layer_norm(t, f"{name}.layernorm_after", x))
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    x = x + linear(t, f"{name}.mlp.fc2", hidden)
    return x if prompts is None else x[:, x.shape[1] - 12 :]


def encode(t, own, kind):
    """E (B, 12, 48)."""
    if kind == "ff":  # the whole encoder is the adapter's
        t = t | {f"backbone.{name[8:]}": value for name, value in own.items() if name.startswith("encoder.")}
    weight = t["backbone.embeddings.patch_embeddings.projection.weight"]
    padded = torch.nn.functional.pad(PIXELS, (2, 2, 2, 2))
    patches = padded.unfold(2, 16, 16).unfold(3, 16, 16)[:, :, :4, :3]  # (B, 3, h, w, 16, 16)
    x = einsum("bchwij,dcij->bhwd", patches, weight).flatten(1, 2)
    positions = t["backbone.embeddings.position_embeddings"]
    x = x + t["backbone.embeddings.patch_embeddings.projection.bias"] + positions[:, 1:] + positions[:, :1]
    if kind == "shallow":
        x = torch.cat([own["prompts"].expand(len(x), -1, -1), x], dim=1)
    for i in range(LAYERS):
        name = f"backbone.encoder.layer.{i}"
        if kind == "ll" and i == LAYERS - 1:
            x = block({f"{name}.{k[6:]}": v for k, v in own.items() if k.startswith("block.")}, name, x)
        elif kind in ("deep", "gated"):
            x = block(t, name, x, own["prompts"][i], own["prompt_gates"][i] if kind == "gated" else None)
        else:
            x = block(t, name, x)
    if kind == "ll":
        return layer_norm(own, "norm", x[:, -12:])
    return layer_norm(t, "backbone.layernorm", x[:, -12:])


def relation_of(own, name, e, bank):
    """R (B, 12, 48), or [E ; R] joined by the head that takes it."""
    rows = [bank.categories.index(category) for category in SENTENCES]
    mask, text = bank.mask[rows], linear(own, "text_proj", bank.tokens[rows].double())
    both = lambda x: (torch.cat([e, x], 1), torch.cat([torch.ones(2, 12, dtype=torch.bool), mask], 1))  # noqa: E731
    scores = einsum("bnd,btd->bnt", e, text)
    repeated = lambda score: (score[..., None].repeat(1, 1, 48), None)  # noqa: E731
    share = mask.double() / mask.sum(1, keepdim=True)
    source, seen = {
        "attn": lambda: (text, mask),
        "concat": lambda: both(text),
        "catcat": lambda: both(text),
        "coscat": lambda: both(einsum("bnd,btd->btd", e, text)),
        "coscatcat": lambda: both(einsum("bnd,btd->btd", e, text)),
        "cosmax": lambda: (
            scores.masked_fill(~mask[:, None], -math.inf).max(2).values[..., None].repeat(1, 1, 48),
            None,
        ),
        "cosmean": lambda: repeated(einsum("bnt,bt->bn", scores, share)),
    }[name]()
    q, k, v = (linear(own, f"matcher.{part}", x) for part, x in (("q", e), ("k", source), ("v", source)))
    r = layer_norm(own, "matcher.norm", linear(own, "matcher.proj", attend(q, k, v, 8, seen)) + e, 1e-5)
    if name not in ("catcat", "coscatcat"):
        return r
    return einsum("bnc,oc->bno", torch.cat([e, r], -1), own["join.weight"][:, :, 0, 0]) + own["join.bias"]


def decode(t, own, name, e, r):
    """Heatmaps of E and R, (B, 48, 4, 3) each; gates where the adapter has them."""
    b = lambda i, x: batch_norm(t, f"head.batchnorm{i}", conv_transposed(t[f"head.deconv{i}.weight"], x)).relu()  # noqa: E731

    def a(i, x):
        conv = conv_transposed(own[f"decoder.auxiliary.{i - 1}.0.weight"], x)
        return batch_norm(own, f"decoder.auxiliary.{i - 1}.1", conv).relu()

    gate = lambda key, x: x * own.get(f"decoder.{key}.weight", torch.ones(x.shape[1]).double())[:, None, None]  # noqa: E731
    add = lambda: e + gate("relation", r)  # noqa: E731

    def lifted():
        low = einsum("bihw,oi->bohw", r, own["decoder.lift.weight"][:, :, 0, 0])
        for axis in (2, 3):  # twice as large: a quarter of the neighbour on either side, the edge repeated
            end = low.shape[axis]
            before = torch.cat([low.narrow(axis, 0, 1), low.narrow(axis, 0, end - 1)], axis)
            after = torch.cat([low.narrow(axis, 1, end - 1), low.narrow(axis, end - 1, 1)], axis)
            low = torch.stack([0.75 * low + 0.25 * before, 0.75 * low + 0.25 * after], axis + 1).flatten(axis, axis + 1)
        return low

    def dual():
        main1 = b(1, add())
        return b(2, main1) + gate("gates.0", a(2, a(1, r) + main1))

    def released():
        main1 = b(1, add()) + gate("gates.0", a(1, e))
        return b(2, main1) + gate("gates.1", a(2, main1))

    features = {
        "baseline": lambda: b(2, b(1, e)),
        "injector": lambda: b(2, b(1, add())),
        "extractor-injector": lambda: b(2, b(1, e)) + gate("gates.0", a(2, a(1, e) + lifted())),
        "extractor-injector-released": lambda: b(2, b(1, e)) + gate("gates.0", a(2, a(1, e + r))),
        "dual": dual,
        "dual-released": released,
    }[name]()
    return einsum("bchw,kc->bkhw", features, own["predictor.weight"][:, :, 0, 0]) + own["predictor.bias"][:, None, None]


@functools.cache
def the_base():
    base = tiny_base()
    base.model.double()
    return base


def stirred(matcher, decoder, kind):
    """A base and an adapter for it, every tensor of which matters; on tensors of order 1, gates too."""
    base, zero_init = the_base(), kind == "gated"
    options = {"placement": {"gated": "deep"}.get(kind, kind), "zero_init": zero_init}
    adapter = make_adapter("vlpose", base, matcher=matcher, decoder=decoder, stirred=0.2, **options)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in adapter.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(0.3 * torch.randn(value.shape, generator=generator))
            elif name.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return base, adapter.double()


VARIANTS = [
    ("concat", "baseline"),
    *itertools.product(MATCHERS.names(), [d for d in DECODERS.names() if d != "baseline"]),
]
"""The baseline reads no relation, whatever the matcher."""


@pytest.mark.parametrize("kind", PLACEMENTS)
@pytest.mark.parametrize(("matcher", "decoder"), VARIANTS)
def test_heatmaps_and_gradients_equal_the_reference(matcher, decoder, kind):
    base, adapter = stirred(matcher, decoder, kind)
    tensors = base.model.state_dict()
    leaves = {n: p.detach().clone().requires_grad_() for n, p in adapter.named_parameters() if p.requires_grad}
    own = {**dict(adapter.named_buffers()), **leaves}
    e = encode(tensors, own, kind)
    r = e if decoder == "baseline" else relation_of(own, matcher, e, tiny_bank())
    e, r = (x.transpose(1, 2).unflatten(2, (4, 3)) for x in (e, r))
    expected = decode(tensors, own, decoder, e, r)
    with attach(base, adapter):
        found = base(PIXELS, category=SENTENCES)
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
        weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(4)).double()
        gradients = torch.autograd.grad((found * weights).sum(), [dict(adapter.named_parameters())[n] for n in leaves])
    expected = torch.autograd.grad((expected * weights).sum(), list(leaves.values()))
    for name, one, other in zip(leaves, gradients, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-7, msg=lambda text, name=name: f"{name}: {text}")
        if not name.endswith(("k.bias", "key.bias")):  # a constant on all keys changes no softmax
            assert one.abs().max() > 1e-6, name


def test_three_stages_are_wired_after_the_formula():
    """Behind stride 32 the head has a third stage; arXiv 2402.14456 draws two."""
    base = pyramid("swin")
    generator = torch.Generator().manual_seed(1)
    e, r = (torch.randn(2, base.width, 2, 2, generator=generator) for _ in range(2))
    b = [stage.forward for stage in base.stages]
    for name in DECODERS.names():
        adapter = make_adapter("vlpose", base, decoder=name, stirred=0.2, heads=4)
        decoder, g = adapter.decoder, [gate.weight[:, None, None] for gate in adapter.decoder.gates]
        a, gr = decoder.auxiliary, r * (decoder.relation.weight[:, None, None] if decoder.adds_relation else 1)
        if name == "dual":
            m1, a1 = b[0](e + gr), a[0](r)
            m2, a2 = b[1](m1), a[1](a1 + m1)
            expected = b[2](m2) + g[0] * a[2](a2 + m2)
        elif name == "dual-released":
            m1 = b[0](e + gr) + g[0] * a[0](e)
            m2 = b[1](m1) + g[1] * a[1](m1)
            expected = b[2](m2) + g[2] * a[2](m2)
        elif name == "extractor-injector":
            lifted = torch.nn.functional.interpolate(decoder.lift(r), scale_factor=2, mode="bilinear")
            expected = b[2](b[1](b[0](e))) + g[0] * a[2](a[1](a[0](e) + lifted))
        elif name == "extractor-injector-released":
            expected = b[2](b[1](b[0](e))) + g[0] * a[2](a[1](a[0](e + r)))
        else:
            expected = b[2](b[1](b[0](e + gr if name == "injector" else e)))
        torch.testing.assert_close(decoder(base.stages, e, r), expected, atol=1e-5, rtol=1e-5, msg=name)
    with attach(base, adapter), torch.no_grad():
        assert base(pyramid_pixels(2)).shape == (2, 17, 16, 16)


@pytest.mark.parametrize("decoder", DECODERS.names())
def test_decoders_behind_the_simple_head(decoder):
    base = tiny_base(simple=True)
    pixels = PIXELS.float()
    bare = base(pixels)
    with attach(base, make_adapter("vlpose", base, decoder=decoder, matcher="catcat")):
        assert torch.equal(base(pixels), bare)
    with attach(base, make_adapter("vlpose", base, decoder=decoder, stirred=0.1)):
        assert base(pixels).shape == bare.shape and not torch.equal(base(pixels), bare)
