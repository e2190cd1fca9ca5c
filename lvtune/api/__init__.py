"""What users call: the only place where base, method, objective and domain come together."""

from __future__ import annotations

from lvtune.api.adapting import AdaptReport, adapt
from lvtune.api.evaluating import evaluate
from lvtune.api.inspecting import dry_run, inspect_adapter
from lvtune.api.pose import Pose
from lvtune.api.predicting import predict

__all__ = ["AdaptReport", "Pose", "adapt", "dry_run", "evaluate", "inspect_adapter", "predict"]
