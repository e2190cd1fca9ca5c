"""The base's own answers in place of labels: where they lie, how far they are believed, and that nothing else acts."""

import numpy as np
import pytest
import torch

from lvtune.api.base_answers import answered, answered_in_many_views
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.core.snapshot import snapshot
from lvtune.evaluation.inference import predict_evidence, split_dataset
from lvtune.patcher.attaching import attach


@pytest.fixture(scope="module")
def job():
    values = {"device": "cpu", "method": "lora", "start": "none", "data": {"limit": 12}, "calibrate": "none"}
    return prepare(Recipe.from_dict(values))


@pytest.fixture(scope="module")
def photographs(job):
    return job.source.with_table(job.source.table.select(range(10)))


def test_two_views_are_what_predict_says(job, photographs):
    found = answered_in_many_views(job.base, photographs, 2).table.column("keypoints")
    expected = predict_evidence(job.base, photographs, skeleton=job.base.skeleton, category=None)
    assert np.abs(found[..., :2] - expected.keypoints).max() < 0.05
    assert found[..., 2].min() >= 0 and found[..., 2].max() <= 1


def test_many_views_are_nearer_to_the_labels_and_are_believed_where_they_are_near(job):
    photographs = job.source
    truth = np.asarray(photographs.table.column("keypoints"))
    labelled = truth[..., 2] > 0
    away, sure = {}, {}
    for views in (2, 8):
        found = answered_in_many_views(job.base, photographs, views).table.column("keypoints")
        away[views] = np.linalg.norm(found[..., :2] - truth[..., :2], axis=-1)
        sure[views] = found[..., 2]
    assert away[8][labelled].mean() < 1.02 * away[2][labelled].mean()
    near = np.median(away[8][labelled])
    believed = sure[8]
    assert believed[labelled & (away[8] <= near)].mean() > 1.5 * believed[labelled & (away[8] > near)].mean()


def test_what_is_attached_does_not_act_and_modes_come_back(job, photographs):
    alone = answered_in_many_views(job.base, photographs, 2).table.column("keypoints")
    before = snapshot(job.adapter)
    with torch.no_grad():
        for value in job.adapter.parameters():
            value.add_(0.3)
    with attach(job.base, job.adapter, name="on"):
        job.base.train(True)
        other = answered_in_many_views(job.base, photographs, 2).table.column("keypoints")
        assert job.base.training
        job.base.train(False)
    job.adapter.load_state_dict(before)
    assert np.array_equal(alone, other)


def test_samples_carry_how_far_each_point_is_believed_and_no_label_is_read(job, photographs):
    answers = answered_in_many_views(job.base, photographs, 2)
    sample = split_dataset(job.base, answers)[3]
    assert np.allclose(sample["visible"].numpy(), answers.table.column("keypoints")[3, :, 2], atol=1e-6)
    hidden = photographs.with_table(photographs.table.without_labels())
    again = answered_in_many_views(job.base, hidden, 2)
    assert np.array_equal(again.table.column("keypoints"), answers.table.column("keypoints"))


def test_answers_to_check_on_are_seen_or_not(job, photographs):
    found = answered(job.base, photographs, job.recipe.evaluate).table
    assert set(np.unique(found.column("keypoints")[..., 2])) <= {0.0, 2.0} and len(found) == 10
    assert found[2].image == photographs.table[2].image


def test_modes_come_back_after_an_error(job, photographs, monkeypatch):
    def fails(*given):
        raise RuntimeError

    monkeypatch.setattr("lvtune.api.base_answers.seen_in_many_views", fails)
    with attach(job.base, job.adapter, name="on"):
        job.base.train(True)
        with pytest.raises(RuntimeError):
            answered_in_many_views(job.base, photographs, 2)
        assert job.base.training
        job.base.train(False)
