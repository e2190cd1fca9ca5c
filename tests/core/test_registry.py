"""Names to entries: order, unknown and taken names."""

import pytest

from lvtune.core.errors import LvtuneError
from lvtune.core.registry import Registry, suggest


@pytest.fixture
def registry():
    registry = Registry("method")
    registry.register("vlpose")(1)
    registry.register("lora")(2)
    return registry


def test_entries_come_back_in_order(registry):
    assert registry.names() == ["vlpose", "lora"]
    assert registry.get("lora") == 2 and "lora" in registry and "dora" not in registry


def test_the_decorator_gives_the_entry_back(registry):
    @registry.register("mine")
    def entry():
        return 7

    assert entry() == 7 and registry.get("mine") is entry


def test_a_taken_name_is_told_and_the_first_stays(registry):
    with pytest.raises(LvtuneError, match="a second method named 'lora'"):
        registry.register("lora")(3)
    assert registry.get("lora") == 2


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("lroa", "did you mean 'lora'?"),
        ("LoRA", "did you mean 'lora'?"),
        ("VLPose", "did you mean 'vlpose'?"),
        ("xyz", "`lvtune list methods` shows them"),
    ],
)
def test_an_unknown_name_is_told_in_three_parts(registry, name, fix):
    with pytest.raises(LvtuneError) as error:
        registry.get(name)
    assert error.value.given == f"unknown method '{name}'"
    assert error.value.expected == "one of vlpose, lora"
    assert error.value.fix == fix
    assert str(error.value) == f"{error.value.given}; {'expected '}{error.value.expected}; {fix}"


def test_swapped_letters_are_seen_before_other_likenesses():
    assert suggest("lroa", ["road", "lora"], "no") == "did you mean 'lora'?"
    assert suggest("roadd", ["lora", "road"], "no") == "did you mean 'road'?"


def test_suggestions_do_not_mind_case():
    assert suggest("LORA", ["lora"], "no") == "did you mean 'lora'?"
    assert suggest("anything", [], "no") == "no"
