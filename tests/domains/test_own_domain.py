"""Own data are own data, whether the labels are given or a file that describes them."""

import pytest

from lvtune.domains.own_domain import is_own_data


@pytest.mark.parametrize(
    "name",
    ["custom", "custom/sketch", "mydomain.yaml", "/there/mice.yml", "coco/mice.yaml", "COCO/Mice.YAML", "mydomain"],
)
def test_labels_and_domain_files_are_own_data(name):
    assert is_own_data(name)


@pytest.mark.parametrize("name", ["demo-art", "lsp-art/seen", "humanart/sketch,cartoon", "coco+humanart", "unlabelled"])
def test_domains_that_have_a_name_are_not(name):
    assert not is_own_data(name)
