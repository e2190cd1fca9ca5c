"""Frozen pose estimators, one family a file."""

from lvtune.bases import hand3d, hand3d_vit, pvtpose, swinpose, timmpose, vitpose_weights  # noqa: F401
from lvtune.bases.base import Base, BaseSpec, Block, Stage, as_base
from lvtune.bases.base_registry import BASES, list_bases, load_base, register_base

__all__ = ["BASES", "Base", "BaseSpec", "Block", "Stage", "as_base", "list_bases", "load_base", "register_base"]
