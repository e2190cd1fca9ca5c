"""Hook of MkDocs: a link to a file outside docs/ becomes its path as text, since the site lacks that file."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Is called by MkDocs with the text of each page."""
    return _OUTSIDE.sub(r"\1 (`\2` in the repository)", markdown)
