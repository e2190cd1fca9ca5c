"""Chooses the joint encoder where the user names none: the small one that ships, or CLIP where it is at hand."""

from __future__ import annotations

from lvtune.core.decision import Decision
from lvtune.core.errors import LvtuneError
from lvtune.language.joint_encoders import JointEncoder, load_joint_encoder

AUTO, SMALL, CLIP = "auto", "small", "clip"


def choose_joint_encoder(wanted: str, *, is_published_base: bool) -> tuple[JointEncoder, Decision]:
    """Loads the encoder that is asked for, or with ``auto`` the one that suits the base.

    Args:
        wanted: a name for :func:`lvtune.language.joint_registry.load_joint_encoder`, or ``auto``.
        is_published_base: True if the weights of the base do not ship with the package; CLIP is tried then.

    Returns:
        The encoder, and what was decided.

    Raises:
        LvtuneError: as for :func:`lvtune.language.joint_registry.load_joint_encoder`.
    """
    what = "joint encoder of pictures and sentences"
    if wanted != AUTO:
        return load_joint_encoder(wanted), Decision(what, wanted, "as the recipe says")
    if not is_published_base:
        why = f"it ships, as the base does; --objective.encoder {CLIP} takes CLIP"
        return load_joint_encoder(SMALL), Decision(what, SMALL, why)
    try:
        return load_joint_encoder(CLIP), Decision(what, CLIP, "the base is a published one, and CLIP is at hand")
    except LvtuneError as error:  # no network, or no weights that can be read: the run goes on with what ships
        why = f"it ships, and CLIP is not at hand: {error.given.rpartition(': ')[2]}"
        return load_joint_encoder(SMALL), Decision(what, SMALL, why)
