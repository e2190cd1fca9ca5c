"""What the tool decided for the user: one line each, for the output and for the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Decision:
    """One choice that the user did not make."""

    what: str
    """The thing that was chosen, such as "input size"."""
    value: str
    """The value that was chosen."""
    why: str
    """The reason, in a few words."""

    def line(self) -> str:
        """Returns the decision as one line of output."""
        return f"{self.what}: {self.value} ({self.why})"

    def to_dict(self) -> dict[str, str]:
        """Returns ``what``, ``value`` and ``why``."""
        return asdict(self)
