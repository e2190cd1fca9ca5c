"""What others have named reaches the terminal as one line, with its control characters escaped."""

from __future__ import annotations

import io
import os
import sys

import cv2
import numpy as np
import pytest
from tiny import tiny_base

from lvtune.cli.main import main


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no such names")
def test_a_name_of_two_lines_stays_in_its_note(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "ok.png"), np.zeros((60, 50, 3), np.uint8))
    (folder / "\x1b[2Jone\nerror: another.png").write_bytes(b"no picture")
    monkeypatch.setattr("lvtune.hub.adapter_loading.load_base", lambda *_, **__: tiny_base())
    assert main(["predict", str(folder), "--out", str(tmp_path / "out"), "--no-flip-test"]) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert not any(line.startswith("error:") for line in (said.out + said.err).splitlines())
    assert r"\x1b[2Jone error: another.png" in said.out


def test_a_stream_that_lacks_a_character_escapes_it(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["--help"]) == 0
    print("θ ± 1")
    stream.flush()
    assert stream.buffer.getvalue().endswith(b"\\u03b8 \xb1 1" + os.linesep.encode())
