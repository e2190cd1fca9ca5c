"""Imports every joint encoder of the package, so that all are registered."""

from lvtune.language import joint, small_joint
from lvtune.language.joint_registry import JointEncoder, list_joint_encoders, load_joint_encoder

__all__ = ["JointEncoder", "joint", "list_joint_encoders", "load_joint_encoder", "small_joint"]
