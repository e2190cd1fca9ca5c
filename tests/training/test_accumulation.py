"""The number of parts that fits into the memory: measured, told, and without a trace in the run."""

import pytest
import torch
from test_loop import bytes_of, run
from tiny import TinyPictures

from lvtune.core.errors import UsageError
from lvtune.training import accumulation
from lvtune.training.accumulation import MemoryProbe, free_bytes, parts_that_fit


@pytest.mark.parametrize("method", ["vlpose", "vlpose-light", "full"])
def test_auto_with_enough_memory_is_the_undivided_run_bit_for_bit(method, capsys):
    expected, history = run(method, epochs=2, ema=0.9)
    found, other = run(method, epochs=2, ema=0.9, accumulate="auto")
    assert bytes_of(found) == bytes_of(expected) and other.loss == history.loss
    said = [decision.what for decision in other.decisions if decision.what != "linear layers in each step"]
    assert other.division.is_whole and said == ["accumulate"]
    said = capsys.readouterr().err
    assert "tuning: accumulate: 1 part of 4 pictures (" in said and "MB a picture were measured" in said


def test_less_memory_gives_more_parts_and_the_same_adapter(monkeypatch, capsys):
    whole, _ = run("lora", epochs=1, batch_size=8)
    seen = []
    monkeypatch.setattr(accumulation, "parts_that_fit", lambda *given: seen.append(given) or parts_that_fit(*given))
    run("lora", epochs=1, batch_size=8, accumulate="auto")
    (small, large), fixed, free, pictures = seen[0]
    assert 0 < small < large <= 2 * small and fixed > 0 and pictures == 8 and free > 1e7
    each = (large - small) / 2
    monkeypatch.setattr(
        accumulation, "free_bytes", lambda device: int((fixed + small + 1.5 * each) / accumulation.USED)
    )
    parts, history = run("lora", epochs=1, batch_size=8, accumulate="auto")
    assert history.division.accumulate == 3 and "accumulate: 3 parts of 3 pictures" in capsys.readouterr().err
    assert max((a - b).abs().max() for a, b in zip(whole.parameters(), parts.parameters(), strict=True)) < 1e-4
    monkeypatch.setattr(accumulation, "free_bytes", lambda device: 1000)
    with pytest.raises(UsageError, match=r"a step of one picture, which takes .* MB; expected at most .*checkpointing"):
        run("lora", epochs=1, batch_size=8, accumulate="auto")


@pytest.mark.parametrize(
    ("used", "fixed", "free", "pictures", "parts"),
    [((30, 50), 0, 1000, 8, 1), ((30, 50), 0, 100, 8, 2), ((30, 50), 20, 100, 8, 2), ((30, 50), 50, 100, 8, 4),
     ((30, 50), 0, 100, 512, 74), ((20, 40), 0, 10**9, 512, 1)],
)  # fmt: skip
def test_as_many_pictures_as_fit_into_what_weights_and_moments_leave(used, fixed, free, pictures, parts):
    assert parts_that_fit(used, fixed, free, pictures) == parts
    at_once = -(-pictures // parts)
    assert fixed + used[0] + (at_once - 2) * (used[1] - used[0]) / 2 <= accumulation.USED * free


def test_the_error_compares_like_with_like(monkeypatch):
    with pytest.raises(UsageError, match=r"which takes 32 MB; expected at most 24 MB: 80% of the 30 MB that are free"):
        parts_that_fit((20_000_000, 20_000_000 + 2 * 12_000_000), 20_000_000, 30_000_000, 8)


def test_measuring_leaves_weights_statistics_and_random_numbers():
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Dropout())
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    state = torch.get_rng_state()
    batches = [{"pixel_values": torch.randn(count, 3, 16, 16)} for count in (2, 4)]
    torch.set_rng_state(state)
    loss_of = lambda batch: layer(batch["pixel_values"]).square().mean()  # noqa: E731
    small, large = MemoryProbe(layer, loss_of, torch.device("cpu")).measure(batches)
    assert 1.9 < large / small < 2.1
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert all(value.grad is None for value in layer.parameters())


def test_the_free_memory_is_shared_by_the_processes_of_a_machine(monkeypatch):
    alone = free_bytes(torch.device("cpu"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert 0.1 < free_bytes(torch.device("cpu")) / alone < 0.5 and alone > 1e7


def test_a_data_set_of_one_picture_can_be_measured():
    _, history = run("norm", data=TinyPictures(1), epochs=1, accumulate="auto")
    assert history.division.size == 1 and len(history.loss) == 1
