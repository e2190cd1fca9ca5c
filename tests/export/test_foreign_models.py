"""Foreign checkpoints: numbers of the released VLPose code, and original ViTPose names."""

import json
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import SIZE, make_adapter, tiny_base, tiny_model, tiny_pixels

import lvtune
from lvtune.bases.base_registry import load_base
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.export.foreign_models import convert_vitpose, convert_vlpose, read_checkpoint
from lvtune.language.bank import get_bank
from lvtune.patcher.attaching import attach

FILE = Path(__file__).parents[1] / "golden/vlpose_tiny.safetensors"
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


def original_names(model, layers=12):
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
    for layer in range(layers):
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


def size_of(width, layers, prompts, *, deep=True, dim=768):
    """Names and shapes of a released checkpoint at full size, 256x192, as mmpose saves it; no storage.

    From the released code (commit f312a9f): ViTPrompt, ConcatAttentionMatcher, FirstAMiddleLastAddBlock.
    """
    linear = lambda name, out, into: {f"{name}.weight": (out, into), f"{name}.bias": (out,)}  # noqa: E731
    norm = lambda name, size: {f"{name}.weight": (size,), f"{name}.bias": (size,)}  # noqa: E731
    shapes = {"backbone.cls_token": (1, 1, width), "backbone.pos_embed": (1, 193, width)}
    shapes |= {"backbone.patch_embed.projection.weight": (width, 3, 16, 16)}
    shapes |= {"backbone.patch_embed.projection.bias": (width,), **norm("backbone.ln1", width)}
    shapes |= {"backbone.prompt_embed": (1, prompts, width)}
    if deep:
        shapes |= {"backbone.deep_prompt_embed": (layers - 1, prompts, width)}
    for i in range(layers):
        block = f"backbone.layers.{i}"
        shapes |= norm(f"{block}.ln1", width) | norm(f"{block}.ln2", width)
        shapes |= linear(f"{block}.attn.qkv", 3 * width, width) | linear(f"{block}.attn.proj", width, width)
        shapes |= linear(f"{block}.ffn.layers.0.0", 4 * width, width) | linear(
            f"{block}.ffn.layers.1", width, 4 * width
        )
    for part in ("q", "k", "v", "proj"):
        shapes |= linear(f"matcher.{part}", width, width)
    shapes |= norm("matcher.norm", width)
    if dim != width:
        shapes |= linear("text_embed_proj", width, dim)
    for i, into in enumerate((width, 256)):
        for branch in range(2):
            shapes |= {f"head.deconv_layers.{i}.deconv{branch}.weight": (into, 256, 4, 4)}
            bn = f"head.deconv_layers.{i}.bn{branch}"
            shapes |= {**norm(bn, 256), f"{bn}.running_mean": (256,), f"{bn}.running_var": (256,)}
            shapes |= {f"{bn}.num_batches_tracked": ()}
    shapes |= {"head.final_layer.weight": (17, 256, 1, 1), "head.final_layer.bias": (17,)}
    shapes |= {"text_encoder.text_encoder.embeddings.word_embeddings.weight": (30524, 768)}
    shapes |= {"data_preprocessor.mean": (3, 1, 1)}
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize(
    ("name", "width", "layers", "prompts"),
    [("s", 384, 12, 50), ("b", 768, 12, 20), ("l", 1024, 24, 10), ("h", 1280, 32, 5)],
)
def test_released_models_at_full_size_by_name_and_shape(name, width, layers, prompts, deep):
    state = size_of(width, layers, prompts, deep=deep)
    with torch.device("meta"):
        base, adapter = convert_vlpose(state, text_embeds=torch.zeros(9, 768, device="cpu"))
        assert {n: v.shape for n, v in base.model.state_dict().items()} == {
            n: v.shape for n, v in load_base(f"vitpose-{name}", "random").model.state_dict().items()
        }
    assert (base.name, base.input_size) == (f"vitpose-{name}", (256, 192))
    assert (adapter.count, adapter.config.placement) == (prompts, "deep" if deep else "shallow")
    assert adapter.prompts.shape == (layers if deep else 1, prompts, width)
    shapes = {n: v.shape for n, v in adapter.state_dict().items()}
    assert sum(s.numel() for n, s in shapes.items() if n.startswith("prompts")) == adapter.prompts.numel()
    count = sum(p.numel() for p in adapter.parameters() if p.requires_grad)
    assert name != "b" or count == (6_747_921 if deep else 6_747_921 - 11 * 20 * 768)
    used = {n.partition(".")[0] for n in shapes}
    assert used == {"prompts", "matcher", "decoder", "predictor", *(["text_proj"] if width != 768 else [])}


def released_from(base, adapter):
    """A released state dict out of our own base and adapter, for placements that the golden file lacks."""
    out = {}
    for name, value in original_names(base.model, layers=3).items():
        new = name.replace("backbone.blocks", "image_encoder.layers").replace("backbone.", "image_encoder.")
        new = new.replace("patch_embed.proj.", "patch_embed.projection.").replace("last_norm", "ln1")
        new = new.replace(".norm1.", ".ln1.").replace(".norm2.", ".ln2.")
        new = new.replace(".mlp.fc1.", ".ffn.layers.0.0.").replace(".mlp.fc2.", ".ffn.layers.1.")
        if not name.startswith("keypoint_head."):
            out[new] = value
    head = base.model.head
    for i, (conv, norm) in enumerate(((head.deconv1, head.batchnorm1), (head.deconv2, head.batchnorm2))):
        out |= {f"head.deconv_layers.{i}.deconv0.weight": conv.weight}
        out |= {f"head.deconv_layers.{i}.bn0.{key}": value for key, value in norm.state_dict().items()}
        own = adapter.decoder.auxiliary[i]
        out |= {f"head.deconv_layers.{i}.deconv1.weight": own[0].weight}
        out |= {f"head.deconv_layers.{i}.bn1.{key}": value for key, value in own[1].state_dict().items()}
    out |= {f"head.final_layer.{key}": value for key, value in adapter.predictor.state_dict().items()}
    out |= {f"matcher.{key}": value for key, value in adapter.matcher.state_dict().items()}
    out |= {f"text_embed_proj.{key}": value for key, value in adapter.text_proj.state_dict().items()}
    if adapter.count:
        out["image_encoder.prompt_embed"] = adapter.prompts[:1]
    if adapter.config.placement == "deep":
        out["image_encoder.deep_prompt_embed"] = adapter.prompts[1:]
    return {name: value.detach() for name, value in out.items()}


@pytest.mark.parametrize("prefix", ["image_encoder.", "backbone."])
@pytest.mark.parametrize("placement", ["deep", "shallow", "none"])
def test_deep_shallow_and_promptless_come_back(placement, prefix):
    """Of a checkpoint of ff or ll, the tuned encoder is the converted base, and the adapter has no visual prompts."""
    base = tiny_base()
    with torch.no_grad():
        base.model.backbone.embeddings.position_embeddings[:, 0] = 0
    adapter = make_adapter("vlpose", base, placement=placement, zero_init=False, stirred=0.1)
    with torch.no_grad():
        adapter.predictor.load_state_dict(base.predictor.state_dict())  # one predictor a file
    state = {n.replace("image_encoder.", prefix): v for n, v in released_from(base, adapter).items()}
    again, other = convert_vlpose(state, {"num_heads": 4}, bank=adapter.bank)
    assert other.config.placement == placement
    with torch.no_grad():
        assert torch.equal(again(tiny_pixels()), base(tiny_pixels()))
        with attach(base, adapter), attach(again, other):
            for category in ("sketch", "mural"):
                found = again(tiny_pixels(), category=category)
                torch.testing.assert_close(found, base(tiny_pixels(), category=category), atol=1e-6, rtol=1e-5)


def test_sentences_of_another_width_are_told(golden, arch):
    with pytest.raises(LvtuneError, match="embedded by minilm, 384 wide"):
        convert_vlpose(golden, arch, bank=get_bank("demo-art"))


@pytest.mark.parametrize("simple", [False, True])
@pytest.mark.parametrize(
    ("name", "width", "layers"), [("s", 384, 12), ("b", 768, 12), ("l", 1024, 24), ("h", 1280, 32)]
)
def test_original_vitpose_at_full_size_by_name_and_shape(name, width, layers, simple):
    from lvtune.bases.vitpose import build_model, make_config

    with torch.device("meta"):
        model = build_model(make_config(name, keypoints=17, input_size=(256, 192), simple=simple), None, 17)
        base = convert_vitpose(original_names(model, layers=layers))
        assert {n: v.shape for n, v in base.model.state_dict().items()} == {
            n: v.shape for n, v in model.state_dict().items()
        }
    assert base.name == f"vitpose-{name}" and base.width == width and len(base.blocks) == layers


def test_the_log_that_mmengine_leaves_beside_the_weights_is_passed_over(tmp_path):
    """Its classes are not needed, and nothing of theirs is run."""
    module = types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def __init__(self):
            self.history, self.latest, self.mean = np.arange(3.0), np.float64(2), np.arange(3.0).mean

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = module.__name__, "HistoryBuffer"
    module.HistoryBuffer = HistoryBuffer
    names = {"mmengine": types.ModuleType("mmengine"), "mmengine.logging": types.ModuleType("mmengine.logging")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**names, module.__name__: module}.items():
            patch.setitem(sys.modules, name, value)
        log = {"loss": HistoryBuffer()}
        torch.save(
            {"state_dict": tiny_model().state_dict(), "message_hub": log, "meta": {"epoch": 3}}, tmp_path / "a.pth"
        )
    assert "mmengine" not in sys.modules
    state = tiny_model().state_dict()
    found = read_checkpoint(tmp_path / "a.pth")
    assert found.keys() == state.keys() and all(torch.equal(found[k], v) for k, v in state.items())
    with pytest.raises(pickle.UnpicklingError, match="HistoryBuffer"):
        torch.load(tmp_path / "a.pth", weights_only=True)


def test_the_command_writes_a_base_and_its_adapter(tmp_path, capsys, golden, arch):
    out = tmp_path / "out"
    assert main(["convert", "vlpose", str(FILE), "--out", str(out)]) == 0  # the file says its architecture
    assert "none yet: give --domain" in capsys.readouterr().out
    base, first = convert_vlpose(golden, arch)
    stored = load_file(out / "base" / "model.safetensors")
    assert all(torch.equal(value, stored[name]) for name, value in base.model.state_dict().items())
    adapter = lvtune.load_adapter(out / "adapter", base)
    assert all(torch.equal(value, adapter.tensors()[name]) for name, value in first.tensors().items())
    assert main(["convert", "vlpose", str(FILE), "--out", str(out), "--domain", "demo-art", "--encoder", "minilm"]) == 1
    assert "384 wide" in capsys.readouterr().err  # the model was tuned on sentences 32 wide
