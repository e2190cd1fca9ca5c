"""Which steps of a run go by oneDNN, that it is said, and that nothing else does."""

import pytest
import torch
from tiny import TinyPictures, make_adapter, snapshot, tiny_base

from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.core import linear_products
from lvtune.core.private_api import onednn_linear
from lvtune.patcher.attaching import attach
from lvtune.training import step_products
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune

pytestmark = pytest.mark.skipif(
    onednn_linear() is None or not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


@pytest.fixture(params=[True, False], ids=["faster", "not faster"])
def faster(request, monkeypatch):
    for module in (linear_products, step_products):
        monkeypatch.setattr(module, "is_faster", lambda: request.param)
    monkeypatch.setattr(linear_products, "LEAST_WORK", 1)
    return request.param


@pytest.fixture
def counted(monkeypatch):
    """Whether gradients were on, for each product by oneDNN of a base's own weights (24 rows: the base's widths)."""
    calls, compute = [], onednn_linear()

    def count(*given):
        calls.append(tuple(given[1].shape))
        return compute(*given)

    monkeypatch.setattr(linear_products, "onednn_linear", lambda: count)
    return calls


def run(method, base=None, validate=None, **given):
    base = tiny_base() if base is None else base
    adapter = make_adapter(method, base)
    usual = {"steps": 2, "batch_size": 4, "lr": 5e-3, "precision": "no"}
    options = Recipe(train=TrainOptions(**usual | given)).resolved().train
    more = {} if validate is None else {"validate": lambda: validate(base)}
    history = tune(base, adapter, TinyPictures(8), HeatmapObjective(), options, seed=0, device="cpu", **more)
    return adapter, history


def decided(history):
    return [one.value for one in history.decisions if one.what == "linear layers in each step"]


@pytest.mark.parametrize("method", ["vlpose-light", "lora", "vlpose", "full"])
def test_a_run_ends_as_with_torchs_own_products_and_says_so(method, faster, counted):
    _, own = run(method, products="torch", steps=4)
    assert decided(own) == [] and not counted
    _, history = run(method, steps=4)
    assert decided(history) == ["by oneDNN"] * faster and bool(counted) == faster
    assert all("--train.products torch" in line for line in history.lines() if "oneDNN" in line)
    assert history.loss == pytest.approx(own.loss, rel=1e-3) and len(history.loss) == 4


@pytest.mark.parametrize("method", ["vlpose-light", "lora", "vlpose", "full"])
def test_the_base_is_as_before_parameters_buffers_and_flags(method, faster, counted):
    base = tiny_base()
    before = snapshot(base.model)
    run(method, base)
    assert snapshot(base.model) == before and bool(counted) == faster


def test_scores_between_the_steps_are_of_torchs_own_products(faster, counted):
    """What the base gives there is what it gives outside of the run, to the last bit."""

    def validate(base):
        before = len(counted)
        with torch.no_grad():
            base(torch.randn(2, 3, *base.input_size), adapters=None)
        assert len(counted) == before
        return 0.0

    run("lora", validate=validate)


@pytest.mark.parametrize("method", ["vlpose-light", "full"])
def test_computing_blocks_again_changes_no_bit(method, faster):
    adapters = [run(method, checkpointing=again, recompute=False)[0] for again in (False, True)]
    assert all(torch.equal(*pair) for pair in zip(*(a.state_dict().values() for a in adapters), strict=True))


@pytest.mark.parametrize("kind", ["half precision", "mixed precision"])
def test_other_precisions_are_computed_by_torch(kind, faster, counted):
    base = tiny_base()
    if kind == "half precision":
        base.to(torch.bfloat16)
    _, history = run("lora", base, precision="bf16" if kind == "mixed precision" else "no", steps=1)
    assert decided(history) == []


def test_outside_of_steps_an_attached_base_with_gradients_is_torchs_own(faster, counted):
    """A frozen layer under an adapter that is new gives the base's own bits, with gradients too."""
    base = tiny_base()
    pixels = torch.randn(2, 3, *base.input_size)
    bare = base(pixels)
    for method in ("vlpose-light", "lora"):
        with attach(base, make_adapter(method, base)):
            assert torch.equal(base(pixels), bare)
            with torch.no_grad():
                assert torch.equal(base(pixels), bare)
