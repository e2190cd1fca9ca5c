"""Every way an adapter file can be wrong has its own sentence, and none runs anything."""

import contextlib
import json
import pickle
import struct
import zipfile

import pytest
import torch
from adapter_samples import CONFIG, adapter
from mutants import changed_values, mutants

from lvtune.bases.base_registry import load_base
from lvtune.bases.fingerprint import fingerprints
from lvtune.core.errors import AdapterFileError, LvtuneError
from lvtune.core.tensor_file import MAX_HEADER
from lvtune.storage.adapter_config import config_hash
from lvtune.storage.adapter_file import CONFIG_FILE, TENSORS_FILE, check_base, read, save


def error_of(path):
    with pytest.raises(LvtuneError) as caught:
        read(path)
    assert caught.value.given
    assert caught.value.expected
    assert caught.value.fix
    return str(caught.value)


@pytest.fixture
def folder(tmp_path):
    return save(*adapter(), tmp_path / "art")


def parts(folder):
    data = (folder / TENSORS_FILE).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def put(folder, header, body=b"", keep_copy=False):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / TENSORS_FILE).write_bytes(struct.pack("<Q", len(text)) + text + body)
    if not keep_copy:
        (folder / CONFIG_FILE).unlink(missing_ok=True)


def change_config(folder, change):
    """Rewrites the header's config and its hash; the tensors stay."""
    header, body = parts(folder)
    config = json.loads(header["__metadata__"]["lvtune_config"])
    change(config)
    config["config_sha256"] = config_hash(config)
    header["__metadata__"]["lvtune_config"] = json.dumps(config)
    put(folder, header, body)


def test_not_there(tmp_path):
    assert "no such adapter" in error_of(tmp_path / "nowhere")
    assert f"without {TENSORS_FILE}" in error_of(tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    assert "can run code and is not read" in error_of(tmp_path)
    (tmp_path / TENSORS_FILE).mkdir()
    assert "not a plain file" in error_of(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.98, 0.9999])
def test_truncated(folder, share):
    data = (folder / TENSORS_FILE).read_bytes()
    (folder / TENSORS_FILE).write_bytes(data[: int(share * len(data))])
    assert "truncated adapter" in error_of(folder)


def test_not_safetensors(folder):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("code of the file was run",))

    for protocol in (2, 4, 5):
        (folder / TENSORS_FILE).write_bytes(pickle.dumps(Bomb(), protocol=protocol))
        assert "pickle or zip file" in error_of(folder)
    with zipfile.ZipFile(folder / TENSORS_FILE, "w") as file:
        file.writestr("data.pkl", pickle.dumps(Bomb()))
    assert "pickle or zip file" in error_of(folder)
    (folder / TENSORS_FILE).write_text("<html><body>404: not found</body></html>")
    assert "header would be" in error_of(folder)
    put(folder, b"\xff\xfe not json")
    assert "that is not JSON" in error_of(folder)
    put(folder, b"[1, 2]")
    assert "damaged adapter" in error_of(folder)


def test_huge_header(folder):
    with (folder / TENSORS_FILE).open("wb") as file:
        file.write(struct.pack("<Q", MAX_HEADER + 1))
        file.truncate(MAX_HEADER + 100)
    assert f"at most {MAX_HEADER} bytes of header" in error_of(folder)
    put(folder, b"[" * 100_000 + b"]" * 100_000)
    assert "that is not JSON" in error_of(folder)
    put(folder, b'{"a":' + b"9" * 10_000 + b"}")
    assert "a number of 10000 digits" in error_of(folder)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0]},
        {"dtype": "F32", "shape": [4], "data_offsets": "zero"},
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]},
        {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]},
        {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]},
        {"dtype": "OBJECT", "shape": [4], "data_offsets": [0, 16]},
        "tensor",
        None,
    ],
)
def test_damaged_header(folder, entry):
    header, body = parts(folder)
    put(folder, {**header, "a": entry}, body)
    assert "damaged adapter" in error_of(folder)


def test_tensors_over_one_another_or_beyond_the_end(folder):
    header, body = parts(folder)
    put(folder, {**header, "b": header["a"]}, body)
    assert "damaged adapter" in error_of(folder)
    put(folder, header, body + b"more bytes than the header tells of")
    assert "damaged adapter" in error_of(folder)


def test_key_given_twice(folder):
    header, body = parts(folder)
    text = json.dumps(header).replace('{"__metadata__"', '{"__metadata__": {}, "__metadata__"', 1)
    put(folder, text.encode(), body)
    assert "the key '__metadata__' twice" in error_of(folder)
    config = header["__metadata__"]["lvtune_config"]
    header["__metadata__"]["lvtune_config"] = '{"method": "lora", ' + config[1:]
    put(folder, header, body)
    assert "the key 'method' twice" in error_of(folder)


def test_no_lvtune_adapter(folder):
    header, body = parts(folder)
    put(folder, {**header, "__metadata__": {"format": "pt"}}, body)
    assert "without lvtune's config" in error_of(folder)
    put(folder, {**header, "__metadata__": {"lvtune_config": 3}}, body)
    assert "damaged adapter" in error_of(folder)
    put(folder, {**header, "__metadata__": {"lvtune_config": "none"}}, body)
    assert "that is not JSON" in error_of(folder)
    put(folder, {**header, "__metadata__": {"lvtune_config": "[]"}}, body)
    assert "that is not an object" in error_of(folder)


def test_copies_must_agree(folder):
    copy = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps({**copy, "domain": "humanart"}))
    message = error_of(folder)
    assert "disagrees with the header" in message
    assert "in 'domain'" in message
    (folder / CONFIG_FILE).write_text(json.dumps({**copy, "format_version": True}))
    assert "disagrees with the header" in error_of(folder), "True is not 1"
    (folder / CONFIG_FILE).write_text("{")
    assert "that is not JSON" in error_of(folder)
    (folder / CONFIG_FILE).write_text('{"metrics": 1e999}')
    assert "with the number 1e999" in error_of(folder)
    (folder / CONFIG_FILE).write_text("[]")
    assert "disagrees with the header" in error_of(folder)
    (folder / CONFIG_FILE).write_text(json.dumps(copy), encoding="utf-8")
    assert read(folder)[1]["domain"] == "demo-art", "layout and order of the copy do not matter"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format_version", 2, "of format version 2; expected at most 1"),
        ("format_version", 0, "format_version 0"),
        ("format_version", "1", "format_version is str"),
        ("format_version", True, "format_version True"),
        ("tensors_sha256", "0" * 64, "not those it was saved with"),
        ("tensors_sha256", "../../x", "no sha256"),
        ("method", None, "method is NoneType"),
        ("base", "vitpose-ti", "base is str"),
        ("base", {}, "`base` in the config"),
        ("base", {**CONFIG["base"], "input_size": [128]}, "input size"),
        ("base", {**CONFIG["base"], "input_size": [128, 0.5]}, "input size"),
        ("base", {**CONFIG["base"], "fingerprint": {}}, "no fingerprint"),
        ("prompts", {"sketch": "a sketch"}, "prompts is dict"),
        ("prompts", [["a", "b"], ["a", "c"]], "each category once"),
        ("prompts", ["ab", "cd"], "each category once"),
        ("prompts", [[["a"], "b"]], "each category once"),
    ],
)
def test_config_fields(folder, field, value, message):
    change_config(folder, lambda config: config.update({field: value}))
    assert message in error_of(folder)


def test_missing_fields_are_named_together(folder):
    change_config(folder, lambda config: (config.pop("method"), config.pop("skeleton")))
    assert "without method, skeleton" in error_of(folder)


def test_fields_of_later_versions_are_told_as_such_even_when_others_lack(folder):
    change_config(folder, lambda config: (config.pop("method"), config.update(format_version=9)))
    assert "upgrade: pip install --upgrade lvtune" in error_of(folder)


def test_one_flipped_bit(folder):
    data = bytearray((folder / TENSORS_FILE).read_bytes())
    data[-1] ^= 1
    (folder / TENSORS_FILE).write_bytes(data)
    assert "not those it was saved with" in error_of(folder)


def test_numbers_that_are_not_finite(folder):
    from lvtune.core.tensor_file import hash_tensors

    tensors, _ = read(folder)
    tensors["a"][2] = float("inf")
    header, body = parts(folder)
    start, _ = header["a"]["data_offsets"]
    body = body[:start] + tensors["a"].numpy().tobytes() + body[start + 16 :]
    put(folder, header, body)
    change_config(folder, lambda config: config.update(tensors_sha256=hash_tensors(tensors.items())))
    assert "tensor 'a' with 1 of 4 values not finite" in error_of(folder)


def test_unreadable_bytes_do_not_reach_the_terminal(folder):
    header, body = parts(folder)
    text = json.dumps(header)
    put(folder, text.replace('"a":', '"\\u001b[2J": 1, "\\u001b[2J":').encode(), body)
    assert "\x1b" not in error_of(folder)


def test_base_is_compared_in_the_dtype_at_hand():
    base = load_base("vitpose-ti", weights="random")
    facts = {"name": "vitpose-ti", "hub_id": None, "revision": None, "input_size": list(base.input_size)}
    recorded = fingerprints(base)
    config = {"base": {**facts, "fingerprint": recorded}}
    check_base(config, base)
    check_base(config, base.model)
    with pytest.raises(LvtuneError, match=r"for pictures of .* expected \(8, 6\)"):
        check_base({"base": {**config["base"], "input_size": [8, 6]}}, base)
    half_only = {"base": {**facts, "fingerprint": {"float16": recorded["float16"]}}}
    check_base(half_only, base)
    base.model.half()
    check_base(config, base)
    check_base(half_only, base)
    brain_only = {"base": {**facts, "fingerprint": {"bfloat16": recorded["bfloat16"]}}}
    with pytest.raises(LvtuneError, match=r"in float16 for an adapter tuned in bfloat16"):
        check_base(brain_only, base)


def test_adapter_of_another_base():
    base = load_base("vitpose-ti", weights="random")
    facts = {"hub_id": "ann/pose", "revision": None, "input_size": list(base.input_size)}
    config = {"base": {"name": "vitpose-ti", "fingerprint": fingerprints(base), **facts}}
    with torch.no_grad():
        next(base.model.buffers()).add_(1e-3)
    with pytest.raises(LvtuneError, match="load the weights it was tuned on") as caught:
        check_base(config, base)
    assert config["base"]["fingerprint"]["float32"][:12] in caught.value.expected
    config["base"]["name"] = "vitpose-b"
    with pytest.raises(LvtuneError, match=r"another base: this one is vitpose-ti.*'ann/pose'.*--base vitpose-b"):
        check_base(config, base)


def flip(file, position, bit=0):
    data = bytearray(file.read_bytes())
    data[position] ^= 1 << bit
    file.write_bytes(data)


def test_every_flipped_bit_of_the_config_is_noticed(folder):
    file = folder / TENSORS_FILE
    (folder / CONFIG_FILE).unlink()
    data = file.read_bytes()
    start, end = data.index(b"visual_prompts"), data.index(b"tensors_sha256")
    before = read(folder)
    for position in range(start, end, 7):
        flip(file, position, bit=position % 8)
        with pytest.raises(AdapterFileError):
            read(folder)
        file.write_bytes(data)
    assert read(folder)[1] == before[1]


def test_a_config_of_other_values_is_told_as_such(folder):
    header, body = parts(folder)
    config = header["__metadata__"]["lvtune_config"]
    header["__metadata__"]["lvtune_config"] = config.replace('"visual_prompts":4', '"visual_prompts":6')
    put(folder, header, body)
    assert "not the one it was saved with (sha256 differs)" in error_of(folder)


def test_files_from_before_the_hash_of_the_config_still_load(folder):
    header, body = parts(folder)
    config = json.loads(header["__metadata__"]["lvtune_config"])
    del config["config_sha256"]
    header["__metadata__"]["lvtune_config"] = json.dumps(config)
    put(folder, header, body)
    assert read(folder)[1]["domain"] == "demo-art"


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_paths_that_the_system_refuses(name):
    assert "cannot be read" in error_of(name) or "no such adapter" in error_of(name)


def test_only_errors_of_ours_come_out_of_damaged_files(folder):
    file, copy = folder / TENSORS_FILE, folder / CONFIG_FILE
    whole, text = file.read_bytes(), copy.read_bytes()
    for mutant in mutants(whole, 200, seed=1):
        file.write_bytes(mutant)
        with contextlib.suppress(AdapterFileError):
            assert read(folder)[0].keys() == adapter()[0].keys()
    file.write_bytes(whole)
    for mutant in mutants(text, 100, seed=2):
        copy.write_bytes(mutant)
        with contextlib.suppress(AdapterFileError):
            read(folder)


def test_only_errors_of_ours_come_out_of_configs_with_other_values(folder):
    header, body = parts(folder)
    config = json.loads(header["__metadata__"]["lvtune_config"])
    for changed in changed_values(config, 300, seed=3):
        if isinstance(changed, dict):
            changed["config_sha256"] = config_hash(changed)
        header["__metadata__"]["lvtune_config"] = json.dumps(changed)
        put(folder, header, body)
        with contextlib.suppress(AdapterFileError):
            read(folder)
