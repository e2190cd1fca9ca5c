"""One batch under several adapters: every sample's answer is the one it gets alone, whatever stands beside it."""

import asyncio
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pyramids
import pytest
import torch
from tiny import ARCH, SIZE, make_adapter, snapshot, tiny_base, tiny_model, tiny_pixels
from torch import nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.method_registry import METHODS
from lvtune.bases.changes import AddToOutput, ExtendKeyValue, ReplaceForward
from lvtune.bases.vitpose import VitPoseBase, build_model, make_config
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.patcher.attaching import attach, detach, use_adapter
from lvtune.patcher.routing import CallRouter

EIGHT = {
    "sketch": ("vlpose", {}),
    "oil": ("vlpose", {"zero_init": False, "visual_prompts": 5}),
    "mural": ("vlpose", {"skeleton": LSP_14}),
    "cartoon": ("lora", {}),
    "dance": ("lora", {"skeleton": LSP_14, "targets": ("key", "fc1"), "r": 2}),
    "circus": ("norm", {}),
    "kabuki": ("vpt", {"zero_init": False, "skeleton": LSP_14}),
    "relief": ("vpt", {"visual_prompts": 2}),
}
"""Eight adapters of four methods and two head sizes."""


def attach_eight(base):
    for seed, (name, (method, options)) in enumerate(EIGHT.items()):
        attach(base, make_adapter(method, base, stirred=0.1, seed=seed, **options), name)


def assert_near(found, expected):
    """Within 1e-5 of the largest value."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.fixture
def calls(monkeypatch):
    """Adapters that each call of the model's forward was shared by."""
    found = []

    def spy(self, groups):
        found.append(len(groups))
        return run(self, groups)

    run = CallRouter._run
    monkeypatch.setattr(CallRouter, "_run", spy)
    return found


@torch.no_grad()
def test_eight_adapters_of_four_methods_and_two_heads_in_one_batch(calls):
    base, pixels = tiny_base(), tiny_pixels(1).expand(8, -1, -1, -1)  # one picture, so that adapters alone differ
    before, bare = snapshot(base), base(pixels)
    attach_eight(base)
    names = list(EIGHT)
    for seed in range(3):
        random.Random(seed).shuffle(names)
        singles = [base(pixels[i : i + 1], adapters=name)[0] for i, name in enumerate(names)]
        mixed = base(pixels, adapters=names)
        assert isinstance(mixed, list) and sorted(map(len, mixed)) == [14] * 3 + [17] * 5
        for found, expected in zip(mixed, singles, strict=True):
            assert_near(found, expected)
    assert calls == [8] * 3  # the model was called once for each batch
    answers = [*mixed, bare[0]]
    for i, one in enumerate(answers):
        for other in answers[:i]:
            assert one.shape != other.shape or (one - other).abs().max() > 1e-3 * one.abs().max()
    random.Random(7).shuffle(names)
    for name in names:
        detach(base, name)
    assert torch.equal(base(pixels), bare)
    assert snapshot(base) == before


@torch.no_grad()
def test_every_method_beside_every_other():
    base, pixels = tiny_base(), tiny_pixels(8)
    names = [None]
    for seed, method in enumerate(METHODS.names()):
        points = {"skeleton": LSP_14} if seed % 3 == 2 and METHODS.get(method).trains_predictor else {}
        attach(base, make_adapter(method, base, stirred=0.1, seed=seed, **points), method)
        names.append(method)
    for seed in range(4):
        picked = random.Random(seed).choices(names, k=8)
        mixed = base(pixels, adapters=picked)
        for i, name in enumerate(picked):
            assert_near(mixed[i], base(pixels[i : i + 1], adapters=name)[0])


@torch.no_grad()
@pytest.mark.parametrize("family", pyramids.FAMILIES)
def test_windows_pyramids_and_convolutions(family, calls):
    base, pixels = pyramids.tiny(family), pyramids.pixels(6)
    methods = pyramids.METHODS if family != "resnet" else ("norm", "bitfit", "head", "full")
    names = [*methods, None]
    for seed, method in enumerate(methods):
        options = {"zero_init": False} if method in ("vlpose", "vpt") else {}
        attach(base, make_adapter(method, base, stirred=0.1, seed=seed, **options), method)
    batches = [(names[start : start + 5] * 6)[:6] for start in range(0, len(names) - 4, 5)]
    for picked in batches:
        mixed = base(pixels, adapters=picked)
        for i, name in enumerate(picked):
            assert_near(mixed[i], base(pixels[i : i + 1], adapters=name)[0])
    assert calls == [len(set(picked)) for picked in batches]


@torch.no_grad()
@pytest.mark.parametrize("plain", [False, True])
def test_prompts_may_vary_beside_adapters(plain):
    target = tiny_model() if plain else tiny_base()
    attach_eight(target)
    names = ["sketch", "oil", "sketch", None, "oil", "circus"]
    categories = ["mural", "sketch", None, None, "cartoon", "mural"]
    pixels = tiny_pixels(6)
    maps = lambda x: getattr(target(x), "heatmaps", None) if plain else target(x)  # noqa: E731
    singles = []
    for i, (name, category) in enumerate(zip(names, categories, strict=True)):
        with use_adapter(target, name, category=category):
            singles.append(maps(pixels[i : i + 1])[0])
    with use_adapter(target, names, category=categories):
        for found, expected in zip(maps(pixels), singles, strict=True):
            assert_near(found, expected)


@torch.no_grad()
def test_tokens_are_inserted_beside_others(calls):
    base, pixels = tiny_base(), tiny_pixels(5)
    attach_eight(base)
    attach(base, make_adapter("vpt", base, stirred=0.1, placement="shallow"), "shallow")
    names = ["oil", "shallow", None, "circus", "shallow"]
    mixed = base(pixels, adapters=names)
    assert calls == [3, 1]
    for i, name in enumerate(names):
        assert_near(mixed[i], base(pixels[i : i + 1], adapters=name)[0])


class Changing(Adapter):
    """An adapter of given changes."""

    def __init__(self, make):
        super().__init__()
        self.make, self.shift = make, nn.Parameter(torch.ones(1))

    def changes(self, base):
        return self.make(base)


@torch.no_grad()
def test_changes_of_other_packages_in_one_batch(calls):
    """Rows without the attention around them; modules that give their own input; additions to a shared predictor."""
    base, pixels = tiny_base(), tiny_pixels(4)
    block, rows = base.blocks[1], torch.randn(3, 48)
    attach(base, Changing(lambda b: [ExtendKeyValue(block.key, block.value, lambda: rows, lambda: rows)]), "rows")
    attach(base, Changing(lambda b: [ReplaceForward(block.layer, lambda call, x, *args, **kwargs: x)]), "skip")
    attach(base, Changing(lambda b: [AddToOutput(block.layer, lambda x: x)]), "double")
    attach(base, Changing(lambda b: [AddToOutput(b.predictor, lambda x: torch.ones(()))]), "one")
    attach(base, make_adapter("lora", base, stirred=0.1, skeleton=LSP_14), "lsp")
    for names in (["skip", "double", "one", "rows"], ["lsp", "one", "double", "lsp"], ["rows", "rows", None, "skip"]):
        mixed = base(pixels, adapters=names)
        for i, name in enumerate(names):
            assert_near(mixed[i], base(pixels[i : i + 1], adapters=name)[0])
    assert calls == [3, 1, 3, 2, 1]


class Cautious(VitPoseBase):
    """A family that does not say how its modules lay a batch out."""

    batch_major = False


@pytest.mark.parametrize("why", ["gradients", "layout", "further arguments"])
def test_where_one_call_will_not_do_each_adapter_has_its_own(why, calls):
    base, pixels = tiny_base(), tiny_pixels(4)
    base = Cautious(base.model, base.spec) if why == "layout" else base
    attach_eight(base)
    names = ["oil", "circus", "mural", "oil"]
    flips = {"flip_pairs": torch.tensor([[1, 2], [3, 4]])} if why == "further arguments" else {}
    with torch.set_grad_enabled(why == "gradients"), use_adapter(base, names):
        mixed = base.model(pixels, **flips).heatmaps
    assert calls == [1, 1, 1]
    with torch.no_grad():
        for i, name in enumerate(names):
            with use_adapter(base, name):
                assert_near(mixed[i], base.model(pixels[i : i + 1], **flips).heatmaps[0])


@torch.no_grad()
def test_experts_follow_their_samples(calls):
    model = build_model(make_config(ARCH, keypoints=17, input_size=SIZE, experts=6), (32, 24), 17)
    for value in model.parameters():
        value.copy_(torch.randn(value.shape) / max(4, value[0].numel()) ** 0.5)
    pixels, experts = tiny_pixels(4), torch.tensor([3, 0, 5, 3])
    for method in ("lora", "last-blocks"):
        attach(model, make_adapter(method, model, stirred=0.1), method)
    names = ["lora", None, "last-blocks", "lora"]
    with use_adapter(model, names):
        mixed = model(pixels, dataset_index=experts).heatmaps
    assert calls == [3]
    for i, name in enumerate(names):
        with use_adapter(model, name):
            assert_near(mixed[i], model(pixels[i : i + 1], dataset_index=experts[i : i + 1]).heatmaps[0])


def test_an_unknown_name_in_a_batch_names_the_attached():
    base = tiny_base()
    attach(base, make_adapter("norm", base), "sketch")
    with pytest.raises(LvtuneError, match="unknown adapter 'oil'; expected one of the attached ones: sketch"):
        base(tiny_pixels(2), adapters=["sketch", "oil"])
    with pytest.raises(LvtuneError, match="adapters = 3; expected a name, None, or one of these per sample"):
        base(tiny_pixels(2), adapters=3)
    with pytest.raises(LvtuneError, match="an adapter named 'auto'"):
        attach(base, make_adapter("norm", base), "auto")


def is_right(row, expected):
    """Within 1e-5 of the largest value."""
    return row.shape == expected.shape and (row - expected).abs().max() <= 1e-5 * expected.abs().max()


def request_of(draw, names, i):
    """One name, of each twentieth three."""
    return draw.choices(names, k=1 if i % 20 else 3)


REQUESTED = ["sketch", "cartoon", "dance", "circus", "relief", None]


@pytest.fixture
def _restless():
    """Threads take turns a hundred times as often: more mixing, and less waiting for one another."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture
def answered():
    """A base under eight adapters, a picture, and what each of them says of it."""
    base, pixels = tiny_base(layers=1), tiny_pixels(1)
    attach_eight(base)
    with torch.no_grad():
        return base, pixels, {name: base(pixels, adapters=name)[0] for name in REQUESTED}


@pytest.mark.usefixtures("_restless")
def test_sixteen_threads_of_two_hundred_requests_get_no_wrong_answer(answered):
    base, pixels, expected = answered

    def work(seed):
        draw, wrong = random.Random(seed), 0
        with torch.no_grad():
            for i in range(200):
                picked = request_of(draw, REQUESTED, i)
                found = base(pixels.expand(len(picked), -1, -1, -1), adapters=picked if len(picked) > 1 else picked[0])
                wrong += sum(not is_right(row, expected[name]) for name, row in zip(picked, found, strict=True))
        return wrong

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(work, range(16))) == [0] * 16


@torch.no_grad()
def test_sixteen_tasks_of_requests_get_no_wrong_answer(answered):
    """Each chooses, lets the others choose, and asks; some ask in a thread, which takes their choice along."""
    base, pixels, expected = answered
    turns = []

    async def work(seed):
        draw, wrong = random.Random(seed), 0
        for i in range(20):
            picked = request_of(draw, REQUESTED, i)
            with use_adapter(base, picked if len(picked) > 1 else picked[0]):
                await asyncio.sleep(0)
                turns.append(seed)
                batch = pixels.expand(len(picked), -1, -1, -1)
                found = await asyncio.to_thread(torch.no_grad()(base), batch) if i % 5 == 0 else base(batch)
            wrong += sum(not is_right(row, expected[name]) for name, row in zip(picked, found, strict=True))
        return wrong

    async def main():
        return await asyncio.gather(*map(work, range(16)))

    assert asyncio.run(main()) == [0] * 16
    assert turns[:16] == list(range(16))  # they did take turns
