"""The rule about names in trackers."""

import json
from collections.abc import Iterator

from rekindle.config.tables import Config
from rekindle.config.tables.tracking import TRACKERS

__all__ = ["projects_and_runs_have_names"]


def projects_and_runs_have_names(config: Config) -> Iterator[str]:
    """An empty name of a project or run, or one that a tracker does not accept."""
    for key, text in (("project", config.tracking.project), ("name", config.tracking.name)):
        if text is not None and not (text.strip() and text.isprintable()):
            yield f"tracking.{key} = {json.dumps(text)} is no name; write printable characters, or remove the key"
    project = config.tracking.project
    for tracker in config.track:
        if bad := sorted({sign for sign in project if sign in TRACKERS[tracker].forbidden}):
            yield (
                f"tracking.project = {json.dumps(project)}: {tracker} accepts no {' '.join(bad)} in the name of a "
                "project; remove it from the name"
            )
