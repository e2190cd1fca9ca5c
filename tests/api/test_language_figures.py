"""The map of features and the retrieval sheet, on a toy encoder whose answers are known."""

import json

import joints
import numpy as np
import pytest
import torch

from lvtune.api.job import prepare
from lvtune.api.language_figures import FigureOptions, Looked, figures_of_job, language_figures, look, steered
from lvtune.api.recipe import Recipe
from lvtune.bases.base_registry import load_base
from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.domains import get_domain
from lvtune.domains.source import source_split
from lvtune.evaluation.inference import split_dataset
from lvtune.training.joint_features import SentenceVectors
from lvtune.training.objectives import ObjectiveContext
from lvtune.viz.language import cover, embed_in_plane, feature_map, ranked, retrieval_sheet


def test_ranking_leaves_the_picture_itself_out():
    vectors = np.array([[1.0, 0], [0, 1], [1, 1], [-1, 0]])
    places, cosines = ranked(np.array([[2.0, 0], [0, 3]]), vectors, [0, 3], 2)
    assert places.tolist() == [[2, 1], [1, 2]]
    np.testing.assert_allclose(cosines, [[np.sqrt(0.5), 0], [1, np.sqrt(0.5)]])
    assert cover(vectors[:2], vectors[2:]) == pytest.approx(np.sqrt(0.5))
    assert cover(vectors, vectors) == pytest.approx(1.0)


def test_the_map_keeps_groups_apart():
    rng = np.random.default_rng(0)
    groups = {name: rng.normal(5 * np.eye(5)[i], 0.1, (20, 5)) for i, name in enumerate("ab")}
    plane = embed_in_plane(np.concatenate(list(groups.values())))
    between = np.linalg.norm(plane[:20].mean(0) - plane[20:].mean(0))
    assert plane.shape == (40, 2) and between > 2 * plane[:20].std(0).max()
    picture = feature_map(groups, "two groups")
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and picture.std() > 5
    with pytest.raises(LvtuneError, match="map of 4 features"):
        embed_in_plane(np.eye(4))


def test_the_sheet_has_a_row_for_each():
    pictures = [np.full((20, 20, 3), 40 * i, np.uint8) for i in range(4)]
    one = retrieval_sheet(pictures, [(0, "a dark room", [1, 2], [0.9, 0.1])], cell=60)
    two = retrieval_sheet(
        pictures, [(0, "a dark room", [1, 2], [0.9, 0.1]), (3, "a lake", [1, 2], [0.5, 0.4])], cell=60
    )
    assert two.shape[0] > one.shape[0] and two.shape[1] == one.shape[1]


def test_vectors_of_pictures_and_steered_ones():
    base = load_base("vitpose-ti", "random")
    data = split_dataset(base, source_split(get_domain("demo-art"), "test").first(6))
    seen = look(data, base, joints.ToyJoint(), 4, seed=1)
    assert isinstance(seen, Looked) and seen.vectors.shape == (4, joints.DIM) and len(seen.pictures) == 4
    as_picture = torch.from_numpy(np.stack(seen.pictures)).permute(0, 3, 1, 2) / 255
    np.testing.assert_allclose(seen.vectors, joints.ToyJoint().encode_images(as_picture).numpy(), atol=3e-3)
    options = FigureOptions(encoder="toy", w=0.25, l2=False)
    sentences = SentenceVectors.of(
        ObjectiveContext(base, domain="x", sentences={"a": "a sketch", "b": "an oil"}), options
    )
    moved, chosen = steered(seen.vectors, sentences, options, 0)
    said = joints.ToyJoint().encode_text(["a sketch", "an oil"]).numpy()[chosen]
    np.testing.assert_allclose(moved, 0.25 * seen.vectors + 0.75 * said, rtol=1e-5)


def test_the_commands_draw(tmp_path, capsys):
    shared = ["--domain", "demo-art", "--encoder", "toy", "--count", "8", "--out", str(tmp_path), "--device", "cpu"]
    assert main(["figure", "retrieval", *shared, "--rows", "2", "--columns", "3", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["sentences"] == 6 and values["files"] == {"retrieval": str(tmp_path / "retrieval.png")}
    assert main(["figure", "map", *shared]) == 0
    assert "nearest cosine of a target picture" in capsys.readouterr().out
    assert (tmp_path / "feature-map.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["figure", "maps", *shared]) == 2
    assert "did you mean 'map'" in capsys.readouterr().err


def test_a_report_shows_them(tmp_path):
    values = {"weights": "random", "method": "lora", "text_only": True, "data": {"limit": 8},
              "objective_options": {"encoder": "toy"}, "device": "cpu"}  # fmt: skip
    figures = figures_of_job(prepare(Recipe.from_dict(values)))
    assert len(figures) == 2 and "nearest cosine" in figures[0][0]
    assert figures_of_job(prepare(Recipe.from_dict({**values, "text_only": False, "objective_options": {}}))) == []


def test_what_is_missing_is_told():
    with pytest.raises(LvtuneError, match="figure 'maps'"):
        language_figures(Recipe(), kinds=("maps",))
