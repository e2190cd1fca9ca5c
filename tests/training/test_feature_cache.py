"""Features of an encoder that is left as it is: computed once for each view, and read in later epochs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pyramids import FAMILIES, WINDOWED_AND_PYRAMIDS, load
from safetensors.torch import load_file
from tiny import SIZE, TinyPictures, make_adapter, snapshot, tiny_base
from torch import nn

from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.core.errors import UsageError
from lvtune.data.subset import Subset
from lvtune.patcher.attaching import attach
from lvtune.training.feature_cache import FeatureCache
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune

USUAL = {"epochs": 5.0, "batch_size": 5, "lr": 5e-3, "warmup": 0.0, "precision": "no"}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LVTUNE_CACHE", str(tmp_path))
    return tmp_path / "features"


def entries(folder):
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


class Repeating(TinyPictures):
    """Has two views of each picture, without a cache."""

    def set_epoch(self, epoch):
        super().set_epoch(epoch % 2)


def run(method="head", *, data=None, objective=None, more=None, base=None, **options):
    base, calls = tiny_base() if base is None else base, []
    adapter = make_adapter(method, base, **(more or {}))
    hook = base.blocks[0].norm.register_forward_hook(lambda *_: calls.append(1))
    train = Recipe(train=TrainOptions(**(USUAL | options))).resolved().train
    history = tune(base, adapter, data or TinyPictures(10), objective or HeatmapObjective(), train, device="cpu")
    hook.remove()
    return adapter, history, len(calls)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_encoder_runs_in_the_first_epochs_alone(folder, workers):
    adapter, history, calls = run(cached_views=2, workers=workers)
    assert calls == 2 * 2  # two views of two batches; the loop does not call the base otherwise
    assert "30 of 50 samples" in " ".join(history.notes)
    plain, other, calls = run(data=Repeating(10))
    assert calls == 5 * 2
    torch.testing.assert_close(torch.tensor(history.loss), torch.tensor(other.loss), rtol=5e-3, atol=0)
    assert adapter.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize(("method", "more"), [("head", {"part": "predictor"}), ("vlpose", {"placement": "none"})])
def test_it_serves_every_method_that_leaves_the_encoder(method, more):
    _, history, calls = run(method, more=more, cached_views=1)
    assert calls == 2
    assert torch.tensor(history.loss).isfinite().all()


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("vlpose-light", {}),
        ("lora", {}),
        ("vlpose", {"placement": "deep"}),
        ("full", {}),
        ("last-blocks", {"blocks": 3}),
    ],
)
def test_a_method_that_changes_the_encoder_is_refused(method, more):
    with pytest.raises(UsageError, match="changes the encoder"):
        run(method, more=more, cached_views=1)


def test_an_objective_that_may_change_what_the_encoder_does_is_refused():
    class Other(HeatmapObjective):
        objective = "other"
        encodes_plainly = False

    with pytest.raises(UsageError, match="objective other"):
        run(objective=Other(), cached_views=1)


def test_what_does_not_fit_is_computed_in_each_epoch(capsys):
    whole, _, _ = run(cached_views=1)
    assert "are kept in" in capsys.readouterr().err
    part, history, calls = run(cached_views=1, cache_size=5 * 2 * 12 * 48 / 1e9)  # 5 of 10 pictures, 12 tokens of 48
    assert calls > 2 and "features of 4 of 10 samples" in " ".join(history.notes)
    assert "are kept in" in (said := capsys.readouterr().err) and "fit: the others are computed in each epoch" in said
    none, history, calls = run(cached_views=1, cache_size=0.0)
    assert calls == 10 and "has no room for one of 10 samples" in " ".join(history.notes)
    assert "are kept in" not in (said := capsys.readouterr().err) and "features are not kept" in said
    for one in (part, none):
        for name, value in whole.state_dict().items():
            torch.testing.assert_close(one.state_dict()[name], value, rtol=0.1, atol=0.02)


@pytest.mark.parametrize(
    ("family", "method", "more"),
    [*((family, "head", {}) for family in FAMILIES), ("vit", "last-blocks", {"blocks": 1})],
)
def test_every_family_gives_what_it_gives_without_a_cache(folder, family, method, more):
    base = load(family)
    adapter = make_adapter(method, base, stirred=0.01, **more)
    pixels = torch.randn(5, 3, *base.input_size, generator=torch.Generator().manual_seed(0))
    size = {"count": 5, "views": 1, "most_bytes": 1e9, "folder": folder}
    with attach(base, adapter), torch.no_grad():
        plain = base(pixels)
        with FeatureCache(base, adapter, **size) as cache:
            for rows in ([0, 1, 2], [2, 0, 3], [4, 3, 2, 1, 0], [3, 0, 4]):
                with cache.reading({"pixel_values": pixels[rows], "index": torch.tensor(rows)}) as own:
                    torch.testing.assert_close(base(own["pixel_values"]), plain[rows], rtol=2e-2, atol=2e-3)
        # the blocks behind run for a whole batch, so one sample that is not there lets all be computed
        assert (cache.hits, cache.misses) == ((9, 5) if method == "head" else (3, 11))
        assert torch.equal(base(pixels), plain)


@pytest.mark.parametrize("family", WINDOWED_AND_PYRAMIDS)
def test_blocks_that_change_the_shape_are_not_passed_over(folder, family):
    base = load(family)
    with pytest.raises(UsageError, match="changes the encoder"):
        adapter = make_adapter("last-blocks", base, blocks=1)
        FeatureCache(base, adapter, count=1, views=1, most_bytes=1e9, folder=folder)


def test_other_pictures_than_the_batch_are_computed(folder):
    base = tiny_base()
    adapter = make_adapter("head", base)
    pixels = torch.randn(2, 3, *base.input_size)
    batch = {"pixel_values": pixels, "index": torch.tensor([0, 1])}
    with FeatureCache(base, adapter, count=2, views=1, most_bytes=1e9, folder=folder) as cache, torch.no_grad():
        with cache.reading(batch) as own:
            assert own["pixel_values"] is pixels
            first, again, other = base(pixels), base(pixels), base(pixels.flip(3))
        assert (cache.hits, cache.misses) == (2, 2)
        assert torch.equal(first, again)
        outside = base(pixels)
    torch.testing.assert_close(first, outside, rtol=1e-2, atol=1e-2)
    assert torch.equal(other, base(pixels.flip(3)))


def test_the_base_is_given_back():
    base = tiny_base()
    before = snapshot(base.model)
    run(base=base, cached_views=1)
    assert snapshot(base.model) == before


def test_features_too_large_for_half_precision_are_not_kept():
    base = tiny_base()
    with torch.no_grad():
        base.final_norm.weight.mul_(1e6)
    assert isinstance(base.final_norm, nn.LayerNorm)
    _, _, calls = run(base=base, cached_views=1, lr=1e-9)
    assert calls == 10


def same(one, other, **tolerance):
    for name, value in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, **(tolerance or {"rtol": 0, "atol": 0}))


class Changed(TinyPictures):
    """One picture was replaced under its name."""

    def __getitem__(self, index):
        return super().__getitem__(index) | ({"pixel_values": torch.ones(3, *SIZE)} if index == 3 else {})


class Brighter(TinyPictures):
    """Another transform of the same pictures."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample | {"pixel_values": sample["pixel_values"] + 0.5}


def test_a_second_run_reads_what_the_first_one_wrote(folder):
    first, _, _ = run(cached_views=2)
    second, history, calls = run(cached_views=2)
    assert calls == 1  # the first batch, which is compared
    assert "45 of 50 samples" in history.notes[-1] and "45 of them were written by an earlier" in history.notes[-1]
    assert str(folder) in history.notes[0]
    same(first, second)
    _, _, calls = run(cached_views=3)  # one view more than is there
    assert calls == 1 + 2


def test_a_run_that_keeps_nothing(folder):
    first, history, _ = run(cached_views=1, keep_features=False)
    assert not entries(folder)
    assert "until the end of the run" in history.notes[0]
    run(cached_views=1)
    assert len(entries(folder)) == 1
    again, _, calls = run(cached_views=1, keep_features=False)
    assert calls == 2  # nor does it read
    assert len(entries(folder)) == 1
    same(first, again)


class Counted(TinyPictures):
    """Knows its labels without its pictures, and counts the pictures that are read."""

    fingerprint = "counted"

    def __init__(self, count):
        super().__init__(count)
        self.read = torch.zeros((), dtype=torch.int64).share_memory_()

    def __getitem__(self, index):
        self.read += 1
        return super().__getitem__(index)

    def labels(self, index):
        return super().__getitem__(index) | {"pixel_values": torch.zeros(3, *SIZE)}


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_are_read_once_a_view(workers, folder):
    data = Counted(10)
    found, _, _ = run(data=data, cached_views=2, workers=workers)
    assert data.read == 20
    wanted, _, _ = run(cached_views=2, keep_features=False)
    same(wanted, found)
    data = Counted(10)
    again, _, calls = run(data=data, cached_views=2)
    assert calls == 1 and data.read == 20  # their pixels say whether they are the same pictures
    same(found, again, rtol=1e-3, atol=1e-5)


def test_samples_that_keep_the_numbers_of_a_larger_data_set():
    """Their numbers are not their places: places name the rows."""
    wanted, _, _ = run(data=Subset(Counted(30), range(29, 9, -2), renumber=False), cached_views=2, keep_features=False)
    inner = Counted(30)
    found, history, calls = run(data=Subset(inner, range(29, 9, -2), renumber=False), cached_views=2)
    same(wanted, found)
    assert calls == 2 * 2 and "30 of 50 samples" in history.notes[-1] and inner.read == 20
    plain, _, _ = run(data=Subset(Repeating(30), range(29, 9, -2), renumber=False))
    same(plain, found, rtol=5e-2, atol=2e-2)
    _, _, calls = run(data=Subset(Counted(30), range(28, 8, -2), renumber=False), cached_views=2)
    assert calls == 4  # other samples


def test_pictures_are_read_again_where_their_features_are_lost(folder):
    """The file is emptied in the middle of a run, as by somebody who wipes the cache."""

    class Wiping(Counted):
        def set_epoch(self, epoch):
            super().set_epoch(epoch)
            for file in folder.glob("*/features.bin"):
                file.write_bytes(bytes(file.stat().st_size // 2) + file.read_bytes()[file.stat().st_size // 2 :])

    wanted, _, _ = run(cached_views=1, keep_features=False)
    found, _, calls = run(data=Wiping(10), cached_views=1)
    same(wanted, found, rtol=1e-3, atol=1e-5)
    assert calls > 2


@pytest.mark.parametrize("pictures", [Changed, Brighter])
def test_pictures_that_changed_are_computed_anew(pictures, folder, monkeypatch):
    wanted, _, _ = run(data=pictures(10), cached_views=1, keep_features=False)
    # the worst case: all that names the data is as it was
    monkeypatch.setattr(TinyPictures, "fingerprint", "same", raising=False)
    before, _, _ = run(cached_views=1)
    found, history, _ = run(data=pictures(10), cached_views=1)
    same(wanted, found, rtol=1e-3, atol=1e-5)
    with pytest.raises(AssertionError):
        same(before, found, rtol=1e-3, atol=1e-5)
    read = int(history.notes[-1].partition(" of 50 samples")[0].rpartition(" ")[2])
    assert read == 40 if pictures is Brighter else read >= 44
    assert len(entries(folder)) == 1


def test_another_base_does_not_read_them(folder):
    run(cached_views=1)
    wanted, _, _ = run(base=tiny_base(seed=1), cached_views=1, keep_features=False)
    found, _, calls = run(base=tiny_base(seed=1), cached_views=1)
    assert calls == 2
    same(wanted, found)
    assert len(entries(folder)) == 2


def test_features_of_another_model_under_the_same_name_are_found_out(folder, monkeypatch):
    """As after a change that the entry's name does not hold."""
    monkeypatch.setattr("lvtune.training.feature_cache.described", lambda *_: {"all": "alike"})
    run(cached_views=1)
    wanted, _, _ = run(base=tiny_base(seed=1), cached_views=1, keep_features=False)
    found, history, calls = run(base=tiny_base(seed=1), cached_views=1)
    assert calls == 2 and "not those of this base" in " ".join(history.notes)
    same(wanted, found)
    assert len(entries(folder)) == 1


def test_a_damaged_file_is_computed_again(folder):
    first, _, _ = run(cached_views=1)
    (file,) = folder.glob("*/features.bin")
    data = bytearray(file.read_bytes())
    data[100] ^= 1  # one bit of the first row
    data[-40:] = bytes(40)  # the end of the last row, as a killed process leaves it
    file.write_bytes(data)
    again, history, _ = run(cached_views=1)
    assert any(
        f"{read} of 50 samples" in history.notes[-1] for read in (43, 44, 45)
    )  # one or two more than the first 5
    same(first, again, rtol=1e-3, atol=1e-5)


def test_a_disk_without_room_keeps_what_it_has_and_says_so(folder, monkeypatch, capsys):
    written = []

    def pwrite(handle, data, place, real=os.pwrite):
        written.append(place)
        if len(written) > 4:
            raise OSError(28, "No space left on device")
        return real(handle, data, place)

    whole, _, _ = run(cached_views=1, keep_features=False)
    monkeypatch.setattr(os, "pwrite", pwrite)
    part, history, calls = run(cached_views=1)
    assert len(written) == 5 and calls > 2
    assert sum("no room is left for features" in note for note in history.notes) == 1
    assert "no room is left for features" in capsys.readouterr().err
    same(whole, part, rtol=1e-3, atol=1e-5)


def test_a_folder_that_cannot_be_written_is_said(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LVTUNE_CACHE", str(tmp_path / "file"))
    _, history, calls = run(cached_views=1)
    assert calls == 10 and "cannot be kept" in " ".join(history.notes)
    assert "cannot be kept" in (said := capsys.readouterr().err) and "are kept in" not in said


def test_a_row_that_cannot_be_read_is_computed_again(folder, monkeypatch):
    whole, _, _ = run(cached_views=1, keep_features=False)
    monkeypatch.setattr(os, "pread", lambda handle, count, place: (_ for _ in ()).throw(OSError(5, "input/output")))
    part, _, calls = run(cached_views=1)
    assert calls == 10
    same(whole, part, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("trained", [1, 2])
def test_blocks_in_front_of_the_first_change_run_once(trained):
    more = {"blocks": trained}
    adapter, history, calls = run("last-blocks", more=more, cached_views=2, lr=1e-3)
    assert calls == 2 * 2
    assert f"the first {3 - trained} of 3 blocks" in history.notes[-1]
    _, other, calls = run("last-blocks", more=more, data=Repeating(10), lr=1e-3)
    assert calls == 5 * 2
    torch.testing.assert_close(torch.tensor(history.loss), torch.tensor(other.loss), rtol=2e-2, atol=0)
    again, history, calls = run("last-blocks", more=more, cached_views=2, lr=1e-3)
    assert calls == 1
    same(adapter, again)


SCRIPT = """
import sys, torch
sys.path[:0] = {paths!r}
from tiny import TinyPictures, make_adapter, tiny_base
from lvtune.api.recipe import Recipe
from lvtune.config.options import TrainOptions
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from safetensors.torch import save_file

base = tiny_base()
adapter = make_adapter("head", base)
options = Recipe(train=TrainOptions(epochs={epochs}, batch_size=5, lr=5e-3, warmup=0.0, precision="no",
                                    cached_views=4)).resolved().train
class Slow(TinyPictures):
    fingerprint = "slow"
    def set_epoch(self, epoch):
        print("epoch", flush=True)
        super().set_epoch(epoch)
print("ready", flush=True)
sys.stdin.readline()
tune(base, adapter, Slow(40), HeatmapObjective(), options, device="cpu")
save_file(adapter.state_dict(), sys.argv[1])
"""


def process(tmp_path, name, epochs=6):
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(paths=paths, epochs=float(epochs)), str(tmp_path / name)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_two_processes_at_once_and_one_that_is_killed(folder, tmp_path):
    """Processes that write the same entry at the same time; a killed one leaves nothing that is taken for whole."""
    killed, *both = (process(tmp_path, name, epochs) for name, epochs in (("killed", 1000), ("one", 6), ("two", 6)))
    for one in (killed, *both):
        assert one.stdout.readline() == "ready\n"
    killed.stdin.write("go\n")
    killed.stdin.flush()
    lines = 0
    while lines < 3:  # in the middle of writing
        lines += killed.stdout.readline().startswith("epoch")
    killed.kill()
    killed.communicate()
    for one in both:  # they have imported everything, and begin together
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in both:
        one.communicate(timeout=300)
        assert one.returncode == 0
    (entry,) = entries(folder)
    assert sorted(file.name for file in entry.iterdir()) == ["about.json", "features.bin"]
    wanted, _, _ = run(data=TinyPictures(40), cached_views=4, epochs=6.0, keep_features=False)
    for name in ("one", "two"):
        found = load_file(tmp_path / name)
        for key, value in wanted.state_dict().items():
            torch.testing.assert_close(found[key], value, rtol=5e-3, atol=1e-4)


def test_a_base_of_half_precision_has_its_features_cached():
    base = tiny_base()
    base.model.to(torch.bfloat16)
    _, history, calls = run(base=base, cached_views=1)
    assert calls == 2 and "40 of 50 samples" in history.notes[-1]
