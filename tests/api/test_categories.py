"""Which sentence is read: named, own, auto, shuffled or the mean; the same in Python and on the command line."""

import json
from collections import Counter
from pathlib import Path

import clips
import layouts
import numpy as np
import pytest
from tiny import make_adapter, tiny_base

import lvtune
from lvtune.api.recipe import Recipe
from lvtune.cli.main import main
from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError
from lvtune.data.images import read_image
from lvtune.domains import get_domain
from lvtune.evaluation.choosing import RankedCategories, Shuffled, choose
from lvtune.evaluation.inference import predict_split
from lvtune.language.ranking import ImageRanker
from lvtune.patcher.attaching import attach


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return DataOptions(data=str(layouts.humanart(tmp_path_factory.mktemp("data"))))


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    return str(clips.save_clip(tmp_path_factory.mktemp("clip") / "clip"))


@pytest.fixture
def pair():
    """A base, and an adapter to which the sentence makes a difference."""
    base = tiny_base()
    return base, make_adapter("vlpose", base, stirred=0.1, domain="humanart", bank=None)


def points(base, adapter, split, category):
    with attach(base, adapter):
        return predict_split(base, split, category=category, flip_test=False)[1]


def ranked(ranker, adapter, split):
    """The best category of each person's picture, by the ranker alone."""
    pictures = [read_image(split.table.image_path(i)) for i in range(len(split.table))]
    best = ImageRanker(ranker).scores(pictures, adapter.bank.sentences).argmax(1)
    return [adapter.bank.categories[i] for i in best]


def test_auto_reads_what_the_ranker_puts_first(pair, data, ranker):
    base, adapter = pair
    split = get_domain("humanart").open("test", data)
    best, auto = ranked(ranker, adapter, split), RankedCategories(adapter.bank, ranker)
    assert auto(split) == best and best[1] == best[2]  # two persons of one picture
    found = points(base, adapter, split, auto)
    each = [points(base, adapter, split.with_table(split.table.select([i])), best[i])[0] for i in range(3)]
    np.testing.assert_allclose(found, each, rtol=1e-4, atol=1e-6)
    assert not np.allclose(found, points(base, adapter, split, None), rtol=1e-3)
    right = sum(a == b for a, b in zip(best, split.table.column("category"), strict=True))
    summary = auto.summary()
    assert summary["chosen"] == dict(Counter(best)) and summary["ranker"] == ranker
    assert summary["as_annotated"] == pytest.approx(100 * right / 3)


def test_each_word_in_evaluate(pair, data, ranker):
    base, adapter = pair
    split = get_domain("humanart").open("test", data)
    own = points(base, adapter, split, "category")
    named = points(base, adapter, split, "acrobatics")
    assert np.array_equal(own[1:], named[1:]) and not np.allclose(own[0], named[0], rtol=1e-3)

    def score(category):
        return lvtune.evaluate(base, adapter, "humanart", data=data, category=category, ranker=ranker)

    assert score(None)["target"] == score("mean")["target"] and score("mean")["category"] == "mean"
    auto = score("auto")
    assert auto["auto"]["chosen"] and auto["category"] == "auto" and "auto" not in score("own")
    with pytest.raises(LvtuneError, match=r"no sentence for 'scetch'.*did you mean 'sketch'"):
        score("scetch")


def test_shuffled_permutes_the_annotated_categories():
    split = get_domain("demo-art").open("test")
    own = split.table.column("category").tolist()
    found = Shuffled(0)(split)
    assert found != own and sorted(found) == sorted(own)
    assert found == Shuffled(0)(split) != Shuffled(1)(split)


def test_shuffled_is_what_predictions_are_made_with(pair, data):
    base, adapter = pair
    split = get_domain("humanart").open("test", data)
    seed = next(s for s in range(9) if Shuffled(s)(split)[0] == "acrobatics")
    names = Shuffled(seed)(split)
    found = points(base, adapter, split, choose("shuffled", adapter, seed=seed))
    for i, name in enumerate(names):
        assert np.allclose(found[i], points(base, adapter, split, name)[i], rtol=1e-4)


def test_predict_says_what_it_read(pair, data, ranker, tmp_path):
    base, adapter = pair
    split = get_domain("humanart").open("test", data)
    files = list(dict.fromkeys(split.table.image_path(i) for i in range(3)))
    best = ranked(ranker, adapter, split)
    auto = lvtune.predict(files, base=base, adapter=adapter, category="auto", ranker=ranker)
    assert [pose.category for pose in auto] == [best[0], best[1]] == [pose.to_dict()["category"] for pose in auto]
    for pose, file in zip(auto, files, strict=True):
        (named,) = lvtune.predict(file, base=base, adapter=adapter, category=pose.category)
        np.testing.assert_allclose(named.scores, pose.scores, rtol=1e-4)
    (mean,) = lvtune.predict(files[0], base=base, adapter=adapter, category="mean")
    assert mean.category is None and "category" not in mean.to_dict()
    assert not np.allclose(mean.scores, auto[0].scores, rtol=1e-3)
    with pytest.raises(LvtuneError, match="category 'own' for pictures without annotations"):
        lvtune.predict(files[0], base=base, adapter=adapter, category="own")


def test_a_prompt_that_cannot_be_read_is_told(pair, data):
    base, adapter = pair
    with pytest.raises(LvtuneError, match=r"openai/clip-vit-base-patch32.*download.*--ranker FOLDER"):
        lvtune.evaluate(base, adapter, "humanart", data=data, category="auto")
    for category in ("auto", "sketch", "shuffled"):
        with pytest.raises(LvtuneError, match="without an adapter that reads sentences"):
            lvtune.evaluate(base, None, "humanart", data=data, category=category)
    alike = make_adapter("vlpose", base)
    object.__setattr__(alike.bank, "sentences", ("None",) * 3)
    with pytest.raises(LvtuneError, match="whose sentences are all alike"):
        choose("auto", alike)


def test_adapting_tells_before_it_tunes(data, tmp_path):
    values = {
        "base": "timm:resnet10t",
        "weights": "random",
        "domain": "humanart",
        "out": str(tmp_path / "out"),
        "method": "vlpose",
        "method_options": {"placement": "none"},
        "evaluate": {"category": "auto"},
        "train": {"steps": 10**6},
    }
    with pytest.raises(LvtuneError, match="to rank pictures with"):
        lvtune.adapt(Recipe.from_dict(values | {"data": {"data": data.data}}))
    assert not (tmp_path / "out").exists()


def test_on_the_command_line(data, ranker, tmp_path, capsys):
    shared = ["--base", "timm:resnet10t", "--weights", "random"]
    given = [*shared, "--domain", "humanart", "--data", data.data]
    options = [
        "--method",
        "vlpose",
        "--method.placement",
        "none",
        "--train.steps",
        "2",
        "--train.batch-size",
        "2",
        "--no-flip-test",
    ]
    out = str(tmp_path / "out")
    assert main(["adapt", *given, *options, "--category", "shuffled", "--out", out]) == 0
    capsys.readouterr()
    assert main(["evaluate", *given, "--adapter", out, "--category", "auto", "--ranker", ranker]) == 0
    said = capsys.readouterr().out
    assert "read as" in said and "% as annotated" in said
    picture = next(Path(data.data).rglob("000000005603.jpg"))
    argv = ["predict", str(picture), *shared, "--adapter", out, "--category", "auto", "--ranker", ranker, "--json"]
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["poses"][0]["category"] in get_domain("humanart").categories
