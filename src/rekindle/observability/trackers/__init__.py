"""Trackers: every step of a run in TensorBoard, Weights & Biases, MLflow or Trackio, beside ``metrics.jsonl``.

A tracker is one file with a class in the shape of ``Tracker``. Its library is imported when a run opens it.
"""

from rekindle.observability.trackers.checking import check_trackers
from rekindle.observability.trackers.tracked_metrics import tracked

__all__ = ["check_trackers", "tracked"]
