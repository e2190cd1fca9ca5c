"""Data sets of `datasets`: parquet and image folders with COCO's fields, streamed once into COCO files."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from lvtune.core.errors import DataError, NetworkError
from lvtune.data.hub_datasets import is_dataset, read_dataset
from lvtune.data.skeletons import Skeleton
from lvtune.data.table import read_coco

NAMES = ["snout", "left_ear", "right_ear"]


def picture(seed, suffix="PNG"):
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, suffix)
    return stream.getvalue()


def person(x):
    return {"bbox": [x, 4.0, 20.0, 30.0], "keypoints": [x + 2.0, 8.0, 2.0, x + 9.0, 20.0, 1.0, 0.0, 0.0, 0.0]}


def parquet(folder, rows, name="train-00000-of-00001.parquet", skeleton=NAMES):
    from datasets import Dataset

    folder.mkdir(exist_ok=True)
    Dataset.from_list(rows).to_parquet(folder / name)
    if skeleton:
        (folder / "skeleton.json").write_text(json.dumps({"keypoints": skeleton}))
    return folder


def rows(count=3):
    return [
        {"image": {"bytes": picture(i), "path": None}, "objects": [person(2.0 + i), person(30.0)][: 1 + i % 2]}
        for i in range(count)
    ]


def test_parquet_of_a_row_a_picture(tmp_path):
    folder = parquet(tmp_path / "set", rows())
    parquet(folder, rows(1), "validation.parquet")
    assert is_dataset(folder)
    copy = read_dataset(str(folder), cache=tmp_path / "cache")
    assert set(copy.annotations) == {"train", "val"}
    assert copy.notes[0] == f"train: 4 instances in 3 pictures read from {folder}"
    table = read_coco(copy.annotations["train"], copy.pictures)
    assert table.skeleton.keypoints == tuple(NAMES)
    assert len(table) == 4
    assert table[0].keypoints.tolist() == [[4.0, 8.0, 2.0], [11.0, 20.0, 1.0], [0.0, 0.0, 0.0]]
    assert (table.picture(0) == np.asarray(Image.open(io.BytesIO(picture(0))))).all()


def test_the_copy_is_made_once_and_anew_when_the_data_change(tmp_path):
    folder, cache = parquet(tmp_path / "set", rows()), tmp_path / "cache"
    first = read_dataset(str(folder), cache=cache)
    (first.pictures / "mark").touch()
    assert (read_dataset(str(folder), cache=cache).pictures / "mark").exists()
    parquet(folder, rows(5))
    again = read_dataset(str(folder), cache=cache)
    assert again.pictures != first.pictures and len(read_coco(again.annotations["train"], again.pictures)) == 7
    assert not list(cache.glob("*.tmp"))


@pytest.mark.parametrize("record", ["", "[" * 20_000, "{}", '{"parts": 3, "notes": []}'])
def test_a_damaged_copy_is_made_again(tmp_path, record):
    folder = parquet(tmp_path / "set", rows())
    first = read_dataset(str(folder), cache=tmp_path / "cache")
    (first.pictures / "done.json").write_text(record)
    again = read_dataset(str(folder), cache=tmp_path / "cache")
    assert again == first and json.loads((first.pictures / "done.json").read_text())["parts"] == ["train"]


def test_rows_of_one_person_share_their_picture(tmp_path):
    same = {"bytes": picture(7, "JPEG"), "path": None}
    points = [[[5.0, 6.0], [7.0, 8.0], [None, None]], [[30.0, 6.0], [33.0, 8.0], [40.0, 20.0]]]
    folder = parquet(
        tmp_path / "set", [{"image": same, "keypoints": p, "bbox": [1.0, 1.0, 60.0, 40.0]} for p in points]
    )
    copy = read_dataset(str(folder), cache=tmp_path / "cache")
    data = json.loads(copy.annotations["train"].read_text())
    assert [image["file_name"] for image in data["images"]] == ["images/train/0000000.jpg"]
    assert [a["keypoints"] for a in data["annotations"]] == [
        [5.0, 6.0, 2, 7.0, 8.0, 2, 0, 0, 0],
        [30.0, 6.0, 2, 33.0, 8.0, 2, 40.0, 20.0, 2],
    ]


def test_an_image_folder_with_its_table(tmp_path):
    folder = tmp_path / "set"
    (folder / "train").mkdir(parents=True)
    lines = []
    for i in range(2):
        (folder / f"train/{i}.png").write_bytes(picture(i))
        lines.append(json.dumps({"file_name": f"{i}.png", "objects": [person(3.0 + i)]}))
    (folder / "train/metadata.jsonl").write_text("\n".join(lines))
    assert is_dataset(folder)
    copy = read_dataset(str(folder), _three(), cache=tmp_path / "cache")
    table = read_coco(copy.annotations["train"], copy.pictures)
    assert len(table) == 2 and table[1].keypoints[0].tolist() == [6.0, 8.0, 2.0]


def _three():
    return Skeleton.from_dict(
        {"name": "three", "keypoints": NAMES, "flip": [0, 2, 1], "sigmas": [0.05] * 3, "links": []}
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row.pop("objects"), "row 0 of .* without `objects` or `keypoints`"),
        (lambda row: row["objects"][0].update(keypoints=[1.0, 2.0]), "row 0 of .* with 2 numbers in `keypoints`"),
        (lambda row: row.update(image={"bytes": None, "path": None}), "row 0 of .* without a picture"),
        (lambda row: row["objects"][0].update(keypoints=["1", "2", "3"] * 3), "row 0 of .* with '1' in `keypoints`"),
        (lambda row: row.update(image={"bytes": None, "path": "gone.jpg"}), "row 0 of .* with the picture 'gone.jpg'"),
        (lambda row: row.update(image=5), "row 0 of "),
        (
            lambda row: row.update(objects={"keypoints": [person(1.0)["keypoints"]] * 2, "bbox": [[1.0, 2, 3, 4]]}),
            "row 0 of .* with 1 values in `bbox` for 2 in `keypoints`",
        ),
    ],
)
def test_faults_name_the_row(tmp_path, change, words):
    (row,) = rows(1)
    change(row)
    folder = parquet(tmp_path / "set", [row])
    with pytest.raises(DataError, match=words):
        read_dataset(str(folder), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


def test_files_whose_names_say_no_part_are_said(tmp_path):
    folder = tmp_path / "set"
    for name in ("train-0.parquet", "more.parquet", "test-0.parquet"):
        parquet(folder, rows(2), name)
    copy = read_dataset(str(folder), cache=tmp_path / "cache")
    assert set(copy.annotations) == {"train", "test"}
    assert "1 parquet file left out, whose names say no part (train, val, test): more.parquet" in copy.notes
    (folder / "train-0.parquet").unlink()
    copy = read_dataset(str(folder), cache=tmp_path / "cache")
    assert set(copy.annotations) == {"train", "test"}
    assert "parquet files whose names say no part are read as train: more.parquet" in copy.notes
    parquet(tmp_path / "whole", rows(2), "training_0.parquet")
    parquet(tmp_path / "whole", rows(1), "test_0.parquet")
    assert set(read_dataset(str(tmp_path / "whole"), cache=tmp_path / "cache").annotations) == {"train", "test"}


def test_empty_and_damaged_files(tmp_path):
    from datasets import load_dataset

    folder = parquet(tmp_path / "set", rows(2), "train-0.parquet")
    whole = load_dataset("parquet", data_files=str(folder / "train-0.parquet"), split="train", cache_dir=str(tmp_path))
    whole.select([]).to_parquet(folder / "train-1.parquet")
    copy = read_dataset(str(folder), cache=tmp_path / "cache")
    assert len(copy.notes) == 1 and "in 2 pictures read from" in copy.notes[0]
    data = (folder / "train-0.parquet").read_bytes()
    (folder / "train-0.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"train-0.parquet, which cannot be read .*copy or download it again"):
        read_dataset(str(folder), cache=tmp_path / "cache")
    (folder / "train-0.parquet").unlink()
    with pytest.raises(DataError, match="whose parquet files have no rows"):
        read_dataset(str(folder), cache=tmp_path / "cache")


def test_key_points_need_names(tmp_path):
    folder = parquet(tmp_path / "set", rows(), skeleton=None)
    with pytest.raises(DataError, match=r"without skeleton.json.*--skeleton NAME"):
        read_dataset(str(folder), cache=tmp_path / "cache")
    (folder / "skeleton.json").write_text("{}")
    with pytest.raises(DataError, match="KeyError"):
        read_dataset(str(folder), cache=tmp_path / "cache")


def test_the_hub_out_of_reach_is_told_at_once():
    with pytest.raises(NetworkError, match="offline mode is on"):
        read_dataset("hf://ann/mice")
    with pytest.raises(DataError, match="hf://owner/name"):
        read_dataset("hf://mice")


def test_what_is_no_data_set(tmp_path):
    (tmp_path / "annotations.json").write_text("{}")
    assert not is_dataset(tmp_path) and not is_dataset(None) and not is_dataset(tmp_path / "none")
    assert is_dataset("hf://ann/mice")
