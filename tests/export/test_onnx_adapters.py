"""One ONNX model with adapters as inputs, beside PyTorch."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from tiny import make_adapter, snapshot, tiny_base, tiny_pixels

import lvtune
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.export import adapter_inputs as inputs_module
from lvtune.export.adapter_inputs import Beside, adapter_inputs
from lvtune.patcher.attaching import attach, use_adapter

PIXELS = tiny_pixels(5)


def answer(base, adapter, category=None):
    with torch.no_grad():
        if adapter is None:
            return base(PIXELS).numpy()
        with attach(base, adapter, "own"), use_adapter(base, category=category):
            return base(PIXELS).numpy()


def opened(file):
    """Tensors and facts of an adapter's file, as a program without torch reads them."""
    with safe_open(file, framework="np") as one:
        facts = {name.removeprefix("lvtune."): json.loads(value) for name, value in one.metadata().items()}
        return {name: one.get_tensor(name) for name in one.keys()}, facts  # noqa: SIM118


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Adapters of several methods, ranks and skeletons in one file; and all that it was made of."""
    base = tiny_base()
    adapters = {
        "lora": make_adapter("lora", base, stirred=0.3),
        "mural": make_adapter("vlpose-light", base, stirred=0.3),
        "norms": make_adapter("norm", base, stirred=0.3),
        "biases": make_adapter("bitfit", base, stirred=0.3),
        "fourteen": make_adapter("lora", base, stirred=0.3, skeleton=LSP_14, r=2),
    }
    before = snapshot(base)
    folder = tmp_path_factory.mktemp("onnx")
    found = lvtune.export_onnx_adapters(base, adapters, folder / "poses.onnx", categories={"mural": "mural"})
    assert snapshot(base) == before
    return base, adapters, found


def run(found, name):
    session = onnxruntime.InferenceSession(str(found.file), providers=["CPUExecutionProvider"])
    tensors, _ = opened(found.file.with_name(f"poses.{name}.safetensors"))
    return session.run(None, {"pixel_values": PIXELS.numpy(), **tensors})[0]


@pytest.mark.parametrize("name", ["lora", "mural", "norms", "biases", "fourteen", "none"])
def test_one_session_answers_as_base_and_each_adapter_do(written, name):
    base, adapters, found = written
    expected = answer(base, adapters.get(name), "mural" if name == "mural" else None)
    given = run(found, name)
    assert given.shape == expected.shape == (5, 14 if name == "fourteen" else 17, *expected.shape[2:])
    assert np.abs(given - expected).max() < 1e-5 * np.abs(expected).max()
    if name != "none":
        assert np.abs(expected - answer(base, None)[:, : expected.shape[1]]).max() > 1e-3  # they do change something


def test_the_files_say_what_they_are(written):
    base, _, found = written
    assert sorted(found.files) == sorted(found.bytes)
    assert found.difference <= 1e-4 * found.largest and found.facts["checked"]["batches"] == [1, 2, 3]
    tensors, facts = opened(found.file.with_name("poses.fourteen.safetensors"))
    assert facts["skeleton"]["keypoints"] == list(LSP_14.keypoints) and facts["adapter"]["method"] == "lora"
    assert facts["base"]["fingerprint"] == lvtune.fingerprint(base)
    inside = json.loads(found.file.with_name("poses.onnx.json").read_text())
    assert set(inside["adapter_inputs"]) == set(tensors) and len(tensors) == found.inputs
    assert opened(found.file.with_name("poses.mural.safetensors"))[1]["adapter"]["category"] == "mural"
    assert opened(found.file.with_name("poses.none.safetensors"))[1]["adapter"] is None


def test_an_adapters_file_is_small_beside_the_model(written):
    found = written[2]
    assert all(size < found.bytes["poses.onnx"] for name, size in found.bytes.items() if name != "poses.onnx")


def test_a_rank_is_that_of_the_change_and_the_largest_one_decides():
    base = tiny_base()
    small, large = (make_adapter("lora", base, stirred=0.3, r=rank) for rank in (1, 3))
    found = adapter_inputs(base, [small, large], [None, None])
    assert set(found.ranks.values()) == {3}
    name = next(iter(found.ranks))
    assert not found.values[0][f"{name}.down"][1:].any() and found.values[0][f"{name}.down"][0].any()
    assert not found.values[2][f"{name}.up"].any()  # the bare base


def test_a_layer_with_nothing_beside_it_is_the_layer():
    linear = torch.nn.Linear(5, 3)
    x = torch.randn(2, 4, 5)
    assert torch.equal(Beside(linear, 2)(x), linear(x))


@pytest.mark.parametrize(
    ("method", "said"),
    [("vlpose", "does not equal other weights"), ("ssf", "by a matrix of rank"), ("full", "though it changes")],
)
def test_what_cannot_be_an_input_is_refused(tmp_path, monkeypatch, method, said):
    monkeypatch.setattr(inputs_module, "MOST_RANK", 4)
    monkeypatch.setattr(inputs_module, "MOST_WHOLE", 1000)
    base = tiny_base(layers=1)
    with pytest.raises(LvtuneError, match=said) as caught:
        lvtune.export_onnx_adapters(base, {"a": make_adapter(method, base, stirred=0.3)}, tmp_path / "a.onnx")
    assert "lvtune export --adapter FOLDER" in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["none", "a/b", "", "..", "a b"])
def test_a_name_that_is_no_part_of_a_file_name_is_refused(tmp_path, name):
    base = tiny_base(layers=1)
    with pytest.raises(LvtuneError, match="adapter name"):
        lvtune.export_onnx_adapters(base, {name: make_adapter("lora", base)}, tmp_path / "a.onnx")


def test_other_mistakes(tmp_path):
    base = tiny_base(layers=1)
    lora = make_adapter("lora", base)
    with pytest.raises(LvtuneError, match="no adapter"):
        lvtune.export_onnx_adapters(base, {}, tmp_path / "a.onnx")
    with pytest.raises(LvtuneError, match="ends in"):
        lvtune.export_onnx_adapters(base, {"a": lora}, tmp_path / "a")
    with pytest.raises(LvtuneError, match="reads no sentences"):
        lvtune.export_onnx_adapters(base, {"a": lora}, tmp_path / "a.onnx", categories={"a": "mural"})
    with pytest.raises(LvtuneError, match="differ from PyTorch"):
        lvtune.export_onnx_adapters(base, {"a": lora}, tmp_path / "a.onnx", tolerance=0)
    assert not list(tmp_path.iterdir())
