"""Where the source is found: named by the user, or lying beside the target's folder."""

import layouts
import pytest

from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError
from lvtune.domains import get_domain
from lvtune.domains.source import NOT_MEASURED, find_source


@pytest.fixture
def sample(tmp_path):
    layouts.humanart(tmp_path / "data")
    layouts.coco(tmp_path / "data" / "coco")
    return tmp_path / "data"


def found(domain, data, trained_on="coco", **options):
    return find_source(
        get_domain(domain), "test", DataOptions(data=str(data), **{"boxes": "auto", **options}), trained_on
    )


def test_coco_beside_human_art_is_the_source(sample):
    for folder in (sample, sample / "HumanArt"):
        source = found("humanart/acrobatics", folder)
        assert source.beside is not None and source.beside.resolve() == (sample / "coco").resolve()
        assert source.split is not None and source.split.name == "COCO val2017"
        assert source.split.detected is not None  # its detector boxes lie in its layout


def test_coco_in_the_same_folder_or_in_capitals(tmp_path):
    layouts.humanart(tmp_path / "one")
    coco = layouts.coco(tmp_path / "COCO")
    assert found("humanart", tmp_path / "one").beside.resolve() == coco.resolve()
    for part in ("annotations", "val2017", "person_detection_results"):
        (coco / part).rename(tmp_path / "one" / part)
    assert found("humanart", tmp_path / "one").beside == tmp_path / "one"


def test_without_it_one_is_told_what_to_give(tmp_path):
    data = layouts.humanart(tmp_path / "data")
    assert found("humanart", data).missing == NOT_MEASURED and "give --source-data" in NOT_MEASURED
    assert found("humanart", data, trained_on="ap10k").missing == NOT_MEASURED
    assert found("humanart", data, trained_on="").missing == NOT_MEASURED


def test_a_part_of_it_is_not_taken(sample):
    (sample / "coco" / "val2017" / "000000000785.jpg").unlink()
    source = found("humanart", sample)
    assert source.split is None and source.missing.startswith(NOT_MEASURED) and "000000000785.jpg" in source.missing
    (sample / "coco" / "annotations" / "person_keypoints_val2017.json").unlink()
    assert found("humanart", sample).missing == NOT_MEASURED


def test_what_is_the_target_is_no_source(sample):
    assert "is the target" in found("coco", sample / "coco").missing
    assert "is a part of the target" in found("coco+humanart", sample).missing


def test_what_the_user_says_counts(sample, tmp_path):
    assert found("humanart", sample, source_data="none").missing == "not measured: --source-data is none"
    other = layouts.coco(tmp_path / "other")
    source = found("humanart", sample, source_data=str(other))
    assert source.beside is None and source.split.table.root.is_relative_to(other)
    with pytest.raises(LvtuneError, match="no folder at nowhere"):
        found("humanart", sample, source_data="nowhere")
