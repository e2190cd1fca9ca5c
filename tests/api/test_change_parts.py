"""Every tensor is in one part, and a part that is left out is as it was."""

import pytest
import torch
from tiny import make_adapter, tiny_base

from lvtune.api.change_parts import PREDICTOR, parts_of, without
from lvtune.core.snapshot import snapshot


@pytest.mark.parametrize("method", ["lora", "full", "vlpose", "vlpose-light", "bitfit", "vpt", "bottleneck"])
def test_each_tensor_is_in_one_part(method):
    names = list(snapshot(make_adapter(method, tiny_base())))
    found = [name for part in parts_of(names).values() for name in part]
    assert sorted(found) == sorted(names)


def test_blocks_are_divided_in_thirds_by_their_numbers():
    names = [f"backbone/encoder/layer/{i}/query" for i in range(12)] + ["predictor.weight", "U", "head.conv.weight"]
    found = parts_of(names)
    assert [len(found[f"{third} blocks"]) for third in ("early", "middle", "late")] == [4, 4, 4]
    assert found["late blocks"][-1].endswith("11/query") and found["rest"] == ["U"]
    assert found[PREDICTOR] == ["predictor.weight", "head.conv.weight"]


@pytest.mark.parametrize("name", ["blocks.3.attn", "encoder.stages.2.conv", "layer1.0.conv", "stage4.2.fuse"])
def test_other_estimators_have_blocks_too(name):
    assert list(parts_of([name])) == ["early blocks"]


def test_what_is_left_out_is_as_it_was():
    start, end = ({"a": torch.full((2,), v), "b": torch.full((2,), v)} for v in (0.0, 1.0))
    found = without(start, end, ["a"])
    assert float(found["a"].sum()) == 0 and float(found["b"].sum()) == 2
