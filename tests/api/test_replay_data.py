"""Source pictures that are replayed, checked on and scored are three different lots."""

import shutil

import pytest
from source_files import other_source

from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.api.replay_data import paths_of
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.domains import get_domain
from lvtune.domains.demo_art import FOLDER


def job_of(keeping=None, **given):
    values = {"weights": "random", "device": "cpu", "method": "lora", "data": {"limit": 80}, "keep": 99.0}
    return prepare(Recipe.from_dict({**values, **given, "keeping": {"replay_weight": 3.0} | (keeping or {})}))


def pictures(tmp_path, first, last, part="train"):
    """A folder with copies of pictures of demo-art."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    table = get_domain("demo-art").open(part).table
    for i in range(first, last):
        shutil.copy(table.image_path(i), folder)
    return folder


def lots(job):
    found = job.kept_out.source
    return paths_of(found.replay), paths_of(found.check), paths_of(job.test) | paths_of(job.source)


@pytest.mark.parametrize("given", [{}, {"seed": 1}, {"data": {"limit": None}}, {"calibrate": "keep-out"}])
def test_the_three_lots_have_no_picture_in_common(given):
    job = job_of(**given)
    replayed, checked, scored = lots(job)
    assert replayed and checked and not replayed & checked and not (replayed | checked) & scored
    (run,) = job.kept_out.first_runs or (job.kept_out,)
    assert not replayed & paths_of(run.target), "what shows the gain on the target is not seen either"
    tuned = run.train
    assert not checked & paths_of(tuned)
    assert replayed == paths_of(tuned), "the same photographs, as the source shows them"


@pytest.mark.parametrize(("count", "checked", "replayed"), [(40, 20, 20), (15, 15, 0)])
def test_another_source_is_divided_in_halves_if_it_is_large_enough(tmp_path, count, checked, replayed):
    folder = other_source(tmp_path, count)
    job = job_of(data={"limit": 80, "source_annotations": str(folder), "source_data": str(folder)})
    found = job.kept_out.source
    assert len(paths_of(found.check)) == checked
    if not replayed:
        assert found.replay is None and any(d.what == "replay" and d.value == "nothing" for d in job.decisions)
        return
    assert len(paths_of(found.replay)) == replayed and not paths_of(found.replay) & paths_of(found.check)


def test_at_most_so_many_are_replayed_and_the_seed_draws_them():
    few = [lots(job_of({"replay_most": 20}, seed=seed))[0] for seed in (0, 0, 1)]
    assert [len(one) for one in few] == [20, 20, 20] and few[0] == few[1] != few[2]


def test_named_pictures_are_replayed_without_labels_and_scored_ones_are_left_out(tmp_path):
    folder = pictures(tmp_path, 200, 230)
    shutil.copytree(folder, tmp_path / "more")
    job = job_of({"replay_pictures": str(folder)})
    replayed, checked, _ = lots(job)
    assert replayed == {str(path) for path in folder.iterdir()} and len(checked) >= 10
    assert not job.kept_out.source.with_labels and job.kept_out.source.is_labelled
    line = next(d for d in job.decisions if d.what == "replay").line()
    assert "30 pictures" in line and "the base's own answers" in line
    table = get_domain("demo-art").open("test").table
    with pytest.raises(UsageError, match="all scored or kept out"):
        job_of({"replay_pictures": str(table.image_path(0))})


def test_of_a_named_folder_that_holds_all_what_is_scored_or_kept_out_is_left_out():
    job = job_of({"replay_pictures": str(FOLDER / "images"), "replay_most": 1000})
    replayed, checked, scored = lots(job)
    all_of_them = {str(path) for path in (FOLDER / "images").iterdir()}
    assert replayed == all_of_them - scored - paths_of(job.kept_out.first_runs[0].target) and not replayed & checked
    assert any("not replayed" in note for note in job.kept_out.source.replay.table.notes)


def test_copies_under_other_names_are_left_out_too(tmp_path):
    for number, file in enumerate((FOLDER / "images").iterdir()):
        shutil.copy(file, tmp_path / f"x{number}{file.suffix}")
    named = job_of({"replay_pictures": str(FOLDER / "images"), "replay_most": 1000})
    copied = job_of({"replay_pictures": str(tmp_path), "replay_most": 1000})
    counts = [len(paths_of(job.kept_out.source.replay)) for job in (named, copied)]
    assert counts[0] == counts[1] < len(list(tmp_path.iterdir()))
    (note,) = (one for one in copied.kept_out.source.replay.table.notes if "not replayed" in one)
    assert note in named.kept_out.source.replay.table.notes


def test_faulty_options_are_told_before_anything_is_opened(tmp_path, capsys):
    for argv, words in (
        (["--replay-weight", "2"], "--replay-weight without --keep"),
        (["--replay-every", "0", "--keep", "99"], "replay_every"),
        (["--replay-answers", "labels", "--replay-pictures", str(tmp_path), "--keep", "99"], "without labels"),
        (["--replay-answers", "all", "--keep", "99"], "labels"),
    ):
        assert main(["adapt", *argv]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("make", ["missing", "empty", "video", "no picture", "few"])
def test_faulty_named_pictures(tmp_path, make):
    place = tmp_path / "named"
    data = {"limit": 80}
    if make == "empty":
        place.mkdir()
    elif make == "video":
        place = tmp_path / "clip.mp4"
        place.write_bytes(b"no video")
    elif make == "no picture":
        place = tmp_path / "file.json"
        place.write_text("{}")
    elif make == "few":
        place, data = pictures(tmp_path, 0, 19), {"limit": 80, "source_data": "none"}
    with pytest.raises(LvtuneError) as caught:
        job_of({"replay_pictures": str(place)}, data=data)
    assert "--unlabelled" not in str(caught.value)


def test_without_any_source_the_error_says_what_to_give():
    with pytest.raises(UsageError, match="without pictures of the source") as caught:
        job_of(data={"limit": 80, "source_data": "none"})
    assert "--replay-pictures" in str(caught.value)
    assert "--source-annotations FOLDER with train.json and test.json" in str(caught.value)


def test_named_pictures_alone_are_halved(tmp_path):
    job = job_of({"replay_pictures": str(pictures(tmp_path, 300, 330))}, data={"limit": 80, "source_data": "none"})
    found = job.kept_out.source
    assert len(paths_of(found.check)) == len(paths_of(found.replay)) == 15 and not found.is_labelled
    assert not paths_of(found.check) & paths_of(found.replay)
