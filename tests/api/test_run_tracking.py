"""What a tracker gets of a run, and what it never gets; checkpoints that are asked for by name."""

from __future__ import annotations

import re
import sys
import time
import types

import pytest
from attacks.commands import BASE, _register
from own_files import draw_pictures, mice, write

import lvtune
from lvtune.api import run_tracking
from lvtune.api.adapting import CHECKPOINT_FILE
from lvtune.api.recipe import Recipe
from lvtune.api.resuming import check_resume
from lvtune.api.run_tracking import RunTracker, plain_settings
from lvtune.core.errors import UsageError
from lvtune.training import loop


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _register()
    (tmp_path / "pics").mkdir()
    data = mice(6)
    draw_pictures(data, tmp_path / "pics")
    write(data, tmp_path / "pics")
    return {
        "base": BASE, "method": "lora", "device": "cpu", "seed": 1, "base_options": {"input_size": "own"},
        "data": {"data": "pics", "annotations": "pics/annotations.json"},
        "train": {"epochs": 2, "batch_size": 4}, "out": "out/run",
    }  # fmt: skip


def test_secrets_and_places_of_this_machine_are_never_stored():
    token = "hf_" + "a1B2" * 8
    recipe = Recipe(
        weights=f"https://ann:geheim@example.org/{token}", out="/home/ann/out", look=("/home/ann/pics/x.png",),
        start="org/repo?token=geheim",
    )  # fmt: skip
    text = str(plain_settings(recipe))
    assert "geheim" not in text and token not in text and "/home/ann" not in text
    assert plain_settings(recipe)["base"] == "vitpose-ti"


def test_a_tracker_that_is_not_installed_is_told_before_work_starts(recipe, monkeypatch):
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    for name, command in (("wandb", "pip install wandb"), ("tensorboard", r"pip install 'lvtune\[tracking\]'")):
        with pytest.raises(UsageError, match="--track") as caught:
            lvtune.adapt({**recipe, "track": name}, say=pytest.fail)
        assert command.replace("\\", "") in caught.value.fix
    with pytest.raises(lvtune.LvtuneError, match="track"):
        lvtune.adapt({**recipe, "track": "notebook"})


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_the_other_trackers_are_called_in_their_own_way(name, tmp_path, monkeypatch):
    """They are replaced by a record of the calls. Names keep to what MLflow takes."""
    calls = []

    class Fake:
        def __init__(self, *args, **options):
            calls.append(("made", args, options))

        def __getattr__(self, word):
            return lambda *args, **options: calls.append((word, args, options))

    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: [name])
    monkeypatch.setitem(__import__("accelerate.tracking").tracking.LOGGER_TYPE_TO_CLASS, name, Fake)
    monkeypatch.setitem(sys.modules, "trackio", types.SimpleNamespace(Image=lambda pixels: pixels.shape))
    from PIL import Image

    Image.new("RGB", (4, 2)).save(tmp_path / "shown.png")
    with pytest.raises(KeyError), RunTracker(name, tmp_path / "my-run", calls.append) as _:
        raise KeyError
    one = RunTracker(name, tmp_path / "my-run", lambda text: None)
    with one:
        one.start(Recipe())
        one.begin({"target before pck@0.2": 1.0})
        one.record(1, {"loss": 0.5})
        one.end(2, {}, [tmp_path / "shown.png", tmp_path / "missing.png"])
    words = [call[0] for call in calls]
    assert words[:3] == ["made", "start", "store_init_configuration"] and words[-1] == "finish"
    assert calls[0][1] == (run_tracking.PROJECT,) and "my-run" in calls[0][2].values()
    assert ("log", ({"loss": 0.5},), {"step": 1}) in calls
    names = [word for call in calls if call[0] == "log" for word in call[1][0]]
    assert names[0] == "scores/target before pck_at_0.2" and not [n for n in names if re.search(r"[^\w\-. :/]", n)]
    picture = [call for call in calls if "shown" in str(call)]
    assert len(picture) == 1 and picture[0][0] == {"wandb": "log_images", "mlflow": "log_artifact"}.get(name, "log")


@pytest.fixture
def no_state():
    """Accelerate as it is in a process that has made no Accelerator yet."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
@pytest.mark.filterwarnings("default")
def test_a_real_tracker_takes_a_run_of_a_fresh_process(name, tmp_path, monkeypatch, no_state):
    """The packages are no part of the tests' extra: this is skipped where they are missing."""
    pytest.importorskip(name, reason=f"pip install {name}")
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    Image.new("RGB", (4, 2)).save(tmp_path / "shown.png")
    one = RunTracker(name, tmp_path / "my-run", lambda text: None)
    with one:
        one.start(Recipe())
        one.begin({"target before pck@0.2": 1.0})
        one.record(1, {"loss": 0.5})
        one.end(2, {"target after_on pck@0.2": 2.0}, [tmp_path / "shown.png"])
    if name == "mlflow":
        import mlflow  # pyright: ignore[reportMissingImports]

        (run,) = mlflow.search_runs(experiment_names=["lvtune"], output_format="list")
        assert run.data.metrics == {
            "loss": 0.5,
            "scores/target before pck_at_0.2": 1.0,
            "scores/target after_on pck_at_0.2": 2.0,
        }
        assert run.data.params["base"] == "vitpose-ti" and run.info.run_name == "my-run"
    assert [
        file for file in tmp_path.rglob("*") if "shown" in file.name and file.parent != tmp_path
    ] or name == "trackio"


def test_a_fresh_process_has_the_state_that_the_trackers_ask_for(tmp_path, monkeypatch, no_state):
    """Accelerate's trackers end in an error without it."""
    from accelerate.state import PartialState

    class Asks:
        def __init__(self, *args, **options):
            assert PartialState._shared_state

        def __getattr__(self, word):
            return lambda *args, **options: None

    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: ["wandb"])
    monkeypatch.setitem(__import__("accelerate.tracking").tracking.LOGGER_TYPE_TO_CLASS, "wandb", Asks)
    said = []
    RunTracker("wandb", tmp_path, said.append).start(Recipe(device="cpu"))
    assert said == ["tracked by wandb"] and str(PartialState().device) == "cpu"


def test_a_tracker_that_does_not_start_is_a_clear_error(tmp_path, monkeypatch):
    class Refuses:
        def __init__(self, *args, **options):
            print("welcome")

        def start(self):
            raise RuntimeError("No key configured\nfor hf_" + "a1B2" * 8)

        def finish(self):
            raise AttributeError("run")

    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: ["wandb"])
    monkeypatch.setitem(__import__("accelerate.tracking").tracking.LOGGER_TYPE_TO_CLASS, "wandb", Refuses)
    one = RunTracker("wandb", tmp_path, pytest.fail)
    with pytest.raises(UsageError, match="No key configured") as caught, one:
        one.start(Recipe())
    assert "wandb login" in caught.value.fix and "a1B2" not in str(caught.value)


def test_what_a_tracker_prints_is_not_on_stdout(tmp_path, monkeypatch, capsys):
    class Talks:
        def __init__(self, *args, **options):
            print("welcome")

        def __getattr__(self, word):
            return lambda *args, **options: print(word)

    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: ["trackio"])
    monkeypatch.setitem(__import__("accelerate.tracking").tracking.LOGGER_TYPE_TO_CLASS, "trackio", Talks)
    one = RunTracker("trackio", tmp_path, lambda text: None)
    with one:
        one.start(Recipe())
    seen = capsys.readouterr()
    assert seen.out == "" and "welcome" in seen.err and "finish" in seen.err


def check_tracked(report, said, tmp_path):
    """TensorBoard got loss, rates, scores, pictures and the recipe."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert "tracked by tensorboard: tensorboard --logdir out/run/tracking" in said
    found = EventAccumulator(str(tmp_path / "out/run/tracking/run"))
    found.Reload()
    tags = found.Tags()
    losses = [(event.step, event.value) for event in found.Scalars("loss")]
    assert [step for step, _ in losses] == list(range(1, len(losses) + 1))
    assert losses and all(event.value > 0 for event in found.Scalars("learning rate"))
    on = report["target"]["after_on"]["px_mean"]
    (scored,) = found.Scalars("scores/target after_on px_mean")
    assert scored.value == pytest.approx(on) and scored.step == losses[-1][0]
    assert {"progress", "before-after"} <= set(tags["images"])
    settings = next((tmp_path / "out/run/tracking/run").glob("*/hparams.yml")).read_text()
    assert "train.batch_size: 4" in settings and str(tmp_path) not in settings


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("then", "expected", "before"),
    [((3, 4), [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)], [7.0]), ((1,), [(1, 10.0)], [70.0])],
)
def test_tensorboard_shows_each_step_once(tmp_path, then, expected, before):
    """A first run was stopped in step 4; a second one goes on, or begins anew in the same folder."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for steps, factor in (((1, 2, 3, 4), 1.0), (then, 10.0)):
        time.sleep(1.1)  # files are read in the order of the seconds in their names
        one = RunTracker("tensorboard", tmp_path / "run", lambda text: None)
        with one:
            one.start(Recipe(device="cpu"))
            one.begin({"target before": 7.0 * factor})
            for step in steps:
                one.record(step, {"loss": step * factor})
    found = EventAccumulator(str(tmp_path / "run/tracking/run"))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == expected
    assert [event.value for event in found.Scalars("scores/target before")] == before


@pytest.mark.filterwarnings("default")
def test_tensorboard_keeps_all_steps_of_a_run_that_was_stopped_after_the_last(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for steps, scores in (((1, 2), None), ((), {"target after": 8.0})):
        time.sleep(1.1)  # files are read in the order of the seconds in their names
        one = RunTracker("tensorboard", tmp_path / "run", lambda text: None)
        with one:
            one.start(Recipe(device="cpu"))
            one.begin({"target before": 7.0})
            for step in steps:
                one.record(step, {"loss": float(step)})
            if scores:
                one.end(2, scores, [])
    found = EventAccumulator(str(tmp_path / "run/tracking/run"))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(1, 1.0), (2, 2.0)]
    assert [(e.step, e.value) for name in ("before", "after") for e in found.Scalars(f"scores/target {name}")] == [
        (0, 7.0), (2, 8.0)
    ]  # fmt: skip


@pytest.mark.filterwarnings("default")
def test_a_run_is_tracked_and_a_long_one_goes_on_where_it_was_interrupted(recipe, tmp_path, monkeypatch, capsys):
    """The second epoch is interrupted; a run is long here after no time at all."""
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    out, epoch, said = tmp_path / "out/run", loop._Run.epoch, []

    def stop(self, number):
        if number == 1:
            raise KeyboardInterrupt
        epoch(self, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop._Run, "epoch", stop)
        lvtune.adapt({**recipe, "track": "tensorboard"})
    assert (out / CHECKPOINT_FILE).is_file()
    with pytest.raises(UsageError, match=r"is of another run"):
        check_resume(Recipe(resume=True), out / CHECKPOINT_FILE, "another")
    capsys.readouterr()
    report = lvtune.adapt({**recipe, "resume": True, "track": "tensorboard"}, say=said.append).to_dict()
    (note,) = [note for note in report["notes"] if note.startswith("resumed at step")]
    assert "of the run in 'out/run'" in note and note in capsys.readouterr().err
    assert not (out / CHECKPOINT_FILE).exists()
    check_tracked(report, said, tmp_path)


def test_resume_without_a_checkpoint_is_told_before_work_starts(recipe):
    with pytest.raises(UsageError, match=r"holds no checkpoint"):
        lvtune.adapt({**recipe, "resume": True}, say=pytest.fail)


@pytest.mark.parametrize(
    ("every", "expected"), [(None, [False, False, True]), (0, [False] * 3), (2, [False, True, True])]
)
def test_when_a_checkpoint_is_written(every, expected, monkeypatch):
    clock = iter([100.0, 170.0, 190.0])
    monkeypatch.setattr(loop.time, "perf_counter", lambda: next(clock))
    run = types.SimpleNamespace(options=types.SimpleNamespace(checkpoint_every=every), started=0.0, written=0.0)
    assert [loop._Run.is_checkpoint_due(run, n, n == 3) for n in (1, 2, 3)] == expected
