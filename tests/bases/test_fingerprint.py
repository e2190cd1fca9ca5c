"""The base's hash, against an oracle written out by hand."""

import hashlib
import struct

import pytest
import torch
from torch import nn

import lvtune
from lvtune.bases.base_registry import load_base
from lvtune.bases.fingerprint import fingerprint, fingerprints, hash_tensors, precision_of


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, 2.0]]))
        self.register_buffer("count", torch.tensor(3, dtype=torch.int64))
        self.register_buffer("hidden", torch.tensor([0.1]), persistent=False)


def stream(*entries):
    digest = hashlib.sha256()
    for key, data in entries:
        digest.update(struct.pack("<Q", len(key)) + key + data)
    return digest.hexdigest()


COUNT = (b"count\0int64\0[]", struct.pack("<q", 3))


def test_bytes_are_those_written_in_the_contract():
    expected = stream(
        COUNT,
        (b"hidden\0float32\0[1]", struct.pack("<f", 0.1)),
        (b"weight\0float32\0[1, 2]", struct.pack("<2f", 1, 2)),
    )
    assert fingerprint(Small()) == expected
    half = stream(
        COUNT,
        (b"hidden\0float16\0[1]", struct.pack("<e", 0.1)),
        (b"weight\0float16\0[1, 2]", struct.pack("<2e", 1, 2)),
    )
    assert fingerprint(Small(), torch.float16) == half == fingerprint(Small().half())


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.weight.data.copy_(torch.tensor([[1.0, torch.nextafter(torch.tensor(2.0), torch.tensor(3.0))]])),
        lambda m: m.count.add_(1),
        lambda m: m.hidden.add_(1),
        lambda m: m.register_buffer("more", torch.zeros(0)),
        lambda m: setattr(m, "weight", nn.Parameter(m.weight.data.T.contiguous())),
        lambda m: m.double(),
    ],
)
def test_any_change_shows(change):
    model, before = Small(), fingerprint(Small())
    change(model)
    assert fingerprint(model) != before


def test_layout_order_flags_and_mode_do_not_count():
    tensors = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(1, dtype=torch.bfloat16)}
    turned = {"a": tensors["a"], "b": tensors["b"].T.contiguous().T}
    assert not turned["b"].is_contiguous()
    assert hash_tensors(tensors.items()) == hash_tensors(turned.items())
    model = Small().train().requires_grad_(False)
    assert fingerprint(model) == fingerprint(Small().eval())


def test_names_and_shapes_cannot_run_into_each_other():
    one = {"a": torch.tensor([1, 2], dtype=torch.uint8)}
    two = {"a": torch.tensor([1], dtype=torch.uint8), "b": torch.tensor([2], dtype=torch.uint8)}
    assert hash_tensors(one.items()) != hash_tensors(two.items())
    assert hash_tensors([("a", torch.zeros(2, 0))]) != hash_tensors([("a", torch.zeros(0, 2))])


def test_tied_tensors_count_under_both_names():
    tied = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    apart = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    apart.load_state_dict(tied.state_dict())
    apart["b"].load_state_dict(apart["a"].state_dict())
    tied["b"].weight, tied["b"].bias = tied["a"].weight, tied["a"].bias
    assert fingerprint(tied) == fingerprint(apart)


def test_base_and_its_plain_or_compiled_model_agree():
    base = load_base("vitpose-ti", weights="random")
    expected = lvtune.fingerprint(base)
    assert fingerprint(base.model) == expected
    assert fingerprint(torch.compile(base.model)) == expected
    base.model.head = torch.compile(base.model.head)
    assert fingerprint(base.model) == expected


def test_recorded_in_the_precisions_that_can_be_told():
    model = Small()
    assert fingerprints(model) == {
        "float32": fingerprint(Small()),
        "float16": fingerprint(Small().half()),
        "bfloat16": fingerprint(Small().bfloat16()),
    }
    assert list(fingerprints(Small().half())) == ["float16"]
    assert precision_of(Small().double()) == "float32"
    mixed = Small().bfloat16()
    mixed.hidden = mixed.hidden.float()
    assert fingerprints(mixed) == {"bfloat16": fingerprint(Small().bfloat16())}
    mixed.hidden = mixed.hidden.half()
    assert fingerprints(mixed) == {}


def test_model_without_weights():
    with torch.device("meta"):
        model = nn.Linear(2, 2)
    with pytest.raises(lvtune.LvtuneError, match="holds no data"):
        fingerprint(model)
