"""Two processes of one launch: the same adapter and scores as one; a process that ends takes the others with it."""

import json
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from launched import launch
from safetensors.torch import load_file
from test_step import TOLERANCE
from tiny import TinyPictures, make_adapter, tiny_base
from tiny_hands import TinyHands, tiny_hand_base

from lvtune.core import processes
from lvtune.core.errors import UsageError
from lvtune.evaluation.shared_batches import predict_batches
from lvtune.training.division import divide_step
from lvtune.training.hand_objective import HandObjective

CASES = {
    "light": ("vlpose-light", {}),
    "light in parts": ("vlpose-light", {"accumulate": 2}),
    "odd batch": ("vlpose-light", {"batch_size": 7, "accumulate": 2, "checkpointing": True}),
    "auto": ("lora", {"accumulate": "auto"}),
    "dropout": ("lora", {"ema": 0.9}),
    "vlpose": ("vlpose", {}),
    "budget": ("norm", {"minutes": 0.01}),
}
METHOD = {"dropout": {"dropout": 0.3}, "vlpose": {"decoder": "injector"}}


def tuned(case, folder=None, objective=None):
    """Tunes one case; returns the adapter's tensors and the losses."""
    from test_loop import run

    method, given = CASES[case]
    base = tiny_base()
    adapter = make_adapter(method, base, **METHOD.get(case, {}))
    more = {} if folder is None else {"checkpoint": folder / "run.safetensors", "key": "a"}
    found, history = run(method, base=base, adapter=adapter, data=TinyPictures(13), objective=objective, more=more,
                         **{"epochs": 2, "batch_size": 6, **given})  # fmt: skip
    return found.state_dict(), history


def tuned_hands():
    from test_loop import options

    from lvtune.training.loop import tune

    base, data = tiny_hand_base(), TinyHands(8)
    data.batch["xyz"][[0, 1, 2, 4, 5]] = torch.nan  # the processes see unequal numbers of hands with labels
    adapter = make_adapter("lora", base)
    history = tune(base, adapter, data, HandObjective(), options(steps=4, batch_size=6), seed=0, device="cpu")
    return adapter.state_dict(), history


WORK = """
import json
from pathlib import Path
from safetensors.torch import save_file
from test_division import CASES, seen_of, tuned, tuned_hands
from test_loop import Breaking, run
from lvtune.core.errors import UsageError
from lvtune.core.processes import exchange, from_main, main_first, rank, together

folder = Path(sys.argv[1])

def save(name, found):
    save_file({key: value.contiguous() for key, value in found.items()}, folder / f"{name}-{rank()}.safetensors")

outside = exchange(rank())
for name, (found, history) in {**{case: tuned(case) for case in CASES}, "hands": tuned_hands()}.items():
    save(name, found)
    about = {"loss": history.loss, "steps": history.steps, "empty": history.empty_loss, "notes": history.notes,
             "step": history.division.to_dict(), "decisions": [d.what for d in history.decisions]}
    (folder / f"{name}-{rank()}.json").write_text(json.dumps(about))
try:
    run("norm", batch_size=1, epochs=1)
except UsageError as error:
    refused = str(error)
CASES["light in parts"][1]["checkpoint_every"] = 1
try:
    tuned("light in parts", folder, Breaking(6))
except KeyboardInterrupt:
    broken_off = True
found, history = tuned("light in parts", folder)
save("resumed", found)
with together("cpu"):
    said = {"found": {count: seen_of(count) for count in (1, 2, 7, 8, 9)}, "outside": outside,
            "inside": exchange(rank()), "main": from_main(f"of {rank()}"), "refused": refused,
            "resumed": [broken_off, history.steps]}
    with main_first():
        (folder / f"shared-{rank()}.json").write_text(json.dumps(said))
"""


PRODUCTS = "linear layers in each step"
"""The line on the library of linear layers, which some processors have."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    for code, said in launch(WORK, str(folder)):
        assert code == 0, said
    return folder


@pytest.mark.parametrize("case", [*[case for case in CASES if case != "budget"], "hands"])
def test_two_processes_give_the_adapter_of_one(folder, case):
    expected, history = tuned_hands() if case == "hands" else tuned(case)
    for rank in range(2):
        found = load_file(folder / f"{case}-{rank}.safetensors")
        about = json.loads((folder / f"{case}-{rank}.json").read_text())
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert (found[name].double() - value.double()).abs().max() < TOLERANCE if value.numel() else True, name
        assert about["loss"] == pytest.approx(history.loss, rel=1e-4) and about["steps"] == history.steps
        empty = history.empty_loss
        assert about["empty"] == (None if empty is None else pytest.approx(empty, rel=1e-5))
        assert about["step"]["processes"] == 2 and about["step"]["pictures"] == history.division.size
        said = [what for what in about["decisions"] if what != PRODUCTS]
        assert about["notes"] == [] and said == ["accumulate"] * (case == "auto")


def test_both_processes_have_one_result_and_one_number_of_steps(folder):
    for case in CASES:
        one, other = (load_file(folder / f"{case}-{rank}.safetensors") for rank in range(2))
        assert all(torch.equal(value, other[name]) for name, value in one.items()), case
        about = [json.loads((folder / f"{case}-{rank}.json").read_text()) for rank in range(2)]
        assert about[0] == about[1]


@pytest.fixture(scope="module")
def said(folder):
    return [json.loads((folder / f"shared-{rank}.json").read_text()) for rank in range(2)]


def test_a_run_of_two_processes_resumes_to_the_same_bytes(folder, said):
    assert [one["resumed"] for one in said] == [[True, [1, 2, 3, 4]]] * 2
    for rank in range(2):
        expected = load_file(folder / f"light in parts-{rank}.safetensors")
        found = load_file(folder / f"resumed-{rank}.safetensors")
        assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert len(list(folder.glob("run*"))) == 1  # one process wrote


def test_fewer_pictures_in_a_step_than_processes_are_refused(said):
    for one in said:
        assert "a batch of 1 picture for 2 processes" in one["refused"] and "--train.batch-size" in one["refused"]


@pytest.mark.parametrize(("count", "words"), [(1, "there are no more pictures to tune on"), (9, "--train.batch-size")])
def test_the_advice_helps(count, words):
    accelerator = SimpleNamespace(num_processes=2, process_index=0)
    with pytest.raises(UsageError, match=words) as told:
        divide_step(accelerator, None, TinyPictures(count), 1, 1)
    assert ("batch-size" in str(told.value)) == (count > 1)


class Numbers(torch.utils.data.Dataset):
    """Items that say their number."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, item):
        return {"index": item, "value": torch.tensor(float(item))}


def seen_of(count):
    """Predicts ``count`` samples in batches of 3; returns the samples that this process saw, and all predictions."""
    seen = []

    def predict(batch):
        seen.append(batch["index"].tolist())
        return (batch["value"].numpy() * 10,)

    (found,) = predict_batches(Numbers(count), 3, predict)
    return seen, found.tolist()


def test_every_sample_is_predicted_once_and_in_its_order(said):
    for count in ("1", "2", "7", "8", "9"):
        seen = [batch for one in said for batch in one["found"][count][0]]
        assert sorted(item for batch in seen for item in batch) == list(range(int(count)))
        alone, expected = seen_of(int(count))
        assert sorted(seen) == sorted(alone)  # the batches are those of one process, so results are the same bits
        assert all(one["found"][count][1] == expected for one in said)
    assert [one["outside"] for one in said] == [[0], [1]] and [one["inside"] for one in said] == [[0, 1], [0, 1]]
    assert [one["main"] for one in said] == ["of 0", "of 0"]


DYING = """
import os, signal
from test_division import tuned
from lvtune.core.errors import LvtuneError
from lvtune.core.processes import rank
from lvtune.training.heatmap import HeatmapObjective

class Dying(HeatmapObjective):
    left = 4
    def __call__(self, base, batch):
        self.left -= 1
        if self.left < 0 and rank() == 1:
            if sys.argv[1] == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise LvtuneError("a broken picture", "a sound one", "correct it")
        return super().__call__(base, batch)

try:
    tuned("light in parts", objective=Dying())
except LvtuneError as error:
    print(f"error: {error}", flush=True)
    os._exit(3)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize("how", ["killed", "raised"])
def test_a_process_that_ends_ends_the_other_with_a_clear_error(how):
    (alive, said), (dead, last_words) = launch(DYING, how, timeout=120)
    assert dead == (-signal.SIGKILL if how == "killed" else 3), last_words
    assert alive == 3, said
    assert "error: process 0 of 2, which lost another process of its launch (" in said
    assert "see what the other process printed" in said
    assert how == "killed" or "a broken picture" in last_words


def test_without_a_launcher_nothing_is_joined(monkeypatch):
    with processes.together("cpu"):
        assert not processes.are_together() and processes.is_main()
        assert processes.exchange(5) == [5] and processes.from_main(6) == 6
        assert list(processes.share_of_this_process(3)) == [0, 1, 2]
    monkeypatch.setenv("RANK", "1")
    assert not processes.is_main() and processes.rank() == 1
