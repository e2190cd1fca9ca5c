"""Scores under both protocols, by name."""

import layouts
import pytest
from tiny import tiny_base

import lvtune
from lvtune.cli.main import main
from lvtune.config.options import DataOptions


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    layouts.humanart(folder)
    return DataOptions(data=str(folder), source_data=str(layouts.coco(folder / "coco")), source_domain="coco",
                       boxes="published")  # fmt: skip


def test_annotated_and_detector_boxes_are_both_scored(data):
    base = tiny_base()
    values = lvtune.evaluate(base, None, "humanart", data=data)
    for side, persons, boxes in (("target", 3, "xyxy"), ("source", 1, "xywh")):
        scored = values[side]
        assert scored["boxes"] == "ground truth boxes" and scored["instances"] == persons
        assert set(scored["protocols"]) == {"ground truth boxes", "detector boxes"}
        assert scored["protocols"]["ground truth boxes"]["ap"] == scored["ap"]
        assert scored["protocols"]["detector boxes"]["box_format"].startswith(boxes)
    assert "protocols" not in lvtune.evaluate(base, None, "humanart", data=DataOptions(data=data.data))["target"]


def test_both_protocols_are_printed(data, capsys):
    given = ["--data", data.data, "--boxes", "published", "--weights", "random", "--base", "timm:resnet10t"]
    assert main(["evaluate", "--domain", "humanart", *given]) == 0
    out = capsys.readouterr().out
    assert "target, ground truth boxes" in out and "target, detector boxes" in out
