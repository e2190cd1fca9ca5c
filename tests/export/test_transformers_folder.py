"""Folders that plain transformers loads."""

import json

import pytest
import torch
from pyramids import tiny as tiny_of
from tiny import ARCH, SIZE, make_adapter, snapshot, tiny_base, tiny_model, tiny_pixels
from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor

import lvtune
from lvtune.bases.vitpose import build_model, make_config
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.export.transformers_folder import save_transformers
from lvtune.patcher.attaching import attach, use_adapter

PIXELS = tiny_pixels()


def expected_of(base, adapter, category=None):
    with torch.no_grad(), attach(base, adapter), use_adapter(base, category=category):
        return base(PIXELS)


def loaded(folder):
    with torch.no_grad():
        return VitPoseForPoseEstimation.from_pretrained(folder).eval()(PIXELS).heatmaps


@pytest.mark.parametrize("method", ["lora", "vlpose-light", "ssf", "norm", "bitfit", "head", "full", "dora"])
@pytest.mark.parametrize("simple", [False, True])
def test_transformers_loads_the_adapted_model(method, simple, tmp_path, capfd):
    base = tiny_base(simple=simple)
    adapter = make_adapter(method, base, stirred=0.05)
    before = snapshot(base)
    written = save_transformers(base, adapter, tmp_path / "out")
    assert snapshot(base) == before
    said = capfd.readouterr().err
    expected = expected_of(base, adapter)
    found = loaded(tmp_path / "out")
    assert said == "" and (found - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (found - base(PIXELS)).abs().max() > 1e-3 * expected.abs().max()
    assert written.deviation < 1e-5 * written.largest
    assert set(written.files) == {path.name for path in (tmp_path / "out").iterdir()}
    assert set(written.files) == {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("simple", [False, True])
def test_another_input_size_is_written_with_its_own_positions(simple, tmp_path):
    base = tiny_base(simple=simple)
    base.set_input_size((96, 128))
    adapter, pixels = make_adapter("lora", base, stirred=0.05), torch.randn(2, 3, 96, 128)
    written = save_transformers(base, adapter, tmp_path)
    with torch.no_grad(), attach(base, adapter):
        expected = base(pixels)
    model = VitPoseForPoseEstimation.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        found = model(pixels).heatmaps
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max() and written.deviation < 1e-5 * written.largest
    assert model.config.backbone_config.image_size == [96, 128]
    assert model.backbone.embeddings.position_embeddings.shape == (1, 49, 48)
    size = json.loads((tmp_path / "preprocessor_config.json").read_text())["size"]
    assert (size["height"], size["width"]) == (96, 128)


def test_a_sentence_is_chosen(tmp_path):
    base = tiny_base()
    adapter = make_adapter("vlpose-light", base, stirred=0.05)
    save_transformers(base, adapter, tmp_path, category="mural")
    expected = expected_of(base, adapter, "mural")
    assert (loaded(tmp_path) - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (expected_of(base, adapter) - expected).abs().max() > 1e-3 * expected.abs().max()


def test_other_key_points_have_their_names_in_the_config(tmp_path):
    base = tiny_base()
    adapter = make_adapter("lora", base, stirred=0.05, skeleton=LSP_14)
    save_transformers(base, adapter, tmp_path)
    assert loaded(tmp_path).shape == (4, 14, 16, 12)
    names = json.loads((tmp_path / "config.json").read_text())["id2label"]
    assert [names[str(i)] for i in range(14)] == list(LSP_14.keypoints)


def test_pictures_are_prepared_as_the_base_wants_them(tmp_path):
    base = tiny_base()
    base.spec = base.spec.with_(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    save_transformers(base, None, tmp_path)
    processor = VitPoseImageProcessor.from_pretrained(tmp_path)
    assert (processor.size["height"], processor.size["width"]) == base.input_size
    assert tuple(processor.image_mean) == base.mean and tuple(processor.image_std) == base.std


def test_the_folder_is_a_base_of_ours_as_well(tmp_path):
    base = lvtune.load_base("vitpose-ti")  # a head of 96 channels, where transformers' has 256
    adapter = make_adapter("lora", base, stirred=0.02)
    written = save_transformers(base, adapter, tmp_path)
    again = lvtune.load_base("vitpose-ti", weights=str(tmp_path))
    pixels = torch.randn(2, 3, *base.input_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), attach(base, adapter):
        expected = base(pixels)
    assert again.stages[0].channels == 256 and again.skeleton == base.skeleton
    assert (again(pixels) - expected).abs().max() < 1e-5 * expected.abs().max()
    assert written.deviation < 1e-5 * written.largest


def test_the_bare_base_is_written_whatever_is_attached(tmp_path):
    base = tiny_base()
    bare = base(PIXELS)
    with attach(base, make_adapter("lora", base, stirred=0.5)):
        written = save_transformers(base, None, tmp_path)
    assert (loaded(tmp_path) - bare).abs().max() < 1e-5 * bare.abs().max()
    assert written.deviation < 1e-5 * written.largest


def test_a_plain_model_and_half_precision(tmp_path):
    model = tiny_model()
    adapter = make_adapter("lora", model, stirred=0.05)
    expected = expected_of(lvtune.bases.base.as_base(model), adapter)
    written = save_transformers(model.to(torch.bfloat16), adapter, tmp_path)
    found = VitPoseForPoseEstimation.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert found.dtype == torch.bfloat16
    with torch.no_grad():
        heatmaps = found(PIXELS.bfloat16()).heatmaps.float()
    assert (heatmaps - expected).abs().max() < 0.05 * expected.abs().max()
    assert 0 < written.deviation < 0.05 * written.largest


@pytest.mark.parametrize("method", ["vlpose", "vpt"])
def test_what_cannot_be_merged_leaves_nothing(method, tmp_path):
    base = tiny_base()
    with pytest.raises(LvtuneError, match="merging"):
        save_transformers(base, make_adapter(method, base), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_other_families_wide_heads_and_folders_of_adapters_are_refused(tmp_path):
    with pytest.raises(LvtuneError, match="has no such model") as error:
        save_transformers(tiny_of("pvt"), None, tmp_path)
    assert "onnx" in error.value.fix
    config = make_config(ARCH, keypoints=17, input_size=SIZE)
    with pytest.raises(LvtuneError, match="head of 300 channels"):
        save_transformers(build_model(config, (300, 24), 17), None, tmp_path)
    base = tiny_base()
    lvtune.save_adapter(make_adapter("lora", base), tmp_path / "adapter")
    with pytest.raises(LvtuneError, match="holds an adapter"):
        save_transformers(base, None, tmp_path / "adapter")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(LvtuneError, match="cannot be written"):
        save_transformers(base, None, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
