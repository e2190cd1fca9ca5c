"""LoRA: its formula, and peft's files both ways."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tiny import make_adapter, tiny_base, tiny_model, tiny_pixels
from torch.nn import functional as F

from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach
from lvtune.storage.store import save_adapter

# peft asks transformers for a name that it has given up, whatever model is wrapped; any other warning is an error
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

PIXELS = tiny_pixels(2)
TARGETS = ("query", "value", "key", "out", "fc1", "fc2")


def heatmaps(model):
    with torch.no_grad():
        return model(PIXELS).heatmaps


def write(adapter, base, folder):
    """What peft reads: its own config and the tensors under its names."""
    save_file({n: v.contiguous() for n, v in adapter.tensors().items()}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(adapter.peft_config(base)))
    return folder


@pytest.mark.parametrize("targets", [("query", "value"), TARGETS])
@pytest.mark.parametrize("predictor", [False, True])
def test_peft_loads_our_adapter_and_gives_the_same_heatmaps(targets, predictor, tmp_path):
    base = tiny_base()
    adapter = make_adapter("lora", base, r=3, alpha=5, targets=targets, predictor=predictor, stirred=0.1)
    with attach(base, adapter), torch.no_grad():
        expected = base(PIXELS)
    model = PeftModel.from_pretrained(tiny_model(), write(adapter, base, tmp_path))
    torch.testing.assert_close(heatmaps(model), expected, atol=1e-6, rtol=0)
    assert (expected - heatmaps(tiny_model())).abs().max() > 0.01


@pytest.mark.parametrize("make", [tiny_base, tiny_model])
def test_a_saved_folder_loads_with_plain_peft(make, tmp_path):
    base = make()
    adapter = make_adapter("lora", base, stirred=0.1)
    with attach(base, adapter), torch.no_grad():
        expected = getattr(base(PIXELS), "heatmaps", None)
        expected = base(PIXELS) if expected is None else expected
    model = PeftModel.from_pretrained(tiny_model(), save_adapter(adapter, tmp_path))
    torch.testing.assert_close(heatmaps(model), expected, atol=1e-6, rtol=0)


def test_our_lora_equals_one_that_peft_made(tmp_path):
    config = LoraConfig(r=4, lora_alpha=12, target_modules=["query", "value", "fc1"], modules_to_save=["head.conv"])
    theirs = get_peft_model(tiny_model(), config).eval()
    with torch.no_grad():
        for name, value in theirs.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                value.add_(0.1 * torch.randn_like(value))
    theirs.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "adapter_model.safetensors")
    base = tiny_base()
    ours = make_adapter("lora", base, r=4, alpha=12, targets=("query", "value", "fc1"))
    assert ours.tensors().keys() == stored.keys()
    assert all(value.shape == stored[name].shape for name, value in ours.tensors().items())
    ours.load_tensors(stored)
    with attach(base, ours), torch.no_grad():
        torch.testing.assert_close(base(PIXELS), heatmaps(theirs), atol=1e-6, rtol=0)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert set(ours.peft_config(base)) <= set(written)


def test_gradients_equal_those_of_peft(tmp_path):
    base = tiny_base()
    adapter = make_adapter("lora", base, stirred=0.1)
    model = PeftModel.from_pretrained(tiny_model(), write(adapter, base, tmp_path), is_trainable=True).eval()
    model(PIXELS).heatmaps.square().mean().backward()
    with attach(base, adapter):
        base(PIXELS).square().mean().backward()
    theirs = {n.replace(".default", ""): p.grad for n, p in model.named_parameters() if "lora_" in n}
    assert len(adapter.lora_A) == len(adapter.lora_B) == 6
    for part in ("lora_A", "lora_B"):
        for name, value in getattr(adapter, part).items():
            other = theirs[f"base_model.model.{name.replace('/', '.')}.{part}.weight"]
            torch.testing.assert_close(value.grad, other, atol=1e-7, rtol=1e-4)


def test_the_difference_is_alpha_over_r_times_b_a_x():
    base = tiny_base()
    adapter = make_adapter("lora", base, r=2, alpha=7, targets=("fc2",), predictor=False, stirred=0.1)
    key = "backbone/encoder/layer/1/mlp/fc2"
    x = torch.randn(2, 5, 96)
    linear = base.blocks[1].fc2
    merged = F.linear(x, linear.weight + 3.5 * adapter.lora_B[key] @ adapter.lora_A[key], linear.bias)
    with attach(base, adapter):
        torch.testing.assert_close(linear(x), merged, atol=1e-5, rtol=1e-5)


def test_dropout_is_on_in_training_alone():
    base = tiny_base()
    adapter = make_adapter("lora", base, dropout=0.5, stirred=0.1)
    with attach(base, adapter):
        assert torch.equal(base(PIXELS), base(PIXELS))
        base.train()
        assert not torch.equal(base(PIXELS), base(PIXELS))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"targets": ("query", "q")}, "targets"),
        ({"targets": ()}, "targets"),
        ({"targets": ("query", "query")}, "targets"),
        ({"r": 0}, "method.r"),
        ({"dropout": 2}, "method.dropout"),
    ],
)
def test_options_that_do_not_fit_are_told(options, told):
    with pytest.raises(LvtuneError, match=told):
        make_adapter("lora", tiny_base(), **options)


def test_other_key_points_need_the_predictor():
    from lvtune.data.skeletons import LSP_14

    with pytest.raises(LvtuneError, match="predictor"):
        make_adapter("lora", tiny_base(), predictor=False, skeleton=LSP_14)
