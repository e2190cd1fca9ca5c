"""Every command and snippet of README.md and docs/ is run, page by page, in a folder with all that they name.

Runs are made short: what `shorter` adds or leaves out changes how long a command works, not what it does. Of the
`adapt` commands of a page that write into no folder of their own the first is run, and the others are checked with
--dry-run. So are `adapt --keep`, all `compare` but the first of its own page, and what README.md tunes. Of a published
base a small one of the same family with random weights is taken, of a published data set a few pictures in
its layout. `push` sends nothing (--dry-run). A block or line that needs more is marked (doc_blocks.py); the test at the
end counts these.
"""

from __future__ import annotations

import os
import runpy
import shlex
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from unittest import mock

import doc_place
import numpy as np
import pytest
import timm
import torch
from doc_blocks import PAGES, ROOT, Block, blocks
from domains import lspet
from safetensors.torch import save_file

import lvtune
from lvtune.adapters.method_registry import METHODS
from lvtune.api.adapting import adapt
from lvtune.bases import base
from lvtune.bases.base_registry import BASES
from lvtune.bases.vitpose_specs import ARCH
from lvtune.cli.main import main
from lvtune.domains import DOMAINS
from lvtune.language.sentences import SENTENCES

SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
PLACE_HOLDERS = {
    "PICTURE": "photo.jpg", "PICTURES/": "PICTURES", "LABELLED/": "LABELLED",
    "BOXES.json": "boxes.json", "SAMPLES": str(ROOT / "tests/samples"), "0,1,2": "0", "60,all": "4,8",
    "10,20,40,all": "8,16",
    "vlpose-light,lora,full,head": "lora,head", "full,lora,head,vlpose,vlpose-light": "lora,head",
    "vlpose-light,full,lora": "vlpose-light,lora",
}  # fmt: skip
"""Words of the pages that stand for something of the reader's own."""
OF_MICE = {"own-data.md", "video.md", "unlabelled.md", "growing.md", "own-animal.md"}
"""Pages on which the reader's adapter is one of MYPROJECT."""
NEEDS = {
    "CI": (2, ".ci/run runs it in a fresh environment"),
    "another page": (1, "docs/export.md runs the same command"),
    "network": (7, "packages from an index, or weights from the Hub"),
    "the Hub": (5, "an account, or a repository of that name"),
    "a browser": (4, "tests/demo runs it in Chromium"),
    "several processes": (3, "tests/launched.py runs two"),
    "a server": (1, "an account of the tracker"),
    "an interrupted run": (1, "tests/api/test_run_tracking.py interrupts one"),
    "time": (4, "many minutes"),
    "the tests of lvtune": (1, "tests/adapters/test_outside_method.py runs them so"),
    "the released checkpoints": (2, "files that are not at hand; tests/export has some of their layout"),
    "Human-Art and COCO": (1, "more pictures than the samples have"),
    "the published data sets": (3, "tests/experiments runs rows on samples of their layout"),
    "hand data sets and CLIP": (3, "tests/experiments runs these rows on files of the same layout"),
}
"""What lines may need beyond this package: how many lines of the pages need it, and why they are not run here."""
VIT = "vit_tiny_patch16_224.safetensors"
STEPS = ("--train.steps", "--steps", "--epochs", "--train.epochs", "--minutes")


EXTRAS = {
    "README.md": "onnxscript",
    "export.md": "onnxscript",
    "confidence.md": "onnxscript",
    "video.md": "av",
    "unlabelled.md": "av",
    "runs.md": "tensorboard",
}
"""A module of an optional part that a page needs; where it is missing, the page is skipped."""
PACKAGE = {registry: dict(registry._entries) for registry in (METHODS, BASES, DOMAINS, SENTENCES)}
"""What is registered before any page is run."""


def shorter(words: list[str], page: str, seen: set[str]) -> list[str]:
    """Returns the words of a command of lvtune, made short; ``seen`` has the commands that the page has run."""
    command, *rest = words
    if "--minutes" in rest:
        place = rest.index("--minutes")
        rest[place : place + 2] = []
    if command in ("adapt", "compare"):
        for option, value in (("--train.batch-size", ["2"]), ("--no-flip-test", [])):
            rest += [] if option in rest else [option, *value]
        rest += [] if set(rest) & set(STEPS) else ["--train.steps", "1"]
        is_checked = command in seen and (command == "compare" or "--out" not in rest)
        # what is kept is measured on at least 67 pictures
        if is_checked or "--keep" in rest or (command == "compare" and page != "comparing.md"):
            rest += ["--dry-run"]
    if command in ("adapt", "evaluate") and not set(rest) & {"--shots", "--keep", "--calibrate", "--save-calibration"}:
        rest += ["--limit", "3"]
    if command == "push":
        rest += ["--dry-run"]
    if "vitpose-b" in rest and "--weights" not in rest:
        rest += ["--weights", "random"]
    seen.add(command)
    return [command, *rest]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The folder that each page begins with."""
    place, before = tmp_path_factory.mktemp("docs"), Path.cwd()
    os.chdir(place)
    try:
        return doc_place.make_place(place)
    finally:
        os.chdir(before)


def short_adapt(recipe, **options):
    """What `lvtune.adapt` does, in one step and on few pictures."""
    train = replace(recipe.train, steps=1, batch_size=2)
    few = {} if recipe.data.data else {"limit": 3}
    return adapt(replace(recipe, train=train, data=replace(recipe.data, **few)), **options)


def given(page: str) -> dict[str, object]:
    """Names that stand for the reader's own pictures."""
    size = lvtune.load_base("hand3d-vit" if page == "hands.md" else "vitpose-ti").input_size
    return {
        "__name__": "page", "pixel_values": torch.randn(3, 3, *size),
        "scale": torch.tensor([45.0, 45.0, 45.0]),
        "pictures": [np.zeros((60, 50, 3), np.uint8)], "frames": [np.zeros((60, 50, 3), np.uint8)],
    }  # fmt: skip


def run_command(line: str, page: str, seen: set[str]) -> None:
    words = [PLACE_HOLDERS.get(word, word) for word in shlex.split(line, comments=True)]
    if "--import" in words and "--import" not in seen:  # a new process would not know what the page's Python registered
        for registry, entries in PACKAGE.items():
            registry._entries = dict(entries)
        seen.add("--import")
    if words[0] == "lvtune":
        asked = shorter(words[1:], page, seen)
        try:
            code = main(asked)
        except SystemExit as end:  # --help
            code = end.code
        if code != 0:
            pytest.fail(f"exit code {code}: lvtune {shlex.join(asked)}")
    elif words[0] == "python":
        script, sys.argv = words[1], words[1:]
        runpy.run_path(str(ROOT / script), run_name="__main__")
    else:
        pytest.fail(f"a program that the test does not know: {words[0]}; mark what it needs")


def run_block(block: Block, names: dict[str, object], seen: set[str]) -> None:
    if block.kind == "python":
        first = block.text.partition("\n")[0]
        if first.startswith("# ") and first.endswith(".py"):  # the page says which file it is
            Path(first[2:]).write_text(block.text, encoding="utf-8")
        code = "\n" * block.line + block.text
        with mock.patch.object(lvtune, "adapt", short_adapt, create=True):
            exec(compile(code, block.page, "exec", dont_inherit=True), names)
        return
    for line in block.commands():
        if block.need_of(line) is None:
            run_command(line, block.page, seen)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page))], ids=lambda page: page.name)
def test_a_page_runs(page, template, tmp_path, monkeypatch, capsys):
    pytest.importorskip(EXTRAS.get(page.name, "lvtune"), exc_type=ImportError)
    place = shutil.copytree(template, tmp_path / "place")
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["lvtune"])
    monkeypatch.setitem(ARCH, "b", SMALL)
    monkeypatch.setattr("lvtune.api.memory.gc.collect", int)  # the memory that a run reports is of no account here
    lspet.use_short_lists(monkeypatch)
    for registry, entries in PACKAGE.items():
        monkeypatch.setattr(registry, "_entries", dict(entries))
    monkeypatch.setattr(base, "FAMILIES", list(base.FAMILIES))
    for name in ("FOLDER", "ADAPTER", "MYADAPTER"):
        shutil.copytree("mice" if page.name in OF_MICE else "art", name)
    if VIT in page.read_text(encoding="utf-8"):
        save_file(timm.create_model(VIT.partition(".")[0]).state_dict(), VIT)
    names, seen = given(page.name), {"adapt", "compare"} if page.name == "README.md" else set()
    for block in blocks(page):
        if block.kind == "python" and block.need_of("") is not None:
            continue
        try:
            run_block(block, names, seen)
        except (Exception, SystemExit, pytest.fail.Exception) as error:
            said = capsys.readouterr()
            pytest.fail(f"{page.name}, line {block.line}: {error!r}\n{said.out[-900:]}{said.err[-900:]}", pytrace=False)


def test_marks_are_known_and_each_is_of_use():
    counted: Counter[str] = Counter()
    for page in PAGES:
        for block in blocks(page):
            lines = block.commands() if block.kind == "sh" else [block.text]
            assert {mark.need for mark in block.marks} <= set(NEEDS), f"{block.page}, line {block.line}"
            assert all(any(mark.words in line for line in lines) for mark in block.marks), f"{block.page}:{block.line}"
            counted.update(need for line in lines if (need := block.need_of(line)) is not None)
    assert dict(counted) == {need: count for need, (count, _) in NEEDS.items()}
