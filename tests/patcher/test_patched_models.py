"""A user's own function in place of a model's forward works, whenever it was set, or is refused with a reason."""

import functools
import types

import pytest
import torch
from tiny import make_adapter, snapshot, tiny_base, tiny_model, tiny_pixels

from lvtune.core.errors import LvtuneError, UsageError
from lvtune.patcher.attaching import attach, detach, use_adapter

PIXELS = tiny_pixels(4)
NAMES = ["a", None, "b", "a"]


def passing(former):
    """A function of any arguments that calls another one."""

    def forward(*args, **kwargs):
        return former(*args, **kwargs)

    return forward


def any_arguments(model):
    return passing(model.forward)


def partial_of_bound(model):
    return functools.partial(model.forward, output_hidden_states=False)


def partial_of_class(model):
    return functools.partial(type(model).forward, model)


def bound_function(model):
    former = model.forward
    return types.MethodType(lambda self, *args, **kwargs: former(*args, **kwargs), model)


def wrapped_function(model):
    return functools.wraps(model.forward)(passing(model.forward))


def renamed_argument(model):
    former = model.forward

    def forward(images, **kwargs):
        return former(images, **kwargs)

    return forward


def keyword_alone(model):
    former = model.forward
    return lambda *, pixel_values: former(pixel_values=pixel_values)


class Callable:
    """An object in place of a function."""

    def __init__(self, model):
        self.former = model.forward

    def __call__(self, *args, **kwargs):
        return self.former(*args, **kwargs)


VARIANTS = [
    any_arguments,
    partial_of_bound,
    partial_of_class,
    bound_function,
    wrapped_function,
    renamed_argument,
    Callable,
]


def call(model, pixels=PIXELS, by_name=False):
    with torch.no_grad():
        return (model(pixel_values=pixels) if by_name else model(pixels)).heatmaps


@pytest.fixture
def answers():
    """What the adapters, and none, give on a model as it is."""
    model, found = tiny_model(), {None: call(tiny_model())}
    for seed, (name, method) in enumerate({"a": "lora", "b": "vlpose"}.items()):
        with attach(model, make_adapter(method, model, stirred=0.1, seed=seed)):
            found[name] = call(model)
    return found


def attach_both(model):
    for seed, (name, method) in enumerate({"a": "lora", "b": "vlpose"}.items()):
        attach(model, make_adapter(method, model, stirred=0.1, seed=seed), name)


def check_choices(model, answers, by_name=False):
    for name in ("a", "b", None):
        with use_adapter(model, name):
            assert torch.equal(call(model, by_name=by_name), answers[name])
    with use_adapter(model, NAMES):
        expected = torch.stack([answers[name][i] for i, name in enumerate(NAMES)])
        torch.testing.assert_close(call(model, by_name=by_name), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", [*VARIANTS, keyword_alone])
@pytest.mark.parametrize("by_name", [False, True])
def test_a_forward_set_before_attaching(variant, by_name, answers):
    model = tiny_model().requires_grad_(False)
    theirs = model.forward = variant(model)
    if variant is keyword_alone:
        by_name = True
    if variant is renamed_argument:
        by_name = False
    before = snapshot(model)
    attach_both(model)
    check_choices(model, answers, by_name)
    detach(model)
    assert snapshot(model) == before and model.forward is theirs
    assert torch.equal(call(model, by_name=by_name), answers[None])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_forward_set_while_attached(variant, answers):
    """It acts, the adapters act, and it is there after detaching."""
    model = tiny_model()
    attach_both(model)
    theirs, counted = variant(model), []

    def forward(*args, **kwargs):
        counted.append(1)
        return theirs(*args, **kwargs)

    model.forward = forward
    assert torch.equal(call(model), answers["b"]) and counted == [1]
    check_choices(model, answers)
    assert len(counted) > 4
    detach(model, "a")
    with use_adapter(model, "b"):
        assert torch.equal(call(model), answers["b"])
    detach(model)
    assert vars(model)["forward"] is forward
    counted.clear()
    assert torch.equal(call(model), answers[None]) and counted == [1]
    attach_both(model)
    check_choices(model, answers)
    detach(model)
    assert vars(model)["forward"] is forward
    del model.forward
    assert torch.equal(call(model), answers[None])


def test_a_forward_set_while_attached_that_never_calls_the_one_before(answers):
    model = tiny_model()
    attach_both(model)
    model.forward = lambda pixels: type(model).forward(model, pixels)
    assert torch.equal(call(model), answers["b"])
    with use_adapter(model, "a"):
        assert torch.equal(call(model), answers["a"])
    check_choices(model, answers)


def test_a_forward_set_inside_a_choice_per_sample_is_refused_or_works(answers):
    model = tiny_model()
    attach_both(model)
    with use_adapter(model, NAMES):
        model.forward = lambda pixels: type(model).forward(model, pixels)
        with pytest.raises(UsageError, match="a forward that was set on it while adapters were attached"):
            call(model)
    check_choices(model, answers)


def test_a_forward_deleted_while_attached(answers):
    model = tiny_model()
    model.forward = any_arguments(model)
    attach_both(model)
    del model.forward
    check_choices(model, answers)
    detach(model)
    assert "forward" not in vars(model)


@pytest.mark.parametrize("at", ["head", "block", "layer"])
def test_a_forward_of_a_part_set_while_attached(at):
    """Of a module whose forward an adapter replaces: it acts in place of the base's own."""
    base = tiny_base()
    part = {"head": base.head, "block": base.blocks[0].layer, "layer": base.blocks[0].query}[at]
    method = {"head": "vlpose", "block": "last-blocks", "layer": "vlpose-light"}[at]
    options = {"blocks": 3} if at == "block" else {}
    adapter = make_adapter(method, base, stirred=0.1, **options)
    bare = base(PIXELS)
    with attach(base, adapter):
        adapted = base(PIXELS)
        own = type(part).forward
        theirs = part.forward = lambda *args, **kwargs: own(part, *args, **kwargs)
        assert torch.equal(base(PIXELS), adapted)
        former = part.forward
        part.forward = passing(former)
        theirs = part.forward
        assert torch.equal(base(PIXELS), adapted)
        assert torch.equal(base(PIXELS, adapters=None), bare)
    assert vars(part)["forward"] is theirs
    assert torch.equal(base(PIXELS), bare)
    with attach(base, adapter):
        assert torch.equal(base(PIXELS), adapted)
    assert vars(part)["forward"] is theirs


def test_train_set_while_attached_stays():
    model = tiny_model()
    with attach(model, make_adapter("norm", model)):
        former = model.train
        theirs = model.train = lambda mode=True: former(mode)
        model.train()
        assert not model.head.training
    assert vars(model)["train"] is theirs
    model.train()
    assert model.head.training


def test_adapters_come_off_in_any_order_around_a_users_forward(answers):
    model = tiny_model()
    attach(model, make_adapter("lora", model, stirred=0.1, seed=0), "a")
    former = model.forward
    theirs = model.forward = passing(former)
    attach(model, make_adapter("vlpose", model, stirred=0.1, seed=1), "b")
    check_choices(model, answers)
    detach(model, "a")
    detach(model, "b")
    assert vars(model)["forward"] is theirs
    assert torch.equal(call(model), answers[None])


def test_a_forward_that_hides_its_pictures_is_refused_where_they_are_needed(answers):
    model = tiny_model()
    former = model.forward
    model.forward = lambda request, *more: former(request["pictures"])
    attach_both(model)
    with torch.no_grad():
        assert torch.equal(model({"pictures": PIXELS}).heatmaps, answers["b"])
        with use_adapter(model, NAMES), pytest.raises(LvtuneError) as error:
            model({"pictures": PIXELS})
    assert "(request, *more)" in error.value.given and "'pixel_values'" in error.value.expected


def test_pictures_may_have_another_name(answers):
    model = tiny_model()
    model.forward = renamed_argument(model)
    attach_both(model)
    with torch.no_grad(), use_adapter(model, NAMES):
        found = model(images=PIXELS).heatmaps
    expected = torch.stack([answers[name][i] for i, name in enumerate(NAMES)])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
