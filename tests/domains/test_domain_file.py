"""A domain in a YAML file: what `init-domain` writes, what it changes, and every way to write it wrongly."""

from __future__ import annotations

import json

import pytest
import yaml
from dlc_samples import write_project
from label_samples import NAMES

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError
from lvtune.data.formats import read_project
from lvtune.domains.domain_file import is_domain_file, read_domain
from lvtune.domains.domain_text import domain_text


@pytest.fixture
def file(tmp_path):
    """A domain as `init-domain` writes it, beside its project."""
    project = read_project(write_project(tmp_path / "p"))
    path = tmp_path / "mice.yaml"
    path.write_text(domain_text(project, "p", "mice"), encoding="utf-8")
    return path


def changed(file, **values):
    content = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**content, **values}))
    return file


def test_what_was_written_reads_back(file):
    content = yaml.safe_load(file.read_text())
    assert content["keypoints"] == list(NAMES) and content["links"][0] == ["snout", "leftear"]
    assert content["flip_pairs"] == [["leftear", "rightear"]]
    domain = read_domain(file)
    skeleton = domain.get_skeleton()
    assert (domain.name, skeleton.keypoints, skeleton.links[0]) == ("mice", NAMES, (0, 1))
    assert skeleton.flip_index == (0, 2, 1, 3)
    assert len(domain.open("all").table) == 3
    assert file.read_text().count("#") > 8  # it explains itself


def test_changes_take_effect(file):
    changed(
        file, keypoints=["tailbase", "snout"], links=[["snout", "tailbase"]], flip_pairs="midline",
        sigmas={"tailbase": 0.05}, categories={"default": "a drawing of a human"}, missing_boxes="whole",
        splits={"test": ["v2"]},
    )  # fmt: skip
    domain = read_domain(file)
    skeleton = domain.get_skeleton()
    assert (skeleton.keypoints, skeleton.links, skeleton.pairs) == (("tailbase", "snout"), ((1, 0),), ())
    assert skeleton.mirrors and skeleton.sigmas[0] == 0.05
    assert domain.sentences == {"default": "a drawing of a human"}
    table = domain.open("test").table
    assert list(table.column("image")) == ["labeled-data/v2/img01.png"]
    assert table[0].bbox.tolist() == [0, 0, 96, 64]


def test_pairs_that_names_do_not_say(file):
    changed(file, flip_pairs=[["snout", "tailbase"]])
    assert read_domain(file).get_skeleton().flip_index == (3, 1, 2, 0)


def test_command_line_comes_before_the_file(file, tmp_path):
    other = write_project(tmp_path / "other", single=False)
    assert len(read_domain(file, DataOptions(data=str(other))).open("all").table) == 4
    split = read_domain(changed(file, splits={"by": "video"}), DataOptions(test_pictures=("v1",))).open("test")
    assert split.name == "own pictures (the pictures named)"


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"keypoint": []}, "'keypoint'.*did you mean 'keypoints'"),
        ({"splits": {"per": "video"}}, "'per'"),
        ({"splits": {"by": "day"}}, "by: day"),
        ({"links": [["snout", "fin"]]}, "fin"),
        ({"flip_pairs": [["snout"]]}, "snout"),
        ({"links": [None]}, "links"),
        ({"flip_pairs": [3]}, "flip_pairs"),
        ({"links": "snout"}, "links"),
        ({"sigmas": {"snout": "wide"}}, "sigmas"),
        ({"categories": ["mouse"]}, "name: value"),
        ({"keypoints": []}, "without `keypoints`"),
        ({"keypoints": ["snout", "fin"]}, "fin"),
        ({"data": "gone"}, "no file or folder"),
    ],
)
def test_faults(file, values, error):
    with pytest.raises(Exception, match=error) as caught:
        read_domain(changed(file, **values)).open("all")
    assert hasattr(caught.value, "fix")


def test_file_that_is_no_yaml(tmp_path):
    (tmp_path / "a.yaml").write_text("keypoints: [")
    with pytest.raises(DataError, match="init-domain"):
        read_domain(tmp_path / "a.yaml")
    with pytest.raises(DataError, match="init-domain"):
        read_domain(tmp_path / "none.yaml")
    assert is_domain_file("x/Mine.YAML") and not is_domain_file("humanart")


def test_odd_names_survive(tmp_path):
    root = write_project(tmp_path / "p")
    table = root / "labeled-data/v1/CollectedData_me.csv"
    for path in (root / "config.yaml", table, root / "labeled-data/v2/CollectedData_me.csv"):
        path.write_text(path.read_text().replace("snout", "no: 1 #x").replace("tailbase", "yes"))
    (root / "config.yaml").write_text(json.dumps({"scorer": "me", "bodyparts": ["no: 1 #x", "yes"]}))
    file = tmp_path / "odd.yaml"
    file.write_text(domain_text(read_project(root), "p", "odd"))
    assert read_domain(file).get_skeleton().keypoints == ("no: 1 #x", "yes")
