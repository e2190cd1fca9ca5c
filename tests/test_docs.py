"""The documents: they build, their links lead somewhere, and their commands and code are what lvtune takes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module, util
from pathlib import Path

import pytest
import yaml

from lvtune.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("recipes/*.md"), *ROOT.glob("benchmarks/*.md")])
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"`(lvtune [a-z][^`]*)`")
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)
SHIPPED = sorted({*PAGES, *ROOT.glob("lvtune/**/*.md")})
UNFINISHED = re.compile(r"\b(TODO|FIXME|TBD|XXX)\b")
CAPITALS = re.compile(r"[^\w#]*[A-Z][A-Z0-9_]*[A-Z0-9][^\w]*")


def name(page):
    return page.relative_to(ROOT).as_posix()


def anchors(page):
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_link_is_dead(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    dead = []
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert dead == []


def placeholders(text):
    """Lines left by mistake: of capitals and underscores alone, or with a word such as TODO."""
    found, is_code = [], False
    for line in text.splitlines():
        is_code ^= line.lstrip().startswith("```")
        alone = CAPITALS.fullmatch(line) and ("_" in line or not is_code)  # a code block may end a text with EOF
        if alone or UNFINISHED.search(line):
            found.append(line)
    return found


@pytest.mark.parametrize("page", SHIPPED, ids=name)
def test_no_page_holds_a_placeholder(page):
    assert placeholders(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "TABLE_NEW",
        "  FIGURES_2  ",
        "**TABLE**",
        "<!-- TABLE_NEW -->",
        "> HERE",
        "- `ROWS_OF_HANDS`",
        "| a | TBD |",
        "TODO: say which seed",
        "The table (FIXME) is old.",
        "```text\nTABLE_NEW\n```",
    ],
)
def test_a_placeholder_is_found(line):
    assert len(placeholders(f"# Title\n\nA paragraph.\n\n{line}\n\n| a | b |\n")) == 1


def test_what_is_written_in_capitals_for_a_reason_is_no_placeholder():
    text = "# FAQ\n\n## PCK\n\nOKS and PCK are metrics.\n\n| AP | AUC |\n|---|---|\n\n```sh\ncat <<EOF\nEOF\n```\n"
    assert placeholders(text) == []


def commands():
    for page in (*ROOT.glob("docs/*.md"), ROOT / "README.md"):
        for block in SHELL.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("lvtune "):
                    yield pytest.param(line, id=f"{page.name}: {line.partition(' #')[0].strip()[:60]}")
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for line in dict.fromkeys(re.sub(r"\s+", " ", line) for line in INLINE.findall(text)):
            if "COMMAND" not in line and "..." not in line:
                yield pytest.param(line, id=f"{page.name}, in a sentence: {line[:60]}")


@pytest.mark.parametrize("line", list(commands()))
def test_every_command_of_the_docs_is_one_that_lvtune_takes(line, monkeypatch):
    command, *argv = shlex.split(line, comments=True)[1:]
    assert command in COMMANDS
    made = import_module(f"lvtune.cli.{command.replace('-', '_')}").parser([], COMMANDS[command])
    known = {string for action in made._actions for string in action.option_strings}
    given = [word.partition("=")[0] for word in argv if word.startswith("-") and not word[1:2].isdigit()]
    loose = ("--method.", "--objective.", "--select.")  # of a method or objective that the line names
    assert [word for word in given if word not in known and not word.startswith(loose)] == []


def test_every_page_is_in_the_navigation_once():
    def pages(nav):
        for entry in nav:
            (value,) = entry.values()
            yield from pages(value) if isinstance(value, list) else [value]

    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = list(pages(config["nav"]))
    assert sorted(listed) == sorted(page.name for page in ROOT.glob("docs/*.md"))


def test_the_table_of_extras_has_all_of_them():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == sorted(extras)


def test_the_page_for_own_animals_speaks_of_no_paper():
    text = (ROOT / "docs/own-animal.md").read_text(encoding="utf-8")
    assert not re.search(r"\b(paper|arXiv|published|publication|VLPose)\b", text)


def test_names_of_the_reference_exist():
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    for place in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE):
        module, _, member = place.rpartition(".")
        assert hasattr(import_module(module), member), place


def test_the_site_builds_without_a_warning(tmp_path):
    missing = [module for module in ("mkdocs", "material", "mkdocstrings") if util.find_spec(module) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install 'lvtune[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "create_adapter" in (tmp_path / "site/reference/index.html").read_text(encoding="utf-8")
