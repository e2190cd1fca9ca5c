"""Each sample under the adapter whose sentences CLIP finds to fit it: on a tiny CLIP in the real file format."""

import json
from pathlib import Path

import clips
import numpy as np
import pytest
import torch
from PIL import Image
from tiny import make_adapter, tiny_bank, tiny_base, tiny_model, tiny_pixels

import lvtune
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import LSP_14
from lvtune.language.bank import SentenceBank
from lvtune.language.ranking import ImageRanker
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.patcher.automatic import by_sentences, pictures_of, usual
from lvtune.prediction.routed import open_router
from lvtune.storage.store import save_adapter

SAID = {
    "ink": ("an ink painting of a human", "a sketch of a human"),
    "glass": ("a stained glass window of a human",),
    "wall": ("a mural of a human",),
}
PLAIN = "a photo of a human"


LOOKS = ["a sketch of a human", "a mural of a human", PLAIN, "a stained glass window of a human",
         "an ink painting of a human", PLAIN, "a mural of a human"]  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """One that sees the looks in both kinds of pictures below."""
    folder = clips.save_clip(tmp_path_factory.mktemp("clip") / "clip")
    return clips.teach(folder, pictures() + pictures(larger=4), LOOKS * 2)


def bank_of(sentences):
    whole = tiny_bank()
    count = len(sentences)
    return SentenceBank(tuple(sentences), tuple(sentences), whole.tokens[:count], whole.mask[:count],
                      "test")  # fmt: skip


def attach_three(target):
    for seed, (name, sentences) in enumerate(SAID.items()):
        points = {"skeleton": LSP_14} if name == "wall" else {}
        attach(target, make_adapter("vlpose", target, stirred=0.1, seed=seed, bank=bank_of(sentences), **points), name)


def pictures(larger=0):
    """Noise in seven colours; each ``larger`` than the one before."""
    draw = np.random.default_rng(larger)
    return [
        (draw.integers(0, 255, (64, 48 + larger * i, 3)) * draw.random(3)).astype(np.uint8) for i in range(len(LOOKS))
    ]


def normalised(base, images):
    mean, std = np.float32(base.mean) * 255, np.float32(base.std) * 255
    return torch.from_numpy(np.stack([(image - mean) / std for image in images])).permute(0, 3, 1, 2).float()


def expected_of(clip, images, said, threshold=0.0):
    """The rule, from the cosines alone."""
    ranker, names = ImageRanker(clip), []
    for image in images:
        plain = ranker.scores([image], [PLAIN]).item()
        best = {name: ranker.scores([image], sentences).max().item() for name, sentences in said.items()}
        name = max(best, key=best.get)
        names.append(name if best[name] > plain + threshold else None)
    return names


def test_pictures_are_taken_back_from_what_the_base_sees():
    base, images = tiny_base(), pictures()
    for found, image in zip(pictures_of(base, normalised(base, images)), images, strict=True):
        assert found.dtype == np.uint8 and np.array_equal(found, image)
    assert pictures_of(base, torch.full((1, 3, 2, 2), 1e9))[0].max() == 255  # what is no picture stays in its range


@torch.no_grad()
@pytest.mark.parametrize("plain", [False, True])
def test_each_sample_goes_under_the_adapter_that_fits(clip, plain):
    base = tiny_base()
    target = tiny_model() if plain else base
    attach_three(target)
    images = pictures()
    pixels, names = normalised(base, images), expected_of(clip, images, SAID)
    assert set(names) == {*SAID, None}  # each case is there
    auto = lvtune.Auto(clip)
    ask = lambda x: getattr(target(x), "heatmaps", None) if plain else target(x)  # noqa: E731
    with use_adapter(target, auto):
        found = ask(pixels)
    with use_adapter(target, names):
        assert all(map(torch.equal, found, ask(pixels)))
    assert {len(rows) for rows in found} == {14, 17}
    if not plain:
        assert all(map(torch.equal, target(pixels, adapters=auto), found))


@torch.no_grad()
def test_the_threshold_decides_who_gets_none(clip):
    base, images = tiny_base(), pictures()
    attach_three(base)
    choice = lambda **options: lvtune.Auto(clip, **options)(base, lvtune.attached(base), normalised(base, images))  # noqa: E731
    names, margins = lvtune.Auto(clip).margins(base, images, SAID)
    assert names == list(SAID) and margins.shape == (7, 3)
    middle = margins.max(1).values.sort().values[2:4].mean().item()  # between two of them: none is decided by rounding
    for threshold in (middle, -2.0, 2.0):
        assert choice(threshold=threshold) == expected_of(clip, images, SAID, threshold)
    assert 0 < choice(threshold=middle).count(None) < 7
    assert choice(threshold=-2.0).count(None) == 0
    assert choice(threshold=2.0) == [None] * 7
    assert choice(plain=(), threshold=-1.0).count(None) == 0  # without plain sentences: the cosine itself
    assert choice(plain=["a sketch of a human"]).count("ink") < choice(plain=()).count("ink") + 1
    other = {"glass": ["a photo of a human", "an oil painting of a human"]}
    assert choice(sentences=other) == expected_of(clip, images, SAID | other)


def test_auto_is_the_usual_clip_and_is_said_in_one_error_where_that_lacks(clip, tmp_path, monkeypatch):
    base, pixels = tiny_base(), tiny_pixels(2)
    usual.cache_clear()
    assert torch.equal(base(pixels, adapters="auto"), base(pixels))  # nothing attached: nothing to choose
    attach_three(base)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        LvtuneError, match=r"openai/clip-vit-base-patch32, to choose adapters with.*lvtune.Auto\(FOLDER\)"
    ):
        base(pixels, adapters="auto")
    Path("openai").mkdir()
    Path("openai/clip-vit-base-patch32").symlink_to(clip)
    images = pictures()
    names = expected_of(clip, images, SAID)
    with torch.no_grad():
        found = base(normalised(base, images), adapters="auto")
        assert all(map(torch.equal, found, base(normalised(base, images), adapters=names)))
    usual.cache_clear()


def test_clip_is_loaded_once_whichever_adapters_hold_no_gate():
    one, other = by_sentences(["a"]), by_sentences(["b", "c"])
    assert one.why != other.why and one._rankers is other._rankers is usual()._rankers
    assert one._loading is other._loading


@pytest.mark.parametrize("others", [["plain"], ["one", "two", "three", "four", "five"]])
def test_where_some_hold_no_gate_the_error_names_those(others, monkeypatch, tmp_path):
    base = tiny_base()
    gated = make_adapter("norm", base, domain="humanart/mural")
    gated.saved_with = {"gate": {"any": 1}}
    attach(base, gated, "gated")
    for name in others:
        attach(base, make_adapter("norm", base, domain="humanart/mural"), name)
    monkeypatch.chdir(tmp_path)
    said = ", ".join(others[:4]) + (" and 1 more" if len(others) > 4 else "")
    with pytest.raises(LvtuneError, match=rf"to choose adapters with \(no gate in the file of {said}\)"):
        base(tiny_pixels(1), adapters="auto")
    attach(base, make_adapter("norm", base), "nameless")
    with pytest.raises(LvtuneError, match=r"looks of those of 'nameless' \(no gate in the file of"):
        base(tiny_pixels(1), adapters="auto")
    router = open_router(None, {name: make_adapter("norm", base, domain="humanart/mural") for name in ("a", "b")}, base)
    with pytest.raises(LvtuneError, match=r"to choose adapters with \(no gate in the file of a, b\)"):
        router.choose(base, pictures()[:1])


def test_adapters_without_a_bank_are_known_by_their_domain(clip):
    base, images = tiny_base(), pictures()
    auto = lvtune.Auto(clip)
    attach(base, make_adapter("lora", base, domain="humanart/ink_painting,sketch"), "ink")
    attach(base, make_adapter("norm", base, domain="humanart/mural"), "wall")
    attach(base, make_adapter("vlpose", base, domain="humanart/stained_glass",
                              bank=bank_of((PLAIN,))), "glass")  # fmt: skip  # it reads what says nothing
    assert auto(base, lvtune.attached(base), normalised(base, images)) == expected_of(clip, images, SAID)
    attach(base, make_adapter("norm", base), "nameless")
    with pytest.raises(LvtuneError, match=r"no sentence describes .* of 'nameless'.*sentences=\{'nameless'"):
        base(tiny_pixels(1), adapters=auto)
    with use_adapter(base, auto), pytest.raises(LvtuneError, match="part of the model"):
        base.model.backbone(tiny_pixels(1))


def test_of_adapters_with_one_sentence_the_last_attached_acts(clip):
    base = tiny_base()
    for name in ("first", "last"):
        attach(base, make_adapter("norm", base), name)
    same = {name: SAID["glass"] for name in ("first", "last")}
    auto = lvtune.Auto(clip, sentences=same, threshold=-2)
    assert auto(base, lvtune.attached(base), tiny_pixels(3)) == ["last"] * 3


def test_a_pool_loads_what_the_pictures_choose(clip, tmp_path):
    base, images = tiny_base(), pictures()
    folders = {
        name: save_adapter(make_adapter("vlpose", base, stirred=0.1, bank=bank_of(sentences)), tmp_path / name)
        for name, sentences in SAID.items()
    }
    folders["unseen"] = save_adapter(make_adapter("norm", base, domain="humanart/cartoon"), tmp_path / "unseen")
    pool, auto, pixels = lvtune.AdapterPool(base, folders), lvtune.Auto(clip), normalised(base, images)
    first = pool(pixels[:1], adapters=auto)  # a sketch
    assert pool.loaded == ["ink"]
    names = expected_of(clip, images, SAID)
    with torch.no_grad():
        torch.testing.assert_close(pool(pixels, adapters=auto), pool(pixels, adapters=names))
        torch.testing.assert_close(first, pool(pixels[:1], adapters="ink"))
    assert sorted(pool.loaded) == sorted(SAID)
    with (
        pytest.raises(LvtuneError, match=r"chosen by pictures, without pictures.*pool\(pixel_values"),
        pool.use("auto"),
    ):
        pass
    pool.add("foreign", save_adapter(make_adapter("norm", base), tmp_path / "foreign"))
    with pytest.raises(LvtuneError, match="no sentence describes the looks of those of 'foreign'"):
        pool(pixels, adapters=auto)


@pytest.fixture
def files(tmp_path):
    """Pictures of different sizes."""
    found = []
    for i, image in enumerate(pictures(larger=4)):
        found.append(tmp_path / f"{i}.png")
        Image.fromarray(image).save(found[-1])
    return found


def of_files(clip, files, said):
    return expected_of(clip, [np.array(Image.open(file)) for file in files], said)


def test_predict_routes_whole_pictures(clip, files):
    base = tiny_base()
    adapters = {
        name: make_adapter("vlpose", base, stirred=0.1, seed=seed, bank=bank_of(sentences),
                           **({"skeleton": LSP_14} if name == "wall" else {}))
        for seed, (name, sentences) in enumerate(SAID.items())
    }  # fmt: skip
    boxes = {file.name: [[0, 0, 40, 60]] * (1 + i % 2) for i, file in enumerate(files)}
    given = {"base": base, "boxes": boxes, "ranker": str(clip)}
    found = lvtune.predict(files, adapter=adapters, **given)
    names = of_files(clip, files, SAID)
    assert set(names) == {*SAID, None}
    rows = [
        (str(file), name) for i, (file, name) in enumerate(zip(files, names, strict=True)) for _ in range(1 + i % 2)
    ]
    assert [(pose.image, pose.adapter) for pose in found] == rows
    assert lvtune.attached(base) == {}
    for file, name in zip(files, names, strict=True):
        alone = lvtune.predict(file, adapter=adapters.get(name), **given)
        mine = [pose for pose in found if pose.image == str(file)]
        assert len(mine) == len(alone) and len(mine[0].keypoints) == (14 if name == "wall" else 17)
        for one, other in zip(mine, alone, strict=True):
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4)
            assert one.to_dict()["adapter"] == name and "adapter" not in other.to_dict()
    for name, adapter in adapters.items():
        attach(base, adapter, name)
    again = lvtune.predict(files, route=lvtune.Auto(clip), base=base, boxes=boxes)  # those attached already
    assert [pose.adapter for pose in again] == [pose.adapter for pose in found]
    assert list(lvtune.attached(base)) == list(SAID)
    named = lvtune.predict(files, route="wall", **given)
    assert {pose.adapter for pose in named} == {"wall"}
    with pytest.raises(LvtuneError, match="route 'walls'; expected auto, or an adapter given: ink, glass, wall"):
        lvtune.predict(files, route="walls", **given)


def test_on_the_command_line(clip, files, tmp_path, capsys):
    base = lvtune.load_base("vitpose-ti")
    folders = [
        str(save_adapter(make_adapter(method, base, stirred=0.01, domain=domain), tmp_path / method))
        for method, domain in (("lora", "humanart/mural"), ("norm", "humanart/stained_glass"))
    ]
    said = dict(zip(folders, (SAID["wall"], SAID["glass"]), strict=True))
    argv = ["predict", *map(str, files), "--adapter", folders[0], "--adapter", folders[1], "--no-flip-test"]
    assert main([*argv, "--ranker", str(clip), "--json"]) == 0
    names = [pose["adapter"] for pose in json.loads(capsys.readouterr().out)["poses"]]
    assert names == of_files(clip, files, said) and set(names) == {*folders, None}
    argv += ["--route", "auto", "--out", str(tmp_path / "out")]
    assert main([*argv, "--ranker", str(clip), "--threshold", "2"]) == 0
    assert "adapter" in capsys.readouterr().out.splitlines()[0]
    assert {pose["adapter"] for pose in json.loads((tmp_path / "out/poses.json").read_text())} == {None}
    assert main(argv) == 1
    said = capsys.readouterr().err
    assert said.count("error:") == 1 and "to choose adapters with" in said and "--ranker FOLDER" in said
