"""peft's tuners: the same answer as plain peft, its files both ways, and a base that peft never touches."""

import copy
import json
import typing
import warnings
from dataclasses import fields

import pytest
import torch
from peft import IA3Config, LoHaConfig, LoraConfig, PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from pyramids import WITH_ATTENTION, load, pixels
from tiny import make_adapter, snapshot, tiny_base, tiny_model, tiny_pixels
from torch import nn

from lvtune.adapters.method_registry import METHODS, list_methods
from lvtune.adapters.peft_bridge import PeftAdapter
from lvtune.adapters.peft_options import bookkeeping, typed
from lvtune.adapters.peft_tuners import TUNERS
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.hub.adapter_loading import load_adapter
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.storage.adapter_file import read
from lvtune.storage.store import save_adapter

# peft asks transformers for a name that it has given up, whatever model is wrapped; BOFT looks for a CUDA extension
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:Failed to load the CUDA extension"),
    pytest.mark.filterwarnings("ignore:Setting boft_n_butterfly_factor"),
]
PIXELS = tiny_pixels(3)
PEFT_METHODS = [name for name in METHODS.names() if issubclass(METHODS.get(name), PeftAdapter)]
EVERY = pytest.mark.parametrize("method", PEFT_METHODS)


def answer(target, adapter):
    with torch.no_grad(), attach(target, adapter):
        found = target(PIXELS)
    return getattr(found, "heatmaps", found)


def bare(target):
    with torch.no_grad():
        found = target(PIXELS)
    return getattr(found, "heatmaps", found)


def stir(model):
    """Trained weights of a plain peft model, as if it had been tuned."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return model.eval()


def test_the_names_are_there():
    wanted = {"dora", "rslora", "ia3", "oft", "boft", "vera", "loha", "lokr", "peft"}
    assert wanted <= set(PEFT_METHODS) <= set(list_methods())
    assert all("arXiv" in METHODS.get(name).__doc__ for name in TUNERS)


@EVERY
def test_plain_peft_loads_our_folder_and_gives_the_same_answer(method, tmp_path):
    base = tiny_base()
    adapter = make_adapter(method, base, stirred=0.1)
    expected = answer(base, adapter)
    save_adapter(adapter, tmp_path)
    plain = PeftModel.from_pretrained(tiny_model(), tmp_path)
    assert torch.equal(bare(plain), expected)
    assert (expected - bare(base)).abs().max() > 0.02


@EVERY
def test_gradients_equal_those_of_plain_peft(method, tmp_path):
    base = tiny_base()
    adapter = make_adapter(method, base, stirred=0.1)
    plain = PeftModel.from_pretrained(tiny_model(), save_adapter(adapter, tmp_path), is_trainable=True).eval()
    plain(PIXELS).heatmaps.square().mean().backward()
    with attach(base, adapter):
        base(PIXELS).square().mean().backward()
    theirs = {name.removeprefix("base_model.model."): p.grad for name, p in plain.named_parameters() if p.requires_grad}
    ours = {}
    for prefix, modules in (("", adapter.layers), ("modules_to_save.default.", adapter.saved)):
        for key, module in modules.items():
            ours |= {f"{key.replace('/', '.')}.{prefix}{n}": p.grad for n, p in module.named_parameters()}
    assert theirs.keys() <= ours.keys()
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-6, rtol=1e-4)


@EVERY
def test_it_goes_to_the_layers_of_the_blocks_and_nowhere_else(method):
    base = tiny_base()
    adapter = make_adapter(method, base)
    parts = METHODS.get(method).tuner.targets if method in TUNERS else ("query", "value")
    wanted = {id(getattr(block, part)) for block in base.blocks for part in parts}
    modules = dict(base.model.named_modules())
    assert {id(modules[key.replace("/", ".")]) for key in adapter.layers} == wanted
    changed = {id(change.module) for change in adapter.changes(base)}
    assert changed == wanted | {id(base.predictor)}
    listed = set(adapter.peft_config(base)["target_modules"])
    assert listed == {key.replace("/", ".") for key in adapter.layers}


@pytest.mark.parametrize("family", WITH_ATTENTION)
def test_targets_are_curated_for_every_family(family):
    base = load(family)
    before, answered = snapshot(base), base(pixels(2))
    for method in PEFT_METHODS:
        adapter = make_adapter(method, base, stirred=0.1)
        parts = METHODS.get(method).tuner.targets if method in TUNERS else ("query", "value")
        # one matrix may be query, key and value at once
        wanted = {id(getattr(block, part)) for block in base.blocks for part in parts}
        with attach(base, adapter):
            assert not torch.equal(base(pixels(2)), answered)
        modules = dict(base.model.named_modules())
        assert {id(modules[key.replace("/", ".")]) for key in adapter.layers} == wanted
        assert all(isinstance(modules[key.replace("/", ".")], nn.Linear) for key in adapter.layers)
    assert snapshot(base) == before


def test_compiled_bases_run_them_and_do_not_compile_again_when_they_are_swapped():
    torch.compiler.reset()
    base, graphs = tiny_base(layers=1), []
    adapters = {name: make_adapter(name, base, stirred=0.1) for name in ("dora", "oft")}
    expected = {name: answer(base, adapter) for name, adapter in adapters.items()}
    compiled = torch.compile(base, backend=lambda graph, inputs: graphs.append(graph) or graph.forward)
    for name, adapter in adapters.items():
        attach(compiled, adapter, name)
    for turn in range(2):
        for name, other in expected.items():
            with use_adapter(compiled, name):
                torch.testing.assert_close(bare(compiled), other, atol=1e-6, rtol=0)
        if turn == 0:
            so_far = len(graphs)
    assert len(graphs) == so_far > 0
    torch.compiler.reset()


@EVERY
def test_nothing_of_the_base_is_kept_or_listed(method):
    base = tiny_base()
    adapter = make_adapter(method, base)
    with attach(base, adapter):
        base(PIXELS)
    pointers = {value.data_ptr() for value in base.model.state_dict().values()}
    kept = [*adapter.state_dict().values(), *adapter._tree[0].state_dict().values()]
    assert not any(value.data_ptr() in pointers for value in kept if value.numel())
    assert not any("base_layer" in name or "original" in name for name, _ in adapter.named_modules())
    assert not any("base_layer" in name for name in adapter.tensors())


MADE_BY_PEFT = {
    "lora": LoraConfig(r=3, lora_alpha=5, target_modules=["query", "fc1"]),
    "lora-regex": LoraConfig(r=3, target_modules=r".*layer\.[02]\.mlp\.fc2", use_rslora=True),
    "dora-head": LoraConfig(r=2, target_modules=["value"], use_dora=True, modules_to_save=["head"]),
    "patterns": LoraConfig(target_modules=["key"], rank_pattern={"layer.1.*": 2}, alpha_pattern={"key": 3}),
    "ia3": IA3Config(target_modules=["key", "fc2"], feedforward_modules=["fc2"]),
    "patches": LoHaConfig(r=2, target_modules=["projection", "value"]),
}


@pytest.mark.parametrize("name", MADE_BY_PEFT)
@pytest.mark.parametrize("make", [tiny_base, tiny_model])
def test_an_adapter_of_plain_peft_loads_here(make, name, tmp_path):
    plain = stir(get_peft_model(tiny_model(), copy.deepcopy(MADE_BY_PEFT[name])))
    plain.save_pretrained(tmp_path / "theirs")
    target = make()
    bare(target)  # transformers puts its own hooks on at the first call
    before = snapshot(target)
    adapter = load_adapter(tmp_path / "theirs", target)
    assert adapter.method == "peft" and adapter.domain is None
    assert torch.equal(answer(target, adapter), bare(plain))
    assert snapshot(target) == before
    again = load_adapter(save_adapter(adapter, tmp_path / "ours", base=target), target)
    assert torch.equal(answer(target, again), bare(plain))
    assert torch.equal(bare(PeftModel.from_pretrained(tiny_model(), tmp_path / "ours")), bare(plain))
    assert read(tmp_path / "ours")[1]["method"] == "peft"


def test_folders_of_plain_peft_that_do_not_fit_are_told(tmp_path, caplog):
    config = LoraConfig(r=3, target_modules=["query"], modules_to_save=["head.conv"])
    get_peft_model(tiny_model(keypoints=14), config).save_pretrained(tmp_path / "other-head")
    with pytest.raises(LvtuneError, match=r"head\.conv"):
        load_adapter(tmp_path / "other-head", tiny_base())
    get_peft_model(tiny_model(layers=2), config).save_pretrained(tmp_path / "shallow")
    with pytest.raises(LvtuneError, match="adapter without"):
        load_adapter(tmp_path / "shallow", tiny_base())
    get_peft_model(tiny_model(), config).save_pretrained(tmp_path / "newer")
    file = tmp_path / "newer" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"use_tora": True}))
    caplog.clear()
    assert load_adapter(tmp_path / "newer", tiny_base()).method == "peft"
    assert "not known are ignored: use_tora" in caplog.text
    file.write_text("[]")
    with pytest.raises(LvtuneError, match="peft_type"):
        load_adapter(tmp_path / "newer", tiny_base())
    file.write_text(json.dumps({"peft_type": "PROMPT_TUNING"}))
    with pytest.raises(LvtuneError, match="unknown peft tuner 'PROMPT_TUNING'"):
        load_adapter(tmp_path / "newer", tiny_base())


def test_two_of_them_and_a_native_one_share_a_batch():
    base = tiny_base()
    answers = {None: bare(base)}
    for name, method in {"a": "dora", "b": "vera", "c": "norm"}.items():
        adapter = make_adapter(method, base, stirred=0.1)
        answers[name] = answer(base, adapter)
        attach(base, adapter, name)
    pixels = tiny_pixels(4)
    with torch.no_grad(), use_adapter(base, ["a", "b", None, "c"]):
        mixed = base(pixels)
    for i, name in enumerate(["a", "b", None]):
        torch.testing.assert_close(mixed[i], answers[name][i], atol=1e-5, rtol=0)


def test_one_adapter_on_two_bases_reads_the_weights_of_each():
    first, second = tiny_base(), tiny_base(seed=7)
    adapter = make_adapter("oft", first, stirred=0.1)
    alone = answer(first, adapter), answer(second, adapter)
    with attach(first, adapter), attach(second, adapter):
        assert torch.equal(bare(first), alone[0]) and torch.equal(bare(second), alone[1])
    assert not torch.equal(*alone)


def test_dropout_follows_the_mode_while_it_is_attached():
    base = tiny_base()
    for method, options in {"dora": {"lora_dropout": 0.5}, "loha": {"rank_dropout": 0.5}}.items():
        with attach(base, make_adapter(method, base, options=options, stirred=0.1)):
            assert torch.equal(base(PIXELS), base(PIXELS))
            base.train()
            assert not torch.equal(base(PIXELS), base(PIXELS))
            base.eval()
            assert torch.equal(base(PIXELS), base(PIXELS))


def test_options_reach_peft_whether_typed_or_text():
    base = tiny_base()
    adapter = make_adapter("dora", base, r=3, alpha=7, targets=("fc1",), options={"use_rslora": "true"})
    config = adapter.peft_config(base)
    assert (config["r"], config["lora_alpha"], config["use_rslora"], config["use_dora"]) == (3, 7, True, True)
    assert config["target_modules"] == [f"backbone.encoder.layer.{i}.mlp.fc1" for i in range(3)]
    assert config["modules_to_save"] == ["head.conv"]
    other = make_adapter("peft", base, tuner="hra", predictor=False, options={"r": "4", "apply_GS": "false"})
    config = other.peft_config(base)
    assert (config["peft_type"], config["r"], config["apply_GS"], config["modules_to_save"]) == ("HRA", 4, False, None)
    presets = make_adapter("peft", base, tuner="dora").peft_config(base)
    assert presets == make_adapter("dora", base).peft_config(base)


@pytest.mark.parametrize(
    ("method", "options", "told"),
    [
        ("dora", {"targets": ("query", "q")}, "some of norm, query"),
        ("dora", {"targets": ()}, "some of norm, query"),
        ("ia3", {"r": 4}, "remove --method.r"),
        ("vera", {"alpha": 4}, "remove --method.alpha"),
        ("dora", {"options": {"lora_dropuot": 0.1}}, "did you mean 'lora_dropout'"),
        ("dora", {"options": {"lora_dropout": "much"}}, "method.options.lora_dropout = much"),
        ("dora", {"options": {"bias": "all"}}, "trains backbone.*the base's own"),
        ("dora", {"options": {"init_lora_weights": "pissa"}}, "rewrites backbone.*the base's own"),
        ("dora", {"options": {"r": -1}}, "peft says: .*positive"),
        ("dora", {"targets": ("fc1",), "options": {"target_modules": ["fc1"]}}, "one of the two"),
        ("peft", {"tuner": "lorra"}, "did you mean 'lora'"),
        ("peft", {"tuner": "prompt_tuning"}, "unknown peft tuner"),
        ("peft", {"tuner": "adalora"}, "total_step"),
        ("peft", {"options": {"target_modules": ["nowhere"]}}, "peft says"),
    ],
)
def test_options_that_do_not_fit_are_told_and_the_base_stays(method, options, told):
    base = tiny_base()
    before = snapshot(base)
    with pytest.raises(LvtuneError, match=told):
        make_adapter(method, base, **options)
    assert snapshot(base) == before


def test_other_key_points_need_the_predictor():
    with pytest.raises(LvtuneError, match="dora without a predictor"):
        make_adapter("dora", tiny_base(), predictor=False, skeleton=LSP_14)


OTHERS = {
    "hra": {}, "gralora": {}, "hira": {}, "beft": {}, "pvera": {}, "tinylora": {}, "ln_tuning": {}, "adamss": {},
    "deft": {}, "waveft": {"n_frequency": 100}, "vblora": {"vector_length": 16}, "lily": {}, "peanut": {}, "psoft": {},
}  # fmt: skip
"""Tuners without a name of their own here, reached as ``peft``."""


@pytest.mark.parametrize("tuner", OTHERS)
def test_any_other_tuner_of_peft_works_by_its_name(tuner, tmp_path):
    base = tiny_base()
    bare(base)
    before = snapshot(base)
    adapter = make_adapter("peft", base, tuner=tuner, options=OTHERS[tuner], stirred=0.1)
    expected = answer(base, adapter)
    assert snapshot(base) == before
    assert (expected - bare(base)).abs().max() > 0.01
    again = load_adapter(save_adapter(adapter, tmp_path), base)
    torch.testing.assert_close(answer(base, again), expected, atol=1e-5, rtol=0)
    plain = PeftModel.from_pretrained(tiny_model(), tmp_path)
    torch.testing.assert_close(bare(plain), expected, atol=1e-5, rtol=0)


def test_every_field_of_every_config_takes_text():
    tried = 0
    for cls in PEFT_TYPE_TO_CONFIG_MAPPING.values():
        hints = typing.get_type_hints(cls)
        for field in fields(cls):
            kinds = typing.get_args(hints[field.name]) or (hints[field.name],)
            if type(field.default) in {bool, int, float} & set(kinds) and field.name not in bookkeeping():
                assert typed(cls, {field.name: str(field.default).lower()}) == {field.name: field.default}
                tried += 1
    assert tried > 200


def test_creating_warns_of_nothing():
    base = tiny_base()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        made = {method: make_adapter(method, base).method for method in PEFT_METHODS}
    assert [str(one.message) for one in warned] == []
    assert made == {method: method for method in PEFT_METHODS}
