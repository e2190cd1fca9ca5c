"""Parameter groups, layer-wise decay and learning-rate schedules: exact values."""

import math

import pytest
import torch
from tiny import make_adapter, tiny_base
from torch import nn

from lvtune.adapters.building import layer_scale
from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.training.optim import lr_factor, make_optimizer, param_groups, set_lr
from lvtune.training.sampler import EpochSampler


def grouped(module, weight_decay=0.1, scale=lambda name: 1.0):
    """Name of a parameter to (weight decay, factor on the learning rate)."""
    names = {id(p): n for n, p in module.named_parameters()}
    return {
        names[id(p)]: (group["weight_decay"], group["lr_scale"])
        for group in param_groups(module, weight_decay, scale)
        for p in group["params"]
    }


def test_matrices_are_decayed_and_vectors_and_embeddings_are_not():
    found = grouped(make_adapter("vlpose", tiny_base()))
    decayed = {name for name, (decay, _) in found.items() if decay}
    assert {decay for decay, _ in found.values()} == {0.0, 0.1}
    assert decayed == {
        "text_proj.weight",
        *(f"matcher.{layer}.weight" for layer in ("q", "k", "v", "proj")),
        *(f"decoder.auxiliary.{i}.0.weight" for i in range(2)),
        "predictor.weight",
    }
    assert {"prompts", "prompt_gates", "matcher.norm.weight", "predictor.bias"} <= found.keys() - decayed


def test_fine_tuning_decays_as_vitpose_does():
    adapter = make_adapter("full", tiny_base())
    options = Recipe(train=TrainOptions(layer_decay=0.75)).resolved().train
    found = grouped(adapter, 0.1, lambda name: adapter.lr_scale(name, options))
    assert len(found) == len(list(adapter.parameters()))
    expected = {
        "encoder.embeddings.position_embeddings": (0.0, 0.75**4),
        "encoder.embeddings.patch_embeddings.projection.weight": (0.1, 0.75**4),
        "encoder.embeddings.patch_embeddings.projection.bias": (0.0, 0.75**4),
        "encoder.encoder.layer.0.attention.attention.query.weight": (0.1, 0.75**3),
        "encoder.encoder.layer.1.mlp.fc1.bias": (0.0, 0.75**2),
        "encoder.encoder.layer.2.mlp.fc2.weight": (0.1, 0.75),
        "encoder.encoder.layer.2.layernorm_after.weight": (0.0, 0.75),
        "encoder.layernorm.weight": (0.0, 1.0),
        "head.deconv1.weight": (0.1, 1.0),
        "head.batchnorm1.weight": (0.0, 1.0),
        "head.conv.weight": (0.1, 1.0),
        "head.conv.bias": (0.0, 1.0),
    }
    for name, (decay, scale) in expected.items():
        assert found[name] == (decay, pytest.approx(scale, rel=1e-12)), name


def test_layer_scale():
    assert [layer_scale(i, 12, 0.8) for i in (0, 1, 12, 13)] == pytest.approx([0.8**13, 0.8**12, 0.8, 1.0])


def test_frozen_parameters_are_in_no_group():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[0].requires_grad_(False)
    assert grouped(module) == {"1.weight": (0.1, 1.0), "1.bias": (0.0, 1.0)}


@pytest.mark.parametrize(
    ("step", "schedule", "expected"),
    [
        (0, "cosine", 0.001),
        (50, "cosine", 0.001 + 0.999 / 2),
        (100, "cosine", 1.0),
        (550, "cosine", 0.01 + 0.99 / 2),
        (775, "cosine", 0.01 + 0.99 * 0.5 * (1 + math.cos(0.75 * math.pi))),
        (1000, "cosine", 0.01),
        (1200, "cosine", 0.01),
        (99, "step", 0.001 + 0.999 * 0.99),
        (100, "step", 1.0),
        (809, "step", 1.0),
        (810, "step", 0.1),
        (952, "step", 0.1),
        (953, "step", 0.01),
        (999, "constant", 1.0),
    ],
)
def test_learning_rate_of_a_thousand_steps(step, schedule, expected):
    assert lr_factor(step, 1000, 0.1, schedule) == pytest.approx(expected, rel=1e-12)


def test_warm_up_takes_twenty_steps_at_the_least_or_none():
    assert [lr_factor(step, 100, 0.01, "constant") for step in (0, 10, 19, 20)] == pytest.approx(
        [0.001, 0.5005, 0.001 + 0.999 * 0.95, 1.0]
    )
    assert [lr_factor(step, 100, 0.5, "constant", 4) for step in (0, 2, 4)] == pytest.approx([0.001, 0.5005, 1.0])
    assert lr_factor(0, 100, 0.0, "constant") == 1.0
    assert lr_factor(0, 0, 0.0, "cosine") == 1.0


def test_each_group_gets_its_share_of_the_rate():
    module = nn.Linear(2, 2)
    optimizer = make_optimizer(param_groups(module, 0.1, lambda name: 3.0 if name == "bias" else 1.0), 1.0)
    set_lr(optimizer, 0.5)
    assert sorted(group["lr"] for group in optimizer.param_groups) == [0.5, 1.5]
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.999)}


def test_the_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch, count=10, batch=3):
        sampler = EpochSampler(count, batch, seed)
        sampler.set_epoch(epoch)
        assert len(sampler) == len(list(sampler))
        return list(sampler)

    torch.manual_seed(1)
    first = order(0, 0)
    torch.manual_seed(2)
    assert order(0, 0) == first
    assert first not in (order(0, 1), order(1, 0))
    assert [len(batch) for batch in first] == [3, 3, 3]
    assert len({i for batch in first for i in batch}) == 9
    assert sorted(order(0, 0, count=2, batch=8)[0]) == [0, 1]  # fewer pictures than a batch: all of them
