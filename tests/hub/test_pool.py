"""Adapters on demand under a budget of bytes: who comes, who goes, what it costs."""

from __future__ import annotations

import gc
import random
import runpy
import threading
import weakref
from pathlib import Path

import pytest
import torch
from adapter_samples import adapter as sample
from hub_store import put
from tiny import make_adapter, snapshot, tiny_bank, tiny_base, tiny_pixels

import lvtune
from lvtune.adapters.factory import create_adapter
from lvtune.core.errors import LvtuneError
from lvtune.hub import pool as pool_module
from lvtune.hub.adapter_loading import load_adapter
from lvtune.hub.pool import AdapterPool, memory_of, read_bytes
from lvtune.language.bank_cache import cached_bank
from lvtune.storage.adapter_file import save
from lvtune.storage.store import save_adapter

METHODS = ("lora", "ssf", "bitfit", "vlpose", "bottleneck")
PIXELS = tiny_pixels(2)


def write(folder, base, method="lora", seed=0, **options):
    return save_adapter(make_adapter(method, base, stirred=0.1, seed=seed, **options), folder)


@pytest.fixture
def base():
    return tiny_base()


@pytest.fixture
def folders(base, tmp_path):
    """Six LoRA adapters of one size."""
    return {f"a{i}": write(tmp_path / f"a{i}", base, seed=i) for i in range(6)}


def size_of(folder, base):
    return memory_of([load_adapter(folder, base)])


def alone(base, folder, pixels=PIXELS):
    with lvtune.attach(base, load_adapter(folder, base), name="alone"):
        return base(pixels, adapters="alone")


def test_nothing_is_loaded_before_it_is_asked_for(base, folders):
    before = snapshot(base.model)
    pool = AdapterPool(base, folders)
    assert (pool.loaded, pool.bytes) == ([], 0)
    assert snapshot(base.model) == before
    pool(PIXELS, adapters="a3")
    assert pool.loaded == ["a3"]
    pool.close()
    assert (pool.loaded, pool.bytes) == ([], 0)
    assert snapshot(base.model) == before


def test_answers_are_those_of_each_adapter_alone(base, tmp_path):
    folders = {name: write(tmp_path / name, base, name) for name in METHODS}
    expected = {name: alone(base, folder) for name, folder in folders.items()}
    expected[None] = base(PIXELS)
    pool = AdapterPool(base, folders, budget=size_of(folders["vlpose"], base) + 10_000)
    clock = random.Random(0)
    for _ in range(30):
        name = clock.choice(list(expected))
        assert torch.equal(pool(PIXELS, adapters=name), expected[name])
        assert pool.bytes <= pool.budget
    mixed = pool(PIXELS, adapters=["lora", None])
    torch.testing.assert_close(mixed, torch.stack([expected["lora"][0], expected[None][1]]), atol=1e-5, rtol=0)


def test_calls_outside_the_pool_are_as_without_it(base, folders):
    bare = base(PIXELS)
    pool = AdapterPool(base, folders)
    with pool.use("a0"):
        inside = base(PIXELS)
    assert torch.equal(base(PIXELS), bare) and not torch.equal(inside, bare)
    with lvtune.attach(base, load_adapter(folders["a1"], base), name="own"):
        own = base(PIXELS)
        pool(PIXELS, adapters="a2")
        assert torch.equal(base(PIXELS), own)


def test_the_least_recently_used_leaves(base, folders):
    one = size_of(folders["a0"], base)
    pool = AdapterPool(base, folders, budget=3 * one)
    for name in ("a0", "a1", "a2", "a0", "a3"):
        pool(PIXELS, adapters=name)
    assert pool.loaded == ["a2", "a0", "a3"]
    assert pool.bytes == 3 * one
    assert list(lvtune.attached(base)) == ["a0", "a2", "a3"]


def test_those_who_left_are_freed(base, folders):
    pool = AdapterPool(base, folders, budget=size_of(folders["a0"], base))
    pool(PIXELS, adapters="a0")
    gone = weakref.ref(lvtune.attached(base)["a0"])
    gc.disable()  # whoever waits for the collector holds more than the budget meanwhile
    try:
        pool(PIXELS, adapters="a1")
        assert gone() is None
    finally:
        gc.enable()


def test_one_in_use_never_leaves(base, folders):
    one = size_of(folders["a0"], base)
    pool = AdapterPool(base, folders, budget=2 * one)
    with pool.use("a0"):
        for name in ("a1", "a2", "a3"):
            pool(PIXELS, adapters=name)
        assert pool.loaded[0] == "a0"
        with pool.use("a1"), pytest.raises(LvtuneError, match=r"adapter 'a2'.* beside 'a0', 'a1', which are in use"):
            pool(PIXELS, adapters="a2")
        with pytest.raises(LvtuneError, match="a0 are in use"):
            pool.close()
        pool(PIXELS, adapters="a2")  # what failed has let go of nothing and holds nothing
    with pytest.raises(LvtuneError, match="beside"):
        pool(torch.cat([PIXELS, PIXELS[:1]]), adapters=["a0", "a1", "a2"])
    assert all(not one.users for one in pool._loaded.values())


def test_an_adapter_larger_than_the_budget(base, folders):
    pool = AdapterPool(base, folders, budget="1 kB")
    with pytest.raises(LvtuneError, match=r"adapter 'a0' of [\d,]+ bytes; expected at most 1,000 bytes together"):
        pool(PIXELS, adapters="a0")
    assert lvtune.attached(base) == {}


def test_unknown_names_and_names_given_twice(base, folders):
    pool = AdapterPool(base, folders)
    with pytest.raises(LvtuneError, match=r"unknown adapter 'a9'; expected one of a0, a1.*did you mean"):
        pool(PIXELS, adapters="a9")
    pool.add("a0", folders["a0"])
    with pytest.raises(LvtuneError, match="a second adapter named 'a0'"):
        pool.add("a0", folders["a1"])
    pool.add("new", folders["a1"])
    assert torch.equal(pool(PIXELS, adapters="new"), pool(PIXELS, adapters="a1"))


def test_one_that_cannot_be_loaded_leaves_the_others_alone(base, folders, tmp_path):
    pool = AdapterPool(base, {**folders, "gone": tmp_path / "gone"})
    pool(PIXELS, adapters="a0")
    with pytest.raises(LvtuneError, match="no such adapter"):
        pool(PIXELS, adapters=["a0", "gone"])
    assert pool.loaded == ["a0"]


def test_one_detached_behind_our_back_is_loaded_again(base, folders):
    pool = AdapterPool(base, folders)
    first = pool(PIXELS, adapters="a0")
    held = pool.bytes
    lvtune.detach(base)
    assert torch.equal(pool(PIXELS, adapters="a0"), first)
    assert pool.bytes == held


def test_the_base_is_hashed_once(base, folders, monkeypatch):
    from lvtune.storage import adapter_config as config

    hashed = []
    real = config.fingerprint
    monkeypatch.setattr(config, "fingerprint", lambda *args: hashed.append(1) or real(*args))
    pool = AdapterPool(base, folders)
    for name in folders:
        pool(PIXELS, adapters=name)
    assert len(hashed) == 1


def test_an_adapter_of_another_base_is_refused(base, tmp_path):
    pool = AdapterPool(base, {"other": write(tmp_path / "other", tiny_base(seed=1))})
    with pytest.raises(LvtuneError, match="another base"):
        pool(PIXELS, adapters="other")


def test_from_the_hub_asked_once_and_kept_to_its_commit(hub, base, tmp_path):
    put(hub, "ann/a", write(tmp_path / "a", base, seed=1))
    other = write(tmp_path / "b", base, seed=2)
    pool = AdapterPool(base, {"a": "ann/a", "b": other}, budget=size_of(other, base))
    first = pool(PIXELS, adapters="a")
    asked = len(hub.log)
    put(hub, "ann/a", save(*sample(), tmp_path / "c"))
    pool(PIXELS, adapters="b")
    assert pool.loaded == ["b"]
    assert torch.equal(pool(PIXELS, adapters="a"), first)
    assert len(hub.log) == asked


def test_memory_is_the_sum_of_tensors_with_shared_prompts_once(base, tmp_path):
    banks = [tiny_bank(seed=0), tiny_bank(seed=0), tiny_bank(seed=0), tiny_bank(seed=1)]
    folders = {str(i): write(tmp_path / str(i), base, "vlpose", seed=i, bank=bank) for i, bank in enumerate(banks)}
    pool = AdapterPool(base, folders)
    for name in folders:
        pool(PIXELS, adapters=name)
    loaded = lvtune.attached(base).values()
    assert len({id(one.bank) for one in loaded}) == 2
    own = sum(value.nbytes for one in loaded for value in one.state_dict().values())
    held_once = 2 * (banks[0].tokens.nbytes + banks[0].mask.nbytes)
    assert pool.bytes == memory_of(list(loaded)) == own + held_once
    del loaded
    pool.close()


def test_prompts_are_held_once_in_every_precision(base):
    made = [make_adapter("vlpose", base, bank=tiny_bank()) for _ in range(3)]
    for precision in (torch.bfloat16, torch.float64, torch.float32):
        for one in made:
            one.to(precision)
        assert len({one.text_tokens.data_ptr() for one in made}) == 1
        assert made[0].text_tokens.dtype == precision
        torch.testing.assert_close(made[0].text_tokens.float(), tiny_bank().tokens, atol=0.02, rtol=0)
    assert made[0].text_tokens is made[0].bank.tokens


def test_what_vlpose_light_makes_of_its_prompts_is_held_once(base):
    made = [make_adapter("vlpose-light", base, bank=tiny_bank()) for _ in range(3)]
    exact = made[0].sentences.clone()
    for precision in (torch.bfloat16, torch.float32):
        for one in made:
            one.to(precision)
        assert len({one.sentences.data_ptr() for one in made}) == 1
        assert made[0].sentences.dtype == precision
    assert torch.equal(made[0].sentences, exact), "back from half precision without loss"


def test_banks_that_differ_in_anything_are_two():
    bank = tiny_bank()
    assert cached_bank(tiny_bank()) is cached_bank(bank)
    from dataclasses import replace

    for change in ({"encoder": "other"}, {"categories": ("a", "b", "c")}, {"tokens": bank.tokens + 1}):
        assert cached_bank(replace(bank, **change)) is not cached_bank(bank)


def test_banks_go_with_their_last_reader(base):
    made = make_adapter("vlpose", base, bank=tiny_bank(seed=5)).bfloat16()
    gone = weakref.ref(made.bank), weakref.ref(made.text_tokens)
    del made
    gc.collect()
    assert [one() for one in gone] == [None, None]


def test_a_base_in_another_precision(tmp_path):
    base = tiny_base()
    folder = write(tmp_path / "a", base, "lora")
    pool = AdapterPool(base, {"a": folder, "b": write(tmp_path / "b", base, seed=1)})
    pool(PIXELS, adapters="a")
    whole = pool.bytes
    base.model.to(torch.float64)
    pool(PIXELS.double(), adapters="b")
    assert pool.bytes == 4 * whole, "two adapters of twice the width"


def test_threads_get_their_own_answers(base, folders):
    expected = {name: alone(base, folder) for name, folder in folders.items()}
    pool = AdapterPool(base, folders, budget=4 * size_of(folders["a0"], base))
    wrong = []

    def work(seed):
        clock = random.Random(seed)
        for _ in range(25):
            name = clock.choice(list(folders))
            try:
                if not torch.equal(pool(PIXELS, adapters=name), expected[name]):
                    wrong.append(name)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert pool.bytes <= pool.budget


def test_one_that_two_threads_want_is_loaded_once(base, folders, monkeypatch):
    loads, real = [], pool_module.load_adapter
    monkeypatch.setattr(pool_module, "load_adapter", lambda *a, **k: loads.append(1) or real(*a, **k))
    pool = AdapterPool(base, folders)
    threads = [threading.Thread(target=pool, args=(PIXELS, "a0")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(5, 5), ("5", 5), ("64 MB", 64_000_000), ("1.5GiB", 3 * 2**29), ("2kb", 2000), ("7 B", 7)],
)
def test_budgets(text, expected):
    assert read_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "much", "3 apples", "MB", "nan", "inf MB", "1e400"])
def test_budgets_that_are_none(text):
    with pytest.raises(LvtuneError, match="such as 64 MB"):
        read_bytes(text)


def test_created_adapters_share_their_sentences_too(base):
    first, second = (create_adapter("vlpose", base, domain="demo-art", visual_prompts=1) for _ in range(2))
    assert first.bank is second.bank


def test_the_example_runs(capsys):
    runpy.run_path(str(Path(__file__).parents[2] / "examples/many_adapters.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("loaded: domain-0, domain-1; 601 kB")
    assert lines[-1].endswith("loaded: domain-6, domain-7, domain-0; 901 kB")
