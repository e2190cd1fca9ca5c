"""Late parts are told by names, and every share of a change lies between its ends."""

import pytest
import torch
from tiny import make_adapter, tiny_base

from lvtune.api.change_parts import late_names, on_the_way
from lvtune.core.snapshot import snapshot


@pytest.mark.parametrize("method", ["lora", "full", "vlpose-light", "bitfit", "bottleneck"])
def test_a_part_of_each_methods_tensors_is_late(method):
    names = set(snapshot(make_adapter(method, tiny_base())))
    late = late_names(names)
    assert late and late < names and {name for name in names if name.startswith(("predictor", "head"))} <= late


def test_the_last_third_of_the_blocks_is_late_and_the_predictor():
    names = [f"backbone/encoder/layer/{i}/query" for i in range(12)] + ["predictor.weight", "U", "head.conv.weight"]
    late = [f"backbone/encoder/layer/{i}/query" for i in range(8, 12)] + ["predictor.weight", "head.conv.weight"]
    assert late_names(names) == set(late)


def test_numbers_are_compared_as_numbers():
    assert late_names([f"blocks.{i}.attn" for i in (2, 9, 10)]) == {"blocks.10.attn"}


@pytest.mark.parametrize(
    "names",
    [["predictor.weight"], ["blocks.3.attn", "predictor.weight"], ["U", "V"], ["head.a", "head.b"], []],
    ids=["predictor", "one-block", "no-block", "head", "nothing"],
)
def test_where_nothing_else_is_changed_nothing_is_late(names):
    assert late_names(names) == set()


def ends():
    names = [f"blocks.{i}" for i in range(3)] + ["predictor.weight"]
    start = {name: torch.zeros(2) for name in names} | {"count": torch.tensor(0)}
    return start, {name: torch.ones(2) for name in names} | {"count": torch.tensor(7)}


@pytest.mark.parametrize("share", [0.25, 1.0])
@pytest.mark.parametrize("late", [1.0, 0.5, 0.0])
def test_late_parts_have_a_part_of_the_share(share, late):
    found = on_the_way(*ends(), share, late)
    for name, value in found.items():
        if name != "count":
            assert value.tolist() == [share * (late if name in ("blocks.2", "predictor.weight") else 1.0)] * 2
    assert int(found["count"]) == 7


def test_the_whole_change_is_the_end_itself():
    start, end = ends()
    assert all(on_the_way(start, end, 1.0)[name] is end[name] for name in end)
