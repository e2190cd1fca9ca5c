"""Under autocast the layers of the default share operations; values and gradients are those of one layer at a time."""

import pytest
import torch
from pyramids import tiny as pyramid
from tiny import make_adapter, snapshot, tiny_base, tiny_pixels
from torch.utils.checkpoint import checkpoint

import lvtune
from lvtune.adapters import vlpose_light
from lvtune.adapters.autocast_layers import AutocastLayers, groups_of
from lvtune.bases.changes import Call
from lvtune.core.autocast_weights import kept_casts
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.training.recomputed_blocks import recomputed_blocks

CHOICES = {"none chosen": None, "one for all": "mural", "one each": ["sketch", None, "mural", "sketch"]}


@pytest.fixture
def _in_float32(monkeypatch):
    """What is done under autocast, in a type in which nothing is rounded."""
    monkeypatch.setattr(vlpose_light, "autocast_type", lambda x: torch.float32)


def answer(base, adapter, category, pixels, train=True):
    """Heatmaps, and the gradients of what is tuned."""
    torch.manual_seed(3)
    adapter.zero_grad(set_to_none=True)
    with attach(base, adapter), use_adapter(base, category=category):
        base.train(train)
        heatmaps = base(pixels)
        weights = torch.linspace(-1, 1, heatmaps.numel()).view_as(heatmaps)
        (heatmaps.float() * weights).sum().backward()
        base.eval()
    return heatmaps.detach(), {name: p.grad for name, p in adapter.named_parameters()}


def base_of(family):
    return tiny_base() if family == "vitpose" else pyramid(family)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("given", [{}, {"language": 0}, {"sentence_dropout": 0.0, "r": 3, "alpha": 6.0}])
@pytest.mark.parametrize("family", ["vitpose", "swin", "pvt"])
def test_values_and_gradients_are_those_of_one_layer_at_a_time(family, given, choice, monkeypatch):
    base = base_of(family)
    adapter = make_adapter("vlpose-light", base, stirred=0.1, **given)
    pixels = torch.randn(4, 3, *base.input_size, generator=torch.Generator().manual_seed(0))
    expected, wanted = answer(base, adapter, CHOICES[choice], pixels)
    monkeypatch.setattr(vlpose_light, "autocast_type", lambda x: torch.float32)
    found, got = answer(base, adapter, CHOICES[choice], pixels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    scale = max(value.abs().max().item() for value in wanted.values() if value is not None)
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-5 * scale)
    assert all(value is not None for value in got.values())


def test_bfloat16_is_near_to_float32_and_its_gradients_are_float32():
    base, pixels = tiny_base(), tiny_pixels(4)
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    exact, wanted = answer(base, adapter, CHOICES["one each"], pixels)
    with torch.autocast("cpu", torch.bfloat16):
        found, got = answer(base, adapter, CHOICES["one each"], pixels)
    assert (found - exact).norm() < 0.05 * exact.norm()
    assert {value.dtype for value in got.values()} == {torch.float32}
    flat = [torch.cat([one[name].flatten() for name in wanted]) for one in (got, wanted)]
    assert torch.cosine_similarity(*flat, dim=0) > 0.98


@pytest.mark.usefixtures("_in_float32")
def test_layers_that_read_the_same_input_share_one_product(monkeypatch):
    base = tiny_base()
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    rows, original = [], torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda x, w, *b: rows.append(len(w)) or original(x, w, *b))
    with torch.no_grad(), attach(base, adapter):
        base(tiny_pixels(2))
    r, blocks = adapter.config.r, len(base.blocks)
    assert rows.count(3 * r) == blocks and rows.count(r) == 3 * blocks


@pytest.mark.parametrize("how", ["whole model", "blocks"])
@pytest.mark.usefixtures("_in_float32")
def test_what_is_computed_again_is_the_same(how):
    base, pixels = tiny_base(), tiny_pixels(4)
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    expected, wanted = answer(base, adapter, CHOICES["one each"], pixels)
    if how == "blocks":
        with recomputed_blocks(base, adapter):
            found, got = answer(base, adapter, CHOICES["one each"], pixels)
    else:
        torch.manual_seed(3)
        adapter.zero_grad(set_to_none=True)
        with attach(base, adapter), use_adapter(base, category=CHOICES["one each"]):
            base.train()
            found = checkpoint(base, pixels, use_reentrant=False)
            (found * torch.linspace(-1, 1, found.numel()).view_as(found)).sum().backward()
            base.eval()
        got = {name: p.grad for name, p in adapter.named_parameters()}
    assert torch.equal(found, expected)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("_in_float32")
def test_a_batch_under_several_adapters_gives_what_each_gives(monkeypatch):
    base, pixels = tiny_base(), tiny_pixels(4)
    adapters = {name: make_adapter("vlpose-light", base, stirred=0.1, seed=seed) for seed, name in enumerate("ab")}
    with torch.no_grad():
        alone = {}
        for name, adapter in adapters.items():
            with attach(base, adapter):
                alone[name] = base(pixels)
        attached = [attach(base, adapter, name) for name, adapter in adapters.items()]
        with use_adapter(base, ["a", "b", None, "a"]):
            mixed = base(pixels)
        for one in attached:
            one.detach()
    torch.testing.assert_close(mixed[[0, 3]], alone["a"][[0, 3]], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mixed[1], alone["b"][1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mixed[2:3], base(pixels[2:3]), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("_in_float32")
def test_a_layer_with_a_forward_of_its_own_keeps_it():
    base, pixels = tiny_base(), tiny_pixels(2)
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    query = base.blocks[0].query
    with torch.no_grad():
        with attach(base, adapter):
            before = base(pixels)
        query.forward = lambda x: 2 * torch.nn.Linear.forward(query, x)
        with attach(base, adapter):
            doubled = base(pixels)
        del query.forward
        with torch.no_grad():
            query.weight.mul_(2)
            query.bias.mul_(2)
        with attach(base, adapter):
            expected = base(pixels)
    assert not torch.allclose(before, doubled)
    torch.testing.assert_close(doubled, expected, rtol=1e-4, atol=1e-4)


def test_neighbours_of_one_attention_with_one_width_make_a_group():
    keys = ["0/query", "0/key", "0/value", "0/out", "1/self/query", "1/self/key", "2/value", "3/qkv", "3/qkv2"]
    assert groups_of(keys, [8] * 9) == [range(3), range(3, 4), range(4, 6), range(6, 7), range(7, 8), range(8, 9)]
    assert groups_of(keys[:3], [8, 4, 4]) == [range(1), range(1, 3)]


@pytest.mark.parametrize("ranks", [(4, 4), (4, 8)])
@pytest.mark.parametrize("half", [False, True])
def test_two_of_them_in_a_stack_share_nothing_of_each_other(half, ranks):
    base, pixels = tiny_base(), tiny_pixels(4)
    members = [make_adapter("vlpose-light", base, stirred=0.1, seed=i, r=r) for i, r in enumerate(ranks)]
    both = lvtune.stack(members, base=base)
    exact, wanted = answer(base, both, "mural", pixels)
    if half:  # what layers read is in the type of autocast already
        base.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found, got = answer(base, both, "mural", pixels.to(base.dtype))
    assert (found - exact).norm() < 0.02 * exact.norm()
    used = [name for name, value in wanted.items() if value is not None]
    flat = [torch.cat([one[name].flatten() for name in used]) for one in (got, wanted)]
    assert torch.cosine_similarity(*flat, dim=0) > 0.97


def test_a_float64_base_stays_exact_under_autocast():
    base, pixels = tiny_base().to(torch.float64), tiny_pixels(2).double()
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    with torch.no_grad(), attach(base, adapter):
        expected = base(pixels)
        with torch.autocast("cpu", torch.bfloat16):
            found = base(pixels)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("_in_float32")
def test_a_part_that_runs_by_itself_moves_no_other_layer():
    base = tiny_base()
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    with attach(base, adapter):
        base.blocks[1].query(torch.randn(2, 5, 48)).sum().backward()
    key = next(key for key in adapter.A if key.endswith("1/attention/attention/query"))
    assert [name for name, value in adapter.A.items() if value.grad is not None] == [key]


@pytest.mark.usefixtures("_in_float32")
def test_nothing_is_held_after_a_call_or_a_backward_pass():
    base, pixels = tiny_base(), tiny_pixels(4)
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    memos, once = [], Call.once
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Call, "once", lambda self, *given: memos.append(self.memo) or once(self, *given))
        with recomputed_blocks(base, adapter):
            answer(base, adapter, None, pixels)
    assert memos and not any(memos)


@pytest.mark.usefixtures("_in_float32")
def test_an_input_written_in_place_is_read_anew():
    base = tiny_base()
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    x, layers = torch.randn(2, 5, 48), base.blocks[0]
    call = {name: Call(getattr(layers, name).forward, None, memo, {}) for memo in [{}] for name in ("query", "key")}
    made = AutocastLayers(adapter, call["query"], torch.float32, 0)
    with torch.no_grad():
        made.beside(0, call["query"], x)
        x.mul_(3)
        found = made.beside(1, call["key"], x)
        expected = AutocastLayers(adapter, call["key"], torch.float32, 1).beside(1, Call(layers.key.forward, None), x)
    torch.testing.assert_close(found, expected)


def test_an_empty_batch_goes_through_a_layer():
    base = tiny_base()
    adapter = make_adapter("vlpose-light", base, stirred=0.1, language=0)
    made = AutocastLayers(adapter, Call(base.blocks[0].query.forward, None), torch.float32, 0)
    assert made.beside(0, Call(base.blocks[0].query.forward, None), torch.zeros(0, 5, 48)).shape == (0, 5, 48)


def test_the_base_is_as_before_when_it_is_detached():
    base = tiny_base()
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    before = snapshot(base)
    with kept_casts(), torch.autocast("cpu", torch.bfloat16):
        answer(base, adapter, CHOICES["one each"], tiny_pixels(4))
    assert snapshot(base) == before
