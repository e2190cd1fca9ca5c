"""The base is never written: attaching, tuning, failing and detaching leave it as it was."""

import copy
import inspect
import itertools

import pytest
import torch
from tiny import TinyPictures, make_adapter, snapshot, tiny_base, tiny_model, tiny_pixels
from torch import nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.method_registry import METHODS
from lvtune.bases.changes import AddToOutput, ExtendKeyValue, InsertTokens, ReplaceForward
from lvtune.core.errors import LvtuneError
from lvtune.data.dataset import collate
from lvtune.data.skeletons import LSP_14
from lvtune.patcher.attaching import attach, attached, detach, use_adapter
from lvtune.training.heatmap import HeatmapObjective

PIXELS = tiny_pixels()


def heatmaps(target, pixels=PIXELS, **kwargs):
    out = target(pixels, **kwargs)
    return out.heatmaps if hasattr(out, "heatmaps") else out


@pytest.fixture(params=["ours", "transformers"])
def target(request):
    """One of our bases, or a plain transformers model; called once, so that transformers' own hooks are there."""
    target = tiny_base() if request.param == "ours" else tiny_model().requires_grad_(False)
    with torch.no_grad():
        target(PIXELS)
    return target


def model_of(target):
    return getattr(target, "model", target)


def disturbed(target):
    """Mixed flags, as a user's own code may have left them."""
    model = model_of(target)
    model.train()
    model.head.eval()
    model.backbone.requires_grad_(True)
    return target


@pytest.mark.parametrize("state", ["frozen", "disturbed"])
@pytest.mark.parametrize("method", METHODS.names())
def test_attach_and_detach_leave_everything_as_it_was(target, method, state):
    if state == "disturbed":
        disturbed(target)
    before = snapshot(target)
    adapter = make_adapter(method, target, stirred=0.1)
    assert snapshot(target) == before
    attachment = attach(target, adapter)
    model = model_of(target)
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(m.training for m in model.modules() if m is not model)
    heatmaps(target)
    attachment.detach()
    assert not attachment.attached
    assert snapshot(target) == before
    attachment.detach()
    assert snapshot(target) == before


@pytest.mark.parametrize("method", METHODS.names())
def test_tuning_in_train_mode_leaves_everything_as_it_was(target, method):
    before = snapshot(target)
    adapter = make_adapter(method, target)
    start = {n: v.clone() for n, v in adapter.state_dict().items()}
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-3)
    with attach(target, adapter):
        target.train()
        for step in range(20):
            heatmaps(target, tiny_pixels(2, seed=step)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        now = snapshot(target)
        assert adapter.training
        assert now["bytes"] == before["bytes"]
        assert all(no_gradient for _, _, no_gradient in now["tensors"].values())
        assert not any(mode for name, mode in now["modes"].items() if name not in ("", "model"))
    target.eval()
    assert snapshot(target) == before
    assert any(not torch.equal(start[n], v) for n, v in adapter.state_dict().items())


def batchnorm(model):
    return {n: v.clone() for n, v in model.named_buffers() if "running" in n or "num_batches" in n}


def test_batchnorm_statistics_stay_under_train_and_would_move_without_the_patcher(target):
    model = model_of(target)
    before = batchnorm(model)
    assert len(before) == 6
    with attach(target, make_adapter("vlpose", target)):
        target.train()
        heatmaps(target)
        target.train(True)
        heatmaps(target)
    assert all(torch.equal(before[n], v) for n, v in batchnorm(model).items())
    # the control: what would happen if the patcher let train() through
    model.train()
    model(PIXELS)
    assert not any(torch.equal(before[n], v) for n, v in batchnorm(model).items())


def test_the_fine_tuned_copy_has_batchnorm_of_its_own(target):
    model = model_of(target)
    before = batchnorm(model)
    for frozen in (False, True):
        adapter = make_adapter("full", target, freeze_batchnorm=frozen)
        own = batchnorm(adapter)
        with attach(target, adapter):
            target.train()
            heatmaps(target)
        assert all(torch.equal(before[n], v) for n, v in batchnorm(model).items())
        assert all(torch.equal(own[n], v) for n, v in batchnorm(adapter).items()) == frozen


class Faulty(Adapter):
    """Fails in one of several ways on its way into a base."""

    def __init__(self, fault):
        super().__init__()
        self.fault, self.shift = fault, nn.Parameter(torch.zeros(48))

    def changes(self, base):
        yield AddToOutput(base.final_norm, lambda x: self.shift)
        yield ReplaceForward(base.head, lambda call, x, **kwargs: call.original(x, **kwargs))
        match self.fault:
            case "raises":
                raise RuntimeError("third change")
            case "no change":
                yield "something else"
            case "no module":
                yield AddToOutput("head", lambda x: x)
            case "twice":
                yield ReplaceForward(base.head, lambda call, x: x)

    def _apply(self, *args):
        if self.fault == "does not move":
            raise RuntimeError("out of memory")
        return super()._apply(*args)

    def train(self, mode=True):
        if self.fault == "does not train":
            raise KeyboardInterrupt
        return super().train(mode)


FAULTS = ["raises", "no change", "no module", "twice", "does not move", "does not train"]


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_amid_attach_leaves_everything_as_it_was(target, fault, others):
    if others:
        attach(target, make_adapter("norm", target, stirred=0.1), "first")
    else:
        disturbed(target)
    before, answer = snapshot(target), heatmaps(target)
    with pytest.raises((RuntimeError, TypeError, AttributeError, KeyboardInterrupt)):
        attach(target, Faulty(fault), "faulty")
    assert snapshot(target) == before
    assert list(attached(target)) == ["first"] * others
    if others:
        assert torch.equal(heatmaps(target), answer)
    attach(target, Faulty("none"), "faulty")  # the name is still free


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_failure_amid_a_step_leaves_everything_as_it_was(target, where):
    before = snapshot(target)

    class Breaking(Faulty):
        def changes(self, base):
            yield AddToOutput(base.final_norm, self.delta)

        def delta(self, x):
            if where == "forward":
                raise RuntimeError("amid the step")
            x = x + self.shift
            x.register_hook(lambda gradient: 1 / 0)
            return x

    with pytest.raises((RuntimeError, ZeroDivisionError)), attach(target, Breaking("none"), "breaking"):
        target.train()
        heatmaps(target).sum().backward()
    target.eval()
    assert snapshot(target) == before
    with attach(target, make_adapter("norm", target, stirred=0.1)):
        heatmaps(target)  # nothing is left of the failed call
    assert snapshot(target) == before


def test_attaching_before_the_first_call_leaves_only_the_hooks_of_transformers():
    model, other = tiny_model(), tiny_model()
    with attach(model, make_adapter("vlpose", model, stirred=0.1, placement="shallow")):
        adapted = heatmaps(model)
    hooks = {n: len(m._forward_hooks) + len(m._forward_pre_hooks) for n, m in model.named_modules()}
    heatmaps(other)
    assert hooks == {n: len(m._forward_hooks) + len(m._forward_pre_hooks) for n, m in other.named_modules()}
    assert torch.equal(heatmaps(model), heatmaps(other))
    with attach(other, make_adapter("vlpose", other, stirred=0.1, placement="shallow")):
        assert torch.equal(heatmaps(other), adapted)


METHODS_TOGETHER = ("norm", "lora", "vlpose")


@pytest.mark.parametrize("order", list(itertools.permutations(METHODS_TOGETHER)))
def test_adapters_come_off_in_any_order(target, order):
    before, bare = snapshot(target), heatmaps(target)
    adapters = {name: make_adapter(name, target, stirred=0.1) for name in METHODS_TOGETHER}
    alone = {None: bare}
    for name, adapter in adapters.items():
        with attach(target, adapter):
            alone[name] = heatmaps(target)
    assert len({value.sum().item() for value in alone.values()}) == 4
    for name, adapter in adapters.items():
        attach(target, adapter, name)
    for name in order:
        detach(target, name)
        left = [other for other in METHODS_TOGETHER if other in attached(target)]
        assert list(attached(target)) == left
        assert torch.equal(heatmaps(target), alone[left[-1] if left else None])
        for other in left:
            with use_adapter(target, other):
                assert torch.equal(heatmaps(target), alone[other])
    assert snapshot(target) == before


def test_the_last_attached_is_active_and_the_one_before_comes_back(target):
    answers = [heatmaps(target)]
    a, b = (make_adapter("norm", target, stirred=0.1, seed=seed) for seed in (1, 2))
    with attach(target, a, "a"):
        answers.append(heatmaps(target))
        with attach(target, b, "b"):
            answers.append(heatmaps(target))
        assert torch.equal(heatmaps(target), answers[1])
    assert torch.equal(heatmaps(target), answers[0])
    assert not torch.equal(answers[1], answers[0]) and not torch.equal(answers[2], answers[1])


def test_detach_without_a_name_takes_all_off(target):
    before = snapshot(target)
    for name in "abc":
        attach(target, make_adapter("lora", target), name)
    detach(target)
    assert snapshot(target) == before and attached(target) == {}
    detach(target)


def test_names_taken_and_unknown_are_told(target):
    adapter = make_adapter("norm", target)
    attach(target, adapter, "sketch")
    with pytest.raises(LvtuneError, match="a second adapter named 'sketch'"):
        attach(target, make_adapter("norm", target), "sketch")
    with pytest.raises(LvtuneError, match="attached already"):
        attach(target, adapter, "again")
    with pytest.raises(LvtuneError, match="did you mean 'sketch'"):
        detach(target, "sketsh")
    with pytest.raises(LvtuneError, match="did you mean 'sketch'"), use_adapter(target, "skech"):
        pass
    with pytest.raises(LvtuneError, match="unknown adapter 'b'"), use_adapter(target, [None, "b"]):
        pass
    assert list(attached(target)) == ["sketch"]
    detach(target)
    with pytest.raises(LvtuneError, match="unknown adapter 'sketch'"):
        detach(target, "sketch")
    with pytest.raises(LvtuneError, match="unknown adapter 'sketch'"), use_adapter(target, "sketch"):
        pass


def test_an_old_attachment_does_not_take_off_its_successor(target):
    old = attach(target, make_adapter("norm", target), "a")
    old.detach()
    attach(target, make_adapter("norm", target), "a")
    old.detach()
    assert list(attached(target)) == ["a"]


@pytest.mark.parametrize("method", METHODS.names())
def test_an_adapter_of_another_shape_is_told_before_anything_changes(target, method):
    before = snapshot(target)
    for other in (tiny_base(width=64), tiny_base(skeleton=LSP_14), tiny_base(simple=True)):
        with pytest.raises(LvtuneError, match="an adapter for a base whose"):
            attach(target, make_adapter(method, other))
    assert snapshot(target) == before
    with attach(tiny_base(seed=7), make_adapter(method, target)):
        pass  # other weights of the same shapes


def test_a_model_of_no_family_is_told():
    with pytest.raises(LvtuneError, match="Linear"):
        attach(nn.Linear(2, 2), Faulty("none"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_adapters_follow_the_dtype_of_the_base_but_keep_float32(target, dtype):
    adapter = make_adapter("vlpose", target, stirred=0.1)
    own = torch.promote_types(dtype, torch.float32)
    before = {name: value.clone() for name, value in adapter.named_parameters()}
    with attach(target, adapter):
        expected = heatmaps(target)
        target.to(dtype)
        assert {p.dtype for p in adapter.parameters()} == {own}
        assert all(torch.equal(value.float(), before[name]) for name, value in adapter.named_parameters())
        moved = heatmaps(target, PIXELS.to(dtype))
        assert moved.dtype == dtype
    bare, later = heatmaps(target, PIXELS.to(dtype)), make_adapter("lora", target)
    with attach(target, later):
        assert {p.dtype for p in later.parameters()} == {own}
        assert torch.equal(heatmaps(target, PIXELS.to(dtype)), bare)
    torch.testing.assert_close(moved.float(), expected, atol=0.1 if dtype == torch.bfloat16 else 1e-5, rtol=0)


def test_a_copy_of_an_adapted_model_is_refused(target):
    attach(target, make_adapter("norm", target))
    with pytest.raises(LvtuneError, match="detach"):
        copy.deepcopy(target)
    detach(target)
    assert torch.equal(heatmaps(copy.deepcopy(target)), heatmaps(target))


@pytest.mark.parametrize("method", METHODS.names())
def test_an_adapter_made_beside_an_attached_one_is_the_same(target, method):
    expected = make_adapter(method, target)
    attach(target, make_adapter("bitfit", target, stirred=0.1), "a")
    attach(target, make_adapter("lora", target, stirred=0.1), "b")
    beside = make_adapter(method, target)
    detach(target)
    for (name, module), other in zip(beside.named_modules(), expected.modules(), strict=True):
        ours, theirs = vars(module), vars(other)
        assert ours.keys() == theirs.keys(), name
        assert len(module._forward_hooks) == len(other._forward_hooks), name
    assert all(torch.equal(v, expected.state_dict()[n]) for n, v in beside.state_dict().items())
    with attach(target, expected):
        answer = heatmaps(target)
    with attach(target, beside):
        assert torch.equal(heatmaps(target), answer)


def test_two_additions_of_one_adapter_add_up():
    class Twice(Faulty):
        def changes(self, base):
            yield AddToOutput(base.final_norm, lambda x: 0.25 * x)
            yield AddToOutput(base.final_norm, lambda x: 0.75 * x)

    class Once(Faulty):
        def changes(self, base):
            yield AddToOutput(base.final_norm, lambda x: x)

    base = tiny_base()
    with attach(base, Once("none")):
        expected = heatmaps(base)
    with attach(base, Twice("none")):
        torch.testing.assert_close(heatmaps(base), expected, atol=1e-5, rtol=0)


class Changing(Faulty):
    """An adapter of given changes."""

    def __init__(self, changes):
        super().__init__("none")
        self.make = changes

    def changes(self, base):
        return self.make(base)


@pytest.mark.parametrize("called_before", [False, True])
def test_changes_to_a_block_act_before_transformers_captures_its_output(called_before):
    """VitPose takes its feature map from what transformers' own hooks captured."""
    base, plain, tokens = tiny_base(), tiny_model(), torch.randn(5, 48)
    if called_before:
        base(PIXELS)

    def add(base):
        yield from (AddToOutput(block.layer, lambda x: 0.5 * x) for block in base.blocks)

    def insert(base):
        yield from (InsertTokens(block.layer, block.layer, lambda: tokens) for block in base.blocks)

    def both(base):
        yield from [*add(base), *insert(base)]

    for changes, added, count in ((add, 0.5, 0), (insert, 0, 5), (both, 0.5, 5)):
        hidden = plain.backbone.embeddings(PIXELS)
        for layer in plain.backbone.encoder.layer:
            hidden = torch.cat([tokens[:count].expand(len(hidden), -1, -1), hidden], 1)
            hidden = (layer(hidden) + added * hidden)[:, count:]
        features = plain.backbone.layernorm(hidden).transpose(1, 2).unflatten(2, (4, 3))
        with attach(base, Changing(changes)):
            torch.testing.assert_close(base(PIXELS), plain.head(features), atol=1e-5, rtol=0)


@pytest.mark.parametrize("turned", [False, True])
def test_changes_of_one_module_act_in_one_order_whichever_came_first(turned):
    """What is added has the tokens' shape; appended rows come behind it, inserted tokens are dropped last."""
    base, rows, tokens = tiny_base(), torch.randn(2, 48), torch.randn(3, 48)
    block = base.blocks[0]
    hidden = torch.randn(4, 12, 48)
    expected = torch.cat([1.5 * block.key(hidden), rows.expand(4, -1, -1)], 1)
    norm = 1.5 * base.final_norm(torch.cat([tokens.expand(4, -1, -1), hidden], 1))[:, 3:]

    def changes(base):
        found = [
            AddToOutput(block.key, lambda x: 0.5 * nn.functional.linear(x, block.key.weight, block.key.bias)),
            ExtendKeyValue(block.key, block.value, lambda: rows, lambda: rows),
            AddToOutput(base.final_norm, lambda x: 0.5 * nn.functional.layer_norm(
                x, (48,), base.final_norm.weight, base.final_norm.bias, 1e-6)),
            InsertTokens(base.final_norm, base.final_norm, lambda: tokens),
        ]  # fmt: skip
        return found[::-1] if turned else found

    with attach(base, Changing(changes)):
        torch.testing.assert_close(block.key(hidden), expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(base.final_norm(hidden), norm, atol=1e-6, rtol=1e-5)


def test_signatures_and_further_outputs_stay_while_attached(target):
    model = model_of(target)
    for method in ("full", "vlpose"):
        before = {m: inspect.signature(m.forward) for m in (model, model.backbone, model.head)}
        expected = model(PIXELS, output_hidden_states=True)
        with attach(target, make_adapter(method, target)):
            assert {m: inspect.signature(m.forward) for m in before} == before
            found = model(PIXELS, output_hidden_states=True)
        assert len(found.hidden_states) == len(expected.hidden_states) == 4
        assert all(torch.equal(a, b) for a, b in zip(found.hidden_states, expected.hidden_states, strict=True))


def test_the_gradient_of_a_batch_reaches_the_adapter_and_no_one_else(target):
    adapter = make_adapter("vlpose", target, stirred=0.1)
    base = target if hasattr(target, "codec") else tiny_base()
    batch = collate([TinyPictures()[i] for i in range(4)])
    with attach(base, adapter):
        base.train()
        HeatmapObjective()(base, batch).backward()
    assert all(p.grad is not None and p.grad.any() for p in adapter.parameters())
    assert all(p.grad is None for p in base.parameters())
