"""Reads small YAML files of unknown origin: bounded in size, depth and kinds of values.

PyYAML's safe loader builds no objects, but a few lines can still fill the memory (aliases of aliases), exhaust the
stack (deep nesting) or raise Python's own errors (long numbers, dates that do not exist). Here each of these is a
``yaml.YAMLError`` that says where it is. Dates stay text, and a key that occurs twice is an error.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from lvtune.core.errors import UsageError
from lvtune.core.text import brief, cut, one_line

LARGEST_FILE = 1_000_000
"""Bytes."""
_DEEPEST, _MOST_NODES, _LONGEST_NUMBER = 50, 20_000, 40
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


def read_yaml_file(file: Path, what: str = "YAML file") -> Any:
    """Returns what a YAML file holds: tables, lists, text, numbers, true, false and None; None for an empty file.

    Args:
        file: UTF-8, with or without a byte order mark.
        what: the word for the file in errors.

    Raises:
        UsageError: the file cannot be read, is larger than :data:`LARGEST_FILE`, is no YAML, or goes beyond a limit.
    """
    shown = cut(file, 200)
    try:
        size = file.stat().st_size
        if size > LARGEST_FILE:
            raise UsageError(
                f"{what} {shown} of {size:,} bytes", f"a YAML file of at most {LARGEST_FILE:,} bytes",
                "give another file, or take out what does not belong there",
            )  # fmt: skip
        return load_yaml(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{what} {shown} ({error.strerror or error})", "a YAML file", "check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = cut(one_line(str(error)), 300)
        raise UsageError(f"{what} {shown}: {reason}", "a YAML file", "correct the file there") from error


def load_yaml_text(file: Path) -> Any:
    """Returns the values in a YAML file, as :func:`read_yaml_file` does, with the errors of the reader.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is not UTF-8.
        yaml.YAMLError: no YAML, larger than :data:`LARGEST_FILE`, or beyond another limit.
    """
    size = file.stat().st_size
    if size > LARGEST_FILE:
        raise yaml.YAMLError(f"{size:,} bytes, more than {LARGEST_FILE:,}")
    return load_yaml(file.read_bytes().decode("utf-8-sig"))


def load_yaml(text: str) -> Any:
    """Returns the values in YAML text.

    Raises:
        yaml.YAMLError: no YAML, several documents, or beyond a limit.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {}, set())
        return loader.construct_document(node)
    except (ValueError, KeyError, AttributeError) as error:
        # an explicit tag before a value that is none of it, such as `!!int x`
        raise yaml.YAMLError(f"a value that does not fit its tag ({cut(error)})") from error
    finally:
        loader.dispose()


def _count(node: Node, known: dict[int, int], inside: set[int]) -> int:
    """Returns how many nodes ``node`` stands for when every alias is written out.

    Raises:
        ConstructorError: more than the limit, or a node that contains itself.
    """
    if not isinstance(node, CollectionNode):
        return 1
    if id(node) in inside:
        raise ConstructorError(None, None, "an alias inside the value that it stands for", node.start_mark)
    if id(node) not in known:
        inside.add(id(node))
        parts = [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else node.value
        known[id(node)] = 1 + sum(_count(part, known, inside) for part in parts)
        inside.remove(id(node))
        if known[id(node)] > _MOST_NODES:
            raise ConstructorError(None, None, f"aliases that stand for over {_MOST_NODES:,} values", node.start_mark)
    return known[id(node)]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with limits, without dates, sets and binary data."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name and type
        first: [(tag, pattern) for tag, pattern in pairs if tag != _TIMESTAMP]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Counts nodes and depth while the text is read, so that reading stops early."""
        self._depth += 1
        self._nodes += 1
        mark = self.peek_event().start_mark
        if self._depth > _DEEPEST:
            raise ConstructorError(None, None, f"tables or lists more than {_DEEPEST} levels deep", mark)
        if self._nodes > _MOST_NODES:
            raise ConstructorError(None, None, f"more than {_MOST_NODES:,} values", mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuses a key that occurs twice; PyYAML takes the last one without a word."""
        seen: set[tuple[str, str]] = set()
        # an explicit tag can call a list a table; the parent class refuses it
        for key, _ in node.value if isinstance(node, MappingNode) else ():
            name = (key.tag, key.value) if isinstance(key, ScalarNode) else None
            if name in seen:
                raise ConstructorError(None, None, f"the key {brief(key.value)} occurs twice", key.start_mark)
            if name is not None and key.tag != "tag:yaml.org,2002:merge":
                seen.add(name)
        return super().construct_mapping(node, deep=deep)

    def construct_text(self, node: ScalarNode) -> str:
        """Refuses characters that no file name and no UTF-8 file can hold."""
        text = self.construct_scalar(node)
        if _UNWRITABLE.search(text):
            what = f"text with a NUL or half a character: {brief(text)}"
            raise ConstructorError(None, None, what, node.start_mark)
        return text

    def construct_number(self, node: ScalarNode) -> int | float:
        """Refuses numbers so long that no option takes them."""
        if len(node.value) > _LONGEST_NUMBER:
            raise ConstructorError(None, None, f"a number of {len(node.value):,} characters", node.start_mark)
        is_whole = node.tag == "tag:yaml.org,2002:int"
        return self.construct_yaml_int(node) if is_whole else self.construct_yaml_float(node)


_Loader.yaml_constructors = {
    f"tag:yaml.org,2002:{kind}": make
    for kind, make in {
        "null": _Loader.construct_yaml_null,
        "bool": _Loader.construct_yaml_bool,
        "int": _Loader.construct_number,
        "float": _Loader.construct_number,
        "str": _Loader.construct_text,
        "seq": _Loader.construct_yaml_seq,
        "map": _Loader.construct_yaml_map,
    }.items()
} | {None: _Loader.construct_undefined}
