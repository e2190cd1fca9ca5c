"""What the command line says when it is misused, and with which exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lvtune.cli.main import COMMANDS, main
from lvtune.core.errors import LvtuneError


@pytest.mark.parametrize(
    ("line", "given", "fix"),
    [
        ("", "no command", "lvtune --help"),
        ("adpt", "unknown command 'adpt'", "did you mean 'adapt'?"),
        ("adapt --epoch 3", "unknown option '--epoch'", "did you mean '--epochs'?"),
        ("adapt --train.shedule step", "'--train.shedule'", "did you mean '--train.schedule'?"),
        ("adapt --batch-size 3", "several options", "type --train.batch-size"),
        ("adapt --lr", "'--lr' without a value", "type `--lr VALUE`"),
        ("adapt --lr fast", "train.lr = 'fast'", "give a number"),
        ("adapt --seed=-1", "seed = -1", "such as seed = 0"),
        ("adapt --precision bf8", "train.precision = 'bf8'", "such as train.precision = auto"),
        ("adapt vitpose-b", "'vitpose-b'", "type --base vitpose-b"),
        ("evaluate humanart/sketch", "'humanart/sketch'", "type --domain humanart/sketch"),
        ("adapt my-project/", "no file or folder at 'my-project/'", "check the path"),
        ("compare vitpose-b", "'vitpose-b'", "type --base vitpose-b"),
        ("adapt --method vlpose --method.promts 3", "'--method.promts'", "did you mean '--method.visual-prompts'?"),
        ("adapt --method lora --method.r x", "method.r = 'x'", "such as method.r = 8"),
        ("predict", "no PICTURE", "lvtune predict PICTURE"),
        ("evaluate --split tset", "split = 'tset'", "such as split = test"),
        ("list method", "unknown list 'method'", "did you mean 'methods'?"),
        ("convert vitpse x.pth", "'vitpse'", "did you mean 'vitpose'?"),
    ],
)
def test_bad_usage_is_one_line_in_three_parts_and_exit_2(line, given, fix, capsys):
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (message,) = err.splitlines()
    assert message.startswith("error: ")
    assert given in message
    assert "; expected " in message
    assert fix in message


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("adapt --config no-such-recipe", "recipe 'no-such-recipe'"),
        ("adapt --method lorra --method.r 3", "unknown method 'lorra'"),
        ("inspect no-such-folder", "no-such-folder"),
        ("convert vitpose no-such.pth", "no-such.pth"),
        ("predict no-such.jpg --weights random", "no-such.jpg"),
    ],
)
def test_what_does_not_exist_is_exit_1(line, given, capsys):
    assert main(line.split()) == 1
    out, err = capsys.readouterr()
    (message,) = [text for text in err.splitlines() if text.startswith("error: ")]
    assert out == ""
    assert given in message
    assert "Traceback" not in err


def _raising(error):
    def run(*args, **kwargs):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (LvtuneError("a", "b", "c"), 1, "error: a; expected b; c"),
        (
            RuntimeError("odd\nthing"),
            1,
            "error: internal error (RuntimeError: odd thing); please report it with the command and the traceback "
            "that --debug prints",
        ),
        (MemoryError(), 1, "lower --train.batch-size"),
        (PermissionError(13, "Permission denied", "/x"), 1, "error: /x: permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_failures_are_one_line(error, code, said, monkeypatch, capsys):
    monkeypatch.setattr("lvtune.cli.list.run", _raising(error))
    assert main(["list"]) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_an_interrupted_tuning_says_how_to_go_on(monkeypatch, capsys):
    monkeypatch.setattr("lvtune.cli.adapt.run", _raising(KeyboardInterrupt()))
    assert main(["adapt"]) == 130
    assert "interrupted; the same command with --resume" in capsys.readouterr().err


def test_debug_adds_the_traceback(monkeypatch, capsys):
    monkeypatch.setattr("lvtune.cli.list.run", _raising(RuntimeError("odd")))
    assert main(["list", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: internal error (RuntimeError: odd)")


def test_help_is_printed_on_stdout(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


def test_import_and_top_level_help_bring_in_no_torch():
    code = (
        "import sys, lvtune\nfrom lvtune.cli.main import main\nmain(['--help'])\n"
        "assert main(['adapt', '--epoch', '3']) == 2\n"
        "heavy = {'torch', 'transformers', 'numpy', 'cv2', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_module_runs_and_returns_the_exit_code():
    done = subprocess.run([sys.executable, "-m", "lvtune", "adpt"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    done = subprocess.run([sys.executable, "-m", "lvtune", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "lvtune 0.1.0\n")
