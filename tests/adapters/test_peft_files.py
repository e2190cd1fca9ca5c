"""Folders of plain peft from strangers: no import, no endless expression, no memory by number, no raw error."""

from __future__ import annotations

import contextlib
import json
import sys

import pytest
import torch
from memory_cap import run_capped
from mutants import changed_values
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny import make_adapter, snapshot, tiny_base, tiny_model, tiny_pixels

from lvtune.adapters.peft_allowed import ALLOWED
from lvtune.adapters.peft_options import bookkeeping, config_class
from lvtune.api.inspecting import inspect_adapter
from lvtune.core.errors import LvtuneError
from lvtune.hub.adapter_loading import load_adapter
from lvtune.patcher.attaching import attach
from lvtune.storage.adapter_file import CONFIG_FILE, PEFT_FILE, TENSORS_FILE
from lvtune.storage.store import save_adapter

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:Failed to load the CUDA extension"),
    pytest.mark.filterwarnings("ignore:Setting boft_n_butterfly_factor"),
]


@pytest.fixture
def theirs(tmp_path):
    """A LoRA that plain peft saved, on query layers."""
    plain = get_peft_model(tiny_model(), LoraConfig(r=3, target_modules=["query"]))
    with torch.no_grad():
        for name, value in plain.named_parameters():
            if "lora_B" in name:
                value.add_(0.1)
    plain.save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


def change(folder, **options):
    file = folder / PEFT_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | options))


def answer(base, folder):
    with torch.no_grad(), attach(base, load_adapter(folder, base)):
        return base(tiny_pixels(2))


def refused(folder):
    base = tiny_base()
    before = snapshot(base)
    with pytest.raises(LvtuneError) as caught:
        load_adapter(folder, base)
    assert snapshot(base) == before
    assert len(str(caught.value)) < 1500
    return str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("megatron_config", {"tensor_model_parallel_size": 2}),
        ("layer_replication", [[0, 3], [1, 3]]),
        ("target_parameters", ["query.weight"]),
        ("trainable_token_indices", [1, 2]),
        ("alora_invocation_tokens", [1]),
        ("arrow_config", {"top_k": 1}),
        ("use_qalora", True),
        ("kasa_config", {"beta": 1}),
    ],
)
def test_options_that_are_not_passed_on_are_refused(theirs, option, value):
    change(theirs, **{option: value})
    assert f"the option '{option}', which lvtune does not pass on" in refused(theirs)


def test_a_package_that_is_named_is_never_imported(theirs, tmp_path, monkeypatch, caplog):
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / "stranger.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "trap"))
    expected = answer(tiny_base(), theirs)
    change(theirs, megatron_core="stranger")
    assert torch.equal(answer(tiny_base(), theirs), expected)
    assert "are ignored: megatron_core" in caplog.text
    change(theirs, megatron_config={"a": 1})
    refused(theirs)
    change(theirs, auto_mapping={"base_model_class": "X", "parent_library": "stranger"}, megatron_config=None)
    assert torch.equal(answer(tiny_base(), theirs), expected)
    assert "stranger" not in sys.modules


@pytest.mark.parametrize("tuner", ["XLORA", "POLY", "TRAINABLE_TOKENS", "PROMPT_TUNING", "nothing", "x" * 5000, ""])
def test_tuners_that_download_or_read_text_are_refused(theirs, tuner):
    change(theirs, peft_type=tuner)
    assert "unknown peft tuner" in refused(theirs)


def test_the_list_names_options_that_peft_has():
    from dataclasses import fields

    for tuner, names in ALLOWED.items():
        known = {field.name for field in fields(config_class(tuner))} - bookkeeping()
        assert len(names & known) >= 2, tuner
        own = names - {"exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out", "bias",
                       "init_weights", "modules_to_save"}  # fmt: skip
        assert own <= known, (tuner, own - known)


BOMBS = [r"(a+)+$", r"(.*)*x", r"(\w+\.?)+!", r"(?:.*.*)*y", r"((((.*)*)*)*)*z", r"(.|.)*q"]


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("option", ["target_modules", "exclude_modules", "rank_pattern", "alpha_pattern"])
def test_endless_expressions_end(theirs, option, bomb, monkeypatch):
    before = answer(tiny_base(), theirs)
    monkeypatch.setattr("lvtune.adapters.peft_names.SECONDS", 0.2)
    change(theirs, **{option: {bomb: 2} if option.endswith("_pattern") else bomb})
    try:
        found = answer(tiny_base(), theirs)
    except LvtuneError as error:
        assert error.given and error.expected and error.fix
    else:  # what matches no module changes nothing
        assert option != "target_modules" and (torch.equal(found, before) or option == "alpha_pattern")


@pytest.mark.parametrize(
    "pattern",
    ["(((a{500}){500}){500})", "(?:a{99}){99}", "(?R)", "(?P<x>a)(?P=x)", "a{1000}", "(" * 2000, "[", "*", "a" * 2000],
)
def test_expressions_that_take_memory_or_are_none_are_refused(theirs, pattern):
    change(theirs, target_modules=pattern)
    assert "the regular expression" in refused(theirs)


@pytest.mark.parametrize("option", ["modules_to_save", "layers_pattern"])
def test_expressions_where_names_belong_are_refused(theirs, option):
    change(theirs, **{option: ["(a+)+$"]}, layers_to_transform=[1])
    assert "expected names of modules" in refused(theirs)


@pytest.mark.parametrize(
    ("given", "targets"),
    [
        (r".*\.attention\.query", 3), (r".*layer\.[02]\..*query", 2), (r".*layer\.\d{1,2}\.attention.*query", 3),
        (["query", "query", "nowhere"], 3), (["layer.1.attention.attention.query", "module._orig_mod.query"], 3),
    ],
)  # fmt: skip
def test_expressions_and_names_reach_the_same_layers_as_in_peft(theirs, given, targets):
    tensors = load_file(theirs / TENSORS_FILE)
    if targets == 2:
        tensors = {name: value for name, value in tensors.items() if ".layer.1." not in name}
        save_file(tensors, theirs / TENSORS_FILE)
    change(theirs, target_modules=given)
    adapter = load_adapter(theirs, tiny_base())
    assert len(adapter.layers) == targets
    listed = adapter.peft_config(tiny_base())["target_modules"]
    assert isinstance(listed, list)


def test_names_of_wrapped_models_are_recognised(theirs):
    expected = answer(tiny_base(), theirs)
    whole = load_file(theirs / TENSORS_FILE)
    for prefix in ("_orig_mod.", "module.", "module._orig_mod."):
        renamed = {name.replace("base_model.model.", f"base_model.model.{prefix}"): v for name, v in whole.items()}
        save_file(renamed, theirs / TENSORS_FILE)
        assert torch.equal(answer(tiny_base(), theirs), expected)
        save_file({prefix + name: value for name, value in whole.items()}, theirs / TENSORS_FILE)
        assert torch.equal(answer(tiny_base(), theirs), expected)
    two = whole | {f"module.{name}": value.clone() for name, value in whole.items()}
    save_file(two, theirs / TENSORS_FILE)
    assert "two tensors of one name" in refused(theirs)


def test_inspect_reads_what_predict_reads(theirs):
    values = inspect_adapter(theirs)
    assert values["config"]["method_config"]["r"] == 3
    assert values["numbers"] == 3 * 2 * 3 * 48


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("r", 10**9), ("r", -1), ("r", 2.5), ("r", "8"), ("r", [8]), ("r", None), ("r", True), ("lora_alpha", 1e300),
        ("lora_dropout", 5), ("init_lora_weights", "pissa_niter_999999999"), ("init_lora_weights", "eva"),
        ("init_lora_weights", "../../x"), ("rank_pattern", {"query": 10**9}), ("rank_pattern", {"query": [1] * 9}),
        ("rank_pattern", ["query"]), ("target_modules", {"query": 1}), ("target_modules", [1]), ("target_modules", 5),
        ("target_modules", [["query"]]), ("layers_to_transform", ["1"]), ("bias", {"a": 1}), ("bias", "x" * 1000),
        ("modules_to_save", [5]), ("exclude_modules", {"x": []}), ("fan_in_fan_out", "a b"),
    ],
)  # fmt: skip
def test_values_of_other_kinds_and_sizes_have_an_error_of_ours(theirs, option, value):
    change(theirs, **{option: value})
    with pytest.raises(LvtuneError) as caught:
        answer(tiny_base(), theirs)
    words = (option, option.partition("_")[2] or option, "tensor", "adapter")
    assert any(word in str(caught.value) for word in words)
    assert all((caught.value.given, caught.value.expected, caught.value.fix))


@pytest.mark.filterwarnings("ignore::UserWarning")  # peft warns of odd options
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_only_errors_of_ours_come_out_of_configs_with_other_values(theirs):
    config, base = json.loads((theirs / PEFT_FILE).read_text()), tiny_base()
    before = snapshot(base)
    for changed in changed_values(config, 300, seed=0):
        (theirs / PEFT_FILE).write_text(json.dumps(changed))
        with contextlib.suppress(LvtuneError):
            load_adapter(theirs, base)
    assert snapshot(base) == before


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_same_of_files_of_ours(tmp_path):
    """Options in ``lvtune_config.json`` reach peft as well."""
    from lvtune.core.tensor_file import pack, unpack
    from lvtune.storage.adapter_config import config_hash

    base = tiny_base()
    folder = save_adapter(make_adapter("dora", base, options={"lora_dropout": 0.1}), tmp_path, base)
    (folder / CONFIG_FILE).unlink()
    packed = unpack(folder / TENSORS_FILE)
    config = json.loads(packed.metadata["lvtune_config"])
    config["method_config"]["options"] = {"megatron_config": {"a": 1}}

    def write(changed):
        changed["config_sha256"] = config_hash(changed)
        data = pack(packed.tensors, {**packed.metadata, "lvtune_config": json.dumps(changed)})
        (folder / TENSORS_FILE).write_bytes(data)

    write(config)
    assert "does not pass on" in refused(folder)
    rest = {name: value for name, value in config.items() if name not in ("base", "tensors_sha256", "format_version")}
    for changed in changed_values(rest, 200, seed=1):
        write({**config, **changed})
        with contextlib.suppress(LvtuneError):
            load_adapter(folder, base)


CAPPED = """
import json, sys
sys.path.insert(0, "tests")
import torch
from tiny import make_adapter, tiny_base
from peft import LoraConfig
from lvtune.core.errors import LvtuneError
from lvtune.hub.adapter_loading import load_adapter
from lvtune.storage.store import save_adapter
from lvtune.core.tensor_file import pack, unpack
from lvtune.storage.adapter_config import config_hash
import lvtune.adapters.peft_bridge, warnings
warnings.simplefilter("ignore")
base = tiny_base()
"""
"""What is imported before the memory is capped."""


def test_numbers_in_files_do_not_take_memory():
    """Each would take from 0.6 to 60 GB if it were made before its shapes are compared."""
    code = """
import tempfile, pathlib
from tiny import tiny_bank
cases = [
    ("lora", {"r": 10**6}), ("dora", {"r": 60_000}), ("vera", {"r": 60_000}), ("loha", {"r": 60_000}),
    ("randlora", {"r": 60_000}), ("vpt", {"visual_prompts": 10**7}), ("bottleneck", {"width": 10**7}),
    ("vlpose-light", {"r": 10**7}), ("vlpose", {"visual_prompts": 10**7}),
]
for method, options in cases:
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(save_adapter(make_adapter(method, base), place, base))
        (folder / "lvtune_config.json").unlink()
        packed = unpack(folder / "adapter_model.safetensors")
        config = json.loads(packed.metadata["lvtune_config"])
        config["method_config"].update(options)
        config["config_sha256"] = config_hash(config)
        data = pack(packed.tensors, {**packed.metadata, "lvtune_config": json.dumps(config)})
        (folder / "adapter_model.safetensors").write_bytes(data)
        try:
            load_adapter(folder, base)
            print(method, "loaded")
        except LvtuneError as error:
            print(method, "shape" in str(error) or "unknown option" in str(error), str(error)[:150], file=sys.stderr)
            print(method, "refused")
"""
    done = run_capped(code, megabytes=400, imports=CAPPED)
    assert done.stdout.split("\n")[:-1] == [
        f"{name} refused"
        for name in ("lora", "dora", "vera", "loha", "randlora", "vpt", "bottleneck", "vlpose-light", "vlpose")
    ], done.stderr
    assert "unknown option" not in done.stderr, done.stderr


def test_sixty_thousand_names_are_told_quickly(theirs):
    names = [f"layer.{i}.query" for i in range(60_000)]
    change(theirs, target_modules=[*names, "query"])
    assert "60,001 names" in refused(theirs)
    change(theirs, target_modules=["query"])
    whole = load_file(theirs / TENSORS_FILE)
    save_file(whole | {f"base_model.model.{name}": torch.zeros(1) for name in names[:20_000]}, theirs / TENSORS_FILE)
    assert "tensors unknown to its method" in refused(theirs)
