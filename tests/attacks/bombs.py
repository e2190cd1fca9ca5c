"""Small files that ask for much memory, much time or code: each ends in an error, in a process with a memory limit."""

from __future__ import annotations

import os
import pickle
import random
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks.tally import Tally, in_child

MEGABYTES = 500
"""By how much the process may grow."""


def bombs(count: int, seed: int, folder: Path) -> Tally:
    """Reads each bomb under a memory limit; ``count`` rounds with other sizes."""
    return _run("bombs", lambda tally: _bombs(tally, count, seed, folder))


def code(count: int, seed: int, folder: Path) -> Tally:
    """Reads ``count`` files that ask for code to be run, as every kind of file; none of it runs."""
    return _run("code in files", lambda tally: _code(tally, count, seed, folder))


def _run(area: str, work: Callable[[Tally], None]) -> Tally:
    started = time.perf_counter()
    tally = in_child(area, work)
    tally.seconds = time.perf_counter() - started
    return tally


def _bombs(tally: Tally, count: int, seed: int, folder: Path) -> None:
    import resource

    made = [(name, make) for name, make in _MADE.items()]
    readers = {name: reader(folder) for name, reader in _READERS.items()}
    with open("/proc/self/statm") as file:
        limit = int(file.read().split()[0]) * resource.getpagesize() + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    rng = random.Random(seed)
    for number in range(count):
        for name, make in made:
            kind = name.partition(":")[0]
            file, read = readers[kind]
            data = make(rng)
            file.write_bytes(data)
            tally.only_ours(f"{name}, round {number}", read, lambda found, name=name: name in _HARMLESS)


def _yaml(folder: Path) -> tuple[Path, Callable[[], Any]]:
    from lvtune.api.recipe import Recipe

    file = folder / "bomb.yaml"
    return file, lambda: Recipe.from_yaml(file)


def _json(folder: Path) -> tuple[Path, Callable[[], Any]]:
    from lvtune.core.strict_json import read_json

    file = folder / "bomb.json"
    return file, lambda: read_json(file)


def _labels(folder: Path) -> tuple[Path, Callable[[], Any]]:
    from lvtune.data.table import read_coco

    file = folder / "labels.json"
    return file, lambda: read_coco(file, folder, cache_dir=folder / "cache")


def _numbers(folder: Path) -> tuple[Path, Callable[[], Any]]:
    from lvtune.data.safe_pickle import load_numbers

    file = folder / "bomb.pickle"
    return file, lambda: load_numbers(file)


def _image(folder: Path) -> tuple[Path, Callable[[], Any]]:
    from lvtune.data.images import read_image

    file = folder / "bomb.png"
    return file, lambda: read_image(file)


def _tensors(folder: Path) -> tuple[Path, Callable[[], Any]]:
    from tiny import tiny_base

    from lvtune.storage.store import read_adapter

    base, file = tiny_base(), folder / "bomb.safetensors"
    return file, lambda: read_adapter(file, base)


def _peft(folder: Path) -> tuple[Path, Callable[[], Any]]:
    """A sound file of tensors beside a config that asks for other sizes, or for names that hang."""
    from tiny import make_adapter, tiny_base

    from lvtune.storage.adapter_file import CONFIG_FILE, PEFT_FILE
    from lvtune.storage.store import read_adapter, save_adapter

    base, place = tiny_base(), folder / "peft"
    save_adapter(make_adapter("lora", base), place, base)
    (place / CONFIG_FILE).unlink()
    from safetensors.torch import load_file, save_file

    tensors = place / "adapter_model.safetensors"
    save_file(load_file(tensors), tensors)
    return place / PEFT_FILE, lambda: read_adapter(place, base)


def _weights(folder: Path) -> tuple[Path, Callable[[], Any]]:
    import lvtune

    place = folder / "weights"
    lvtune.load_base("vitpose-ti", weights="random").model.save_pretrained(place)
    return place / "config.json", lambda: lvtune.load_base("vitpose-ti", str(place))


_READERS = {
    "YAML": _yaml, "JSON": _json, "labels": _labels, "pickle": _numbers, "picture": _image, "adapter": _tensors,
    "peft": _peft, "weights": _weights,
}  # fmt: skip


def _aliases(rng: random.Random) -> bytes:
    depth, width = rng.randrange(7, 12), rng.randrange(8, 12)
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth)]
    return "\n".join(lines).encode()


def _png(width: int, height: int) -> bytes:
    """A PNG of one colour, of 1 bit a pixel: a few kilobytes for any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


def _shared(rng: random.Random) -> bytes:
    """Lists of lists, each twice in the one above."""
    value: list = []
    for _ in range(rng.randrange(26, 90)):
        value = [value, value]
    return pickle.dumps(value, rng.choice((2, 4)))


def _config(**changes: Any) -> bytes:
    import json

    values = {
        "peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "task_type": None,
        "base_model_name_or_path": None, "bias": "none", "inference_mode": True,
    }  # fmt: skip
    return json.dumps(values | changes).encode()


def _sizes(name: str, value: int) -> bytes:
    import json

    values = {
        "model_type": "vitpose", "architectures": ["VitPoseForPoseEstimation"],
        "backbone_config": {"model_type": "vitpose_backbone", "hidden_size": 192, "num_hidden_layers": 12, name: value},
    }  # fmt: skip
    return json.dumps(values).encode()


_MADE: dict[str, Callable[[random.Random], bytes]] = {
    "YAML: aliases": _aliases,
    "YAML: nesting": lambda rng: b"base: " + b"[" * rng.randrange(1000, 90_000),
    "YAML: long number": lambda rng: b"seed: " + b"9" * rng.randrange(5000, 90_000),
    "YAML: many values": lambda rng: b"look: [" + b"a," * 200_000 + b"]",
    "YAML: itself": lambda rng: b"base: &a [*a]",
    "YAML: a merge of itself": lambda rng: b"base: &a\n  <<: *a",
    "JSON: nesting": lambda rng: b"[" * rng.randrange(1000, 500_000),
    "JSON: pairs of brackets": lambda rng: b"[" * 70_000 + b"]" * 70_000,
    "JSON: long number": lambda rng: b"[" + b"9" * rng.randrange(5000, 90_000) + b"]",
    "JSON: many values": lambda rng: b"[" + b"0," * 2_000_000 + b"0]",
    "JSON: long": lambda rng: b'"' + b"x" * (17 * 2**20) + b'"',
    "labels: nesting": lambda rng: b'{"images": ' + b"[" * rng.randrange(1000, 500_000),
    "labels: long number": lambda rng: b'{"images": [{"id": ' + b"9" * 5000 + b"}]}",
    "pickle: shared lists": _shared,
    "pickle: huge bytearray": lambda rng: b"\x80\x05\x96" + struct.pack("<Q", rng.randrange(2**31, 2**40)) + b".",
    "pickle: huge text": lambda rng: b"\x80\x04\x8d" + struct.pack("<Q", rng.randrange(2**31, 2**40)) + b"x.",
    "pickle: deep": lambda rng: b"\x80\x04" + b"(" * 100_000 + b"l" * 100_000 + b".",
    "pickle: memo": lambda rng: b"\x80\x04Nr\xff\xff\xff\x7f.",
    "picture: 900 megapixels": lambda rng: _png(30_000, 30_000 + rng.randrange(1000)),
    "picture: one line": lambda rng: _png(2**28, 1),
    "adapter: header without end": lambda rng: struct.pack("<Q", rng.randrange(2**25, 2**63)) + b"{",
    "adapter: nested header": lambda rng: _safetensors(b"[" * 300_000),
    "adapter: huge shape": lambda rng: _safetensors(
        b'{"a":{"dtype":"F32","shape":[%d,4],"data_offsets":[0,16]}}' % rng.randrange(2**40, 2**62)
    ) + bytes(16),
    "adapter: many names": lambda rng: _safetensors(
        b"{" + b",".join(b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(60_000)) + b"}"
    ),
    "peft: rank of a million": lambda rng: _config(r=rng.randrange(10**5, 10**7)),
    "peft: regex that hangs": lambda rng: _config(target_modules="(" + rng.choice(("a+", ".*", "[a-z.]+")) + ")+$x"),
    "peft: long regex": lambda rng: _config(target_modules="a?" * 3000 + "a" * 3000),
    "peft: sixty thousand names": lambda rng: _config(target_modules=[f"m{i}" for i in range(60_000)]),
    "weights: wide": lambda rng: _sizes("hidden_size", rng.choice((10**5, 10**6, 10**9, 10**15))),
    "weights: deep": lambda rng: _sizes("num_hidden_layers", rng.choice((10**4, 10**6, 10**12))),
    "weights: large pictures": lambda rng: _sizes("image_size", rng.choice((10**5, 10**8))),
}  # fmt: skip
"""Name of reader and bomb to a function that makes one."""


_HARMLESS = ("pickle: memo",)
"""They may be read, since what they ask for need not be given."""


class _Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def _code(tally: Tally, count: int, seed: int, folder: Path) -> None:
    from attacks.file_kinds import KINDS

    rng, sign = random.Random(seed), folder / "it-ran"
    sounds = []
    for number, kind in enumerate(kind for kind in KINDS if kind.name != "config.json of weights"):
        place = folder / str(number)
        place.mkdir()
        sounds.append((kind.name, kind.make(place)))
    for number in range(count):
        name, sound = sounds[number % len(sounds)]
        calls = ((os.system, f"touch {sign}"), (open, str(sign), "w"), (eval, f"open({str(sign)!r}, 'w')"))
        gadget = _Calls(*rng.choice(calls))
        texts = (
            f"!!python/object/apply:os.system ['touch {sign}']",
            f'{{"auto_map": "os:system", "megatron_core": "os", "peft_type": "LORA", "x": "touch {sign}"}}',
            f"a: !!python/name:os.system\nb: !!python/module:{sign.stem}",
            f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{sign}">]><annotations>&x;</annotations>',
        )
        data = rng.choice((pickle.dumps(gadget, rng.choice((0, 2, 4, 5))), *(text.encode() for text in texts)))
        whole = sound.file.read_bytes() if sound.file.exists() else b""
        sound.file.unlink(missing_ok=True)
        sound.file.write_bytes(data)
        tally.only_ours(f"{name}, trial {number}", sound.read)
        tally.expect(not sign.exists(), f"{name}, trial {number}: code of the file was run")
        sound.file.unlink(missing_ok=True)
        sound.file.write_bytes(whole)
