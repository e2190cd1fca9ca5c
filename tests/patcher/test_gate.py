"""Each sample under the adapter whose pictures it is like; no network beside the base is asked."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import make_adapter, tiny_bank, tiny_base

import lvtune
from lvtune.bases.look_features import crop_of, features_of_pictures, look_features, look_layer
from lvtune.cli.main import main
from lvtune.core.errors import AdapterFileError, LvtuneError, UsageError
from lvtune.data.skeletons import LSP_14
from lvtune.patcher.attaching import attach, attached, use_adapter
from lvtune.patcher.automatic import decider
from lvtune.patcher.domain_looks import VIEWS, fit_looks
from lvtune.patcher.gate import Gate, has_gates, probabilities
from lvtune.storage.store import save_adapter


def pictures(kind, count=40, seed=0):
    """Noise (64, 48, 3) uint8: stripes, blobs, or plain noise."""
    rng = np.random.default_rng([seed, len(kind)])
    found = []
    for _ in range(count):
        image = rng.integers(0, 256, (64, 48, 3)).astype(float)
        if kind == "stripes":
            image = 0.2 * image + 200 * (np.arange(64)[:, None, None] // 4 % 2)
        elif kind == "dark blobs":
            image = np.kron(rng.integers(0, 90, (8, 6, 3)), np.ones((8, 8, 1)))
        found.append(np.clip(image, 0, 255).astype(np.uint8))
    return found


def normalised(base, images):
    return torch.from_numpy(np.stack([crop(base, image) for image in images]))


def views(base, images):
    whole, crops = features_of_pictures(base, images), torch.from_numpy(np.stack([crop(base, i) for i in images]))
    return {"crop": look_features(base, crops), "whole": whole}


def crop(base, image):
    return crop_of(base, image, np.array([0, 0, 48, 64]), padding=1.1)


def gated(base, kind, method="norm", **options):
    """An adapter whose file would hold a gate for a kind of picture, beside plain noise."""
    adapter = make_adapter(method, base, stirred=0.1, **options)
    looks = fit_looks(views(base, pictures(kind)), views(base, pictures("noise")), look_layer(base), "noise")
    adapter.saved_with = {"gate": json.loads(json.dumps(looks.to_dict()))}
    return adapter


@pytest.fixture(scope="module")
def base():
    return tiny_base()


@pytest.fixture(scope="module")
def two(base):
    return {"lines": gated(base, "stripes"), "night": gated(base, "dark blobs", seed=1)}


def mixed(count=5):
    every = [*pictures("stripes", count, 7), *pictures("dark blobs", count, 7), *pictures("noise", count, 7)]
    return every, ["lines"] * count + ["night"] * count + [None] * count


def test_auto_needs_no_other_network_where_each_file_holds_a_gate(two, monkeypatch):
    base = tiny_base()
    for name, adapter in two.items():
        attach(base, adapter, name)
    images, expected = mixed()
    pixels = normalised(base, images)
    monkeypatch.setattr("lvtune.language.ranking.ImageRanker.__init__", lambda *args, **kwargs: 1 / 0)
    try:
        assert Gate()(base, attached(base), pixels) == expected
        with torch.no_grad():
            found = base(pixels, adapters="auto")
            assert torch.equal(found, base(pixels, adapters=expected))
            assert torch.equal(found[-5:], base(pixels[-5:], adapters=None))
            with use_adapter(base, "auto"):
                assert torch.equal(base(pixels), found)
        assert Gate()(base, attached(base), pixels[:0]) == []
    finally:
        lvtune.detach(base)


def test_it_says_how_sure_it_is(base, two):
    images, expected = mixed()
    for seen in (images, normalised(base, images)):
        choices = Gate().look(base, two, seen)
        assert [choice.name for choice in choices] == expected
        for choice in choices:
            assert choice.probabilities.keys() == {"lines", "night", None}
            assert sum(choice.probabilities.values()) == pytest.approx(1)
            assert choice.sure == choice.probabilities[choice.name] > 0.5
    between = [
        (0.5 * a + 0.5 * b).astype(np.uint8)
        for a, b in zip(pictures("stripes", 5, 7), pictures("noise", 5, 7), strict=True)
    ]
    unsure = np.mean([choice.probabilities["lines"] for choice in Gate().look(base, two, between)])
    assert unsure < np.mean([choice.sure for choice in Gate().look(base, two, images[:5])])


def test_the_threshold_leaves_more_to_the_bare_base(base, two):
    images, expected = mixed()
    assert [choice.name for choice in Gate(threshold=0.5).look(base, two, images)][-5:] == [None] * 5
    assert [choice.name for choice in Gate(threshold=1.0).look(base, two, images)] == [None] * 15
    eager = [choice.name for choice in Gate(threshold=-1.0).look(base, two, images)]
    assert None not in eager and eager[:10] == expected[:10]


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((64, 48), np.uint8),
        np.zeros((64, 48, 4), np.uint8),
        np.zeros((64, 48, 3)),
        np.zeros((3, 64, 48), np.uint8),
        Image.new("RGB", (48, 64)),
    ],
    ids=["grey", "RGBA", "0 to 1", "channels first", "PIL"],
)
def test_pictures_of_another_kind_are_refused(base, two, picture):
    with pytest.raises(UsageError, match=r"expected whole pictures as arrays \(height, width, 3\), uint8 RGB"):
        Gate().look(base, two, [np.zeros((64, 48, 3), np.uint8), picture])


@pytest.mark.parametrize(
    ("picture", "said"),
    [(Image.new("RGB", (48, 64)), "Image"), ("a.png", "str"), (torch.zeros(3, 64, 48), "Tensor"), (None, "NoneType")],
    ids=["PIL", "path", "tensor", "none"],
)
def test_what_is_no_array_is_told_with_its_type_and_what_to_type(base, two, picture, said):
    with pytest.raises(UsageError, match=f"^picture 1 of the type {said}; ") as caught:
        features_of_pictures(base, [np.zeros((64, 48, 3), np.uint8), picture])
    assert "np.asarray(image.convert('RGB'))" in caught.value.fix
    for adapters in (two, {"lines": two["lines"]}):
        with pytest.raises(UsageError, match="of the type"):
            Gate().look(base, adapters, [np.zeros((64, 48, 3), np.uint8), picture])


def test_one_picture_in_place_of_a_list_is_told(base, two):
    for alone in (Image.new("RGB", (48, 64)), iter(pictures("stripes", 2))):
        with pytest.raises(UsageError, match="pictures of the type") as caught:
            Gate().look(base, two, alone)
        assert "np.asarray(image.convert('RGB'))" in caught.value.fix


@pytest.mark.parametrize("threshold", [float("nan"), 1.5, -2.0, None, "0.2", [0.2], 1j])
def test_a_threshold_of_no_use_is_refused(threshold):
    with pytest.raises(UsageError, match="from -1 to 1"):
        Gate(threshold)
    assert [Gate(number).threshold for number in (np.float32(0.5), np.float64(0.5), 0, 1)] == [0.5, 0.5, 0, 1]


def test_what_is_like_no_adapters_pictures_stays_with_the_base(base, two):
    strange = [np.zeros((64, 48, 3), np.uint8), np.full((64, 48, 3), 255, np.uint8)]
    assert [choice.name for choice in Gate().look(base, {"lines": two["lines"]}, strange)] == [None, None]


def test_one_without_a_gate_goes_by_clip(base, two):
    every = {**two, "plain": make_adapter("norm", base)}
    assert has_gates(two.values()) and not has_gates(every.values()) and not has_gates([])
    assert isinstance(decider(two), Gate) and isinstance(decider(every), lvtune.Auto)
    with pytest.raises(UsageError, match="'plain', whose file holds no gate"):
        Gate().look(base, every, pictures("stripes", 1))
    assert Gate().look(base, {}, pictures("stripes", 2))[0].name is None


def test_a_gate_of_another_base_is_told():
    other = tiny_base(width=64)
    kinds = [{view: np.random.default_rng(i).normal(size=(40, 96)) for view in VIEWS} for i in (0, 1)]
    looks = {"lines": fit_looks(*kinds, "block", "noise")}
    with pytest.raises(UsageError, match="whose gate has 96 weights; expected 128"):
        probabilities(looks, look_features(other, torch.zeros(1, 3, *other.input_size)), "crop")


def test_files_with_a_gate_are_checked_saved_again_and_chosen_from_a_pool(base, two, tmp_path):
    folders = {name: save_adapter(adapter, tmp_path / name, base) for name, adapter in two.items()}
    again = {name: lvtune.load_adapter(folder, base) for name, folder in folders.items()}
    images, expected = mixed()
    assert [choice.name for choice in Gate().look(base, again, images)] == expected
    save_adapter(again["lines"], tmp_path / "copy", base)
    assert lvtune.load_adapter(tmp_path / "copy", base).saved_with["gate"] == again["lines"].saved_with["gate"]
    pool = lvtune.AdapterPool(base, folders)
    pool(normalised(base, images[:3]), adapters="auto")
    assert pool.loaded == ["lines"]
    folders["plain"] = save_adapter(make_adapter("norm", base), tmp_path / "plain", base)
    with pytest.raises(LvtuneError, match="'plain', whose file holds no gate"):
        lvtune.AdapterPool(base, folders)(normalised(base, images[:1]), adapters=Gate())
    broken = dict(two["lines"].saved_with["gate"], weights=[1.0, None])
    two_broken = make_adapter("norm", base)
    two_broken.saved_with = {"gate": broken}
    with pytest.raises(AdapterFileError, match="a gate that cannot be read"):
        save_adapter(two_broken, tmp_path / "broken", base)


def test_predict_chooses_and_says_so(tmp_path, capsys):
    whole = lvtune.load_base("vitpose-ti")
    names = {}
    for kind, method, options in (("stripes", "norm", {}), ("dark blobs", "vlpose-light", {"bank": tiny_bank()})):
        adapter = gated(whole, kind, method, **options)
        names[kind] = str(save_adapter(adapter, tmp_path / kind.replace(" ", "-"), whole))
    (tmp_path / "in").mkdir()
    expected = {}
    for kind in ("stripes", "dark blobs", "noise"):
        for i, image in enumerate(pictures(kind, 2, 7)):
            file = tmp_path / "in" / f"{kind.replace(' ', '-')}{i}.png"
            Image.fromarray(image).save(file)
            expected[file.name] = names.get(kind)
    argv = ["predict", str(tmp_path / "in"), *(x for name in names.values() for x in ("--adapter", name)),
            "--out", str(tmp_path / "out"), "--no-drawings"]  # fmt: skip
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "adapters were chosen by the base's own features" in said and "the bare base 2" in said
    found = json.loads((tmp_path / "out" / "poses.json").read_text())
    rows = {pose["image"].rpartition("/")[2]: pose for pose in found}
    assert {name: row["adapter"] for name, row in rows.items()} == expected
    assert all(0.5 < row["sure"] <= 1 for row in rows.values())
    before = (tmp_path / "out" / "poses.json").read_bytes()
    assert main([*argv, "--resume"]) == 0
    assert "the bare base 2" in capsys.readouterr().out
    assert (tmp_path / "out" / "poses.json").read_bytes() == before
    assert main([*argv[:-3], "--json", "--threshold", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {pose["adapter"] for pose in told["poses"]} == {None}
    assert main(["inspect", names["stripes"]]) == 0
    shown = capsys.readouterr().out
    assert "40 pictures beside 40 of noise" in shown and "covariance" not in shown


def test_adapters_of_other_key_points_too(base):
    every = {"lines": gated(base, "stripes", "vlpose-light", bank=tiny_bank(), skeleton=LSP_14)}
    own = tiny_base()
    attach(own, every["lines"], "lines")
    rows = own(normalised(own, [*pictures("stripes", 1, 7), *pictures("noise", 1, 7)]), adapters="auto")
    assert [len(row) for row in rows] == [14, 17]
