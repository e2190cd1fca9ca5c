"""Adapters made of adapters: sums and averages, judged by the weights that they give the base."""

import copy

import pytest
import torch
from peft import PeftModel
from pyramids import tiny as tiny_of
from tiny import make_adapter, snapshot, tiny_bank, tiny_base, tiny_model, tiny_pixels

import lvtune
from lvtune.adapters.adapter import Adapter
from lvtune.adapters.method_registry import METHODS
from lvtune.adapters.summing import no_sum
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.storage import adapter_file

PIXELS = tiny_pixels()
ADD_UP = ["lora", "vlpose-light", "bitfit", "norm", "ssf", "head", "last-blocks", "full", "ia3", "fourierft", "c3a"]
NOT = [name for name in METHODS.names() if name not in ADD_UP]


def answer(base, adapter, category=None):
    with torch.no_grad(), attach(base, adapter, "own"), use_adapter(base, category=category):
        return base(PIXELS)


def weights_of(base, adapter, category=None):
    return lvtune.merge(base, adapter, category=category).state_dict()


def two(method, base, **options):
    return [make_adapter(method, base, stirred=0.05, seed=seed, **options) for seed in (1, 2)]


def test_the_list_is_whole():
    told = no_sum("vpt").expected.partition(": ")[2].split(", ")
    assert sorted(told) == sorted(ADD_UP)


@pytest.mark.parametrize("method", ADD_UP)
def test_a_sum_gives_the_sum_of_the_weights(method):
    base = tiny_base()
    a, b = two(method, base)
    before, own = snapshot(base), copy.deepcopy((a.tensors(), b.tensors()))
    total = lvtune.combine([a, b], [0.7, -0.4])
    assert snapshot(base) == before
    for adapter, tensors in zip((a, b), own, strict=True):
        assert all(torch.equal(v, tensors[n]) for n, v in adapter.tensors().items())
    start, first, second, found = base.model.state_dict(), *(weights_of(base, one) for one in (a, b, total))
    moved = 0
    for name, origin in start.items():
        if origin.is_floating_point():
            expected = origin + 0.7 * (first[name] - origin) - 0.4 * (second[name] - origin)
            torch.testing.assert_close(found[name], expected, atol=2e-6, rtol=1e-5)
            moved += not torch.equal(expected, origin)
    assert moved


@pytest.mark.parametrize("method", ADD_UP)
def test_one_alone_is_scaled_from_itself_to_the_base_and_beyond(method):
    base = tiny_base()
    adapter = two(method, base)[0]
    own, bare = answer(base, adapter), base(PIXELS)
    scale = (own - bare).abs().max()
    assert scale > 1e-3
    torch.testing.assert_close(answer(base, lvtune.combine([adapter], [1])), own, atol=1e-4 * scale, rtol=0)
    torch.testing.assert_close(answer(base, lvtune.combine([adapter], [0])), bare, atol=1e-4 * scale, rtol=0)
    torch.testing.assert_close(answer(base, lvtune.average([adapter, adapter])), own, atol=1e-4 * scale, rtol=0)
    back = lvtune.combine([lvtune.combine([adapter], [-1]), adapter], [1, 1])
    torch.testing.assert_close(answer(base, back), bare, atol=1e-4 * scale, rtol=0)


@pytest.mark.parametrize("method", ADD_UP)
def test_the_result_is_an_adapter_with_a_name_and_a_file(method, tmp_path):
    base = tiny_base()
    a, b = two(method, base)
    before = snapshot(base)
    mean = lvtune.average([a, b], [3, 1])
    again = lvtune.load_adapter(lvtune.save_adapter(mean, tmp_path), base)
    expected = answer(base, mean)
    assert torch.equal(answer(base, again), expected)
    singles = [answer(base, one) for one in (a, again, b)]
    with torch.no_grad(), attach(base, a, "a"), attach(base, again, "mean"), attach(base, b, "b"):
        mixed = base(PIXELS[:1].expand(4, -1, -1, -1), adapters=["a", "mean", None, "b"])
    rows = [singles[0][0], singles[1][0], base(PIXELS)[0], singles[2][0]]
    torch.testing.assert_close(mixed, torch.stack(rows), atol=1e-5 * float(expected.abs().max()), rtol=0)
    assert all((x - y).abs().max() > 1e-3 for i, x in enumerate(rows) for y in rows[:i])
    assert snapshot(base) == before


def test_the_file_tells_what_it_was_made_of(tmp_path):
    base = tiny_base()
    a, b = two("lora", base)
    a.domain = b.domain = "humanart"
    mean = lvtune.average([a, b], [3, 1])
    assert mean.domain == "humanart"
    _, config = adapter_file.read(lvtune.save_adapter(mean, tmp_path))
    made = config["training"]["combination"]
    assert made["kind"] == "average"
    assert [one["weight"] for one in made["of"]] == [0.75, 0.25]
    _, own = adapter_file.read(lvtune.save_adapter(b, tmp_path / "b"))
    assert made["of"][1]["tensors_sha256"] == own["tensors_sha256"]
    b.domain = "lsp-art"
    assert lvtune.average([a, b]).domain is None


def test_the_mean_of_products_is_not_the_product_of_means():
    base = tiny_base()
    a, b = two("lora", base)
    mean = lvtune.average([a, b])
    assert mean.config.r == 16 and mean.config.alpha == 16
    key = next(iter(mean.lora_A))
    products = [2 * one.lora_B[key] @ one.lora_A[key] for one in (a, b)]
    torch.testing.assert_close(mean.lora_B[key] @ mean.lora_A[key], sum(products) / 2, atol=1e-6, rtol=1e-5)
    naive = 2 * (a.lora_B[key] + b.lora_B[key]) @ (a.lora_A[key] + b.lora_A[key]) / 4
    assert (naive - sum(products) / 2).abs().max() > 0.1 * sum(products).abs().max() / 2


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # of peft's
@pytest.mark.parametrize(("weights", "rank"), [((0.7, 0.3), None), ((1.0, 1.0), None), ((0.7, 0.3), 4)])
def test_peft_makes_the_same_sum_and_loads_ours(weights, rank, tmp_path):
    base = tiny_base()
    several = dict(zip("ab", two("lora", base, predictor=False), strict=True))
    for name, adapter in several.items():
        lvtune.save_adapter(adapter, tmp_path / name)
    total = lvtune.combine(list(several.values()), weights, rank=rank)
    expected = answer(base, total)
    model = PeftModel.from_pretrained(tiny_model(), tmp_path / "a", adapter_name="a")
    model.load_adapter(tmp_path / "b", adapter_name="b")
    how = {"combination_type": "cat"} if rank is None else {"combination_type": "svd", "svd_rank": rank}
    model.add_weighted_adapter(["a", "b"], list(weights), "total", **how)
    model.set_adapter("total")
    ours = PeftModel.from_pretrained(tiny_model(), lvtune.save_adapter(total, tmp_path / "total"))
    for theirs in (model.eval(), ours):
        with torch.no_grad():
            found = theirs(PIXELS).heatmaps
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_low_rank_adapters_of_several_ranks_scales_and_predictors_add_up():
    base = tiny_base()
    a = make_adapter("lora", base, stirred=0.05, seed=1, r=2, alpha=3.0)
    b = make_adapter("lora", base, stirred=0.05, seed=2, r=5, predictor=False)
    total = lvtune.combine([a, b], [1, 0.5])
    assert total.config.r == 7
    start, first, second, found = base.model.state_dict(), *(weights_of(base, one) for one in (a, b, total))
    for name, origin in start.items():
        if origin.is_floating_point():
            expected = first[name] + 0.5 * (second[name] - origin)
            torch.testing.assert_close(found[name], expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("rank", [1, 4, 16, 99])
def test_a_smaller_rank_is_the_best_there_is(rank):
    base = tiny_base()
    a, b = two("lora", base)
    exact, found = lvtune.average([a, b]), lvtune.average([a, b], rank=rank)
    assert found.config.r == min(rank, 16)
    for key in exact.lora_A:
        whole = exact.lora_B[key] @ exact.lora_A[key]
        u, s, vh = torch.linalg.svd(whole)
        best = u[:, :rank] * s[:rank] @ vh[:rank]
        torch.testing.assert_close(found.lora_B[key] @ found.lora_A[key], best, atol=1e-5, rtol=1e-4)


def test_a_rank_above_that_of_the_layers_is_filled_with_nothing():
    base = tiny_base()
    several = [make_adapter("lora", base, stirred=0.05, seed=seed, r=30) for seed in (1, 2)]
    exact, found = lvtune.average(several), lvtune.average(several, rank=55)
    assert found.config.r == 55
    torch.testing.assert_close(answer(base, found), answer(base, exact), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("category", [None, "sketch", "mural"])
def test_sentences_weigh_the_ranks_of_each_as_before(category):
    base = tiny_base()
    a = make_adapter("vlpose-light", base, stirred=0.05, seed=1)
    b = make_adapter("vlpose-light", base, stirred=0.05, seed=2, r=3, language=5)
    silent = make_adapter("vlpose-light", base, stirred=0.05, seed=3, language=0)
    total = lvtune.combine([silent, a, b], [0.5, 1, -0.4])
    assert (total.config.r, total.config.language) == (11, 21)
    parts = [weights_of(base, one, None if one is silent else category) for one in (silent, a, b)]
    found = weights_of(base, total, category)
    for name, origin in base.model.state_dict().items():
        if origin.is_floating_point():
            moves = zip((0.5, 1, -0.4), parts, strict=True)
            expected = origin + sum(weight * (part[name] - origin) for weight, part in moves)
            torch.testing.assert_close(found[name], expected, atol=3e-6, rtol=1e-5)


def test_sentences_of_two_domains_are_fixed_first(tmp_path):
    base = tiny_base()
    a, b = (make_adapter("vlpose-light", base, bank=tiny_bank(seed=s), stirred=0.05, seed=s) for s in (1, 2))
    fixed = [lvtune.fix_sentence(a.train(), "mural"), lvtune.fix_sentence(b)]
    assert a.training and all(one.bank is None for one in fixed)
    expected = [answer(base, a.eval(), "mural"), answer(base, b)]
    for one, own in zip(fixed, expected, strict=True):
        assert (answer(base, one) - own).abs().max() < 1e-5 * own.abs().max()
    assert (answer(base, a) - expected[0]).abs().max() > 1e-3 * expected[0].abs().max()
    found = weights_of(base, lvtune.combine(fixed, [1, 0.5]))
    parts = weights_of(base, a, "mural"), weights_of(base, b)
    for name, origin in base.model.state_dict().items():
        if origin.is_floating_point():
            total = parts[0][name] + 0.5 * (parts[1][name] - origin)
            torch.testing.assert_close(found[name], total, atol=2e-6, rtol=1e-5)
    assert answer(base, lvtune.stack(fixed)).shape == expected[0].shape
    again = lvtune.load_adapter(lvtune.save_adapter(fixed[0], tmp_path), base)
    assert torch.equal(answer(base, again), answer(base, fixed[0]))
    for other, message in ((make_adapter("lora", base), "reads no"), (make_adapter("vlpose", base), "do without")):
        with pytest.raises(LvtuneError, match=message):
            lvtune.fix_sentence(other)
    with pytest.raises(LvtuneError, match="no sentence for 'etching'"):
        lvtune.fix_sentence(a, "etching")


@pytest.mark.parametrize("family", ["pvt", "swin", "resnet"])
def test_other_families(family):
    base = tiny_of(family)
    a, b = two("norm", base)
    start, first, second = base.model.state_dict(), *(weights_of(base, one) for one in (a, b))
    found = weights_of(base, lvtune.combine([a, b], [1, 1]))
    for name, origin in start.items():
        torch.testing.assert_close(found[name], first[name] + second[name] - origin, atol=2e-6, rtol=1e-5)


def test_other_key_points_are_summed_from_the_predictor_they_started_at():
    base = tiny_base()
    a, b = two("lora", base, skeleton=LSP_14)
    fresh = make_adapter("lora", base, skeleton=LSP_14)
    total = lvtune.combine([a, b], [1, 1])
    expected = a.predictor.weight + b.predictor.weight - fresh.predictor.weight
    torch.testing.assert_close(total.predictor.weight, expected, atol=1e-6, rtol=1e-5)
    assert answer(base, total).shape[1] == 14


@pytest.mark.parametrize("method", NOT)
def test_methods_that_do_not_add_up_say_so(method):
    base = tiny_base()
    with pytest.raises(LvtuneError, match=f"a sum of adapters of {method},") as error:
        lvtune.average(two(method, base))
    assert "lora" in error.value.expected and "stack" in error.value.fix


def test_what_differs_is_told():
    base, other = tiny_base(), tiny_base(seed=1)
    lora, norm = make_adapter("lora", base), make_adapter("norm", base)
    refusals = {
        "adapters of one method": [lora, norm],
        "with targets query,value and query": [lora, make_adapter("lora", base, targets=("query",))],
        "with batchnorm true and false": [norm, make_adapter("norm", base, batchnorm=False)],
        "for several bases": [lora, make_adapter("lora", other)],
        "key points of coco": [lora, make_adapter("lora", base, skeleton=LSP_14)],
        "different sentences": [make_adapter("vlpose-light", base, bank=tiny_bank(seed=s)) for s in (0, 1)],
        "no adapter": [],
    }
    for message, adapters in refusals.items():
        with pytest.raises(LvtuneError, match=message):
            lvtune.combine(adapters, [1] * len(adapters))


@pytest.mark.parametrize("make", [lvtune.stack, lvtune.average])
def test_folders_are_to_be_loaded_first(make):
    with pytest.raises(LvtuneError, match="'a-folder' among adapters"):
        make(["a-folder"])


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [1, float("nan")], [1, float("inf")]])
def test_weights_are_one_finite_number_each(weights):
    with pytest.raises(LvtuneError, match="for 2 adapters"):
        lvtune.combine(two("lora", tiny_base()), weights)


@pytest.mark.parametrize("weights", [[1, -1], [0, 0]])
def test_an_average_does_not_subtract(weights):
    with pytest.raises(LvtuneError, match=r"use lvtune\.combine"):
        lvtune.average(two("lora", tiny_base()), weights)


def test_ranks_belong_to_low_rank_methods():
    base = tiny_base()
    for method in ("norm", "vlpose-light"):
        with pytest.raises(LvtuneError, match=f"rank 4 for a sum of {method}"):
            lvtune.average(two(method, base), rank=4)
    found = lvtune.average(two("vlpose-light", base, language=0), rank=4)
    assert found.config.r == 4
    with pytest.raises(LvtuneError, match="rank 0"):
        lvtune.average(two("lora", base), rank=0)


def test_statistics_that_a_sum_would_turn_negative_are_refused():
    base = tiny_base()
    a, b = two("head", base)
    for module in b.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.mul_(9)
    with pytest.raises(LvtuneError, match=r"variances .* come out negative"):
        lvtune.combine([a, b], [1, -1])
    lvtune.average([a, b])


def test_the_same_weights_loaded_twice_are_one_base_and_a_base_that_is_gone_is_asked_for(tmp_path):
    base, twin = tiny_base(), tiny_base()
    a, b = make_adapter("lora", base, stirred=0.05, seed=1), make_adapter("lora", twin, stirred=0.05, seed=2)
    found = lvtune.average([a, b])
    assert torch.equal(answer(base, found), answer(twin, lvtune.average([a, b], base=twin)))
    del base, twin
    with pytest.raises(LvtuneError, match="whose base is gone"):
        lvtune.average([a, b])
    assert lvtune.average([a, b], base=tiny_base()).config.r == 16


def test_a_method_from_outside_that_knows_no_sums_is_refused():
    base = tiny_base()
    adapters = two("norm", base)
    for adapter in adapters:
        adapter.__class__ = type("Outside", (Adapter,), {"method": "outside", "bank": None})
    with pytest.raises(LvtuneError, match="a sum of adapters of outside"):
        lvtune.combine(adapters, [1, 1])
