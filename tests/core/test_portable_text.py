"""Files are read and written in UTF-8 whatever the system's own encoding is."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "lvtune"
TEXT = {"read_text": 0, "write_text": 1}


def unnamed(tree):
    """Calls that would take the system's encoding."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        named = any(word.arg == "encoding" for word in node.keywords)
        if isinstance(node.func, ast.Attribute) and node.func.attr in TEXT and isinstance(node.func.value, ast.AST):
            if not named and len(node.args) == TEXT[node.func.attr]:
                yield node.lineno
        elif isinstance(node.func, ast.Name) and node.func.id == "open" and not named:
            mode = next((arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)), "r")
            if "b" not in str(mode):
                yield node.lineno


def test_every_text_file_has_its_encoding_named():
    found = {}
    for file in PACKAGE.rglob("*.py"):
        lines = list(unnamed(ast.parse(file.read_text(encoding="utf-8"))))
        if lines:
            found[file.relative_to(PACKAGE).as_posix()] = lines
    assert found == {}
