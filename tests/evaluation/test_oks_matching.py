"""Matching in arrays against pycocotools' own: crowds, persons without points, ties, images with one side empty."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lvtune.data.skeletons import COCO_17
from lvtune.evaluation import oks_matching
from lvtune.evaluation.oks_matching import KeypointEvaluation


def scene(seed, images=25, most=9, noise=12.0):
    rng = np.random.default_rng(seed)
    persons, found = [], []
    for image in range(1, images + 1):
        for _ in range(rng.integers(0, most)):
            size, corner = float(rng.choice([20, 60, 200])), rng.uniform(0, 400, 2)
            points = corner + rng.uniform(0, size, (17, 2))
            seen = rng.choice([0, 1, 2], 17) * int(rng.random() > 0.15)
            box = [*map(float, corner), size, size]
            crowd = int(rng.random() < 0.1)
            persons.append({
                "id": len(persons) + 1, "image_id": image, "category_id": 1, "bbox": box, "area": 0.6 * size * size,
                "keypoints": np.column_stack([points, seen]).ravel().tolist(), "iscrowd": crowd,
                "num_keypoints": int((seen > 0).sum()),
            })  # fmt: skip
            for _ in range(rng.integers(0, 4)):
                guess = points + rng.normal(0, noise * size / 200, (17, 2))
                found.append((image, guess, float(rng.choice([0.2, 0.5, 0.9, rng.random()]))))
        for _ in range(rng.integers(0, 3)):
            found.append((image, rng.uniform(0, 500, (17, 2)), float(rng.random())))
    results = [
        {
            "id": i, "image_id": image, "category_id": 1, "iscrowd": 0, "score": score,
            "keypoints": np.column_stack([points, np.ones(17)]).ravel().tolist(),
            "area": float(np.prod(np.ptp(points, axis=0))), "bbox": [*points.min(0), *np.ptp(points, axis=0)],
        }
        for i, (image, points, score) in enumerate(found, 1)
    ]  # fmt: skip
    return [{"id": i} for i in range(1, images + 3)], persons, results


def evaluated(kind, images, persons, results):
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        for one, notes in ((truth, persons), (found, results)):
            one.dataset = {"images": images, "categories": [{"id": 1}], "annotations": [dict(note) for note in notes]}
            one.createIndex()
        evaluation = kind(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(COCO_17.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("seed", range(4))
def test_it_matches_and_scores_as_pycocotools_does(seed, monkeypatch):
    monkeypatch.setattr(oks_matching, "IMAGES_AT_ONCE", 7)
    monkeypatch.setattr(oks_matching, "PAIRS_AT_ONCE", 50)
    given = scene(seed, most=30 if seed == 3 else 9)
    wanted, found = evaluated(COCOeval, *given), evaluated(KeypointEvaluation, *given)
    assert found.stats == pytest.approx(wanted.stats, abs=1e-12)
    assert 0 < wanted.stats[0] < 1
    for one, other in zip(found.evalImgs, wanted.evalImgs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one["image_id"] == other["image_id"]
            for name in ("dtMatches", "gtMatches", "dtIgnore", "gtIgnore"):
                np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("part", ["persons", "results", "both"])
def test_nothing_on_one_side_gives_what_pycocotools_gives(part):
    images, persons, results = scene(0, images=3)
    given = (images, [] if part != "results" else persons, [] if part != "persons" else results)
    assert evaluated(KeypointEvaluation, *given).stats == pytest.approx(evaluated(COCOeval, *given).stats)
