"""Foreign checkpoints: numbers of the released VLPose code, and original ViTPose names."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import SIZE, tiny_model, tiny_pixels

from lvtune.convert import convert_vitpose, convert_vlpose, read_checkpoint
from lvtune.errors import LvtuneError
from lvtune.patcher import attach

FILE = Path(__file__).parent / "golden/vlpose_tiny.safetensors"
PARTS = ("image_encoder.", "matcher.", "text_embed_proj.", "head.")


@pytest.fixture(scope="module")
def golden():
    return load_file(FILE)


@pytest.fixture(scope="module")
def arch():
    with safe_open(FILE, "pt") as file:
        return json.loads(file.metadata()["arch"])


@pytest.mark.parametrize("told", ["arch", "json", "heads and size"])
def test_a_released_vlpose_gives_the_released_heatmaps(golden, arch, told):
    told = {"arch": arch, "json": json.dumps(arch), "heads and size": {"num_heads": 4}}[told]
    for i in range(2):  # the file holds one sentence per picture
        base, adapter = convert_vlpose(golden, told, golden["io.text_embeds"][i])
        pixels = golden["io.pixel_values"][i : i + 1]
        seen = []
        handle = base.head.register_forward_pre_hook(lambda module, args, seen=seen: seen.append(args[0]))
        with torch.no_grad(), attach(base, adapter):
            heatmaps = base(pixels)
            relation = adapter.relation(seen[0] if seen else base.encoder(pixels).feature_maps[-1], None)
        handle.remove()
        torch.testing.assert_close(heatmaps, golden["io.heatmaps"][i : i + 1], atol=1e-5, rtol=0)
        torch.testing.assert_close(seen[0], golden["io.image_features"][i : i + 1], atol=1e-5, rtol=0)
        rows = relation.flatten(2).transpose(1, 2)
        torch.testing.assert_close(rows, golden["io.relation"][i : i + 1], atol=1e-5, rtol=0)


def test_the_detached_head_gives_the_main_branch_alone(golden, arch):
    base, _ = convert_vlpose(golden, arch)
    with torch.no_grad():
        heatmaps = base.head(golden["io.image_features"])
    torch.testing.assert_close(heatmaps, golden["io.main_branch_only_heatmaps"], atol=1e-5, rtol=0)


def test_the_released_class_position_is_not_added(golden, arch):
    base, _ = convert_vlpose(golden, arch)
    positions = base.model.backbone.embeddings.position_embeddings
    assert not positions[:, 0].any()
    assert torch.equal(positions[:, 1:], golden["image_encoder.pos_embed"][:, 1:])


def test_every_missing_tensor_is_told(golden, arch):
    needed = [n for n in golden if n.startswith(PARTS) and not n.endswith(("num_batches_tracked", "cls_token"))]
    for name in needed:
        with pytest.raises(LvtuneError):
            convert_vlpose({k: v for k, v in golden.items() if k != name}, arch)


@pytest.mark.parametrize(
    "extra",
    [
        "image_encoder.prompt_embed2",
        "image_encoder.layers.0.extra",
        "matcher.q2.weight",
        "head.deconv_layers.2.deconv0.weight",
        "text_embed_proj.extra",
    ],
)
def test_an_unknown_tensor_is_told_by_name(golden, arch, extra):
    with pytest.raises(LvtuneError, match="unknown") as error:
        convert_vlpose({**golden, extra: torch.zeros(3)}, arch)
    assert extra.split(".")[-1] in error.value.given


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"num_layers": 4}, "num_layers"),
        ({"deep": False}, "deep"),
        ({"keypoints": 14}, "keypoints"),
        ({"num_head": 4}, "num_heads"),
    ],
)
def test_an_arch_that_the_tensors_contradict_is_told(golden, arch, change, told):
    with pytest.raises(LvtuneError, match=told):
        convert_vlpose(golden, {**arch, **change})


def test_wrong_shapes_are_told(golden, arch):
    with pytest.raises(LvtuneError, match="shape"):
        convert_vlpose({**golden, "matcher.q.weight": torch.zeros(48, 40)}, arch)
    with pytest.raises(LvtuneError, match="deep_prompt_embed"):
        convert_vlpose({**golden, "image_encoder.deep_prompt_embed": torch.zeros(2, 4, 48)}, arch)
    with pytest.raises(LvtuneError, match="text_embeds"):
        convert_vlpose(golden, arch, torch.zeros(7, 30))
    with pytest.raises(LvtuneError, match="text_embeds"):
        convert_vlpose(golden, arch, golden["io.text_embeds"])


def original_names(model):
    """A state dict of the model in the names of the original ViTPose repository, qkv joined."""
    out = {"backbone.cls_token": torch.zeros(1, 1, 48)}
    state = model.state_dict()
    for name, value in state.items():
        if ".attention.attention." in name:
            continue
        new = name.replace("embeddings.position_embeddings", "pos_embed")
        new = new.replace("embeddings.patch_embeddings.projection", "patch_embed.proj")
        new = new.replace("encoder.layer", "blocks").replace("attention.output.dense", "attn.proj")
        new = new.replace("layernorm_before", "norm1").replace("layernorm_after", "norm2")
        new = new.replace("backbone.layernorm", "backbone.last_norm")
        for ours, theirs in (("deconv1", 0), ("batchnorm1", 1), ("deconv2", 3), ("batchnorm2", 4)):
            new = new.replace(f"head.{ours}.", f"keypoint_head.deconv_layers.{theirs}.")
        out[new.replace("head.conv.", "keypoint_head.final_layer.")] = value
    for layer in range(12):
        for part in ("weight", "bias"):
            attention = f"backbone.encoder.layer.{layer}.attention.attention"
            joint = [state[f"{attention}.{linear}.{part}"] for linear in ("query", "key", "value")]
            out[f"backbone.blocks.{layer}.attn.qkv.{part}"] = torch.cat(joint)
    return out


@pytest.fixture(scope="module")
def original():
    """A 12-layer ViT-Tiny shape, which the converter knows by its shapes, and its state dict in original names."""
    from lvtune.bases.vitpose import build_model, make_config

    shape = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "mlp_ratio": 1}
    model = build_model(make_config(shape, keypoints=17, input_size=SIZE), (8, 8), 17, seed=3).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    return model, original_names(model) | {"backbone.cls_token": torch.zeros(1, 1, 192)}


def test_original_vitpose_names_give_the_same_heatmaps(original):
    model, state = original
    assert state["backbone.pos_embed"][:, :1].any()  # the class position is kept and added
    base = convert_vitpose(state)
    with torch.no_grad():
        assert torch.equal(base(tiny_pixels(2)), model(tiny_pixels(2)).heatmaps)
    assert base.input_size == SIZE and base.skeleton.name.startswith("coco")


def test_original_names_are_read_strictly(original):
    _, state = original
    for name in ("backbone.pos_embed", "backbone.blocks.7.attn.qkv.bias", "keypoint_head.final_layer.bias"):
        with pytest.raises(LvtuneError):
            convert_vitpose({k: v for k, v in state.items() if k != name})
    with pytest.raises(LvtuneError, match="unknown"):
        convert_vitpose({**state, "backbone.blocks.0.attn.extra": torch.zeros(2)})
    with pytest.raises(LvtuneError, match="0 layers"):
        convert_vitpose({k: v for k, v in state.items() if ".blocks." not in k})


def test_pth_files_are_read_as_tensors_alone(tmp_path):
    state = tiny_model().state_dict()
    torch.save({"state_dict": state, "meta": {"epoch": 3}}, tmp_path / "a.pth")
    save_file(state, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        found = read_checkpoint(tmp_path / name)
        assert found.keys() == state.keys() and all(torch.equal(found[k], v) for k, v in state.items())


class Evil:
    """Runs code when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    torch.save({"state_dict": {"weight": torch.zeros(2), "evil": Evil(tmp_path / "ran")}}, tmp_path / "evil.pth")
    with pytest.raises(LvtuneError, match="tensors alone"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_files_that_are_no_checkpoint_are_told(tmp_path):
    (tmp_path / "text.pth").write_text("no checkpoint")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    for name in ("text.pth", "list.pth", "empty.pth", "lacking.pth"):
        with pytest.raises(LvtuneError) as error:
            read_checkpoint(tmp_path / name)
        assert name in error.value.given
