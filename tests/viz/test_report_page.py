"""The report page: what it says, that it needs nothing else, and that foreign words stay words."""

import base64
import copy
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from lvtune.api.recipe import Recipe
from lvtune.core.errors import LvtuneError
from lvtune.viz.report_page import render, write_report

SHA = "ab" * 32
REPORT = {
    "target": {
        "before": {"pck@0.2": 30.0, "pck@0.5": 60.0, "ap": 20.0},
        "after_on": {"pck@0.2": 36.0, "pck@0.5": 66.0, "ap": 19.0},
        "after_off": {"pck@0.2": 30.0, "pck@0.5": 60.0, "ap": 20.0},
        "per_joint": {
            "before": {"left_wrist": 20.0, "neck": 50.0},
            "after_on": {"left_wrist": 27.5, "neck": None},
        },
    },
    "source": {
        "before": {"pck@0.2": 50.0, "pck@0.5": 80.0, "ap": 40.0},
        "after_on": {"pck@0.2": 48.0, "pck@0.5": 80.0, "ap": 40.0},
        "after_off": {"pck@0.2": 50.0, "pck@0.5": 80.0, "ap": 40.0},
    },
    "gap_closed": 0.3,
    "retention": {"on": 0.96, "off": 1.0},
    "source_off_identical": True,
    "target_name": "photographs under filters",
    "source_name": "photographs",
    "adapter": {"method": "vlpose", "parameters": 123456, "bytes": 2500000, "share_of_base": 0.0215},
    "base": {"name": "vitpose-ti", "fingerprint_before": SHA, "fingerprint_after": SHA},
    "seconds": {"load": 1.0, "tune": 60.0, "evaluate": 9.0},
    "peak_memory_mb": 1234.0,
    "recipe": Recipe().to_dict(),
    "seed": 7,
    "versions": {"lvtune": "0.1.0", "torch": "2.15.0"},
    "notes": ["3 boxes of zero size were skipped"],
    "curves": {"steps": [1, 2, 3], "loss": [0.003, 0.002, 0.001], "val_steps": [3], "val": [35.0]},
}
PICTURE = np.zeros((40, 30, 3), np.uint8)
PICTURE[..., 0] = 255


class Page(HTMLParser):
    """Text, tags and attributes, with every tag closed in its turn."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.values, self.words = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.values += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "pre"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_says_what_the_report_says():
    text = Page(render(REPORT, [("sketch", PICTURE, PICTURE)])).text
    for words in (
        "Points gained +6.0 target PCK@0.2, 30.0 → 36.0 %",
        "Gap closed 30.0 %",
        "Kept, adapter on 96.0 %",
        "Kept, adapter off 100.0 % of source PCK@0.2 · bit-identical",
        "123,456 parameters, 2.1 % of the base",
        "PCK@0.2 30.0 36.0 +6.0 30.0",
        "OKS-AP 20.0 19.0 −1.0 20.0",
        "PCK@0.2 50.0 48.0 −2.0 50.0 96.0 % 100.0 %",
        "left wrist 20.0 27.5 +7.5",
        "neck 50.0 – –",
        "2.50 MB",
        "load 1.0, tune 60.0, evaluate 9.0; together 70.0",
        "✓ identical, bit for bit",
        "lvtune 0.1.0, torch 2.15.0",
        "3 boxes of zero size were skipped",
        "Validation PCK@0.2, %",
        "Loss (×10⁻³)",
        "sketch before adapter on",
    ):
        assert words in text
    assert text.count(SHA) == 2


def test_recipe_is_shown_as_it_can_be_run():
    import html

    import yaml

    recipe = Recipe.from_dict({"method": "lora", "train": {"lr": 1e-3}})
    text = re.findall(r"<pre>(.*?)</pre>", render({**REPORT, "recipe": recipe.to_dict()}), re.DOTALL)[0]
    assert Recipe.from_dict(yaml.safe_load(html.unescape(text))) == recipe


def test_filtered_photographs_are_called_so():
    assert "photographs drawn over by filters, not works of art" in Page(render(REPORT)).text
    assert "works of art" not in Page(render({**REPORT, "target_name": "Human-Art"})).text


def test_a_changed_base_is_not_glossed_over():
    report = copy.deepcopy(REPORT)
    report["base"]["fingerprint_after"] = "cd" * 32
    report["source_off_identical"] = False
    text = Page(render(report)).text
    assert "✗ the base has changed" in text
    assert "NOT those of before" in text
    assert "bit-identical" not in text


def test_page_loads_and_runs_nothing():
    text = render(REPORT, [("sketch", PICTURE, PICTURE)])
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text.replace("data:image/jpeg;base64,", ""))
    sources = [value for name, value in page.values if name in ("src", "href")]
    assert len(sources) == 2
    assert all(value.startswith("data:image/jpeg;base64,") for value in sources)
    assert "default-src 'none'" in text


def test_pictures_are_those_given():
    (source,) = {value for name, value in Page(render(REPORT, [("a", PICTURE, PICTURE)])).values if name == "src"}
    data = np.frombuffer(base64.b64decode(source.split(",")[1]), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    assert image.shape == PICTURE.shape
    assert np.abs(image.astype(int) - PICTURE).max() < 8


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"


def test_foreign_words_stay_words():
    def poison(value):
        if isinstance(value, dict):
            return {EVIL if key in ("left_wrist", "torch", "tune") else key: poison(v) for key, v in value.items()}
        if isinstance(value, list):
            return [poison(item) for item in value]
        return EVIL if isinstance(value, str) else value

    page = Page(render(poison(REPORT), [(EVIL, PICTURE, PICTURE)]))
    assert "script" not in page.tags
    assert page.tags.count("img") == 2
    assert not [name for name, _ in page.values if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") > 10


def holes(value):
    """Every way of losing one entry of a report."""
    for key in list(value):
        yield {k: v for k, v in value.items() if k != key}
        yield {**value, key: None}
        if isinstance(value[key], dict) and key != "recipe":
            yield {**value, key: {}}
            for part in holes(value[key]):
                yield {**value, key: part}


def test_whatever_lacks_is_left_out():
    pages = [Page(render(report)).text for report in holes(REPORT)]
    assert len(pages) > 100
    assert not [text for text in pages if re.search(r"\b(None|nan|inf)\b", text)]
    assert Page(render({})).text.startswith("lvtune: adapter on a base lvtune report")
    no_source = {**REPORT, "source": None, "gap_closed": None, "retention": None, "source_name": None}
    text = Page(render(no_source)).text
    assert "Source – not scored" in text
    assert "Gap closed" not in text
    assert "Kept, adapter" not in text


def test_written_in_one_step_and_the_same_each_time(tmp_path):
    path = write_report(REPORT, tmp_path / "out" / "report.html")
    assert path.read_text(encoding="utf-8") == render(json.loads(json.dumps(REPORT)))
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(LvtuneError, match="cannot be written"):
        write_report(REPORT, path / "below.html")
