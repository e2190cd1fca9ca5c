"""A step that is divided into micro-batches is the step of the undivided batch."""

import pytest
import torch
from test_loop import Breaking, bytes_of, options, run
from tiny import TinyPictures, make_adapter, tiny_base
from tiny_hands import TinyHands, tiny_hand_base

from lvtune.adapters.method_registry import METHODS
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.training.hand_objective import HandObjective
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from lvtune.training.objective_wrapper import Steps
from lvtune.training.sampler import Division, EpochSampler, PartSampler

TOLERANCE = 1e-4
"""Largest difference of a weight after four steps at rate 5e-3. Most methods stay below 3e-6; but Adam gives a gradient
that is all rounding, such as that of a key's bias, a step of the full rate."""
FROZEN = {
    "full": {"freeze_batchnorm": True},
    "head": {"freeze_batchnorm": True},
    "last-blocks": {"freeze_batchnorm": True},
}
TRAINS_BATCHNORM = ("stack", "vlpose")


def farthest(one, other):
    """Largest difference of two adapters' trained weights."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


@pytest.mark.parametrize("method", [m for m in METHODS.names() if m not in TRAINS_BATCHNORM])
def test_accumulating_gives_the_adapter_of_the_large_batch(method):
    adapters = []
    for accumulate in (1, 3):
        base = tiny_base()
        adapter = make_adapter(method, base, **FROZEN.get(method, {}))
        _, history = run(method, base=base, adapter=adapter, epochs=2, accumulate=accumulate)
        assert history.notes == []
        adapters.append((adapter, history))
    (whole, first), (parts, second) = adapters
    assert farthest(whole, parts) < TOLERANCE
    assert second.loss == pytest.approx(first.loss, rel=1e-4) and second.steps == first.steps
    assert second.empty_loss == pytest.approx(first.empty_loss, rel=1e-5)
    assert farthest(whole, make_adapter(method, base, **FROZEN.get(method, {}))) > 10 * TOLERANCE


@pytest.mark.parametrize(
    ("method", "given"),
    [("lora", {"dropout": 0.4}), ("bottleneck", {"dropout": 0.4}), ("vlpose-light", {"sentence_dropout": 0.5}),
     ("vlpose", {"decoder": "baseline", "placement": "deep", "drop_path": 0.5}),
     ("vlpose", {"decoder": "injector", "dropout": 0.3})],
)  # fmt: skip
def test_what_is_drawn_for_a_sample_does_not_depend_on_the_parts(method, given):
    found = []
    for accumulate in (1, 2):
        base = tiny_base()
        adapter = make_adapter(method, base, stirred=0.1, **given)
        _, history = run(method, base=base, adapter=adapter, epochs=2, accumulate=accumulate)
        assert history.notes == []
        found.append(adapter)
    assert farthest(*found) < TOLERANCE


def test_trained_batchnorm_is_told():
    _, history = run("vlpose", epochs=1, accumulate=2)
    assert history.notes == [
        "statistics of trained BatchNorms are of 2 pictures, not of all 4 of a step: the result differs from one batch"
    ]
    assert run("vlpose", epochs=1)[1].notes == []


class Contrasting(HeatmapObjective):
    """Says that it compares samples, and counts its steps."""

    compares = "negatives"

    def __init__(self):
        super().__init__()
        self.trained, self.seen = Steps(), []

    def __call__(self, base, batch):
        self.seen.append((self.trained.next(), len(batch["index"])))
        return super().__call__(base, batch)


def test_a_contrast_is_told_and_steps_are_counted_not_parts(capsys):
    objective = Contrasting()
    _, history = run("norm", objective=objective, epochs=2, accumulate=3, data=TinyPictures(8))
    assert history.notes == [
        "heatmap: negatives are of 1 to 2 pictures, not of all 4 of a step: the result differs from one batch"
    ]
    assert f"tuning: note: {history.notes[0]}\n" in capsys.readouterr().err
    assert [step for step, _ in objective.seen] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [size for _, size in objective.seen[:3]] == [1, 1, 2] and int(objective.trained.step) == 4


@pytest.mark.parametrize("known", [(0, 1, 2), (5,), ()])
def test_a_mean_over_some_hands_is_one_over_the_whole_step(known):
    found = []
    for accumulate in (1, 4):
        base, data = tiny_hand_base(), TinyHands(8)
        data.batch["xyz"][[i for i in range(8) if i not in known]] = torch.nan
        adapter = make_adapter("lora", base)
        given = options(steps=3, batch_size=8, accumulate=accumulate)
        history = tune(base, adapter, data, HandObjective(), given, seed=0, device="cpu")
        found.append((adapter, history.loss))
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-4)
    assert farthest(found[0][0], found[1][0]) < TOLERANCE


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("method", ["vlpose", "vlpose-light", "full", "last-blocks", "lora", "vpt", "ssf"])
def test_computing_blocks_again_changes_no_bit(method, precision):
    kept, history = run(method, epochs=2, precision=precision)
    again, other = run(method, epochs=2, precision=precision, checkpointing=True)
    assert bytes_of(kept) == bytes_of(again) and history.loss == other.loss


def test_blocks_computed_again_keep_fewer_activations():
    from lvtune.patcher.attaching import attach
    from lvtune.training.accumulation import _kept_bytes
    from lvtune.training.recomputed_blocks import recomputed_blocks

    base = tiny_base(layers=6)
    adapter = make_adapter("lora", base)
    sizes = []
    with attach(base, adapter):
        forward = base.blocks[0].layer.forward
        for context in (None, recomputed_blocks(base, adapter)):
            with _kept_bytes() as kept:
                if context is None:
                    base(torch.zeros(4, 3, 64, 48))
                else:
                    with context:
                        base(torch.zeros(4, 3, 64, 48))
            sizes.append(sum(kept.values()))
        assert base.blocks[0].layer.forward == forward
    assert sizes[1] < 0.5 * sizes[0]


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_a_part_that_is_not_finite_names_its_samples(kind):
    class Bad(Breaking):
        def __call__(self, base, batch):
            self.left -= 1
            self.last = batch["index"].tolist()
            return HeatmapObjective.__call__(self, base, batch) * (float(kind) if self.left == -1 else 1)

    with pytest.raises(LvtuneError) as error:
        run(objective=Bad(3), accumulate=2)
    begins, samples = error.value.given.partition(" (not finite: the loss)")[0].split(", on the samples ")
    assert begins == f"a loss of {kind} at step 1" and len(samples.split(", ")) == 2


def test_more_parts_than_pictures_are_as_many_as_pictures(capsys):
    whole, _ = run("norm", epochs=1)
    parts, history = run("norm", epochs=1, accumulate=9)
    assert history.division == Division(4, accumulate=4) and farthest(whole, parts) < TOLERANCE
    assert "accumulate: 4 parts (a step has 4 pictures)" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "processes", "accumulate"), [(7, 2, 1), (7, 2, 3), (512, 3, 5), (5, 5, 1), (6, 1, 4)])
def test_the_parts_of_all_processes_are_the_batch(size, processes, accumulate):
    sampler = EpochSampler(3 * size + 1, size, seed=1)
    divisions = [Division(size, processes, rank, accumulate) for rank in range(processes)]
    parts = [list(PartSampler(sampler, division)) for division in divisions]
    assert all(len(own) == len(PartSampler(sampler, d)) for own, d in zip(parts, divisions, strict=True))
    for step, batch in enumerate(sampler):
        rows = [own[step * accumulate : (step + 1) * accumulate] for own in parts]
        assert [item for own in rows for part in own for item in part] == batch
    sizes = {len(part) for own in parts for part in own}
    assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1


def test_a_resumed_run_of_parts_equals_an_unbroken_one(tmp_path):
    given = {"epochs": 4, "accumulate": 2, "checkpoint_every": 1, "ema": 0.9}
    expected, history = run("vlpose-light", **given)
    more = {"checkpoint": tmp_path / "run.safetensors", "key": "a"}
    with pytest.raises(KeyboardInterrupt):
        run("vlpose-light", objective=Breaking(9), more=more, **given)
    found, resumed = run("vlpose-light", more=more, **given)
    assert bytes_of(found) == bytes_of(expected) and resumed.loss == history.loss


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "some"])
def test_other_numbers_of_parts_are_refused(value):
    from lvtune.api.recipe import Recipe

    with pytest.raises(UsageError, match="accumulate"):
        Recipe.from_dict({"train": {"accumulate": value}})
