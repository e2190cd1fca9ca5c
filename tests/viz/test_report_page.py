"""The report page: what it says, that it needs nothing else, and that foreign words stay words."""

import base64
import copy
import json
import re
from html.parser import HTMLParser
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
from markupsafe import Markup

from lvtune.api.recipe import Recipe
from lvtune.core.errors import LvtuneError
from lvtune.viz import curves, score_charts
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
PIXELS = {"px_mean": 9.0, "px_median": 7.0, "px_rms": 11.0, "px_per_keypoint": {"left_wrist": 9.5, "neck": None},
          "px_cutoff": {"p_cutoff": 0.6, "share": 70.0, "px_mean": 8.0}}  # fmt: skip
FULL = copy.deepcopy(REPORT)
FULL["target"]["before"] |= PIXELS
FULL["target"]["after_on"] |= PIXELS | {
    "px_mean": 3.5, "px_per_keypoint": {"left_wrist": 3.0, "neck": 4.0},
    "px_cutoff": {"p_cutoff": 0.6, "share": 90.0, "px_mean": 3.0},
}  # fmt: skip
FULL["decisions"] = [
    {"what": "input size", "value": "256x256", "why": "the boxes are about 250 px"},
    {"what": "rotation", "value": 180, "why": "labels face every way"},
    {"what": "mirror", "value": None, "why": "the sides are unknown"},
]
FULL["start"] = {
    "name": "the shipped start", "kept": True, "compared": {"base": 0.01, "start": 0.009, "pictures": 128},
    "target": {"pck@0.2": 34.0},
}  # fmt: skip
PICTURE = np.zeros((40, 30, 3), np.uint8)
PICTURE[..., 0] = 255


class Page(HTMLParser):
    """Text, tags and attributes, with every tag closed in its turn."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.values, self.words, self.figure_words = [], [], [], [], []
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
            (self.figure_words if "svg" in self.open else self.words).append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_says_what_the_report_says():
    text = Page(render(REPORT, [("sketch", PICTURE, PICTURE)])).text
    for words in (
        "Points gained +6.0 target PCK@0.2, 30.0 → 36.0 %",
        "Gap closed 30.0 %",
        "Kept, adapter on 96.0 %",
        "Kept, adapter off 100.0 % of the source PCK@0.2, bit-identical",
        "123,456 parameters, 2.1 % of the base",
        "PCK@0.2 (%) 30.0 36.0 +6.0 30.0",
        "OKS-AP (%) 20.0 19.0 −1.0 20.0",
        "PCK@0.2 (%) 50.0 48.0 −2.0 50.0 96.0 % 100.0 %",
        "left wrist 20.0 27.5 +7.5",
        "neck 50.0 no score",
        "2.50 MB",
        "load 1.0 s, tune 60.0 s, evaluate 9.0 s; together 70.0 s",
        "✓ identical, bit for bit",
        "lvtune 0.1.0, torch 2.15.0",
        "3 boxes of zero size were skipped",
        "sketch base alone adapter on",
    ):
        assert words in text
    assert text.count(SHA) == 2
    figures = Page(render(REPORT)).figure_words
    assert {"loss (×10⁻³)", "Validation PCK@0.2", "target, adapter on: 36.0 %", "left wrist"} <= set(figures)


def test_every_score_and_axis_says_its_unit():
    page = Page(render(FULL))
    for words in ("PCK@0.2 (%)", "OKS-AP (%)", "mean error (px)", "RMS error (px)", "Key points: mean error in px"):
        assert words in page.text
    labels = [words for words in page.figure_words if re.search(r"[A-Za-z]{3}", words)]
    assert {"training step", "PCK@0.2 (%)", "PCK@0.2 in percent", "mean error in px"} <= set(labels)


def test_errors_in_pixels_are_shown_with_their_own_key_points():
    text = Page(render(FULL)).text
    assert "mean error (px) 9.0 3.5 −5.5" in text
    assert "mean error where confidence ≥ 0.6 (px) 8.0 3.0 −5.0" in text
    assert "key points with confidence ≥ 0.6 (%) 70.0 90.0 +20.0" in text
    assert "left wrist 9.5 3.0 −6.5" in text
    assert not [line for line in render(FULL).splitlines() if "px" in line and 'class="down"' in line]
    alone = Page(render({**FULL, "main": "px_mean"})).text
    assert "Change of the error −5.5 target mean error, 9.0 → 3.5 px" in alone
    assert alone.count("Key points:") == 1


def test_decisions_are_listed_with_their_reasons():
    text = Page(render(FULL)).text
    assert "input size 256x256 the boxes are about 250 px" in text
    assert "rotation 180 labels face every way" in text
    assert "mirror not given the sides are unknown" in text
    assert "What lvtune decided" not in Page(render(REPORT)).text


def test_the_gain_is_split_where_the_start_alone_was_scored():
    text = Page(render(FULL)).text
    assert "Tuning began at a warm start: the shipped start." in text
    assert "on 128 training pictures was 0.009 at the start and 0.01 at the base" in text
    assert "From the start: +4.0 points of PCK@0.2" in text
    assert "From tuning on your pictures: +2.0 points of PCK@0.2" in text
    unsplit = copy.deepcopy(FULL)
    del unsplit["start"]["target"]
    assert "The gain is not split into start and tuning" in Page(render(unsplit)).text
    unsplit["start"]["kept"] = False
    text = Page(render(unsplit)).text
    assert "Tuning began at the base's own answer. This warm start was not used: the shipped start. Before" in text
    assert "There was no warm start" in Page(render({**REPORT, "start": None})).text


def test_a_start_without_a_score_of_the_base_is_told_all_the_same():
    report = copy.deepcopy(FULL)
    report["target"]["before"] = None
    text = Page(render(report)).text
    assert "Start alone: 34.0 % of PCK@0.2. The base alone has no score to compare it with." in text
    assert "From tuning on your pictures: +2.0 points of PCK@0.2" in text and "is not split" not in text


def test_a_missing_score_has_a_reason():
    report = copy.deepcopy(REPORT)
    report["target"]["before"] = None
    report["target"]["per_joint"]["before"] = {}
    report["target"]["after_on"]["reasons"] = {"ap": "no labelled instance to find"}
    report["target"]["after_on"]["ap"] = None
    text = Page(render(report)).text
    assert "base alone: no PCK@0.2, PCK@0.5, OKS-AP, because the base alone does not predict the key points" in text
    assert "Target, adapter on: no OKS-AP, because no labelled instance to find." in text
    assert "No score with the base alone: the base alone does not predict these key points." in text
    assert "No score with the adapter on for neck: no labelled example in the test pictures." in text
    assert "Target PCK@0.2 36.0 % no score before: the base alone was not scored" in text


def test_recipe_is_shown_as_it_can_be_run():
    import html

    import yaml

    recipe = Recipe.from_dict({"method": "lora", "train": {"lr": 1e-3}})
    text = re.findall(r"<pre>(.*?)</pre>", render({**REPORT, "recipe": recipe.to_dict()}), re.DOTALL)[0]
    assert Recipe.from_dict(yaml.safe_load(html.unescape(text))) == recipe


def test_filtered_photographs_are_called_so():
    assert "photographs under filters, not works of art" in Page(render(REPORT)).text
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
    assert not {"script", "link", "iframe", "object", "base", "foreignobject"} & set(page.tags)
    assert not re.search(r"https?:|//[a-z]|url\((?!#)|@import", text.replace("data:image/jpeg;base64,", ""))
    sources = [value for name, value in page.values if name in ("src", "href") and not value.startswith("#")]
    assert len(sources) == 2
    assert all(value.startswith("data:image/jpeg;base64,") for value in sources)
    assert "default-src 'none'" in text


def test_pictures_are_those_given():
    (source,) = {value for name, value in Page(render(REPORT, [("a", PICTURE, PICTURE)])).values if name == "src"}
    data = np.frombuffer(base64.b64decode(source.split(",")[1]), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    assert image.shape == PICTURE.shape
    assert np.abs(image.astype(int) - PICTURE).max() < 8


EVIL = "$\\frac</svg><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"


def test_foreign_words_stay_words():
    def poison(value):
        if isinstance(value, dict):
            return {EVIL if key in ("left_wrist", "torch", "tune") else key: poison(v) for key, v in value.items()}
        if isinstance(value, list):
            return [poison(item) for item in value]
        return EVIL if isinstance(value, str) else value

    page = Page(render(poison(FULL), [(EVIL, PICTURE, PICTURE)]))
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


def test_whatever_lacks_is_left_out(monkeypatch):
    for module in (curves, score_charts):  # drawing a hundred pages takes a minute
        monkeypatch.setattr(module, "new_figure", lambda width, height: (MagicMock(), MagicMock()))
        monkeypatch.setattr(module, "inline_svg", lambda figure, label: Markup("<svg></svg>"))
    pages = [Page(render(report)).text for report in holes(REPORT)]
    assert len(pages) > 100
    assert not [text for text in pages if re.search(r"\b(None|nan|inf)\b| [-–] ", text)]
    assert Page(render({})).text.startswith("lvtune: adapter on a base lvtune report adapter on a base")
    no_source = {**REPORT, "source": None, "gap_closed": None, "retention": None, "source_name": None}
    text = Page(render(no_source)).text
    assert "Source (not scored, because the domain has no source pictures)" in text
    assert "Gap closed" not in text
    assert "Kept, adapter" not in text


def test_written_in_one_step_and_the_same_each_time(tmp_path):
    path = write_report(REPORT, tmp_path / "out" / "report.html")
    assert path.read_text(encoding="utf-8") == render(json.loads(json.dumps(REPORT)))
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(LvtuneError, match="cannot be written"):
        write_report(REPORT, path / "below.html")
