"""MLflow: a server, a database or a directory, by ``MLFLOW_TRACKING_URI``.

Metrics have the names of ``metrics.jsonl`` as far as MLflow accepts them (``_accepted``). Keys of the configuration are
parameters. MLflow keeps every value that is written: a resumed run continues the run of the same
id after the last step that it has.
"""

import os
import re
import time
from collections.abc import Container, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from rekindle.observability.trackers.tracker import TrackedRun, parameters
from rekindle.types import UserError

__all__ = ["MlflowTracker", "check_uri"]

VARIABLE = "MLFLOW_TRACKING_URI"
DATABASES = {"sqlite", "postgresql", "mysql", "mssql"}
SERVERS = {"http", "https"}
FILES = {"", "file"}
OTHERS = {"databricks", "uc", "databricks-uc"}
NOT_IN_NAMES = re.compile(r"[^\w\-. :/]", re.ASCII)
MOST_PARAMETERS = 100
"""Of one request."""
LONGEST_VALUE = 6000
"""Characters of a parameter."""


def check_uri() -> None:
    """Check the address in ``MLFLOW_TRACKING_URI`` without opening it.

    Raises:
        UserError: Nothing can be at such an address, or a package for it is missing.
    """
    uri = os.environ.get(VARIABLE, "").strip()
    scheme = urlsplit(uri).scheme.partition("+")[0]
    known = (
        DATABASES | SERVERS | FILES | OTHERS | {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}
    )
    if scheme not in known and uri != "databricks":
        raise UserError(
            f'{VARIABLE} = "{uri}": MLflow knows no addresses that begin with "{scheme}:"; write e.g. '
            "http://127.0.0.1:5000 or sqlite:///mlflow.db"
        )
    if scheme in SERVERS and not urlsplit(uri).hostname:
        raise UserError(f'{VARIABLE} = "{uri}" names no host; write e.g. http://127.0.0.1:5000')
    if (scheme in DATABASES or not uri) and not (find_spec("sqlalchemy") and find_spec("alembic")):
        raise UserError(
            f"MLflow needs sqlalchemy and alembic for {uri or 'its database, where ' + VARIABLE + ' is not set'}; run: "
            'pip install "rekindle[mlflow]"'
        )


def _accepted(name: str, names: Container[str]) -> str:
    """The name as MLflow accepts it: ``policy_gap/outside`` is ``policy_gap.outside`` where ``policy_gap`` is a metric,
    because a store of files cannot have a file and a directory of one name.
    """
    above, slash, last = name.rpartition("/")
    return NOT_IN_NAMES.sub("_", f"{above}.{last}" if slash and above in names else name)


class MlflowTracker:
    """A run of an experiment.

    Attributes:
        id: Its run id.
        last_step: Step of the last request that was answered.
    """

    def __init__(self, run: TrackedRun) -> None:
        from mlflow import MlflowClient

        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # a step that failed is tried again with the next
        self._client = MlflowClient()
        continued = run.id if run.id is not None and self._exists(run.id) else None
        self.id = continued or self._begun(run)
        self.last_step = run.last_step if continued else -1
        self._client.update_run(self.id, status="RUNNING")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send a step in one request."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        values = [Metric(_accepted(name, metrics), float(value), now, step) for name, value in metrics.items()]
        self._client.log_batch(self.id, metrics=values)
        self.last_step = step

    def close(self, *, failed: bool) -> None:
        """Set the status of the run."""
        self._client.set_terminated(self.id, status="FAILED" if failed else "FINISHED")

    def _exists(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def _begun(self, run: TrackedRun) -> str:
        """Id of a new run with its parameters."""
        from mlflow.entities import Param

        created: Any = self._client.create_run(self._experiment(run.project), run_name=run.name)
        given = [Param(NOT_IN_NAMES.sub("_", key), str(value)[:LONGEST_VALUE]) for key, value in parameters(run.config)]
        for first in range(0, len(given), MOST_PARAMETERS):
            self._client.log_batch(created.info.run_id, params=given[first : first + MOST_PARAMETERS])
        return str(created.info.run_id)

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        if (found := self._client.get_experiment_by_name(name)) is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException as error:  # another run has made it in the meantime
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id)
