"""The teacher: the running mean of an adapter, lent to it for single calls."""

import pytest
import torch
from tiny import make_adapter, tiny_base, tiny_pixels

from lvtune.adapters.method_registry import METHODS
from lvtune.core.snapshot import snapshot
from lvtune.patcher.attaching import attach
from lvtune.training.teacher import Teacher


def stir(adapter, seed=0, by=0.1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in adapter.parameters():
            value.add_(by * torch.randn(value.shape, generator=generator))


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", METHODS.names())
def test_lent_the_adapter_answers_as_the_mean_and_is_itself_again_afterwards(method):
    base = tiny_base()
    adapter = make_adapter(method, base)
    teacher, pixels = Teacher(adapter, 0.9), tiny_pixels()
    with attach(base, adapter), torch.no_grad():
        before = base(pixels)
        stir(adapter)
        own, state = base(pixels), snapshot(adapter)
        with teacher.lent_to(adapter):
            assert torch.equal(base(pixels), before) and not torch.equal(own, before)
        assert torch.equal(base(pixels), own) and same(state, adapter.state_dict())


def test_an_error_inside_gives_the_weights_back_and_the_mode_returns():
    adapter = make_adapter("lora", tiny_base()).train()
    teacher, state = Teacher(adapter, 0.9), snapshot(adapter)
    stir(adapter)
    own = snapshot(adapter)
    with pytest.raises(RuntimeError), teacher.lent_to(adapter):
        assert not adapter.training and same(adapter.state_dict(), state)
        raise RuntimeError
    assert adapter.training and same(adapter.state_dict(), own) and same(teacher.state(), state)


def test_it_follows_once_a_step_and_begins_at_the_adapter():
    adapter = make_adapter("lora", tiny_base())
    teacher = Teacher(adapter, 0.9)
    stir(adapter)
    teacher.follow(adapter, 0)
    assert same(teacher.state(), adapter.state_dict())
    start = {name: value.clone() for name, value in teacher.state().items()}
    stir(adapter, seed=1)
    teacher.follow(adapter, 1)
    decay = 2 / 11  # a short memory at first
    for name, value in teacher.state().items():
        assert torch.allclose(value, decay * start[name] + (1 - decay) * adapter.state_dict()[name], atol=1e-6)
    once = {name: value.clone() for name, value in teacher.state().items()}
    teacher.follow(adapter, 1)  # another part of the same step
    assert same(once, teacher.state())


@pytest.mark.parametrize(("every", "expected"), [(0, [0]), (1, [0, 1, 2, 3, 4]), (2, [0, 2, 4])])
def test_what_it_answers_with_is_renewed_when_it_is_time_and_once_a_step(every, expected):
    adapter = make_adapter("lora", tiny_base())
    teacher, renewed = Teacher(adapter, 0.9), []
    for step in range(5):
        stir(adapter, seed=step)
        teacher.follow(adapter, step)
        if teacher.renew(step, every):
            renewed.append(step)
            with teacher.lent_to(adapter):
                assert same(adapter.state_dict(), teacher.state())
        assert not teacher.renew(step, every)  # another part of the same step
    assert renewed == expected
    with teacher.lent_to(adapter):
        assert same(adapter.state_dict(), teacher.state()) == (4 in expected)


def test_it_has_nothing_to_train_and_keeps_its_place_in_a_checkpoint():
    adapter = make_adapter("lora", tiny_base())
    teacher, other = Teacher(adapter, 0.9), Teacher(adapter, 0.9)
    stir(adapter)
    teacher.follow(adapter, 0)
    teacher.steps.next()
    other.load_state_dict(teacher.state_dict())
    assert not list(teacher.parameters()) and int(other.steps.step) == 1 and same(other.state(), teacher.state())
