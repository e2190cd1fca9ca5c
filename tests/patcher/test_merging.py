"""Adapters written into a copy of their base; the registry is the list of tests."""

import pytest
import torch
from pyramids import WITH_ATTENTION
from pyramids import tiny as tiny_of
from tiny import ARCH, SIZE, make_adapter, snapshot, tiny_base, tiny_model, tiny_pixels
from tiny_hands import tiny_hand_base

import lvtune
from lvtune.adapters.method_registry import METHODS
from lvtune.bases.vitpose import VitPoseBase, build_model, make_config
from lvtune.bases.vitpose_specs import SPECS
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.patcher.attaching import attach, use_adapter

PIXELS = tiny_pixels()
NOT_MERGED = {"vlpose", "vpt", "bottleneck", "stack"}
"""Methods that are no other weights of the base (a stack by default holds vlpose); every other one is merged."""
MERGED = [name for name in METHODS.names() if name not in NOT_MERGED]


def answer(base, adapter, category=None):
    with torch.no_grad(), attach(base, adapter, "own"), use_adapter(base, category=category):
        return base(PIXELS)


@pytest.mark.parametrize("method", MERGED)
def test_the_copy_answers_as_base_and_adapter_and_the_base_is_not_written(method):
    base = tiny_base()
    adapter = make_adapter(method, base, stirred=0.05)
    before, own = snapshot(base), {n: v.clone() for n, v in adapter.tensors().items()}
    merged = lvtune.merge(base, adapter)
    assert snapshot(base) == before
    assert all(torch.equal(v, own[n]) for n, v in adapter.tensors().items())
    expected, bare = answer(base, adapter), base(PIXELS)
    scale = expected.abs().max()
    found = merged.base(PIXELS)
    assert (expected - bare).abs().max() > 1e-3 * scale
    assert (found - expected).abs().max() < 1e-5 * scale
    assert merged.deviation < 1e-5 * merged.largest
    assert type(merged.model) is type(base.model)
    places = [{value.data_ptr() for value in model.state_dict().values()} for model in (base.model, merged.model)]
    assert places[0].isdisjoint(places[1])


@pytest.mark.parametrize("method", sorted(NOT_MERGED))
def test_what_is_no_other_weights_is_refused_with_what_to_use_instead(method):
    base = tiny_base()
    before = snapshot(base)
    with pytest.raises(LvtuneError, match=f"merging {method}") as error:
        lvtune.merge(base, make_adapter(method, base, stirred=0.05))
    assert "attach" in error.value.fix and "onnx" in error.value.fix
    assert snapshot(base) == before


def test_a_chosen_sentence_is_folded_in():
    base = tiny_base()
    adapter = make_adapter("vlpose-light", base, stirred=0.05)
    answers = {category: answer(base, adapter, category) for category in (None, "sketch", "mural")}
    scale = answers[None].abs().max()
    assert (answers["sketch"] - answers["mural"]).abs().max() > 1e-3 * scale
    for category, expected in answers.items():
        merged = lvtune.merge(base, adapter, category=category)
        assert (merged.base(PIXELS) - expected).abs().max() < 1e-5 * scale


def test_a_sentence_that_nobody_reads_or_has_is_refused():
    base = tiny_base()
    with pytest.raises(LvtuneError, match="lora, which reads no sentences"):
        lvtune.merge(base, make_adapter("lora", base), category="sketch")
    with pytest.raises(LvtuneError, match="no sentence for 'etching'"):
        lvtune.merge(base, make_adapter("vlpose-light", base), category="etching")


@pytest.mark.parametrize("method", ["lora", "head", "ia3"])
def test_other_key_points_become_the_copys_own(method):
    base = tiny_base()
    adapter = make_adapter(method, base, stirred=0.05, skeleton=LSP_14)
    merged = lvtune.merge(base, adapter)
    assert merged.base.skeleton == LSP_14 and base.skeleton != LSP_14
    assert merged.model.config.num_labels == 14 and merged.model.config.id2label[0] == LSP_14.keypoints[0]
    expected = answer(base, adapter)
    assert (merged.base(PIXELS) - expected).abs().max() < 1e-5 * expected.abs().max()
    # a base like any other: it is copied, adapted and merged again
    again = lvtune.merge(merged.base, make_adapter("ssf", merged.base, stirred=0.05))
    assert again.base(PIXELS).shape[1] == 14


def test_a_plain_model_and_an_adapter_that_is_attached():
    model = tiny_model()
    adapter = make_adapter("lora", model, stirred=0.05)
    with attach(model, adapter, "art"), torch.no_grad():
        before = snapshot(model)
        expected = model(PIXELS).heatmaps
        merged = lvtune.merge(model, adapter)
        assert snapshot(model) == before
        found = merged.model(PIXELS).heatmaps
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("make", [tiny_base, lambda: tiny_of("pvt"), tiny_hand_base])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_base_with_a_compiled_part_is_copied_as_it_was_before(make, method):
    base = make()
    plain = make()
    adapter = make_adapter(method, plain, stirred=0.05)
    name = next(name for name, module in base.model.named_modules() if module is base.head)
    setattr(base.model, name, torch.compile(base.head, backend="eager"))
    merged = lvtune.merge(base, adapter).state_dict()
    expected = lvtune.merge(plain, adapter).state_dict()
    assert merged.keys() == expected.keys()
    assert all(torch.equal(value, expected[n]) for n, value in merged.items())


def test_half_precision_is_summed_in_float32_and_rounded_once():
    base = tiny_base()
    adapter = make_adapter("lora", base, stirred=0.05)
    base.to(torch.bfloat16)
    merged = lvtune.merge(base, adapter)
    assert {p.dtype for p in adapter.parameters()} == {torch.float32}
    key = next(iter(adapter.lora_A))
    own = base.model.get_submodule(key.replace("/", ".")).weight
    expected = own.float() + adapter.lora_B[key] @ adapter.lora_A[key] * 2
    found = merged.model.get_submodule(key.replace("/", ".")).weight
    assert torch.equal(found, expected.bfloat16()) and found.dtype == torch.bfloat16
    assert 0 < merged.deviation < 0.05 * merged.largest


def test_weights_that_overflow_are_told():
    base = tiny_base()
    adapter = make_adapter("lora", base, stirred=1e5)
    base.to(torch.float16)
    with pytest.raises(LvtuneError, match="not finite in float16"):
        lvtune.merge(base, adapter, pixel_values=torch.zeros(1, 3, 64, 48))


def test_an_adapter_of_another_base_is_refused():
    with pytest.raises(LvtuneError, match="an adapter for a base whose"):
        lvtune.merge(tiny_base(width=64), make_adapter("lora", tiny_base()))


def test_the_deviation_is_over_the_pictures_given():
    base = tiny_base()
    adapter = make_adapter("full", base, stirred=0.05)
    merged = lvtune.merge(base, adapter, pixel_values=PIXELS)
    expected = answer(base, adapter)
    assert merged.deviation == 0.0
    assert merged.largest == float(expected.abs().max())


@pytest.mark.parametrize("method", ["lora", "ssf", "norm", "bitfit", "full", "last-blocks", "dora"])
@pytest.mark.parametrize("family", WITH_ATTENTION)
def test_other_families(method, family):
    base = tiny_of(family)
    pixels = torch.randn(2, 3, *base.input_size, generator=torch.Generator().manual_seed(1))
    adapter = make_adapter(method, base, stirred=0.05)
    before = lvtune.fingerprint(base)
    merged = lvtune.merge(base, adapter)
    with torch.no_grad(), attach(base, adapter):
        expected = base(pixels)
    assert (merged.base(pixels) - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (expected - base(pixels)).abs().max() > 1e-3 * expected.abs().max()
    assert lvtune.fingerprint(base) == before


@pytest.mark.parametrize("method", ["lora", "full", "ssf"])
def test_a_mixture_of_experts(method):
    config = make_config(ARCH, keypoints=17, input_size=SIZE, experts=6)
    base = VitPoseBase(build_model(config, (32, 24), 17), SPECS["vitpose-plus-b"].with_(input_size=SIZE)).freeze()
    base = base.variant("ap10k")
    adapter = make_adapter(method, base, stirred=0.05)
    merged = lvtune.merge(base, adapter)
    assert merged.base.spec.expert == "ap10k"
    assert (merged.base(PIXELS) - answer(base, adapter)).abs().max() < 1e-5 * merged.largest


def test_a_pyramid_with_other_key_points_is_copied_again():
    base = tiny_of("pvt")
    merged = lvtune.merge(base, make_adapter("lora", base, stirred=0.05, skeleton=LSP_14))
    again = lvtune.merge(merged.base, make_adapter("norm", merged.base, stirred=0.05))
    assert again.base(torch.randn(2, 3, *base.input_size)).shape[1] == 14


@pytest.mark.parametrize("method", ["full", "head", "lora"])
def test_hands_with_what_lifts_them_to_space(method):
    base = tiny_hand_base()
    pixels = torch.randn(2, 3, *base.input_size, generator=torch.Generator().manual_seed(1))
    adapter = make_adapter(method, base, stirred=0.05)
    merged = lvtune.merge(base, adapter)
    with torch.no_grad(), attach(base, adapter):
        expected = base.model(pixels)
    with torch.no_grad():
        found, bare = merged.model(pixels), base.model(pixels)
    assert merged.deviation < 1e-5 * merged.largest
    for name in ("heatmaps", "xyz"):
        wanted = getattr(expected, name)
        assert (getattr(found, name) - wanted).abs().max() < 1e-4 * wanted.abs().max()
        assert (getattr(bare, name) - wanted).abs().max() > 1e-3 * wanted.abs().max()
