"""Progress: loops and tasks that say how far they are, to a person and to whoever reads the journal."""

from __future__ import annotations

from .tasks import TaskProgress, TaskStatus
from .tracker import ProgressTracker
from .tracks import AsyncTrack, Track, track, track_progress


__all__ = ["AsyncTrack", "ProgressTracker", "TaskProgress", "TaskStatus", "Track", "track", "track_progress"]
