"""Samples: crops, key points, mirrors, views, the cache and reduced decoding."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lvtune.core.errors import LvtuneError
from lvtune.data.augment import Augment
from lvtune.data.codec import UDPHeatmap
from lvtune.data.crop import box_to_center_scale, to_image, udp_matrix, warp
from lvtune.data.dataset import PoseDataset, collate, worker_init
from lvtune.data.images import read_image
from lvtune.data.skeletons import COCO_17, Skeleton
from lvtune.data.table import read_coco

COCO = Path(__file__).parents[1] / "samples/coco"
SETTING = {"input_size": (64, 48), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
STILL = Augment(flip=0, half_body=0, shift_p=0, scale=(1, 1), rotate_p=0)
ALWAYS_FLIP = Augment(flip=1, half_body=0, shift_p=0, scale=(1, 1), rotate_p=0)


@dataclass
class Person:
    index: int
    image: str
    bbox: np.ndarray
    keypoints: np.ndarray
    category: str = "photo"


@dataclass
class Table:
    root: Path
    persons: list
    skeleton: Skeleton = COCO_17

    def __len__(self):
        return len(self.persons)

    def __getitem__(self, i):
        return self.persons[i]


@pytest.fixture
def table(tmp_path):
    """Three persons in two smooth pictures of 240 × 320, stored without loss."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        noise = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / name), cv2.GaussianBlur(noise, (0, 0), 4))
    persons = []
    for i, name in enumerate(("a.png", "b.png", "a.png")):
        box = np.array([40.0 + 20 * i, 30, 80, 150])
        points = np.column_stack([box[:2] + rng.random((17, 2)) * box[2:], rng.integers(0, 3, 17)])
        persons.append(Person(i, name, box, points))
    return Table(tmp_path, persons)


def test_pixels_are_the_normalised_crop(table):
    sample = PoseDataset(table, **SETTING)[1]
    center, scale = box_to_center_scale(table[1].bbox, SETTING["input_size"])
    crop = warp(read_image(table.root / "b.png"), udp_matrix(center, scale, 0, (64, 48)), (64, 48))
    expected = (crop / 255.0 - SETTING["mean"]) / SETTING["std"]
    assert sample["pixel_values"].dtype == torch.float32
    np.testing.assert_allclose(sample["pixel_values"].numpy(), expected.transpose(2, 0, 1), atol=1e-5)
    np.testing.assert_allclose(sample["center"], center, rtol=1e-6)
    np.testing.assert_allclose(sample["scale"], scale, rtol=1e-6)
    assert (sample["category"], sample["index"]) == ("photo", 1)


def test_key_points_come_back_to_the_image(table):
    sample = PoseDataset(table, **SETTING)[0]
    back = to_image(
        sample["keypoints"].numpy() * [48 / 47, 64 / 63], sample["center"].numpy(), sample["scale"].numpy(), (64, 48)
    )
    np.testing.assert_allclose(back, table[0].keypoints[:, :2], atol=1e-3)
    np.testing.assert_array_equal(sample["visible"].numpy(), table[0].keypoints[:, 2] > 0)


def test_flip_is_exact(table):
    plain = PoseDataset(table, augment=STILL, **SETTING)[2]
    mirror = PoseDataset(table, augment=ALWAYS_FLIP, **SETTING)[2]
    assert torch.equal(mirror["pixel_values"], plain["pixel_values"].flip(-1))
    swap = list(COCO_17.flip_index)
    torch.testing.assert_close(mirror["keypoints"][:, 0], 47 - plain["keypoints"][swap, 0])
    assert torch.equal(mirror["keypoints"][:, 1], plain["keypoints"][swap, 1])
    assert torch.equal(mirror["visible"], plain["visible"][swap])


def test_the_heatmaps_of_a_mirrored_sample_are_the_mirrored_heatmaps(table):
    codec = UDPHeatmap((64, 48), (16, 12))
    plain = PoseDataset(table, augment=STILL, **SETTING)[0]
    mirror = PoseDataset(table, augment=ALWAYS_FLIP, **SETTING)[0]
    seen = torch.ones(1, 17)
    want = codec.encode(plain["keypoints"][None], seen)[0][:, list(COCO_17.flip_index)].flip(-1)
    torch.testing.assert_close(codec.encode(mirror["keypoints"][None], seen)[0], want, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "names",
    [("nose", "neck", "tail"), ("0", "1", "2"), ("nose", "left_eye", "tail"), ("leftEar", "rightEar", "leftHip")],
)
def test_without_known_pairs_nothing_is_flipped(table, names):
    odd = Skeleton("odd", names, (0.05,) * len(names), ())
    points = table[0].keypoints[: len(names)]
    persons = [Person(0, "a.png", table[0].bbox, points)]
    plain, mirror = (
        PoseDataset(Table(table.root, persons, odd), augment=a, **SETTING)[0] for a in (STILL, ALWAYS_FLIP)
    )
    assert torch.equal(mirror["keypoints"], plain["keypoints"])
    assert torch.equal(mirror["pixel_values"], plain["pixel_values"])


def test_points_that_lie_on_the_midline_flip_in_place_where_the_user_says_so(table):
    odd = Skeleton("odd", ("nose", "neck", "tail"), (0.05,) * 3, (), flip_pairs=())
    persons = [Person(0, "a.png", table[0].bbox, table[0].keypoints[:3])]
    plain, mirror = (
        PoseDataset(Table(table.root, persons, odd), augment=a, **SETTING)[0] for a in (STILL, ALWAYS_FLIP)
    )
    torch.testing.assert_close(mirror["keypoints"][:, 0], 47 - plain["keypoints"][:, 0])


def test_augmentation_depends_on_seed_epoch_and_item_alone(table):
    first, again = (PoseDataset(table, augment=Augment(), seed=3, **SETTING) for _ in range(2))
    again[0], again[2]
    assert torch.equal(first[1]["pixel_values"], again[1]["pixel_values"])
    old = first[1]["keypoints"]
    first.set_epoch(1)
    assert not torch.equal(first[1]["keypoints"], old)
    other = PoseDataset(table, augment=Augment(), seed=4, **SETTING)
    assert not torch.equal(other[1]["keypoints"], old)


def test_workers_change_nothing_and_see_the_epoch(table):
    data = PoseDataset(table, augment=Augment(), **SETTING)
    loader = DataLoader(
        data, batch_size=2, collate_fn=collate, num_workers=1, persistent_workers=True, worker_init_fn=worker_init
    )
    for epoch in (0, 1):
        data.set_epoch(epoch)
        got = torch.cat([batch["pixel_values"] for batch in loader])
        assert torch.equal(got, torch.stack([data[i]["pixel_values"] for i in range(3)]))


def brighten(image, view, index):
    return np.full_like(image, {"dim": 50, "bright": 200, "photo": 0}[view] + index)


def test_views_multiply_the_persons(table):
    data = PoseDataset(
        table, render=brighten, views=("dim", "bright"), input_size=(64, 48), mean=(0, 0, 0), std=(1, 1, 1)
    )
    assert len(data) == 6
    got = [(data[i]["category"], round(data[i]["pixel_values"][0, 32, 24].item() * 255)) for i in range(6)]
    assert got == [("dim", 50), ("bright", 200), ("dim", 51), ("bright", 201), ("dim", 52), ("bright", 202)]
    assert torch.equal(data[2]["keypoints"], data[3]["keypoints"])


def test_render_without_views_gets_the_category(table):
    data = PoseDataset(table, render=brighten, input_size=(64, 48), mean=(0, 0, 0), std=(1, 1, 1))
    assert [round(s["pixel_values"][0, 32, 24].item() * 255) for s in data] == [0, 1, 2]


def test_the_cache_gives_the_same_pixels_and_draws_once(table):
    calls = []

    def render(image, view, index):
        calls.append((view, index))
        return image // 2

    plain = PoseDataset(table, render=render, **SETTING)
    cached = PoseDataset(table, render=render, cache=True, **SETTING)
    expected = [s["pixel_values"] for s in plain]
    calls.clear()
    for _ in range(2):
        for i, sample in enumerate(cached):
            assert torch.equal(sample["pixel_values"], expected[i])
    assert calls == [("photo", 0), ("photo", 1), ("photo", 2)]


def test_the_cache_reads_a_picture_once(table):
    cached = PoseDataset(table, cache=True, **SETTING)
    expected = [s["pixel_values"] for s in cached]
    for name in ("a.png", "b.png"):
        (table.root / name).unlink()
    assert all(torch.equal(cached[i]["pixel_values"], expected[i]) for i in range(3))


def test_a_full_cache_still_reads(table, monkeypatch):
    monkeypatch.setattr("lvtune.data.dataset.CACHE_BYTES", 240 * 320 * 3)
    cached, plain = PoseDataset(table, cache=True, **SETTING), PoseDataset(table, **SETTING)
    for i in (0, 1, 2, 1):
        assert torch.equal(cached[i]["pixel_values"], plain[i]["pixel_values"])
    assert cached._cached_bytes == 240 * 320 * 3


def test_reduced_decoding_keeps_the_picture_in_place(tmp_path):
    """A crop from a JPEG at an eighth of its size is the crop from the whole, not a shifted one."""
    y, x = np.mgrid[:901, :703]
    waves = np.dstack([127 + 100 * np.sin(x / 40 + c) * np.cos(y / 50) for c in range(3)])
    cv2.imwrite(str(tmp_path / "large.jpg"), waves.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 98])
    person = Person(0, "large.jpg", np.array([80.0, 60, 500, 760]), np.zeros((17, 3)))
    table = Table(tmp_path, [person])
    small, whole = (
        PoseDataset(table, reduced=r, input_size=(64, 48), mean=(0, 0, 0), std=(1, 1, 1))[0] for r in (True, False)
    )
    difference = (small["pixel_values"] - whole["pixel_values"]).abs()[:, 4:-4, 4:-4].mean()
    one_pixel = (whole["pixel_values"][:, :, 1:] - whole["pixel_values"][:, :, :-1]).abs().mean()
    assert 0 < difference < 0.06 * one_pixel
    assert torch.equal(small["keypoints"], whole["keypoints"])


def test_a_real_table_gives_whole_batches():
    table = read_coco(COCO / "annotations/person_keypoints_val2017.json", COCO / "val2017")
    rows = np.flatnonzero(table.column("image") == "000000000785.jpg")
    data = PoseDataset(
        table.select(rows), augment=Augment(color=0.2), input_size=(256, 192), mean=(0.5,) * 3, std=(0.5,) * 3
    )
    batch = collate([data[i] for i in range(len(data))])
    assert batch["pixel_values"].shape == (len(rows), 3, 256, 192)
    assert batch["keypoints"].shape == (len(rows), 17, 2) and batch["visible"].sum() > 10
    assert batch["index"].tolist() == list(range(len(rows))) and batch["category"] == [""] * len(rows)
    assert batch["pixel_values"].abs().max() <= 1
    missing = PoseDataset(table, **SETTING)
    absent = int(np.flatnonzero(table.column("image") != "000000000785.jpg")[0])
    with pytest.raises(LvtuneError, match="no such image"):
        missing[absent]


def test_a_dataset_can_be_sent_to_a_worker(table):
    data = PoseDataset(table, augment=Augment(), render=brighten, **SETTING)
    assert torch.equal(pickle.loads(pickle.dumps(data))[0]["keypoints"], data[0]["keypoints"])


def test_an_empty_table_has_no_samples(table):
    empty = PoseDataset(Table(table.root, []), **SETTING)
    assert len(empty) == 0 and list(empty) == []
    assert PoseDataset(table, **SETTING)[-1]["index"] == 2


def test_mistakes_are_refused(table):
    with pytest.raises(LvtuneError, match="views dim without render"):
        PoseDataset(table, views=("dim",), **SETTING)
    for wrong in (lambda i, v, n: i[:100], lambda i, v, n: i / 255.0, lambda i, v, n: None):
        with pytest.raises(LvtuneError, match="render of 'photo' gave"):
            PoseDataset(table, render=wrong, **SETTING)[0]


def test_labels_alone_are_those_of_the_sample(table, monkeypatch):
    data = PoseDataset(table, **SETTING, augment=Augment(flip=0.5), seed=3)
    for epoch in range(4):
        data.set_epoch(epoch)
        whole = [data[i] for i in range(3)]
        with monkeypatch.context() as patch:
            patch.setattr(data, "_crop", None)  # no picture is read
            alone = [data.labels(i) for i in range(3)]
        for one, other in zip(whole, alone, strict=True):
            assert not other["pixel_values"].any() and other["pixel_values"].shape == one["pixel_values"].shape
            for key in one.keys() - {"pixel_values"}:
                assert (
                    torch.equal(torch.as_tensor(one[key]), torch.as_tensor(other[key])) if key != "category" else True
                )
            assert one["category"] == other["category"] and one.keys() == other.keys()
    with pytest.raises(IndexError):
        data.labels(3)


def test_the_fingerprint_names_what_the_samples_depend_on(table):
    def mark(persons=table, **more):
        return PoseDataset(persons, **{**SETTING, **more}).fingerprint

    table.fingerprint = "annotations"
    others = [
        mark(Table(table.root, table.persons[:2])), mark(augment=STILL), mark(augment=STILL, seed=1),
        mark(augment=ALWAYS_FLIP), mark(input_size=(96, 72)), mark(mean=(0.5, 0.5, 0.5)), mark(std=(0.2, 0.2, 0.2)),
        mark(render=cv2.flip), mark(render=cv2.blur), mark(render=cv2.blur, views=("a", "b")), mark(reduced=False),
    ]  # fmt: skip
    assert len({mark(), *others}) == len(others) + 1
    assert mark() == mark(seed=1) == mark(cache=False)  # nothing is drawn at random
    assert mark(augment=STILL) == mark(augment=Augment(flip=0, half_body=0, shift_p=0, scale=(1, 1), rotate_p=0))
    table.fingerprint = "other annotations"
    assert mark() != others[0] and mark() not in others
