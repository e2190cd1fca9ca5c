"""VLPose: prompts against token insertion, matchers and decoders against their formulas, and text that acts."""

import itertools

import pytest
import torch
from tiny import TinyPictures, make_adapter, tiny_bank, tiny_base, tiny_model, tiny_pixels
from torch import nn
from torch.nn import functional as F

from lvtune.adapters.vlpose_decoders import DECODERS
from lvtune.adapters.vlpose_matchers import MATCHERS
from lvtune.core.errors import LvtuneError
from lvtune.data.dataset import collate
from lvtune.language.bank import SentenceBank, get_bank
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.training.heatmap import HeatmapObjective

PIXELS = tiny_pixels(3)


def oracle(model, prompts, placement):
    """Prompt tokens as published: concatenated in front of the patches, dropped behind the block or at the end."""
    hidden = model.backbone.embeddings(PIXELS)
    count = prompts.shape[1]
    for i, layer in enumerate(model.backbone.encoder.layer):
        if placement == "deep" or i == 0:
            hidden = torch.cat([prompts[i].expand(len(hidden), -1, -1), hidden], dim=1)
        hidden = layer(hidden)
        if placement == "deep":
            hidden = hidden[:, count:]
    hidden = model.backbone.layernorm(hidden if placement == "deep" else hidden[:, count:])
    return model.head(hidden.transpose(1, 2).unflatten(2, (4, 3)))


def visual_prompts_alone(target, placement, count=5, **options):
    """No text, no trained head: what is left is the prompts."""
    adapter = make_adapter("vlpose", target, visual_prompts=count, placement=placement, decoder="baseline", **options)
    with torch.no_grad():
        adapter.prompts.mul_(30)  # published prompts start small; tuned ones are not
    return adapter


@pytest.mark.parametrize("called_before", [False, True])
@pytest.mark.parametrize("placement", ["deep", "shallow"])
@pytest.mark.parametrize("make", [tiny_base, tiny_model])
def test_prompts_equal_inserted_tokens(make, placement, called_before):
    target, plain = make(), tiny_model()
    if called_before:
        target(PIXELS)
    adapter = visual_prompts_alone(target, placement, zero_init=False)
    prompts = adapter.prompts.detach().clone().requires_grad_()
    expected = oracle(plain, prompts, placement)
    with attach(target, adapter):
        found = target(PIXELS)
        found = getattr(found, "heatmaps", found)
        (expected_gradient,) = torch.autograd.grad(expected.square().sum(), prompts)
        (gradient,) = torch.autograd.grad(found.square().sum(), adapter.prompts)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-3, rtol=1e-4)
    assert (expected - plain(PIXELS).heatmaps).abs().max() > 0.02


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_prompts_do_not_depend_on_how_attention_is_computed(implementation):
    model = tiny_model()
    model.backbone.set_attn_implementation(implementation)
    adapter = visual_prompts_alone(model, "deep", zero_init=False)
    with attach(model, adapter):
        found = model(PIXELS).heatmaps
    torch.testing.assert_close(found, oracle(tiny_model(), adapter.prompts, "deep"), atol=1e-5, rtol=0)


def test_gated_prompts_equal_a_second_attention():
    base, plain = tiny_base(), tiny_model()
    adapter = visual_prompts_alone(base, "deep", zero_init=True)
    with torch.no_grad():
        adapter.prompt_gates.normal_()
    hidden = plain.backbone.embeddings(PIXELS)
    for i, layer in enumerate(plain.backbone.encoder.layer):
        attention, rows = layer.attention.attention, layer.layernorm_before(adapter.prompts[i])
        normed = layer.layernorm_before(hidden)
        q, k, v = attention.query(normed), attention.key(rows), attention.value(rows)
        heads = []
        for h in range(4):
            part = slice(12 * h, 12 * h + 12)
            weights = (q[..., part] @ k[:, part].T / 12**0.5).softmax(-1)
            heads.append(adapter.prompt_gates[i, h] * (weights @ v[:, part]))
        seen = torch.cat(heads, -1) @ layer.attention.output.dense.weight.T
        hidden = layer.attention(normed) + seen + hidden
        hidden = layer.mlp(layer.layernorm_after(hidden)) + hidden
    expected = plain.head(plain.backbone.layernorm(hidden).transpose(1, 2).unflatten(2, (4, 3)))
    with attach(base, adapter):
        torch.testing.assert_close(base(PIXELS), expected, atol=1e-5, rtol=0)


def test_prompt_counts():
    base = tiny_base()
    for size, count in {"ti": 50, "s": 50, "b": 20, "l": 10, "h": 5}.items():
        base.spec = base.spec.with_(size=size)
        for placement, layers in (("deep", 3), ("shallow", 1)):
            adapter = make_adapter("vlpose", base, visual_prompts=-1, placement=placement)
            assert adapter.prompts.shape == (layers, count, 48)
    assert make_adapter("vlpose", base, placement="none").prompts.numel() == 0
    prompts = make_adapter("vlpose", base, visual_prompts=50).prompts
    assert prompts.std().item() == pytest.approx(0.02, rel=0.05) and prompts.abs().max() <= 2


@pytest.mark.parametrize("options", [{"visual_prompts": 0}, {"placement": "none"}, {}])
def test_tuning_starts_from_the_answer_of_the_base(options):
    base = tiny_base()
    adapter = make_adapter("vlpose", base, **options)
    bare = base(PIXELS)
    with attach(base, adapter):
        assert torch.equal(base(PIXELS), bare)
    as_published = make_adapter("vlpose", base, zero_init=False, **options)
    with attach(base, as_published):
        assert not torch.equal(base(PIXELS), bare)


def matcher_parts(name, pad=True):
    torch.manual_seed(1)
    matcher = MATCHERS.get(name)(48, heads=8).eval()
    nn.init.normal_(matcher.norm.weight)
    image, text = torch.randn(2, 12, 48), torch.randn(2, 5, 48)
    mask = torch.ones(2, 5, dtype=torch.bool)
    if pad:
        mask[1, 3:] = False
    return matcher, image, text, mask


def attention_of_torch(matcher, image, source, mask):
    """torch's own attention with the matcher's weights, LayerNorm(attention + E)."""
    own = nn.MultiheadAttention(48, 8, batch_first=True)
    with torch.no_grad():
        own.in_proj_weight.copy_(torch.cat([matcher.q.weight, matcher.k.weight, matcher.v.weight]))
        own.in_proj_bias.copy_(torch.cat([matcher.q.bias, matcher.k.bias, matcher.v.bias]))
        own.out_proj.load_state_dict(matcher.proj.state_dict())
    out, _ = own(image, source, source, key_padding_mask=~mask, need_weights=False)
    return F.layer_norm(out + image, (48,), matcher.norm.weight, matcher.norm.bias, 1e-5)


def sources(name, image, text, mask):
    """What keys and values are made of, sample by sample, after the specification."""
    rows, masks = [], []
    for e, t, m in zip(image, text, mask, strict=True):
        scores = e @ t[m].T  # (N, real tokens)
        real = torch.ones(len(e), dtype=torch.bool)
        row, seen = {
            "concat": lambda e=e, t=t, m=m, real=real: (torch.cat([e, t]), torch.cat([real, m])),
            "attn": lambda t=t, m=m: (t, m),
            "cosmax": lambda e=e, s=scores, real=real: (s.max(1).values[:, None].repeat(1, 48), real),
            "cosmean": lambda e=e, s=scores, real=real: (s.mean(1)[:, None].repeat(1, 48), real),
            "coscat": lambda e=e, t=t, m=m, real=real: (torch.cat([e, e.sum(0) * t]), torch.cat([real, m])),
        }[{"catcat": "concat", "coscatcat": "coscat"}.get(name, name)]()
        rows.append(row)
        masks.append(seen)
    return torch.stack(rows), torch.stack(masks)


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("name", MATCHERS.names())
def test_matchers_equal_their_formula(name, pad):
    matcher, image, text, mask = matcher_parts(name, pad)
    source, seen = sources(name, image, text, mask)
    expected = attention_of_torch(matcher, image, source, seen)
    if name in ("catcat", "coscatcat"):
        expected = torch.cat([image, expected], dim=1)
    torch.testing.assert_close(matcher(image, text, mask), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MATCHERS.names())
def test_padding_is_not_read(name):
    matcher, image, text, mask = matcher_parts(name)
    with torch.no_grad():
        before = matcher(image, text, mask)
        text[1, 3:] = 100
        torch.testing.assert_close(matcher(image, text, mask), before, atol=1e-6, rtol=0)
        text[1, 0] += 1
        assert not torch.allclose(matcher(image, text, mask), before)


def test_dropout_is_on_in_training_alone():
    matcher, image, text, mask = matcher_parts("concat")
    assert torch.equal(matcher(image, text, mask), matcher(image, text, mask))
    matcher.train()
    assert not torch.equal(matcher(image, text, mask), matcher(image, text, mask))


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("name", ["baseline", "injector", "dual", "dual-released"])
def test_decoders_equal_their_formula(name, gated):
    base = tiny_base()
    decoder = DECODERS.get(name)(base.stages, 48, gated).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in decoder.parameters():
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    e, r = (torch.randn(2, 48, 4, 3, generator=generator) for _ in range(2))
    head, auxiliary = base.head, decoder.auxiliary
    b1 = lambda x: head.relu1(head.batchnorm1(head.deconv1(x)))  # noqa: E731
    b2 = lambda x: head.relu2(head.batchnorm2(head.deconv2(x)))  # noqa: E731
    a1, a2 = auxiliary if len(auxiliary) else (None, None)
    gate = lambda weight, x: x * weight[:, None, None] if gated else x  # noqa: E731
    gr = gate(decoder.relation.weight, r) if gated and name != "baseline" else r
    weights = [g.weight for g in decoder.gates]
    if name == "baseline":
        expected = b2(b1(e))
    elif name == "injector":
        expected = b2(b1(e + gr))
    elif name == "dual":
        main1 = b1(e + gr)
        expected = b2(main1) + gate(weights[0], a2(a1(r) + main1))
    else:
        main1 = b1(e + gr) + gate(weights[0], a1(e))
        expected = b2(main1) + gate(weights[1], a2(main1))
    torch.testing.assert_close(decoder(base.stages, e, r), expected, atol=1e-5, rtol=1e-5)


def test_auxiliary_stages_start_as_released():
    adapter = make_adapter("vlpose", tiny_base(), zero_init=False)
    for conv, norm, _ in adapter.decoder.auxiliary:
        assert conv.weight.std().item() == pytest.approx(0.001, rel=0.05)
        assert (norm.weight == 1).all() and (norm.bias == 0).all()


def tuned(base, bank, count=4, **options):
    adapter = make_adapter("vlpose", base, bank=bank, **options)
    batch = collate([TinyPictures()[i] for i in range(4)])
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-2)
    with attach(base, adapter):
        base.train()
        for _ in range(count):
            optimizer.zero_grad()
            HeatmapObjective()(base, batch).backward()
            optimizer.step()
        base.eval()
    return adapter


@pytest.mark.parametrize("matcher", MATCHERS.names())
@pytest.mark.parametrize("decoder", [name for name in DECODERS.names() if name != "baseline"])
def test_text_acts(matcher, decoder):
    base, bank = tiny_base(), tiny_bank()
    adapter = tuned(base, bank, matcher=matcher, decoder=decoder)
    assert adapter.text_proj.weight.grad.abs().max() > 0
    answers = {}
    with attach(base, adapter), torch.no_grad():
        for category in (*bank.categories, None):
            answers[category] = base(PIXELS, category=category)
    for (a, given), (b, other) in itertools.product(answers.items(), repeat=2):
        assert torch.equal(given, other) == (a == b)
    other = make_adapter("vlpose", base, bank=tiny_bank(seed=8), matcher=matcher, decoder=decoder)
    other.load_tensors(adapter.tensors())
    with attach(base, other), torch.no_grad():
        assert not torch.equal(base(PIXELS, category="sketch"), answers["sketch"])


def test_no_prompt_reads_the_mean_of_the_sentences():
    base, bank = tiny_base(), tiny_bank(dim=48)
    adapter = make_adapter("vlpose", base, bank=bank, zero_init=False)
    tokens, mask = bank.mean()
    found, found_mask = adapter.text(None, 2)
    torch.testing.assert_close(found, tokens.expand(2, -1, -1), atol=1e-6, rtol=0)
    assert torch.equal(found_mask, mask.expand(2, -1))
    found, found_mask = adapter.text(("mural", None, "sketch"), 3)
    assert torch.equal(found[0], bank.tokens[2]) and torch.equal(found_mask[0], bank.mask[2])
    torch.testing.assert_close(found[1], tokens, atol=1e-6, rtol=0)
    for one, several in zip(adapter.text(("mural",), 3), adapter.text(("mural",) * 3, 3), strict=True):
        assert torch.equal(one, several)  # one for all, or one each
    with pytest.raises(LvtuneError, match="fresco"):
        adapter.text(("fresco",), 1)


def test_prompt_dropout_reads_the_mean_now_and_then_in_training_alone():
    adapter = make_adapter("vlpose", tiny_base(), bank=tiny_bank(dim=48), sentence_dropout=0.25)
    named = adapter.text(("sketch",), 1)[0]
    adapter.train()
    found = adapter.text(("sketch",) * 400, 400)[0]
    share = (found == named).all(-1).all(-1).float().mean().item()
    assert share == pytest.approx(0.75, abs=0.07)
    adapter.eval()
    assert (adapter.text(("sketch",) * 400, 400)[0] == named).all()


def test_learning_rates_of_prompts_and_gates():
    adapter = make_adapter("vlpose", tiny_base(), visual_prompt_lr_scale=3.0, gate_lr_scale=7.0)
    scales = {name: adapter.lr_scale(name, None) for name, _ in adapter.named_parameters()}
    assert {n for n, s in scales.items() if s == 3} == {"prompts"}
    gates = {"prompt_gates", "decoder.relation.weight", "decoder.gates.0.weight", "decoder.gates.1.weight"}
    assert {n for n, s in scales.items() if s == 7} == gates
    assert {s for n, s in scales.items() if n not in gates | {"prompts"}} == {1.0}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"heads": 7}, "7 heads for a width of 48"),
        ({"heads": 0}, "heads"),
        ({"placement": "middle"}, "deep, shallow, none"),
        ({"matcher": "concatt"}, "did you mean 'concat'"),
        ({"decoder": "duel"}, "did you mean 'dual'"),
        ({"visual_prompts": -2}, "prompts"),
        ({"dropout": 1.5}, "dropout"),
        ({"sentence_dropout": -0.5}, "sentence_dropout"),
    ],
)
def test_options_that_do_not_fit_are_told(options, told):
    with pytest.raises(LvtuneError, match=told):
        make_adapter("vlpose", tiny_base(), **options)


def test_batchnorm_of_the_auxiliary_stages_is_the_adapters_own():
    base = tiny_base()
    adapter = make_adapter("vlpose", base)
    with attach(base, adapter):
        base.train()
        base(PIXELS)
        base.eval()
    assert all(norm.num_batches_tracked == 1 for _, norm, _ in adapter.decoder.auxiliary)
    assert not base.head.batchnorm1.num_batches_tracked and not base.head.batchnorm1.training


def test_a_wrong_prompt_is_told_on_a_plain_model():
    model = tiny_model()
    attach(model, make_adapter("vlpose", model))
    with use_adapter(model, category="skech"), pytest.raises(LvtuneError, match="did you mean 'sketch'"):
        model(PIXELS)


def many(count, dim=20):
    """A bank of many sentences, such as captions."""
    generator = torch.Generator().manual_seed(5)
    mask = torch.arange(6) < torch.randint(1, 7, (count, 1), generator=generator)
    tokens = torch.randn(count, 6, dim, generator=generator) * mask[..., None]
    names = tuple(f"caption:{i}" for i in range(count))
    return SentenceBank(names, names, tokens, mask, "test")


def test_of_many_sentences_only_those_read_are_projected():
    bank = many(65)
    adapter = make_adapter("vlpose", tiny_base(), bank=bank)
    seen = []
    adapter.text_proj.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    asked = ("caption:7", None, "caption:64", "caption:7")
    tokens, mask = adapter.text(asked, 4)
    assert seen == [3]
    mean, reach = bank.mean()
    for row, category in enumerate(asked):
        i = None if category is None else bank.index(category)
        states, real = (mean, reach) if i is None else (bank.tokens[i], bank.mask[i])
        assert torch.equal(mask[row], real)
        torch.testing.assert_close(tokens[row], adapter.text_proj(states), atol=1e-6, rtol=1e-6)
    assert make_adapter("vlpose", tiny_base(), bank=many(64)).text_mean is None
    assert adapter.double().text_mean.dtype == torch.float64
    assert not {"text_mean", "text_tokens"} & adapter.tensors().keys()


def test_tokens_that_are_drawn_anew_at_each_call():
    base, bank = tiny_base(), get_bank("demo-art", mode="random-each-call", width=48)
    adapter = make_adapter("vlpose", base, bank=bank, zero_init=False)
    assert isinstance(adapter.text_proj, nn.Identity)  # as wide as the features, as released
    first, again = adapter.text(("sketch", "cartoon"), 2)[0], adapter.text(("sketch", "cartoon"), 2)[0]
    assert first.shape == (2, 10, 48) and 0 <= first.min() < first.max() < 1
    assert torch.equal(first[0], first[1]) and not torch.equal(first, again)
    with pytest.raises(LvtuneError, match="drawn again"):
        make_adapter("vlpose-light", base, bank=bank)
    fixed = make_adapter("vlpose", base, bank=get_bank("demo-art", mode="random", width=48))
    assert torch.equal(fixed.text(("sketch",), 1)[0], fixed.text(("cartoon",), 1)[0])
