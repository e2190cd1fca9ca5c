"""What a scoring of hands writes."""

from __future__ import annotations

import csv
import json

import hand_layouts
import numpy as np
import pytest

from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError
from lvtune.data.images import read_image
from lvtune.domains import get_domain
from lvtune.domains.hand_figures.poses import sample_hands
from lvtune.evaluation.epe import HandResult
from lvtune.evaluation.hand_files import write_hand_files
from lvtune.evaluation.hand_scores import score_hands
from lvtune.viz.pck_curves import draw_curves, draw_pck


@pytest.fixture
def result():
    truth = sample_hands(5, "test")[0] + np.array([0, 0, 500.0])
    relative = truth - truth[:, :1]
    relative[:, 4, 0] += 10
    return HandResult(truth, relative, np.ones(5), truth + np.array([0, 0, 20.0]))


def test_files_hold_the_scores(tmp_path, result):
    values = score_hands(result)
    written = write_hand_files(tmp_path, values, result.absolute, joint0="wrist")
    assert [file.name for file in written] == ["joints.csv", "pred.json"]
    assert draw_curves(tmp_path, values["pck_curve"], "figures") == tmp_path / "pck.png"
    assert draw_curves(tmp_path, None) is None
    rows = list(csv.DictReader((tmp_path / "joints.csv").read_text().splitlines()))
    assert len(rows) == 21
    assert rows[4] == {
        "joint": "thumb4", "epe_root_gtscale_mm": "10.0", "epe_absolute_mm": "20.0", "epe_root_mm": "0.0",
        "epe_procrustes_mm": rows[4]["epe_procrustes_mm"],
    }  # fmt: skip
    joints, _ = json.loads((tmp_path / "pred.json").read_text())
    np.testing.assert_allclose(1000 * np.array(joints), result.absolute, atol=1e-3)
    picture = read_image(tmp_path / "pck.png")
    # curves of several colours on white
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    assert (picture == 255).all(-1).mean() > 0.6


def test_without_labels_there_are_predictions_alone(tmp_path, result):
    unknown = HandResult(np.full_like(result.truth, np.nan), result.relative, np.ones(5), result.absolute)
    written = write_hand_files(tmp_path, score_hands(unknown), result.absolute, joint0="palm")
    assert [file.name for file in written] == ["pred.json"]
    assert write_hand_files(tmp_path, score_hands(unknown), result.absolute * np.nan, joint0="palm") == []


def test_the_first_release_of_freihand_can_be_predicted(tmp_path):
    hand_layouts.freihand(tmp_path)
    (tmp_path / "evaluation_xyz.json").unlink()
    (tmp_path / "evaluation_scale.json").write_text("[0.028]")
    table = get_domain("freihand").open("test", DataOptions(data=str(tmp_path))).table
    # the benchmark tells the length of the reference bone, so joints can be placed before the camera
    assert table.column("scale").tolist() == [28.0]
    assert table.select([0]).column("scale").tolist() == [28.0]
    assert table.joint0 == table.select([0]).joint0 == "palm"


def test_curves_in_other_kinds_of_files(tmp_path):
    for name in ("curve.svg", "curve.pdf"):
        assert draw_pck(tmp_path / name, [0, 25, 50], {"one": [0, 0.5, 1], "none": None}).stat().st_size > 1000
    with pytest.raises(LvtuneError, match="PNG, SVG or PDF"):
        draw_pck(tmp_path / "curve.xyz", [0, 50], {"one": [0, 1]})
    with pytest.raises(LvtuneError, match="no PCK curve"):
        draw_pck(tmp_path / "curve.png", [0, 50], {"one": None})
