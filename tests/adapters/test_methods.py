"""Every registered method keeps what all methods promise; the registry is the list of tests."""

import math
from dataclasses import dataclass, fields
from typing import ClassVar

import pytest
import torch
from tiny import TinyPictures, make_adapter, snapshot, tiny_bank, tiny_base, tiny_model, tiny_pixels
from torch import nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.factory import create_adapter
from lvtune.adapters.method_registry import METHODS, list_methods, register_method
from lvtune.api.recipe import Recipe
from lvtune.bases.changes import AddToOutput
from lvtune.config.options import TrainOptions
from lvtune.core.errors import LvtuneError
from lvtune.data.dataset import collate
from lvtune.data.skeletons import LSP_14, Skeleton
from lvtune.hub.adapter_loading import load_adapter
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.storage.store import save_adapter
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune

PIXELS = tiny_pixels()
EVERY = pytest.mark.parametrize("method", METHODS.names())
COPIES_AND_ZEROS = {"full", "head", "last-blocks", "norm", "bitfit", "ssf"}
COPIES_AND_ZEROS |= {"ia3", "oft", "boft", "vera", "fourierft", "randlora", "c3a", "road", "miss"}
"""Methods whose start is the base's own weights, or zero, whatever the seed."""
WITH_PREDICTOR = [name for name in METHODS.names() if METHODS.get(name).trains_predictor]
WITHOUT_PREDICTOR = [name for name in METHODS.names() if not METHODS.get(name).trains_predictor]


@pytest.fixture(params=["classic", "simple"])
def base(request):
    """Both heads of ViTPose."""
    return tiny_base(simple=request.param == "simple")


def take_steps(base, adapter, count=3, lr=1e-2):
    """A few steps on one batch; the losses."""
    batch = collate([TinyPictures(skeleton=adapter.skeleton)[i] for i in range(4)])
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=lr)
    losses = []
    with attach(base, adapter):
        base.train()
        for _ in range(count):
            optimizer.zero_grad()
            loss = HeatmapObjective()(base, batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        base.eval()
    return losses


def answer(base, adapter, category=None):
    with torch.no_grad(), attach(base, adapter), use_adapter(base, category=category):
        return base(PIXELS)


def test_the_names_of_the_contract_are_there():
    assert set(list_methods()) >= {"vlpose", "full", "norm", "bitfit", "lora"}


@EVERY
def test_a_fresh_adapter_changes_nothing(base, method):
    bare = base(PIXELS)
    assert torch.equal(answer(base, make_adapter(method, base)), bare)
    assert torch.equal(answer(base, make_adapter(method, base, seed=5)), bare)


@EVERY
def test_three_steps_change_the_answer_and_lower_the_loss(base, method):
    bare, before = base(PIXELS), snapshot(base)
    adapter = make_adapter(method, base)
    losses = take_steps(base, adapter, count=3 if method != "vlpose" else 6)
    assert losses[-1] < losses[0]
    assert (answer(base, adapter) - bare).abs().max() > 1e-3
    assert torch.equal(base(PIXELS), bare)
    assert snapshot(base) == before


@EVERY
def test_every_parameter_gets_gradient_and_none_of_the_base(base, method):
    adapter = make_adapter(method, base)
    take_steps(base, adapter, count=2)  # gates and the like open in the first step
    adapter.zero_grad()
    take_steps(base, adapter, count=1)
    silent = [n for n, p in adapter.named_parameters() if p.grad is None or not p.grad.any()]
    # what a key is shifted by shifts all attention scores of a query alike, which softmax does not see
    silent = [
        n
        for n in silent
        if not n.endswith(("attention/attention/key", "attention.attention.key.bias", "matcher.k.bias"))
    ]
    assert silent == []
    assert all(p.grad is None for p in base.parameters())


@EVERY
@pytest.mark.parametrize("where", ["memory", "file"])
def test_saved_tensors_give_the_same_answer(base, method, where, tmp_path):
    adapter = make_adapter(method, base)
    take_steps(base, adapter)
    if where == "memory":
        again = make_adapter(method, base, seed=9)
        again.load_tensors({name: value.clone() for name, value in adapter.tensors().items()})
    else:
        again = load_adapter(save_adapter(adapter, tmp_path), base)
    assert torch.equal(answer(base, again), answer(base, adapter))
    assert torch.equal(answer(base, again, "mural"), answer(base, adapter, "mural"))
    assert again.tensors().keys() == adapter.tensors().keys()
    assert all(torch.equal(v, adapter.tensors()[n]) for n, v in again.tensors().items())
    assert not any(v.requires_grad for v in adapter.tensors().values())


@EVERY
def test_the_seed_decides_and_the_global_one_is_kept(base, method):
    state = torch.get_rng_state()
    first, again, other = (make_adapter(method, base, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)  # what happened before must not matter
    later = make_adapter(method, base, seed=3)
    for adapter in (again, later):
        assert all(torch.equal(v, first.state_dict()[n]) for n, v in adapter.state_dict().items())
    draws = method not in COPIES_AND_ZEROS
    assert all(torch.equal(v, first.state_dict()[n]) for n, v in other.state_dict().items()) != draws
    take_steps(base, other)
    assert (answer(base, other) - base(PIXELS)).abs().max() > 1e-3


@EVERY
def test_the_adapter_follows_the_mode_of_the_base(method):
    for target in (tiny_base(), tiny_model()):
        adapter = make_adapter(method, target)
        with attach(target, adapter):
            assert not adapter.training
            target.train()
            assert adapter.training and all(m.training for m in adapter.children())
            target.eval()
            assert not adapter.training
        target.train()
        with attach(target, adapter):
            assert adapter.training


@EVERY
def test_half_precision_bases(method):
    base = tiny_base()
    adapter = make_adapter(method, base)
    take_steps(base, adapter)
    expected = answer(base, adapter, "mural")
    base.to(torch.bfloat16)
    with attach(base, adapter), torch.no_grad():
        found = base(PIXELS.bfloat16(), category="mural")
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().max() < 0.05 * expected.abs().max()
    fresh = make_adapter(method, base)
    with attach(base, fresh):
        base.train()
        base(PIXELS.bfloat16()).float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in fresh.parameters() if p.grad is not None)


@EVERY
def test_mixed_precision_tuning(method):
    base = tiny_base()
    losses = {}
    for precision in ("no", "bf16"):
        adapter = make_adapter(method, base)
        options = Recipe(train=TrainOptions(steps=6, batch_size=4, lr=5e-3, precision=precision)).resolved().train
        losses[precision] = tune(base, adapter, TinyPictures(8), HeatmapObjective(), options, device="cpu").loss
        assert {p.dtype for p in adapter.parameters()} == {torch.float32}
    assert losses["bf16"] == pytest.approx(losses["no"], rel=0.05)
    assert losses["bf16"] != losses["no"]


@pytest.mark.parametrize("method", WITHOUT_PREDICTOR)
def test_a_method_without_a_predictor_refuses_other_key_points(base, method):
    with pytest.raises(LvtuneError, match="trains a predictor") as error:
        make_adapter(method, base, skeleton=LSP_14)
    assert all(name in error.value.fix for name in WITH_PREDICTOR)


@pytest.mark.parametrize("method", WITH_PREDICTOR)
def test_other_key_points_get_a_predictor_of_their_own(base, method):
    bare = base(PIXELS)
    adapter = make_adapter(method, base, skeleton=LSP_14)
    found = answer(base, adapter)
    assert found.shape == (4, 14, 16, 12)
    # key points that the base knows by name start from its own rows, others from the mean of all
    known = {name: i for i, name in enumerate(base.skeleton.keypoints)}
    for row, name in enumerate(LSP_14.keypoints):
        expected = bare[:, known[name]] if name in known else bare.mean(1)
        torch.testing.assert_close(found[:, row], expected, atol=1e-5, rtol=0)
    losses = take_steps(base, adapter, count=6)
    assert losses[-1] < losses[0]
    assert base(PIXELS).shape[1] == 17
    again = make_adapter(method, base, skeleton=LSP_14, seed=1)
    again.load_tensors(adapter.tensors())
    assert torch.equal(answer(base, again), answer(base, adapter))


def test_the_same_key_points_in_another_order_are_other_key_points():
    base = tiny_base()
    turned = Skeleton("turned", base.skeleton.keypoints[::-1], base.skeleton.sigmas[::-1])
    found = answer(base, make_adapter("lora", base, skeleton=turned))
    torch.testing.assert_close(found, base(PIXELS).flip(1), atol=1e-6, rtol=0)
    with pytest.raises(LvtuneError, match="trains a predictor"):
        make_adapter("norm", base, skeleton=turned)


@EVERY
def test_the_protocol_and_the_documentation_are_whole(base, method):
    cls = METHODS.get(method)
    adapter = make_adapter(method, base)
    assert isinstance(adapter, Adapter) and adapter.method == method
    assert cls.__doc__ and cls.Config.__doc__
    assert set(cls.defaults) <= {field.name for field in fields(TrainOptions)}
    assert all(math.isfinite(adapter.lr_scale(n, Recipe().resolved().train)) for n, _ in adapter.named_parameters())


def test_unknown_methods_and_options_are_told():
    base = tiny_base()
    with pytest.raises(LvtuneError, match="did you mean 'lora'"):
        create_adapter("lroa", base)
    with pytest.raises(LvtuneError, match="targets"):
        create_adapter("lora", base, target=("query",))
    with pytest.raises(LvtuneError, match="without sentences"):
        create_adapter("vlpose", base)
    with pytest.raises(LvtuneError, match="Linear"):
        create_adapter("lora", nn.Linear(2, 2))


@pytest.fixture
def third_party():
    """A method as another package would write it, in one place."""

    @dataclass(frozen=True)
    class Config:
        """Options of ``scale-out``."""

        start: float = 0.0
        """First value."""

    @register_method("scale-out")
    class ScaleOut(Adapter):
        """Scales what the final norm gives."""

        Config: ClassVar[type]
        defaults: ClassVar[dict] = {"lr": 3e-2}

        def __init__(self, config, base, *, bank=None, skeleton=None):
            super().__init__()
            self.config = config
            self.scale = nn.Parameter(torch.full((base.width,), config.start))

        def changes(self, base):
            norm = base.final_norm
            yield AddToOutput(norm, lambda x: self.scale * nn.functional.layer_norm(x, norm.normalized_shape))

    ScaleOut.Config = Config
    yield "scale-out"
    METHODS._entries.pop("scale-out")


def test_a_method_of_another_package_works_end_to_end(third_party, tmp_path):
    base = tiny_base()
    bare, before = base(PIXELS), snapshot(base)
    assert third_party in list_methods()
    with pytest.raises(LvtuneError, match=r"did you mean 'method\.start'"):
        create_adapter(third_party, base, strat=1.0)
    adapter = create_adapter(third_party, base)
    assert torch.equal(answer(base, adapter), bare)
    recipe = Recipe(method=third_party, train=TrainOptions(steps=6, batch_size=4)).resolved(adapter.defaults)
    assert recipe.train.lr == 3e-2
    history = tune(base, adapter, TinyPictures(8), HeatmapObjective(), recipe.train, device="cpu")
    assert history.steps == [1, 2, 3, 4, 5, 6]
    tuned = answer(base, adapter)
    assert (tuned - bare).abs().max() > 1e-3
    again = load_adapter(save_adapter(adapter, tmp_path), base)
    assert torch.equal(answer(base, again), tuned)
    assert snapshot(base) == before


def test_the_bank_travels_with_the_adapter(tmp_path):
    base, bank = tiny_base(), tiny_bank(seed=4)
    adapter = make_adapter("vlpose", base, bank=bank, stirred=0.1)
    again = load_adapter(save_adapter(adapter, tmp_path), base)
    assert again.bank.categories == bank.categories and again.bank.sentences == bank.sentences
    assert torch.equal(again.bank.tokens, bank.tokens) and torch.equal(again.bank.mask, bank.mask)
    for category in (None, "sketch", "mural"):
        assert torch.equal(answer(base, again, category), answer(base, adapter, category))
