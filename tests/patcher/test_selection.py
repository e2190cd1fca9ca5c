"""Which adapter acts: one name, none, or one per sample; in this thread or task alone; also when recomputed."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny import make_adapter, tiny_bank, tiny_base, tiny_model, tiny_pixels
from torch.utils.checkpoint import checkpoint

from lvtune.bases.vitpose import VitPoseBase
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.patcher.attaching import attach, attached, use_adapter

PIXELS = tiny_pixels(4)


def heatmaps(target, pixels=PIXELS, **kwargs):
    out = target(pixels, **kwargs)
    return out.heatmaps if hasattr(out, "heatmaps") else out


@pytest.fixture(params=["ours", "transformers"])
def target(request):
    """A base with three adapters: a and c of different kinds, b in between; c is active."""
    target = tiny_base() if request.param == "ours" else tiny_model()
    attach(target, make_adapter("lora", target, stirred=0.1), "a")
    attach(target, make_adapter("norm", target, stirred=0.1), "b")
    attach(target, make_adapter("vlpose", target, stirred=0.1), "c")
    return target


@pytest.fixture
def answers(target):
    """What each adapter, and none, gives."""
    found = {}
    for name in ("a", "b", "c", None):
        with use_adapter(target, name), torch.no_grad():
            found[name] = heatmaps(target)
    assert len({value.sum().item() for value in found.values()}) == 4
    return found


def test_choices_nest_and_end(target, answers):
    with use_adapter(target, "a"):
        with use_adapter(target, None):
            assert torch.equal(heatmaps(target), answers[None])
        with use_adapter(target, "b"):
            assert torch.equal(heatmaps(target), answers["b"])
        assert torch.equal(heatmaps(target), answers["a"])
        with pytest.raises(ZeroDivisionError), use_adapter(target, "b"):
            1 / 0  # noqa: B018
        assert torch.equal(heatmaps(target), answers["a"])
    assert torch.equal(heatmaps(target), answers["c"])


def test_what_is_left_out_stays_as_outside(target, answers):
    with use_adapter(target, "a"), use_adapter(target, category="mural"):
        assert torch.equal(heatmaps(target), answers["a"])
    with use_adapter(target, category="mural"):
        asked = heatmaps(target)
        with use_adapter(target, "c"):
            assert torch.equal(heatmaps(target), asked)
        with use_adapter(target, category=None):
            assert torch.equal(heatmaps(target), answers["c"])
    assert not torch.equal(asked, answers["c"])


def test_a_choice_is_for_one_model(target, answers):
    other = tiny_base(seed=1)
    attach(other, make_adapter("norm", other, stirred=0.1), "a")
    expected = heatmaps(other)
    with use_adapter(target, None):
        assert torch.equal(heatmaps(other), expected)


@pytest.mark.parametrize(
    "names", [["a", None, "b", "c"], ["c", "c", "a", "c"], [None] * 4, ["b"] * 4, ["c", "a", "c", "a"]]
)
def test_one_adapter_per_sample_equals_singles(target, answers, names):
    expected = torch.stack([answers[name][i] for i, name in enumerate(names)])
    with use_adapter(target, names):
        torch.testing.assert_close(heatmaps(target), expected, atol=1e-5, rtol=0)
        for wrong in (3, 5):
            with pytest.raises(LvtuneError, match=f"4 adapters for a batch of {wrong}"):
                heatmaps(target, tiny_pixels(wrong))


def test_one_prompt_per_sample_equals_singles(target):
    categories = ["mural", "sketch", None, "mural"]
    singles = []
    for i, category in enumerate(categories):
        with use_adapter(target, "c", category=category):
            singles.append(heatmaps(target, PIXELS[i : i + 1]))
    with use_adapter(target, "c", category=categories):
        mixed = heatmaps(target)
    torch.testing.assert_close(mixed, torch.cat(singles), atol=1e-5, rtol=0)
    with use_adapter(target, ["c", "a", "c", "c"], category=categories):
        both = heatmaps(target)
    torch.testing.assert_close(both[[0, 2, 3]], mixed[[0, 2, 3]], atol=1e-5, rtol=0)
    with use_adapter(target, category=["mural"]), pytest.raises(LvtuneError, match="1 categories for a batch of 4"):
        heatmaps(target)
    with use_adapter(target, category="fresco"), pytest.raises(LvtuneError, match="fresco"):
        heatmaps(target)


def test_an_empty_category_reads_the_mean(target, answers):
    with use_adapter(target, category=[""] * 4):
        assert torch.equal(heatmaps(target), answers["c"])
    with use_adapter(target, category=["", "mural", "", ""]):
        torch.testing.assert_close(heatmaps(target)[[0, 2, 3]], answers["c"][[0, 2, 3]], atol=1e-5, rtol=0)


def test_our_base_takes_the_choice_as_arguments():
    base = tiny_base()
    attach(base, make_adapter("norm", base, stirred=0.1), "a")
    adapted, bare = base(PIXELS, adapters="a"), base(PIXELS, adapters=None)
    assert torch.equal(base(PIXELS), adapted) and not torch.equal(adapted, bare)
    mixed = base(PIXELS, adapters=["a", None, None, "a"])
    torch.testing.assert_close(mixed, torch.stack([adapted[0], bare[1], bare[2], adapted[3]]), atol=1e-5, rtol=0)
    with use_adapter(base, None):
        assert torch.equal(base(PIXELS, category=None), bare)
        assert torch.equal(base(PIXELS, adapters="a"), adapted)
    with pytest.raises(LvtuneError, match="unknown adapter 'b'"):
        base(PIXELS, adapters="b")


def test_other_inputs_and_outputs_of_transformers_survive_a_mixed_batch():
    model = tiny_model()
    attach(model, make_adapter("lora", model, stirred=0.1), "a")
    pairs = torch.tensor([[1, 2], [3, 4], [5, 6], [7, 8]])  # as many as samples: must not be split
    singles = {}
    for name in ("a", None):
        with use_adapter(model, name):
            singles[name] = model(flip_pairs=pairs, pixel_values=PIXELS, output_hidden_states=True)
    with use_adapter(model, ["a", None, "a", None]):
        mixed = model(flip_pairs=pairs, pixel_values=PIXELS, output_hidden_states=True)
        pair = model(PIXELS, return_dict=False)
    assert type(mixed) is type(singles["a"]) and isinstance(pair, tuple)
    assert len(mixed.hidden_states) == len(singles["a"].hidden_states) > 0
    for i, name in enumerate(["a", None, "a", None]):
        torch.testing.assert_close(mixed.heatmaps[i], singles[name].heatmaps[i], atol=1e-5, rtol=0)
        for ours, theirs in zip(mixed.hidden_states, singles[name].hidden_states, strict=True):
            torch.testing.assert_close(ours[i], theirs[i], atol=1e-5, rtol=0)


def test_adapters_of_other_key_points_give_a_list(target, answers):
    attach(target, make_adapter("vlpose", target, stirred=0.1, skeleton=LSP_14), "lsp")
    with use_adapter(target, "lsp"):
        lsp = heatmaps(target)
    with use_adapter(target, ["lsp", None, "a", "lsp"]):
        mixed = heatmaps(target)
    assert [len(row) for row in mixed] == [14, 17, 17, 14]
    expected = [lsp[0], answers[None][1], answers["a"][2], lsp[3]]
    for row, other in zip(mixed, expected, strict=True):
        torch.testing.assert_close(row, other, atol=1e-5, rtol=0)


def test_threads_do_not_see_each_others_choice(target, answers):
    gate = threading.Barrier(4)

    def work(name):
        found = []
        with use_adapter(target, name), torch.no_grad():
            for _ in range(5):
                gate.wait()
                found.append(torch.equal(heatmaps(target), answers[name]))
        gate.wait()
        return all(found) and torch.equal(heatmaps(target), answers["c"])

    with use_adapter(target, "b"), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, ["a", "b", None, "c"])) == [True] * 4
        assert torch.equal(heatmaps(target), answers["b"])


def test_tasks_do_not_see_each_others_choice(target, answers):
    async def work(name, order):
        with use_adapter(target, name):
            for _ in range(3):
                await asyncio.sleep(0)
                order.append(name)
                assert torch.equal(heatmaps(target), answers[name])
        await asyncio.sleep(0)
        assert torch.equal(heatmaps(target), answers["c"])

    async def main():
        order = []
        await asyncio.gather(*(work(name, order) for name in ("a", None, "b")))
        assert order[:3] == ["a", None, "b"]  # they did take turns

    asyncio.run(main())


def test_a_part_called_by_itself_follows_the_choice(target):
    model = getattr(target, "model", target)
    bare = tiny_model().backbone(PIXELS).feature_maps[-1]
    part = lambda: model.backbone(PIXELS).feature_maps[-1]  # noqa: E731
    with use_adapter(target, None):
        assert torch.equal(part(), bare)
        heatmaps(target)
    active = part()
    with use_adapter(target, "a"):
        first = part()
        heatmaps(target)
    assert torch.equal(part(), active)  # not what the last whole call had chosen
    assert not torch.equal(active, bare) and not torch.equal(first, active)
    with use_adapter(target, ["a", None, "b", "c"]), pytest.raises(LvtuneError, match="part of the model"):
        part()
    features = torch.randn(2, 48, 4, 3)
    with use_adapter(target, "c", category="mural"):
        asked = model.head(features)
    with use_adapter(target, "c", category="sketch"):
        assert not torch.equal(model.head(features), asked)


def gradients(target):
    return {
        f"{name}.{key}": None if p.grad is None else p.grad.clone()
        for name, adapter in attached(target).items()
        for key, p in adapter.named_parameters()
    }


def forget_gradients(target):
    for adapter in attached(target).values():
        adapter.zero_grad(set_to_none=True)


def assert_same_gradients(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] is None) == (value is None), name
        if value is not None:
            torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-4)


def recomputing(layer):
    """Makes a block forget its activations and run again in the backward pass."""
    plain = layer.forward
    layer.forward = lambda *args, **kwargs: checkpoint(plain, *args, use_reentrant=False, **kwargs)
    return lambda: layer.__dict__.pop("forward")


@pytest.mark.parametrize("names", [["a"] * 4, ["a", "c", "b", "a"], ["c", None, "a", "b"]])
def test_blocks_recomputed_after_the_call_act_as_they_did_in_it(target, names):
    model = getattr(target, "model", target)

    def two_calls():
        with use_adapter(target, names):
            first = heatmaps(target)
        with use_adapter(target, "b"):
            second = heatmaps(target, PIXELS[:2])
        return first.square().mean() + second.square().mean()

    def backward(loss):
        loss.backward()
        found = gradients(target)
        forget_gradients(target)
        return found

    expected = backward(two_calls())
    undo = [recomputing(layer) for layer in model.backbone.encoder.layer]
    loss = two_calls()
    heatmaps(target, PIXELS[:1])  # a later call must not confuse the recomputation
    assert_same_gradients(backward(loss), expected)
    loss = two_calls()
    thread = threading.Thread(target=lambda: found.update(backward(loss)))
    found = {}
    thread.start()
    thread.join()
    assert_same_gradients(found, expected)
    for take_off in undo:
        take_off()


def test_two_threads_recompute_each_its_own(target):
    model = getattr(target, "model", target)
    expected = {}
    for name in ("a", "b"):
        with use_adapter(target, name):
            heatmaps(target).square().mean().backward()
        expected[name] = gradients(target)
        forget_gradients(target)
    undo = [recomputing(layer) for layer in model.backbone.encoder.layer]
    gate = threading.Barrier(2)

    def work(name):
        with use_adapter(target, name):
            out = heatmaps(target)
        out.register_hook(lambda gradient: (gate.wait(10), None)[1])  # both backward passes are under way
        out.square().mean().backward()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["a", "b"]))
    found = gradients(target)
    for name in ("a", "b"):  # each thread's gradient went to its own adapter
        own = {n: v for n, v in expected[name].items() if n.startswith(f"{name}.")}
        assert_same_gradients({n: found[n] for n in own}, own)
    assert all(v is None for n, v in found.items() if n.startswith("c."))
    for take_off in undo:
        take_off()


def test_a_whole_call_recomputed_after_the_block_acts_as_it_did_in_it(target):
    names = ["a", "c", "b", "a"]
    with use_adapter(target, names):
        heatmaps(target).square().mean().backward()
    expected = gradients(target)
    forget_gradients(target)
    with use_adapter(target, names):
        out = checkpoint(lambda x: heatmaps(target, x), PIXELS, use_reentrant=False)
    out.square().mean().backward()
    assert_same_gradients(gradients(target), expected)


def test_views_of_one_model_share_its_adapters():
    model = tiny_model()
    attach(model, make_adapter("norm", model, stirred=0.1), "a")
    view = VitPoseBase(model, tiny_base().spec)
    assert torch.equal(view(PIXELS), model(PIXELS).heatmaps)
    with use_adapter(view, None):
        bare = model(PIXELS).heatmaps
    assert torch.equal(bare, tiny_model()(PIXELS).heatmaps)


def test_the_bank_decides_what_is_read():
    base = tiny_base()
    adapters = [make_adapter("vlpose", base, bank=tiny_bank(seed=seed), zero_init=False) for seed in (0, 1)]
    answers = []
    for adapter in adapters:
        with attach(base, adapter), use_adapter(base, category="sketch"):
            answers.append(base(PIXELS))
    assert not torch.equal(*answers)
