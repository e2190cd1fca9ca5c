"""An adapter of a method that is not lvtune's own says where the method comes from."""

import json
import sys
from pathlib import Path

import outside_method
import pytest
from plugin_package import install_package

import lvtune
from lvtune.adapters.method_origin import check_methods, origins_of
from lvtune.adapters.method_registry import METHODS
from lvtune.cli.main import main
from lvtune.core.errors import AdapterFileError
from lvtune.storage.adapter_file import read_config

ROOT = Path(__file__).parents[2]
METHODS._entries.pop("outside-drift", None)  # the import above made it known
EXAMPLE = str(ROOT / "examples" / "my_method.py")


def unknown(origin, method="gone"):
    with pytest.raises(AdapterFileError) as caught:
        check_methods({"method": method, **({} if origin is None else {"method_from": {method: origin}})})
    assert caught.value.given == "an adapter of method 'gone', which is not known here"
    return caught.value


def test_the_error_names_the_package_the_file_or_what_to_ask_for():
    error = unknown({"package": "pose-extras", "version": "1.4.2"})
    assert error.expected.startswith("the package pose-extras 1.4.2,")
    assert "`pip install pose-extras`" in error.fix
    error = unknown({"file": "mine.py"})
    assert error.expected.startswith("the file mine.py,") and "`--import mine.py`" in error.fix
    assert "ask the maker" in unknown(None).fix


ODD = [{"package": "x; rm -rf ~"}, {"package": "--index-url=evil"}, {"package": 3}, {"package": "\x1b[31m"}, "x", []]


@pytest.mark.parametrize("origin", [*ODD, {"file": "../../etc/x.py"}, {"file": "`x`.py"}])
def test_what_is_no_plain_name_is_never_something_to_type(origin):
    error = unknown(origin)
    assert "ask the maker" in error.fix and "evil" not in error.fix + error.expected


def test_methods_of_lvtune_leave_no_origin():
    base = lvtune.load_base("vitpose-ti", "random")
    assert origins_of(lvtune.create_adapter("bitfit", base)) == {}


def test_an_adapter_of_a_package_names_it_where_the_package_is_missing(tmp_path, capsys, monkeypatch):
    source = Path(outside_method.__file__).read_text().replace('@register_method("outside-drift")\n', "")
    points = {"lvtune.methods": "drift = pose_extras:Drift"}
    site = install_package(tmp_path / "site", "pose-extras", {"pose_extras.py": source}, points)
    base = lvtune.load_base("vitpose-ti", "random")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setattr(METHODS, "_waiting", None)  # entry points are looked up anew
        one = lvtune.create_adapter("drift", base)
        lvtune.save_adapter(one, tmp_path / "one")
        two = lvtune.stack([one, lvtune.create_adapter("bitfit", base)], base=base)
        lvtune.save_adapter(two, tmp_path / "two")
    METHODS._entries.pop("drift")
    sys.modules.pop("pose_extras")
    for folder in (tmp_path / "one", tmp_path / "two"):
        assert read_config(folder)["method_from"] == {"drift": {"package": "pose-extras", "version": "1.0"}}
        with pytest.raises(AdapterFileError, match=r"pip install pose-extras"):
            lvtune.load_adapter(folder, base)
    assert main(["inspect", str(tmp_path / "one")]) == 0
    assert "package: pose-extras" in capsys.readouterr().out


def test_the_example_tunes_saves_and_says_which_file_it_needs(tmp_path, capsys):
    out = tmp_path / "out"
    tuned = f"adapt --import {EXAMPLE} --method my-scale --method.blocks 2 --steps 1 --data.limit 2 --out {out} --json"
    try:
        assert main(tuned.split()) == 0
        values = json.loads(capsys.readouterr().out)
        assert values["adapter"]["parameters"] == 2 * 192
        plain = ["--adapter", str(out), "--data.limit", "2", "--json"]
        assert main(["evaluate", *plain, "--import", EXAMPLE]) == 0
        assert read_config(out)["method_from"] == {"my-scale": {"file": "my_method.py"}}
    finally:
        METHODS._entries.pop("my-scale", None)
        sys.modules.pop(next((name for name in sys.modules if name.startswith("lvtune_import_my_method")), ""), None)
    capsys.readouterr()
    assert main(["evaluate", *plain]) == 1
    err = capsys.readouterr().err
    assert "expected the file my_method.py" in err and "--import my_method.py" in err
