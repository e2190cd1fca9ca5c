"""What the patcher asks of an adapter; :class:`lvtune.adapters.adapter.Adapter` has the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.bases.changes import Change
    from lvtune.data.skeletons import Skeleton


class Attachable(nn.Module):
    """Trained tensors that act on a base by way of a list of changes to its modules."""

    method: ClassVar[str] = ""
    """The name that the method is registered under; the registry sets it."""
    bank: Any = None
    """The embedded sentences that it reads, a :class:`lvtune.language.bank.SentenceBank`, or None."""
    domain: str | None = None
    """Name of the domain that it was made for."""
    skeleton: Skeleton
    """The key points that it predicts."""
    base_shapes: dict[str, tuple[int, ...]] | None = None
    """Names and shapes of the parameters of the base that it was made for; None: it does not say."""

    def changes(self, base: Base) -> Iterable[Change]:
        """Returns where it acts, and how: changes to modules of ``base``.

        Called at each attachment, and with a base of the same architecture that need not be the one it was made for.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no changes(base)")
