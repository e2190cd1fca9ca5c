"""No picture is tested on or kept out that was learnt from, or a note says so."""

import json
import shutil

import pytest
from own_files import draw_pictures, mice, write

import lvtune
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.core.errors import UsageError
from lvtune.domains.few_pictures import pictures_of_samples

BASE = {"domain": "custom", "base": "timm:resnet10t", "weights": "random", "device": "cpu", "method": "head",
        "gate": False, "train": {"steps": 1, "batch_size": 4}}  # fmt: skip


def own_data(folder, count=12):
    folder.mkdir(parents=True, exist_ok=True)
    data = mice(count)
    draw_pictures(data, folder)
    return {"data": str(folder), "annotations": str(write(data, folder))}


def job_of(where, *, data=None, **more):
    return prepare(Recipe.from_dict({**BASE, **more, "data": {**where, **(data or {})}}))


def files(split):
    """Names without folders: pictures without labels are named by their whole path."""
    return {name.split(" ")[0].rpartition("/")[2] for name in pictures_of_samples(split)}


def test_parts_that_share_pictures_are_said(tmp_path):
    data = own_data(tmp_path)
    whole = json.loads((tmp_path / "annotations.json").read_text())
    some = {one["id"] for one in whole["images"][:5]}
    part = {**whole, "images": whole["images"][:5],
            "annotations": [one for one in whole["annotations"] if one["image_id"] in some]}  # fmt: skip
    (tmp_path / "test.json").write_text(json.dumps(part))
    job = job_of(data, data={"test_annotations": str(tmp_path / "test.json")})
    assert any("5 of 5 pictures that are tested on are tuned on too" in note for note in job.table_notes)
    assert not any("tuned on too" in note for note in job_of(data).table_notes)


@pytest.mark.parametrize("more", [{}, {"calibrate": "keep-out", "calibrate_share": 0.3}])
@pytest.mark.parametrize("pool", ["train", "folder", "coco"])
def test_pictures_without_labels_are_others_than_those_tested_on_or_kept_out(pool, more, tmp_path):
    data = own_data(tmp_path, 60)
    given = {"train": "train", "folder": data["data"], "coco": data["annotations"]}[pool]
    job = job_of(data, unlabelled=given, **more)
    kept = set() if job.kept_out.target is None else files(job.kept_out.target)
    seen = files(job.unlabelled)
    assert len(kept) == (14 if more else 0)
    assert not seen & (files(job.test) | kept) and seen == files(job.train)
    left = len(kept) + (0 if pool == "train" else len(files(job.test)))
    said = [note for note in job.table_notes if "without labels left out: they are tested on" in note]
    assert said == (
        [f"{left} pictures without labels left out: they are tested on, or kept out of the tuning"] * (left > 0)
    )


def test_a_domain_that_shows_pictures_in_several_views_loses_those_kept_out_alone():
    values = {"domain": "demo-art", "weights": "random", "device": "cpu", "method": "lora", "start": "none",
              "unlabelled": "train", "data": {"shots": 60},
              "calibrate": "keep-out", "calibrate_share": 0.25}  # fmt: skip
    job = prepare(Recipe.from_dict(values))
    kept, seen = files(job.kept_out.target), files(job.unlabelled)
    assert len(kept) == 15 and len(job.train.items) == 45 and len(seen) > 200 and not seen & kept
    assert any("15 pictures without labels left out" in note for note in job.table_notes)


def test_a_pool_of_nothing_else_is_an_error(tmp_path):
    data = own_data(tmp_path / "own")
    pool = tmp_path / "own" / "again"
    pool.mkdir()
    for name in files(job_of(data).test):
        (pool / name).symlink_to(tmp_path / "own" / name)
    with pytest.raises(UsageError, match="all of which are tested on"):
        job_of(data, unlabelled=str(pool), data={"symlinks": True})


def test_what_the_start_was_tuned_on_is_said(tmp_path):
    data = own_data(tmp_path / "own", 90)
    out = tmp_path / "first"
    lvtune.adapt(Recipe.from_dict({**BASE, "data": data, "calibrate": "none", "out": str(out)}))
    job = job_of(data, start=str(out))
    kept = len(files(job.kept_out.target))
    notes = " ".join(job.table_notes)
    assert (
        f"{kept} of {kept} pictures that are kept out have the names of pictures that the adapter was tuned on" in notes
    )
    assert "tested on have" not in notes
    again = job_of(data, start=str(out), calibrate="none")
    assert "have the names" not in " ".join(again.table_notes)
    shutil.rmtree(out)


def test_a_share_of_keep_is_a_percentage():
    with pytest.raises(UsageError, match=r"keep = 0\.99; expected at least 50"):
        Recipe.from_dict({"domain": "demo-art", "keep": 0.99})


def test_copies_of_pictures_that_are_tested_on_or_kept_out_are_left_out_too(tmp_path):
    data = own_data(tmp_path / "own", 60)
    pool = tmp_path / "pool"
    pool.mkdir()
    for number, file in enumerate(sorted((tmp_path / "own").glob("*.png"))):
        shutil.copy(file, pool / f"frame-{number}.png")
    job = job_of(data, unlabelled=str(pool), calibrate="keep-out", calibrate_share=0.3)
    left = len(files(job.test)) + len(files(job.kept_out.target))
    assert len(files(job.unlabelled)) == 60 - left
    assert any(f"({left} copies with the same contents among them)" in note for note in job.table_notes)
    seen = {(pool / name).read_bytes() for name in files(job.unlabelled)}
    tested = {(tmp_path / "own" / name).read_bytes() for name in files(job.test) | files(job.kept_out.target)}
    assert not seen & tested
