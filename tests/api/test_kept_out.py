"""Pictures are kept out of the tuning only if that is asked for, and none of them is tuned or tested on."""

import math
from pathlib import Path

import pytest
from layouts import coco, humanart
from own_files import MOUSE, draw_pictures, mice, write
from source_files import other_source

from lvtune.api.calibrating import calibrate
from lvtune.api.job import prepare
from lvtune.api.kept_out import LEAST, LEAST_LABELS, LEAST_LEFT, MOST_PERSONS, POINTS, SHARE
from lvtune.api.recipe import Recipe
from lvtune.api.replay_data import some_of
from lvtune.core.errors import UsageError
from lvtune.domains import get_domain
from lvtune.domains.few_pictures import pictures_of_samples
from lvtune.experiments.cells import cells_of, variants_of


def job_of(**given):
    values = {"domain": "demo-art", "weights": "random", "device": "cpu", "method": "lora", "data": {"limit": 80}}
    return prepare(Recipe.from_dict({**values, **given}))


def files(split):
    return {name.split(" ")[0] for name in pictures_of_samples(split)}


def test_nothing_is_kept_out_by_default_and_that_is_said():
    job = job_of()
    assert len(job.train.table) == 80 and job.kept_out.target is None
    assert "keep-out" in job.kept_out.missing


def own_job(folder, count, **given):
    """A job on ``count`` pictures of one's own, some of which are tested on."""
    data = mice(count)
    draw_pictures(data, folder)
    data = {"data": str(folder), "annotations": str(write(data, folder))} | given.pop("data", {})
    return job_of(domain="custom", base="timm:resnet10t", method="head", data=data, **given)


def test_of_own_data_some_are_kept_out_and_the_line_says_how_to_tune_on_all(tmp_path):
    job = own_job(tmp_path, 100)
    every = {str(job.opened.train.table.image_path(i)) for i in range(len(job.opened.train.table))}
    out = files(job.kept_out.target)
    assert round(SHARE * len(every)) <= len(out) <= len(every) // 2
    assert not out & files(job.train) and not out & files(job.test)
    line = next(decision.line() for decision in job.decisions if decision.what == "kept out")
    assert f"{len(out)} of {len(every)} pictures" in line and "--calibrate none" in line
    for given in ({"calibrate": "none"}, {"data": {"shots": 70}}):
        other = own_job(tmp_path, 100, **given)
        assert other.kept_out.target is None and not any(one.what == "kept out" for one in other.decisions)
        assert len(other.train.table) == min(len(every), given.get("data", {}).get("shots", 1000))


def labelled(split):
    return int((split.table.column("keypoints")[..., 2] > 0).sum())


@pytest.mark.parametrize(("count", "without"), [(100, 0), (220, 0), (220, 1), (220, 4)])
def test_more_are_kept_out_where_they_have_few_key_points(count, without, tmp_path):
    """``without``: key points of each picture that nobody labelled."""
    data = mice(count)
    draw_pictures(data, tmp_path)
    for one in data["annotations"]:
        one["keypoints"][2 : 3 * without : 3] = [0] * without
    job = job_of(domain="custom", base="timm:resnet10t", method="head",
                 data={"data": str(tmp_path), "annotations": str(write(data, tmp_path))})  # fmt: skip
    every, out = files(job.opened.train), files(job.kept_out.target)
    usual, of_one = round(SHARE * len(every)), len(MOUSE) - without
    expected = max(usual, min(math.ceil(POINTS / of_one), len(every) // 2, len(every) - LEAST_LEFT))
    assert len(out) == expected and labelled(job.kept_out.target) == expected * of_one
    line = next(decision.line() for decision in job.decisions if decision.what == "kept out")
    assert ("fewer than 200 labelled key points" in line) == (expected > usual)


@pytest.mark.parametrize(("labels", "given"), [(4, {}), (4, {"calibrate_share": 0.9}), (1, {}), (30, {"keep": 0})])
def test_labels_of_a_rare_key_point_stay(labels, given, tmp_path):
    """Whatever is drawn: the first pictures of the draw are those that have its labels."""
    given = {name: value for name, value in given.items() if value}
    drawn = files(own_job(tmp_path / "before", 100, **given).kept_out.target)
    data = mice(100)
    draw_pictures(data, tmp_path / "after")
    names = {one["id"]: one["file_name"] for one in data["images"]}
    rare = [one for one in data["annotations"] if any(names[one["image_id"]] in file for file in drawn)][:labels]
    for one in data["annotations"]:
        one["keypoints"][-1] = 2 if one in rare else 0
    job = job_of(domain="custom", base="timm:resnet10t", method="head", **given,
                 data={"data": str(tmp_path / "after"), "annotations": str(write(data, tmp_path))})  # fmt: skip
    left = int((job.train.table.column("keypoints")[:, -1, 2] > 0).sum())
    assert left >= min(math.ceil(len(rare) / 2), LEAST_LABELS)
    assert not any(one.what == "not learnt" for one in job.decisions)


@pytest.mark.parametrize("given", [{}, {"calibrate_share": 0.3}])
def test_none_is_kept_out_where_they_are_too_few_for_a_calibration(given, tmp_path):
    data = mice(80)
    draw_pictures(data, tmp_path)
    for one in data["annotations"]:
        one["keypoints"][5::3] = [0] * (len(MOUSE) - 1)
    job = job_of(domain="custom", base="timm:resnet10t", method="head", **given,
                 data={"data": str(tmp_path), "annotations": str(write(data, tmp_path))})  # fmt: skip
    assert job.kept_out.target is None and len(files(job.train)) == 64
    share = 19 if given else 64 - LEAST_LEFT
    assert job.kept_out.missing.startswith(
        f"{share} of 64 pictures to tune on have {share} labelled key points; it takes 50"
    )


def test_a_threshold_without_a_calibration_is_an_error():
    with pytest.raises(UsageError, match="calibrate_px 4 with calibrate none"):
        job_of(calibrate="none", calibrate_px=4.0)


def test_what_a_share_says_is_kept_out_however_few_the_key_points_are(tmp_path):
    job = own_job(tmp_path, 100, calibrate_share=0.15)
    assert len(files(job.kept_out.target)) == int(0.15 * len(files(job.opened.train)))


def test_of_few_own_pictures_none_is_kept_out_and_that_is_said(tmp_path):
    job = own_job(tmp_path, 40)
    assert job.kept_out.target is None and "too few to keep 10 of them out" in job.kept_out.missing
    assert "a share of 0.15; --calibrate-share sets it" in job.kept_out.missing


@pytest.mark.parametrize("given", [{}, {"calibrate": "keep-out"}, {"data": {"shots": 40}}])
def test_how_many_are_kept_out_can_be_said(given, tmp_path):
    job = own_job(tmp_path, 100, calibrate_share=0.5, **given)
    count = given.get("data", {}).get("shots", len(job.opened.train.table))
    out = files(job.kept_out.target)
    assert len(out) == count // 2 and len(job.train.table) == count - count // 2 and not out & files(job.train)
    line = next(decision.line() for decision in job.decisions if decision.what == "kept out")
    assert f"{len(out)} of {count} pictures" in line
    assert "--calibrate-share" in line and "--calibrate none" not in line  # which is an error beside it
    assert job_of(calibrate_share=0.3).kept_out.target is not None  # of a domain that has others, if nothing is said


@pytest.mark.parametrize("given", [{"calibrate": "none"}, {"text_only": True}, {"calibrate": "none", "keep": 99.0}])
def test_a_share_where_none_is_kept_out_is_an_error(given):
    with pytest.raises(UsageError, match=r"calibrate_share 0\.3 where no picture is kept out"):
        job_of(calibrate_share=0.3, **given)


@pytest.mark.parametrize("share", [0.0, 0.95, -1.0])
def test_a_share_of_no_use_is_refused(share):
    with pytest.raises(UsageError, match="calibrate_share"):
        job_of(calibrate_share=share)


@pytest.mark.parametrize(("share", "kept"), [(0.29, 29), (0.58, 58), (0.5, 50), (0.155, 15)])
def test_a_share_is_not_rounded_down_by_the_arithmetic(share, kept):
    job = job_of(calibrate_share=share, data={"limit": 100})
    assert len(files(job.kept_out.target)) == kept


def test_with_a_larger_share_fewer_own_pictures_are_enough(tmp_path):
    job = own_job(tmp_path, 40, calibrate_share=0.4)
    assert len(files(job.kept_out.target)) >= LEAST


def test_cells_of_a_comparison_are_tuned_on_all_pictures():
    options = {"shots": ["all"], "seeds": [0], "lrs": [], "out": Path("out")}
    for shared, said in (({}, "none"), ({"calibrate": "keep-out"}, "keep-out")):
        (cell,) = cells_of(shared, variants_of("lora"), **options)
        assert cell.recipe.calibrate == said


REPLAY = {"keep": 99.0, "keeping": {"replay_weight": 3.0}}


@pytest.mark.parametrize(
    "given",
    [{"calibrate": "keep-out"}, REPLAY, {"keep": 99.0, "calibrate": "keep-out"}],
    ids=["calibrate", "keep with replay", "both"],
)
def test_what_is_kept_out_is_in_none_of_the_others(given):
    job = job_of(**given)
    (run,) = job.kept_out.first_runs or (job.kept_out,)
    out = files(run.target)
    usual = round(SHARE * 80)  # for the calibration more, where that many have fewer than 200 labelled key points
    assert usual < len(out) <= 40 if "keep" not in given else len(out) == usual
    assert not out & files(run.train) and not out & files(job.test)
    assert len(files(run.train) | out) == 80
    assert any(decision.what == "kept out" for decision in job.decisions)
    if "keep" in given:
        source = files(run.source.check)
        assert len(source) >= LEAST and not source & files(run.train) and not source & files(job.source)


@pytest.mark.parametrize("limit", [80, 21])
def test_with_keep_each_picture_is_left_out_of_one_of_two_first_runs(limit):
    job = job_of(keep=99.0, data={"limit": limit})
    one, other = job.kept_out.first_runs
    assert job.kept_out.target is None and len(files(job.train)) == limit
    for run in (one, other):
        assert len(files(run.target)) >= LEAST and not files(run.target) & files(run.train)
        assert not files(run.source.check) & (files(run.train) | files(job.source))
        assert files(run.target) | files(run.train) == files(job.train)
    assert files(one.train) == files(other.target) and files(one.target) == files(other.train)
    assert len(files(one.source.check) | files(other.source.check)) == limit
    assert not files(one.source.check) & files(other.source.check)


def test_with_keep_the_last_run_is_tuned_on_all_unless_pictures_stay_out_for_the_calibration():
    job = job_of(keep=99.0)
    assert len(files(job.train)) == 80
    (line,) = (one.line() for one in job.decisions if one.what == "kept out")
    assert "each of 80 pictures" in line and "two first runs" in line and "--calibrate keep-out" in line
    found, decision = calibrate(job)
    assert found.calibration is None and "--calibrate keep-out" in decision.why
    (line,) = (one.line() for one in job_of(**REPLAY).decisions if one.what == "kept out")
    assert "12 of 80 pictures" in line and "second one is tuned on all; --calibrate keep-out" in line
    job = job_of(keep=99.0, calibrate="none")
    assert job.kept_out.first_runs and "the recipe says none" in calibrate(job)[1].why
    assert not job_of(keep=99.0, calibrate="keep-out").kept_out.first_runs


def test_a_source_of_its_own_is_shared_out_among_the_first_runs(tmp_path):
    folder = other_source(tmp_path, 40)
    job = job_of(keep=99.0, data={"limit": 80, "source_annotations": str(folder), "source_data": str(folder)})
    checks = [files(run.source.check) for run in job.kept_out.first_runs]
    assert [len(one) for one in checks] == [20, 20] and not checks[0] & checks[1]


def test_views_of_a_draw_stay_those_of_the_draw():
    job = job_of(calibrate="keep-out", data={"shots": 200})
    drawn, kept = pictures_of_samples(job.train), pictures_of_samples(job.kept_out.target)
    assert len(drawn) + len(kept) == 200 and not files(job.train) & files(job.kept_out.target)


def test_too_few_pictures_are_not_kept_out():
    job = job_of(calibrate="keep-out", data={"limit": 20})
    assert job.kept_out.target is None and len(job.train.table) == 20 and "too few" in job.kept_out.missing
    for given, count, least in (({"keep": 99.0}, 19, 20), (REPLAY, 20, 64)):
        with pytest.raises(UsageError, match=f"{count} pictures.*at least {least}"):
            job_of(data={"limit": count}, **given)


def test_a_share_of_the_source_needs_pictures_of_it(tmp_path):
    folder = humanart(tmp_path / "art")
    given = {"domain": "humanart", "data": {"data": str(folder)}, "keep": 99.0}
    with pytest.raises(UsageError, match="not those of the adapter"):  # the base's own pictures have 14 points
        job_of(**given)
    given |= {"base": "timm:resnet10t", "method": "head"}
    with pytest.raises(UsageError, match="without pictures of the source"):
        job_of(**given)
    given["data"]["source_data"] = str(coco(tmp_path / "coco"))
    with pytest.raises(UsageError):  # one person, who is scored
        job_of(**given)
    with pytest.raises(UsageError, match="text_only"):
        job_of(keep=99.0, text_only=True)


def test_a_large_split_is_drawn_from_by_the_seed():
    split = get_domain("demo-art").open("train")
    one, other = some_of(split, 0, MOST_PERSONS), some_of(split, 1, MOST_PERSONS)
    assert len(one.items) == MOST_PERSONS == len(set(one.items)) and one.items != other.items
    assert some_of(split, 0, MOST_PERSONS).items == one.items


@pytest.mark.parametrize(("train", "expected"), [({}, True), ({"steps": 7}, False), ({"epochs": 2.0}, False)])
def test_keep_takes_as_many_steps_as_the_run_without_it_unless_they_are_said(train, expected):
    values = {"device": "cpu", "method": "lora", "start": "none", "train": train}
    without = prepare(Recipe.from_dict({**values, "calibrate": "none"}))
    keeping = prepare(Recipe.from_dict({**values, "keep": 99.0, "calibrate": "keep-out"}))
    said = [one for one in keeping.decisions if one.what == "epochs"]
    assert len(keeping.train.table) < len(without.train.table) and bool(said) is expected
    passes = [job.recipe.train.epochs and job.recipe.train.epochs * len(job.train.table) for job in (without, keeping)]
    if expected:
        assert passes[1] == pytest.approx(passes[0], rel=0.01)
    else:
        assert keeping.recipe.train.steps == without.recipe.train.steps
        assert keeping.recipe.train.epochs == without.recipe.train.epochs
