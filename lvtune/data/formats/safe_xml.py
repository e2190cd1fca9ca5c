"""Reads XML without the traps of XML: no entities, no outside files."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from lvtune.core.errors import DataError


def parse_xml(path: Path) -> ElementTree.Element:
    """Returns the root element of an XML file.

    A file that declares a document type is refused before anything of it is expanded, since entities can grow without
    end or name files of this machine.

    Raises:
        DataError: not XML, or with a document type.
    """
    try:
        content = path.read_bytes()
        _refuse_doctype(content, path)
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, expat.ExpatError, ValueError, LookupError) as error:
        raise DataError(f"{path}: {str(error)[:100]}", "an XML file", "export it again") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "a file that can be read", "check the path") from None


def _refuse_doctype(content: bytes, path: Path) -> None:
    def refuse(*_: object) -> None:
        raise DataError(f"{path} with a document type (<!DOCTYPE ...>)", "plain XML", "export it again") from None

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.Parse(content, True)


def peek_root(path: Path) -> str:
    """Returns the name of the root element, or "" where the file is no plain XML."""
    try:
        return parse_xml(path).tag
    except DataError:
        return ""
