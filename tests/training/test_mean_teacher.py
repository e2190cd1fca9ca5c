"""``mean-teacher``: what it learns from, and that a run is repeatable, resumable and the same in parts."""

import math
from functools import partial

import pytest
import torch
from test_loop import bytes_of, options
from tiny import TinyPictures, make_adapter, snapshot, tiny_base
from tiny_hands import TinyHands, tiny_hand_base

from lvtune.core.errors import TrainingError
from lvtune.data.dataset import collate
from lvtune.data.unlabelled import HiddenLabels
from lvtune.patcher.attaching import attach
from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.loop import tune
from lvtune.training.mean_teacher import MeanTeacher, MeanTeacherConfig, ramped
from lvtune.training.objectives import ObjectiveContext

CALM = {"confidence": 0.01, "agreement": 10.0, "ramp": 0}
"""A tiny base is sure of nothing."""


def objective(base, adapter, *, alone=False, seed=0, pictures=None, **given):
    made = MeanTeacher(MeanTeacherConfig(**(CALM | given)))
    pool = HiddenLabels(pictures or TinyPictures(6))
    context = ObjectiveContext(base, adapter=adapter, unlabelled=lambda: pool, unlabelled_only=alone, seed=seed)
    made.prepare(context)
    return made


def run(method="lora", *, alone=False, seed=0, given=None, more=None, **train):
    base = tiny_base()
    adapter = make_adapter(method, base)
    made = objective(base, adapter, alone=alone, seed=seed, **(given or {}))
    data = HiddenLabels(TinyPictures(8)) if alone else TinyPictures(8)
    before = snapshot(base.model)
    history = tune(base, adapter, data, made, options(**train), seed=seed, device="cpu", **(more or {}))
    assert snapshot(base.model) == before
    return adapter, history, made


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("method", ["lora", "vlpose", "full"])
def test_a_run_is_repeatable(method, alone):
    first, history, _ = run(method, alone=alone, epochs=2)
    again, other, _ = run(method, alone=alone, epochs=2)
    assert bytes_of(first) == bytes_of(again) and history.loss == other.loss
    assert all(map(math.isfinite, history.loss)) and min(history.loss) > 0
    assert bytes_of(first) != bytes_of(run(method, alone=alone, epochs=2, seed=1)[0])


def test_stopped_and_resumed_it_gives_the_same_bytes(tmp_path):
    expected, _, _ = run(epochs=4, checkpoint_every=1)
    more = {"checkpoint": tmp_path / "c.safetensors", "key": "this"}
    run(epochs=4, checkpoint_every=1, stop_after=2, more=more)
    found, history, _ = run(epochs=4, checkpoint_every=1, more=more)
    assert bytes_of(found) == bytes_of(expected) and len(history.loss) == 8


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_the_parts_of_a_step_give_the_step(every, alone):
    whole, one, _ = run(alone=alone, epochs=2, given={"every": every})
    parts, two, _ = run(alone=alone, epochs=2, given={"every": every}, accumulate=2)
    pairs = zip(whole.parameters(), parts.parameters(), strict=True)
    assert max((a - b).abs().max().item() for a, b in pairs) < 1e-4
    assert one.loss == pytest.approx(two.loss, rel=1e-4)


def test_resumed_it_asks_the_teacher_that_it_had(tmp_path):
    given = {"renew": 3, "views": 2}
    expected, _, _ = run(epochs=4, checkpoint_every=1, given=given)
    more = {"checkpoint": tmp_path / "c.safetensors", "key": "this"}
    run(epochs=4, checkpoint_every=1, stop_after=2, more=more, given=given)
    found, _, _ = run(epochs=4, checkpoint_every=1, more=more, given=given)
    assert bytes_of(found) == bytes_of(expected)


def noting(seen, ask, base, adapter, batch):
    seen += batch["index"].tolist()
    return ask(base, adapter, batch)


def test_a_picture_is_looked_at_once_until_the_teacher_is_renewed():
    for renew, most in ((0, 6), (4, 12)):  # 8 steps with two of the six pictures each
        base, seen = tiny_base(), []
        adapter = make_adapter("lora", base)
        made = objective(base, adapter, renew=renew)
        made._asked = partial(noting, seen, made._asked)
        tune(base, adapter, TinyPictures(8), made, options(epochs=4), device="cpu")
        assert len(set(seen)) == 6 and len(seen) <= most and (renew or len(seen) == 6)


def test_no_label_of_the_pictures_without_labels_is_read():
    class Otherwise(TinyPictures):
        def __getitem__(self, index):
            return {**super().__getitem__(index), "keypoints": torch.zeros(17, 2), "visible": torch.zeros(17)}

    base = tiny_base()
    found = []
    for pictures in (TinyPictures(6), Otherwise(6)):
        adapter = make_adapter("lora", base)
        made = objective(base, adapter, pictures=pictures)
        tune(base, adapter, TinyPictures(8), made, options(epochs=2), device="cpu")
        found.append(bytes_of(adapter))
    assert found[0] == found[1]


def test_weight_0_is_the_pose_alone_but_for_who_is_saved():
    base = tiny_base()
    plain = make_adapter("lora", base)
    tune(base, plain, TinyPictures(8), HeatmapObjective(), options(epochs=2), device="cpu")
    student, _, _ = run(epochs=2, given={"weight": 0.0, "saved": "student"})
    assert bytes_of(plain) == bytes_of(student)
    teacher, _, made = run(epochs=2, given={"weight": 0.0})
    assert bytes_of(teacher) != bytes_of(plain)
    assert all(torch.equal(value, made.trained.state()[name]) for name, value in teacher.state_dict().items())


def test_a_point_counts_as_its_two_answers_agree_and_as_its_peak_is_high():
    base = tiny_base()
    adapter = make_adapter("lora", base, stirred=0.05)
    batch = HiddenLabels(TinyPictures(4))
    batch = {**collate([batch[i] for i in range(4)])}
    mirrored = {**batch, "pixel_values": (batch["pixel_values"] + batch["pixel_values"].flip(-1)) / 2}
    with attach(base, adapter, name="on"):
        strict = objective(base, adapter, agreement=0.001)
        assert strict.answers(base, adapter, batch)[1].mean() < 0.5
        sure = objective(base, adapter, confidence=1e-6).answers(base, adapter, batch)[1]
        unsure = objective(base, adapter, confidence=1e6).answers(base, adapter, batch)[1]
        assert sure.mean() > 0.5 and unsure.max() < 1e-6 and torch.isfinite(unsure).all()
        # the two answers for a picture that is its own mirror image are mirror images
        _, weight = strict.answers(base, adapter, mirrored)
        assert weight.shape == (4, 17) and weight.min() >= 0 and weight.max() <= 1


def test_points_of_the_teacher_follow_the_strong_view():
    base = tiny_base()
    adapter = make_adapter("lora", base)
    batch = collate([HiddenLabels(TinyPictures(4))[i] for i in range(4)])
    still = {"rotate": 0.0, "resize": 0.0, "shift": 0.0, "looks": "none", "cover": 0.0}
    with attach(base, adapter, name="on"), torch.no_grad():
        calm = objective(base, adapter, **still).taught(base, adapter, batch, 9)
        far = objective(base, adapter, **still | {"shift": 1.0}).taught(base, adapter, batch, 9)
    assert calm.item() != far.item() and calm.item() > 0


def test_hands_learn_too():
    base = tiny_hand_base()
    adapter = make_adapter("lora", base)
    made = objective(base, adapter, pictures=TinyHands(4))
    before = bytes_of(adapter)
    history = tune(base, adapter, TinyHands(8), made, options(epochs=1), device="cpu")
    assert bytes_of(adapter) != before and all(map(math.isfinite, history.loss))
    alone = make_adapter("lora", base)
    made = objective(base, alone, alone=True)
    history = tune(base, alone, HiddenLabels(TinyHands(8)), made, options(epochs=1), device="cpu")
    assert bytes_of(alone) != before and all(map(math.isfinite, history.loss))


def test_joints_of_hands_in_space_are_taught_too():
    """With heatmaps that count for nothing: the joints alone teach; where they are not believed, nothing does."""
    found = {}
    for name, agreement in (("believed", 10.0), ("not believed", 1e-6)):
        base = tiny_hand_base()
        adapter = make_adapter("lora", base, stirred=0.05)
        batch = collate([HiddenLabels(TinyHands(4))[i] for i in range(4)])
        with attach(base, adapter, name="on"):
            made = objective(base, adapter, alone=True, confidence=1e9, agreement_in_space=agreement)
            loss = made.taught(base, adapter, batch, 9)
        loss.backward()
        found[name] = loss.item(), sum(float(p.grad.abs().sum()) for p in adapter.parameters() if p.grad is not None)
    assert max(found["not believed"]) < 1e-20 and min(found["believed"]) > 1e-4


def test_the_ramp_rises_to_1():
    assert [ramped(step, 10) for step in (10, 99)] == [1.0, 1.0] and ramped(0, 0) == 1.0
    assert ramped(0, 10) == pytest.approx(math.exp(-5)) and ramped(3, 10) < ramped(6, 10) < 1


@pytest.mark.parametrize("given", [{"adapter": None}, {"unlabelled": None}])
def test_without_pictures_it_says_what_to_give(given):
    base = tiny_base()
    values = {"adapter": make_adapter("lora", base), "unlabelled": partial(HiddenLabels, TinyPictures(2))} | given
    with pytest.raises(TrainingError, match="--unlabelled FOLDER"):
        MeanTeacher().prepare(ObjectiveContext(base, **values))
