"""Outputs are joined, reordered and converted entry by entry, whatever they are nested in."""

from typing import NamedTuple

import torch
from transformers.modeling_outputs import BackboneOutput

from lvtune.bases.float_types import converted, first_floating, in_dtype
from lvtune.bases.nested_outputs import Rows, in_batch_order, joined, reordered


class Pair(NamedTuple):
    maps: torch.Tensor
    more: tuple


def numbered(*rows):
    return torch.tensor(rows, dtype=torch.float32)[:, None]


def test_structures_keep_their_kind():
    outputs = [Pair(numbered(0, 1), ([numbered(0, 1)], None)), Pair(numbered(2), ([numbered(2)], None))]
    found = joined(outputs)
    assert isinstance(found, Pair) and found.more[1] is None
    assert found.maps.flatten().tolist() == found.more[0][0].flatten().tolist() == [0, 1, 2]
    backbone = joined([BackboneOutput(feature_maps=(numbered(1),)), BackboneOutput(feature_maps=(numbered(2),))])
    assert isinstance(backbone, BackboneOutput) and backbone.hidden_states is None
    assert backbone.feature_maps[0].flatten().tolist() == [1, 2]


def test_rows_come_back_in_the_order_of_the_batch():
    groups = [torch.tensor([2, 0]), torch.tensor([3, 1])]
    found = in_batch_order([(numbered(2, 0), None), (numbered(3, 1), None)], groups)
    assert found[0].flatten().tolist() == [0, 1, 2, 3] and found[1] is None


def test_rows_of_several_shapes_stay_a_list_in_order():
    first, second = torch.zeros(2, 3), torch.ones(1, 4)
    found = in_batch_order([first, second], [torch.tensor([2, 0]), torch.tensor([1])])
    assert isinstance(found, list) and [len(row) for row in found] == [3, 4, 3]
    assert isinstance(joined([found, second]), Rows) and len(joined([found, second])) == 4
    assert [len(row) for row in reordered(found, torch.tensor([1, 0, 2]))] == [4, 3, 3]


def test_floating_tensors_alone_are_converted():
    value = {"x": torch.ones(2), "i": torch.ones(2, dtype=torch.int64), "y": (None, [torch.ones(1)]), "s": "word"}
    found = converted(value, torch.bfloat16)
    assert found["x"].dtype == found["y"][1][0].dtype == torch.bfloat16
    assert found["i"].dtype == torch.int64 and found["s"] == "word" and found["y"][0] is None
    assert first_floating((1, {"a": value["i"], "b": [value["x"]]})) is value["x"] and first_floating("word") is None


def test_a_layer_of_another_type_takes_and_gives_what_comes():
    layer = torch.nn.Linear(2, 2).bfloat16()
    run = in_dtype(layer, lambda: layer.weight.dtype)
    x = torch.randn(3, 2)
    assert torch.equal(run(x), layer(x.bfloat16()).float()) and torch.equal(run(x.bfloat16()), layer(x.bfloat16()))
    with torch.autocast("cpu", torch.bfloat16):
        assert run(x).dtype == torch.bfloat16  # as the layer gives it: autocast chooses
