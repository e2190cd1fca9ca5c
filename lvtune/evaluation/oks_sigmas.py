"""Which OKS sigmas a score was computed with: published ones, or guesses for key points that no table names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lvtune.core.text import counted
from lvtune.data.skeleton_tables import SIGMAS, UNKNOWN_SIGMA
from lvtune.data.skeletons import Skeleton, get_skeleton, list_skeletons


@dataclass(frozen=True)
class SigmaSource:
    """Where the sigmas of a skeleton come from."""

    known: str | None
    """The known skeleton that has the same key points and sigmas; None: there is none."""
    guessed: tuple[str, ...]
    """Names of the key points whose sigma is a guess."""

    @property
    def text(self) -> str:
        """One sentence for the terminal and the report."""
        if self.known is not None:
            return f"OKS sigmas: those published for {self.known}"
        if not self.guessed:
            return "OKS sigmas: each key point's published one, by its name"
        names = ", ".join(self.guessed[:4]) + (", ..." if len(self.guessed) > 4 else "")
        return (
            f"OKS sigmas: {UNKNOWN_SIGMA:g} (COCO's shoulder) is a guess for "
            f"{counted(len(self.guessed), 'key point')} that no "
            f"published table names ({names}); AP depends on it, errors in pixels do not"
        )

    def to_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return {"known": self.known, "guessed": list(self.guessed), "text": self.text}


def sigma_source(skeleton: Skeleton) -> SigmaSource:
    """Tells published sigmas from guessed ones.

    A sigma counts as guessed where it is that of unknown key points and no published table has the name.
    """
    for name in list_skeletons():
        known = get_skeleton(name)
        if known.keypoints == skeleton.keypoints and known.sigmas == skeleton.sigmas:
            return SigmaSource(name, ())
    rows = zip(skeleton.keypoints, skeleton.sideless, skeleton.sigmas, strict=True)
    return SigmaSource(None, tuple(n for n, plain, sigma in rows if sigma == UNKNOWN_SIGMA and plain not in SIGMAS))
