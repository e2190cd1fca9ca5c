"""Matching and averaging in arrays against pycocotools: crowds, persons without points, ties, empty sides.

All comparisons are exact: the same operations run in the same order.
"""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lvtune.core.errors import DataError
from lvtune.data.skeletons import COCO_17
from lvtune.evaluation import oks_pairs
from lvtune.evaluation.average_precision import summary
from lvtune.evaluation.oks import oks_ap, oks_nms
from lvtune.evaluation.oks_matching import match
from lvtune.evaluation.oks_pairs import Found, persons_of

SIGMAS = np.array(COCO_17.sigmas)


def scene(seed, images=25, most=9, noise=12.0, first_id=1):
    """Persons of all sizes and their predictions: some twice, some at the same place, some far off."""
    rng = np.random.default_rng(seed)
    persons, found = [], []
    for image in rng.permutation(np.arange(1, images + 1)).tolist():
        for _ in range(rng.integers(0, most)):
            size, corner = float(rng.choice([20, 32, 60, 96, 200])), rng.uniform(0, 400, 2)
            points = corner + rng.uniform(0, size, (17, 2))
            seen = rng.choice([0, 1, 2], 17) * int(rng.random() > 0.15)
            person = {
                "id": len(persons) + first_id, "image_id": image, "category_id": 1,
                "bbox": [*map(float, corner), size, size], "area": float(rng.choice([1.0, 0.6])) * size * size,
                "keypoints": np.column_stack([points, seen]).ravel().tolist(), "iscrowd": int(rng.random() < 0.1),
                "num_keypoints": int((seen > 0).sum()),
            }  # fmt: skip
            persons.append(person)
            if rng.random() < 0.15:  # labelled twice: two persons whose OKS is the same
                again = {"iscrowd": int(rng.random() < 0.3), "id": len(persons) + first_id}
                persons.append({**person, **again})
            for _ in range(rng.integers(0, 4)):
                guess = points + rng.choice([0.0, 1.0]) * rng.normal(0, noise * size / 200, (17, 2))
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


def reference(images, persons, results):
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        for one, notes in ((truth, persons), (found, results)):
            one.dataset = {"images": images, "categories": [{"id": 1}], "annotations": [dict(note) for note in notes]}
            one.createIndex()
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = SIGMAS
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def arrays(results):
    """Predictions as `match` wants them: sorted by image, then best first."""
    image = np.array([one["image_id"] for one in results], np.int64)
    scores = np.array([one["score"] for one in results], float)
    order = np.lexsort((-scores, image))
    points = np.array([one["keypoints"] for one in results], float).reshape(-1, 17, 3)[..., :2]
    areas = np.array([one["area"] for one in results], float)
    return Found(image[order], points[order], areas[order], scores[order])


def matches(persons, results):
    return match(arrays(results), persons_of(persons, 17), SIGMAS)


@pytest.mark.parametrize(
    ("seed", "more"),
    [(0, {}), (1, {}), (2, {"noise": 40.0}), (3, {"most": 40}), (4, {"images": 1, "most": 60}), (5, {"noise": 1.0}),
     (6, {"first_id": 0}), (7, {"images": 120, "most": 4})],
)  # fmt: skip
def test_it_matches_and_scores_as_pycocotools_does(seed, more, monkeypatch):
    monkeypatch.setattr(oks_pairs, "PAIRS_AT_ONCE", 50)
    images, persons, results = scene(seed, **more)
    wanted, found = reference(images, persons, results), matches(persons, results)
    assert summary(found).tolist() == wanted.stats.tolist()
    assert 0 < wanted.stats[0] < 1
    for area in range(3):
        part = [one for one in wanted.evalImgs[area * len(images) : (area + 1) * len(images)] if one is not None]
        for name, own in (("dtMatches", found.matched), ("dtIgnore", found.left_out)):
            theirs = np.concatenate([one[name] for one in part], 1) > 0
            np.testing.assert_array_equal(own[:, area].T, theirs)
        counting = sum(int((one["gtIgnore"] == 0).sum()) for one in part)
        assert int((~found.ignored[:, area]).sum()) == counting


@pytest.mark.parametrize("seed", range(3))
def test_every_oks_is_that_of_pycocotools_to_the_last_bit(seed):
    images, persons, results = scene(seed)
    wanted, found = reference(images, persons, results), arrays(results)
    labelled = persons_of(persons, 17)
    left, right = oks_pairs.pairs_within(found.image, labelled.image)
    own = oks_pairs.oks_of_pairs(found, labelled, left, right, SIGMAS)
    for image in np.unique(found.image):
        theirs = np.asarray(wanted.ious[image, 1])
        assert own[found.image[left] == image][: theirs.size].tolist() == theirs.ravel().tolist()
        assert theirs.size or not (labelled.image == image).any()


@pytest.mark.parametrize("oks", [0.5, 0.55, 0.75, 0.95])
def test_an_oks_that_is_a_threshold_counts_as_it_does_there(oks):
    """One key point, so far off that the similarity is about a threshold: on either side of it by a few last bits."""
    for step in range(-4, 5):
        distance = np.sqrt(-2 * np.log(oks) * 1e4) * 2 * SIGMAS[0] + step * 1e-14
        points, seen = np.zeros((17, 2)), np.eye(17)[0]
        person = {
            "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 1, "area": 1e4,
            "bbox": [0, 0, 100, 100], "keypoints": np.column_stack([points, seen]).ravel().tolist(),
        }  # fmt: skip
        points[0, 0] = distance
        points[1] = 90.0
        keypoints = np.column_stack([points, seen]).ravel().tolist()
        result = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "score": 0.5, "keypoints": keypoints,
                  "area": 8100.0, "bbox": [0, 0, 90, 90]}  # fmt: skip
        wanted = reference([{"id": 1}], [person], [result]).stats
        assert summary(matches([person], [result])).tolist() == wanted.tolist()


@pytest.mark.parametrize("part", ["persons", "results", "both"])
def test_nothing_on_one_side_gives_what_pycocotools_gives(part):
    images, persons, results = scene(0, images=3)
    persons, results = [] if part != "results" else persons, [] if part != "persons" else results
    wanted = reference(images, persons, results).stats
    assert summary(matches(persons, results)).tolist() == wanted.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_from_predictions_to_the_ten_numbers(seed):
    """The whole of `oks_ap` without OKS-NMS and rescoring, as pycocotools has neither."""
    images, persons, results = scene(seed)
    predictions = [
        {"image_id": one["image_id"], "bbox": one["bbox"], "bbox_score": one["score"], "keypoint_scores": np.ones(17),
         "keypoints": np.reshape(one["keypoints"], (17, 3))[:, :2]}
        for one in results
    ]  # fmt: skip
    found = oks_ap({"images": images, "annotations": persons}, predictions, COCO_17, nms_threshold=2.0)
    assert list(found.values()) == reference(images, persons, results).stats.tolist()


def test_nms_of_all_images_is_that_of_each(monkeypatch):
    monkeypatch.setattr(oks_pairs, "PAIRS_AT_ONCE", 30)
    found = arrays(scene(1, noise=3.0)[2])
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(len(found))
    image, points, scores = found.image[shuffled], found.keypoints[shuffled], found.scores[shuffled]
    areas = found.areas[shuffled] + 1
    kept = oks_nms(points, areas, scores, SIGMAS, 0.6, image)
    wanted = []
    for one in np.unique(image):  # the loop as it is published: a pose, best first, against those kept before
        rows, mine = np.flatnonzero(image == one), []
        for row in rows[np.argsort(-scores[rows], kind="stable")]:
            squared = ((points[mine] - points[row]) ** 2).sum(-1).reshape(len(mine), 17)
            area = (areas[mine] + areas[row]) / 2 + np.spacing(1)
            if not (np.exp(-squared / (2 * SIGMAS) ** 2 / area[:, None] / 2).mean(-1) > 0.6).any():
                mine.append(row)
        wanted += mine
    assert kept.tolist() == wanted
    assert 0 < len(kept) < len(image)


def test_annotations_of_another_skeleton_are_told():
    images, persons, _ = scene(0, images=3)
    with pytest.raises(DataError, match=r"annotation \d+ with 51 numbers"):
        persons_of(persons, 14)
    with pytest.raises(DataError, match="annotation"):
        oks_ap({"images": images, "annotations": [{**persons[0], "keypoints": [1.0] * 48}]}, [], COCO_17)
    with pytest.raises(DataError, match="annotation 7 of category 2"):
        oks_ap({"images": images, "annotations": [{**persons[0], "id": 7, "category_id": 2}]}, [], COCO_17)
