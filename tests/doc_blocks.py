"""The code blocks of the documents, and the marks that say what a block needs beyond this package.

A mark is an HTML comment on the line before the block:

    <!-- needs: the Hub -->                             nothing of the block is run
    <!-- needs: the Hub (hf auth); a browser (demo) -->   the lines that contain the words in brackets are not run
    <!-- ci -->                                         .ci/run runs the block in a fresh environment
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))
_BLOCK = re.compile(r"^(?P<before>[^\n]*)\n```(?P<kind>sh|python)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"<!-- needs: (.*) -->")


@dataclass(frozen=True)
class Mark:
    """What lines need; ``words`` picks the lines, empty for all."""

    need: str
    words: str = ""


@dataclass(frozen=True)
class Block:
    """A block of a page."""

    page: str
    line: int
    kind: str
    text: str
    marks: tuple[Mark, ...]

    def commands(self) -> list[str]:
        """The command lines of a shell block; continued ones are joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]

    def need_of(self, text: str) -> str | None:
        """What a command line, or a whole block of Python, needs; None: it is run."""
        return next((mark.need for mark in self.marks if mark.words in text), None)


def blocks(page: Path) -> Iterator[Block]:
    """The shell and Python blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        mark = _MARK.fullmatch(found["before"].strip())
        marks = tuple(_marks(mark[1])) if mark else (Mark("CI"),) if found["before"] == "<!-- ci -->" else ()
        line = text[: found.start("kind")].count("\n") + 1
        yield Block(page.name, line, found["kind"], found["text"], marks)


def _marks(text: str) -> Iterator[Mark]:
    for one in text.split(";"):
        need, _, words = one.strip().partition(" (")
        yield Mark(need, words.removesuffix(")"))
