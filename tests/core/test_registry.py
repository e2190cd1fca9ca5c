"""Names to entries: order, unknown and taken names, entry points of other packages."""

import sys
import types

import pytest
from plugin_package import install_package

from lvtune.core.errors import LvtuneError, UsageError
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


GROUP = "lvtune.tested"
OWN = """
from registry_of_test import REGISTRY

@REGISTRY.register("decorated")
class Decorated: pass

@REGISTRY.register("second")
class Second: pass

class Plain: pass
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package with the given sources and entry points; returns a registry that reads them."""

    def install(points, name="their-package", **sources):
        registry = Registry("method", group=GROUP)
        registry.register("lora")(1)
        home = types.ModuleType("registry_of_test")
        home.REGISTRY = registry
        monkeypatch.setitem(sys.modules, "registry_of_test", home)
        files = {f"{module}.py": source for module, source in sources.items()}
        install_package(tmp_path, name, files, {GROUP: points})
        monkeypatch.syspath_prepend(tmp_path)
        return registry

    before = set(sys.modules)
    yield install
    for module in set(sys.modules) - before:
        del sys.modules[module]


def test_another_package_gives_entries_by_class_and_by_module(installed):
    registry = installed("plain = t_own:Plain\ndecorated = t_own\nsecond = t_own:Second", t_own=OWN)
    assert "t_own" not in sys.modules
    assert registry.get("lora") == 1
    assert "t_own" not in sys.modules, "a known name needs no other package"
    assert registry.get("plain").__name__ == "Plain"
    assert registry.names() == ["lora", "decorated", "second", "plain"]
    assert registry.get("second").__name__ == "Second"


def test_names_that_a_module_registers_beside_its_entry_point_are_found(installed):
    registry = installed("decorated = t_more", t_more=OWN)
    assert "second" in registry and registry.get("second").__name__ == "Second"
    with pytest.raises(UsageError, match="unknown method 'secnd'") as error:
        registry.get("secnd")
    assert error.value.fix == "did you mean 'second'?"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('odd')", "(RuntimeError: odd)"),
        ("import no_such_module_here", "No module named 'no_such_module_here'"),
        ("raise SystemExit(3)", "(SystemExit: 3)"),
        ("def broken(:", "SyntaxError"),
        ("", "t_broken registers no method of this name"),
        (OWN + "\nraise RuntimeError('late')", "(RuntimeError: late)"),
        (OWN.replace('"second"', '"lora"'), "a second method named 'lora'"),
    ],
)
def test_a_broken_package_is_one_error_and_the_rest_works(installed, caplog, source, reason):
    registry = installed("broken = t_broken\ngood = t_good:Good", t_broken=source, t_good="class Good: pass")
    assert registry.names() == ["lora", "good"]
    assert len(caplog.messages) == 1 and "their-package" in caplog.messages[0]
    assert registry.names() == ["lora", "good"] and len(caplog.messages) == 1, "said once"
    assert "broken" in registry
    with pytest.raises(UsageError) as error:
        registry.get("broken")
    assert "method 'broken' of the package their-package fails to load" in error.value.given
    assert reason in error.value.given
    assert f"'broken = t_broken' in the group {GROUP}" in error.value.given
    assert error.value.fix.startswith("type `pip install -U their-package`")


def test_a_package_cannot_take_the_name_of_an_own_entry(installed, caplog):
    registry = installed("lora = t_taken:Theirs", t_taken="class Theirs: pass")
    assert registry.names() == ["lora"] and registry.get("lora") == 1
    assert "a second method named 'lora'" in caplog.text


def test_an_entry_point_that_looks_names_up_while_it_loads(installed):
    registry = installed("asks = t_asks", t_asks=OWN.replace('"second"', '"asks"') + "\nKNOWN = REGISTRY.names()")
    assert registry.get("asks").__name__ == "Second"
    assert sys.modules["t_asks"].KNOWN == ["lora", "decorated", "asks"]
