"""ONNX files beside PyTorch, and what is in them."""

import importlib.util
import json
import logging
import re

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from pyramids import pixels as pyramid_pixels
from pyramids import tiny as tiny_of
from tiny import ARCH, SIZE, make_adapter, snapshot, tiny_base, tiny_model, tiny_pixels
from tiny_hands import tiny_hand_base, tiny_hands

import lvtune
from lvtune.bases.base import BaseSpec
from lvtune.bases.vitpose import VitPoseBase, build_model, make_config
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.data.skeletons import LSP_14
from lvtune.evaluation.calibration import read_calibration
from lvtune.export import onnx_file, onnx_writing
from lvtune.export.facts import from_metadata
from lvtune.export.own_sentence import OWN, resolve_sentence, with_sentence
from lvtune.language.bank import embed_sentences, random_bank
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.storage.base_calibration import FOLDER, SUFFIX, base_calibration

PIXELS = tiny_pixels(5)


def answer(base, adapter=None, category=None, pixels=PIXELS):
    """What base and adapter give in PyTorch."""
    with torch.no_grad():
        if adapter is None:
            return base(pixels).numpy()
        with attach(base, adapter, "own"), use_adapter(base, category=category):
            return base(pixels).numpy()


def run(file, pixels=PIXELS):
    """What the file gives, by name."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"pixel_values": pixels.numpy()}), strict=True))


def far(found, expected):
    """Largest difference as a share of the largest value."""
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """A ViTPose under vlpose reading one of its sentences, exported."""
    base = tiny_base(layers=1)
    adapter = make_adapter("vlpose", base, stirred=0.3)
    before = snapshot(base)
    written = lvtune.export_onnx(base, adapter, tmp_path_factory.mktemp("onnx") / "art.onnx", category="mural")
    assert snapshot(base) == before
    return base, adapter, written


def test_the_file_answers_as_base_and_adapter_for_any_number_of_pictures(adapted):
    base, adapter, written = adapted
    expected = answer(base, adapter, "mural")
    for count in (1, 3, 5):
        assert far(run(written.file, PIXELS[:count])["heatmaps"], expected[:count]) < 1e-5
    for other in (answer(base), answer(base, adapter), answer(base, adapter, "sketch")):
        assert far(other, expected) > 1e-3
    assert not written.merged and written.difference < 1e-5 * written.largest


def test_the_batch_is_the_one_size_left_open(adapted):
    session = onnxruntime.InferenceSession(str(adapted[2].file), providers=["CPUExecutionProvider"])
    (given,), (found,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape, given.type) == ("pixel_values", ["batch", 3, 64, 48], "tensor(float)")
    assert (found.name, found.shape) == ("heatmaps", ["batch", 17, 16, 12])


def test_the_facts_stand_in_the_file_and_beside_it(adapted):
    base, _, written = adapted
    session = onnxruntime.InferenceSession(str(written.file), providers=["CPUExecutionProvider"])
    inside = from_metadata(session.get_modelmeta().custom_metadata_map)
    beside = json.loads(written.file.with_name("art.onnx.json").read_text())
    checked = beside.pop("checked")
    assert inside == beside
    assert inside["base"]["fingerprint"] == lvtune.fingerprint(base)
    assert inside["adapter"] == {
        "method": "vlpose", "domain": None, "category": "mural", "sentence": "a mural of a human"
    }  # fmt: skip
    assert (inside["input"]["mean"], inside["input"]["std"]) == (list(base.mean), list(base.std))
    assert inside["decode"]["sigma"] == 2.0 and inside["crop"]["padding"] == 1.25
    assert inside["skeleton"]["keypoints"] == list(base.skeleton.keypoints)
    assert inside["skeleton"]["flip"][1:3] == [2, 1]
    assert checked["batches"] == [1, 2, 3] and checked["tolerance"] == 1e-4
    assert checked["outputs"]["heatmaps"]["difference"] == written.difference


def test_the_file_of_a_base_alone_says_what_its_peaks_mean(tmp_path):
    base = lvtune.load_base("vitpose-ti")
    file = lvtune.export_onnx(base, None, tmp_path / "bare.onnx").file
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    said = from_metadata(session.get_modelmeta().custom_metadata_map)["calibration"]
    found = read_calibration(said, base.skeleton.keypoints)
    assert found == base_calibration(base) and found.plain != found.mirrored
    none = lvtune.export_onnx(base, None, tmp_path / "none.onnx", calibration="none")
    assert none.facts["calibration"] is None
    with pytest.raises(UsageError, match="which is for"):
        other = lvtune.load_base("vitpose-ti", "random")
        lvtune.export_onnx(other, None, tmp_path / "x.onnx", calibration=FOLDER / f"vitpose-ti{SUFFIX}")


def test_nothing_of_this_machine_stands_in_the_file(adapted):
    model = onnx.load(adapted[2].file)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == onnx_writing.OPSET
    assert b"lvtune/" not in model.SerializeToString() and b".py" not in model.SerializeToString()


def test_a_lora_is_merged_and_the_graph_is_that_of_the_bare_base(tmp_path):
    base = tiny_base(layers=1)
    adapter = make_adapter("lora", base, stirred=0.05, skeleton=LSP_14)
    before = snapshot(base)
    with attach(base, adapter):  # attached already: it is a copy that is exported
        written = lvtune.export_onnx(base, adapter, tmp_path / "lora.onnx")
        bare = lvtune.export_onnx(base, None, tmp_path / "bare.onnx")
    assert snapshot(base) == before
    assert written.merged and not bare.merged and bare.facts["adapter"] is None
    assert far(run(written.file)["heatmaps"], answer(base, adapter)) < 1e-5
    assert far(run(bare.file)["heatmaps"], answer(base)) < 1e-5
    assert answer(base, adapter).shape[1] == len(written.facts["skeleton"]["keypoints"]) == 14
    kinds = [[node.op_type for node in onnx.load(one.file).graph.node] for one in (written, bare)]
    assert kinds[0] == kinds[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((*bare.files, *written.files))


@pytest.mark.parametrize("category", [None, "mural"])
def test_vlpose_light_that_cannot_be_merged_leaves_the_batch_open(category, tmp_path):
    base = tiny_base(layers=1)
    members = [make_adapter(method, base, stirred=0.1, seed=0) for method in ("vlpose-light", "vlpose")]
    adapter = lvtune.stack(members, base=base)
    written = lvtune.export_onnx(base, adapter, tmp_path / "stack.onnx", category=category, batches=(1, 3))
    assert not written.merged
    pixels = tiny_pixels(4)
    assert far(run(written.file, pixels)["heatmaps"], answer(base, adapter, category, pixels)) < 1e-5


@pytest.mark.parametrize(
    ("family", "method"), [("swin", "vlpose"), ("pvt", "vlpose"), ("swin", "lora"), ("pvt", "lora"), ("pvtv2", "lora")]
)
def test_windows_and_pyramids(family, method, tmp_path):
    base = tiny_of(family, depths=(2, 1, 1, 1))  # the second block's windows are shifted
    adapter = make_adapter(method, base, stirred=0.05)
    written = lvtune.export_onnx(base, adapter, tmp_path / "a.onnx", batches=(1, 3))
    pixels = pyramid_pixels(4)
    expected = answer(base, adapter, pixels=pixels)
    assert far(run(written.file, pixels)["heatmaps"], expected) < 1e-5
    assert far(answer(base, pixels=pixels), expected) > 1e-3
    assert written.merged == (method == "lora")
    assert written.facts["checked"]["batches"] == [1, 3]


def test_hands_come_with_their_joints_in_space(tmp_path):
    base = tiny_hand_base()
    adapter = make_adapter("head", base, stirred=0.05)
    written = lvtune.export_onnx(base, adapter, tmp_path / "hand.onnx")
    pixels = tiny_hands(4)["pixel_values"]
    with torch.no_grad(), attach(base, adapter):
        expected = base.hands(pixels)
    found = run(written.file, pixels)
    assert list(found) == ["heatmaps", "xyz"]
    assert far(found["heatmaps"], expected.heatmaps.numpy()) < 1e-5
    assert far(found["xyz"], expected.xyz.numpy()) < 1e-5
    assert "mirror" in written.facts["input"]["note"] and written.facts["task"] == "hand3d"


def test_a_mixture_of_experts_goes_by_the_bases_own(tmp_path):
    config = make_config(ARCH | {"num_hidden_layers": 2}, keypoints=17, input_size=SIZE, experts=6)
    spec = BaseSpec("vitpose-plus-tiny", input_size=SIZE, expert="coco")
    base = VitPoseBase(build_model(config, (32, 24), 17), spec).freeze()
    animals = base.variant("ap10k")
    written = lvtune.export_onnx(animals, None, tmp_path / "animals.onnx")
    found = run(written.file)["heatmaps"]
    assert far(found, answer(animals)) < 1e-5 and far(found, answer(base)) > 1e-3


@pytest.mark.parametrize("method", ["lora", "vlpose"])  # merged, and traced as it computes
def test_another_input_size(method, tmp_path):
    base, pixels = tiny_base(layers=1), torch.randn(2, 3, 96, 128)
    base.set_input_size((96, 128))
    adapter = make_adapter(method, base, stirred=0.1)
    written = lvtune.export_onnx(base, adapter, tmp_path / "large.onnx")
    assert far(run(written.file, pixels)["heatmaps"], answer(base, adapter, pixels=pixels)) < 1e-4


def test_a_base_in_half_precision_becomes_a_file_in_float32(tmp_path):
    base = tiny_base(layers=1)
    base.model.to(torch.bfloat16)
    written = lvtune.export_onnx(base, None, tmp_path / "a.onnx")
    assert next(base.model.parameters()).dtype == torch.bfloat16
    exact = tiny_base(layers=1)
    exact.model.load_state_dict({name: value.float() for name, value in base.model.state_dict().items()})
    assert far(run(written.file)["heatmaps"], answer(exact)) < 1e-5


def test_large_weights_go_into_a_file_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_writing, "_ONE_FILE", 1000)
    model = tiny_model(layers=1)
    written = lvtune.export_onnx(model, None, tmp_path / "deep/er/big.onnx")
    assert sorted(path.name for path in written.file.parent.iterdir()) == sorted(written.files)
    assert set(written.files) == {"big.onnx", "big.onnx.data", "big.onnx.json"}
    with torch.no_grad():
        assert far(run(written.file)["heatmaps"], model(PIXELS).heatmaps.numpy()) < 1e-5


def test_a_file_that_differs_is_not_put_in_place(tmp_path, monkeypatch):
    base = tiny_base(layers=1)
    before, file = snapshot(base), tmp_path / "a.onnx"
    file.write_bytes(b"old")
    merge = onnx_file.merge

    def wrong(*args, **kwargs):
        merged = merge(*args, **kwargs)
        merged.base.predictor.bias[3] += 0.01
        return merged

    monkeypatch.setattr(onnx_file, "merge", wrong)
    with pytest.raises(LvtuneError, match=r"heatmaps differ from PyTorch by 0\.01"):
        lvtune.export_onnx(base, make_adapter("lora", base, stirred=0.05), file)
    assert snapshot(base) == before
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]


def test_values_that_are_no_numbers_are_refused(tmp_path):
    base = tiny_base(layers=1)
    with torch.no_grad():
        base.predictor.bias[0] = float("nan")
    with pytest.raises(LvtuneError, match="differ from PyTorch by nan"):
        lvtune.export_onnx(base, None, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_torch_cannot_trace_is_said_and_nothing_stays(tmp_path):
    base = tiny_base(layers=1)
    adapter = make_adapter("bottleneck", base, stirred=0.05)
    adapter.blocks[0][0].act = lambda x: torch.cat([torch.relu(row)[None] for row in x])  # a loop over the batch
    before = snapshot(base)
    level = logging.getLogger("onnxscript").level
    with pytest.raises(LvtuneError, match=r"vitpose-tiny under bottleneck, which torch .* cannot trace") as error:
        lvtune.export_onnx(base, adapter, tmp_path / "a.onnx")
    assert "any number of pictures" in error.value.expected and "\n" not in str(error.value)
    assert snapshot(base) == before and lvtune.attached(base) == {}
    assert logging.getLogger("onnxscript").level == level
    assert list(tmp_path.iterdir()) == []


def test_a_sentence_of_ones_own(tmp_path):
    base = tiny_base(layers=1)
    bank = embed_sentences({"sketch": "a sketch of a human", "mural": "a mural of a human"})
    adapter = make_adapter("vlpose", base, stirred=0.05, bank=bank)
    text = "a cartoon of a human"  # ships embedded
    written = lvtune.export_onnx(base, adapter, tmp_path / "a.onnx", sentence=text)
    three = embed_sentences({"sketch": "a sketch of a human", "cartoon": text})
    other = make_adapter("vlpose", base, stirred=0.05, bank=three)
    assert far(run(written.file)["heatmaps"], answer(base, other, "cartoon")) < 1e-5
    assert far(answer(base, adapter, "mural"), answer(base, other, "cartoon")) > 1e-4
    assert written.facts["adapter"]["sentence"] == text and adapter.bank is bank


def test_a_sentence_in_place_of_another_keeps_what_the_adapter_learnt():
    base = tiny_base(layers=1)
    texts = {"sketch": "a sketch of a human", "mural": "a mural of a human"}
    adapter = make_adapter("vlpose-light", base, stirred=0.05, bank=embed_sentences(texts))
    again = with_sentence(base, adapter, texts["mural"])
    assert again.bank.categories == ("sketch", "mural", OWN)
    # a sentence that is added is told apart from the tuned ones, and changes nothing for them
    for category in texts:
        assert far(answer(base, again, category), answer(base, adapter, category)) == 0
    assert far(answer(base, again, OWN), answer(base, adapter, "mural")) < 1e-4
    assert far(answer(base, again, OWN), answer(base, adapter, "sketch")) > 1e-3
    assert far(answer(base, with_sentence(base, again, texts["sketch"]), OWN), answer(base, adapter, "sketch")) < 1e-4
    assert set(again.tensors()) == set(adapter.tensors())


@pytest.mark.parametrize(
    ("method", "options", "told"),
    [
        ("vlpose", {"category": "etching"}, "no sentence for 'etching'"),
        ("vlpose", {"category": "auto"}, "category 'auto', which depends on the picture"),
        ("vlpose", {"category": "mural", "sentence": "x"}, "category 'mural' and a sentence of your own"),
        ("lora", {"category": "mural"}, "lora, which reads no sentences"),
        ("lora", {"sentence": "a mural"}, "the sentence 'a mural' for lora, which reads none"),
        (None, {"category": "mural"}, "a bare base, which reads no sentences"),
        (None, {"sentence": "a mural"}, "the sentence 'a mural' for a bare base"),
    ],
)
def test_sentences_that_cannot_be_read_are_refused(method, options, told, tmp_path):
    base = tiny_base(layers=1)
    adapter = None if method is None else make_adapter(method, base)
    with pytest.raises(LvtuneError, match=re.escape(told)):
        lvtune.export_onnx(base, adapter, tmp_path / "a.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_random_tokens():
    base = tiny_base(layers=1)
    fixed = make_adapter("vlpose", base, bank=random_bank(("a", "b"), dim=20))
    assert resolve_sentence(base, fixed, "mean", None) == (fixed, None)
    with pytest.raises(LvtuneError, match="which reads none"):
        with_sentence(base, fixed, "a mural")
    bank = random_bank(("a", "b"), dim=20)
    object.__setattr__(bank, "encoder", "random-each-call")
    with pytest.raises(LvtuneError, match="drawn anew at each call"):
        resolve_sentence(base, make_adapter("vlpose", base, bank=bank), None, None)


def test_many_sentences(tmp_path):
    base = tiny_base(layers=1)
    many = random_bank([f"c{i}" for i in range(70)], dim=20, per_category=True)
    adapter = make_adapter("vlpose", base, stirred=0.05, bank=many)
    written = lvtune.export_onnx(base, adapter, tmp_path / "a.onnx", category="c7")
    assert far(run(written.file)["heatmaps"], answer(base, adapter, "c7")) < 1e-5


def test_other_mistakes(tmp_path, monkeypatch):
    base = tiny_base(layers=1)
    with pytest.raises(LvtuneError, match=r"a name that ends in \.onnx; say .*model\.onnx"):
        lvtune.export_onnx(base, None, tmp_path / "model")
    other = make_adapter("lora", tiny_base(layers=2))
    with pytest.raises(LvtuneError, match="load the base that the adapter was made for"):
        lvtune.export_onnx(base, other, tmp_path / "a.onnx")
    (tmp_path / "taken.onnx").mkdir()
    with pytest.raises(LvtuneError, match="that cannot be written"):
        lvtune.export_onnx(base, None, tmp_path / "taken.onnx")
    found = importlib.util.find_spec
    monkeypatch.setattr(onnx_writing, "find_spec", lambda name: None if name == "onnxscript" else found(name))
    with pytest.raises(LvtuneError, match=r"without onnxscript.*pip install \"lvtune\[onnx\]\""):
        lvtune.export_onnx(base, None, tmp_path / "a.onnx")
