"""What trackers have kept, read back with their libraries: points by metric and step, parameters, name of the run."""

import json
import struct
from dataclasses import dataclass, field


def is_clock(metric):
    """Whether a metric is a time, which differs when a step is made again."""
    return metric.startswith("time/") or "seconds" in metric


@dataclass
class Kept:
    """A run as a tracker has it."""

    name: str = ""
    parameters: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    twice: set = field(default_factory=set)
    """Steps with two points: of one value, but for clocks of a step that was made again."""

    def add(self, metric, step, value):
        points = self.metrics.setdefault(metric, {})
        if step in points:
            assert points[step] == value or is_clock(metric), (metric, step)
            self.twice.add(step)
        points[step] = value

    def until(self, last):
        """The metrics without later steps."""
        return {
            metric: kept
            for metric, points in self.metrics.items()
            if (kept := {step: value for step, value in points.items() if step <= last})
        }


def tensorboard(directory):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

    events = EventAccumulator(str(directory / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    kept = Kept()
    for metric in events.Tags()["scalars"]:
        for event in events.Scalars(metric):
            kept.add(metric, event.step, event.value)
    assert tensorboard_without_fast_loading(directory) == kept.metrics
    summary = events.SummaryMetadata(SESSION_START_INFO_TAG)
    for key, value in parse_session_start_info_plugin_data(summary.plugin_data.content).hparams.items():
        kept.parameters[key] = getattr(value, value.WhichOneof("kind"))
    kept.name = kept.parameters.pop("name")
    assert b"train.seed = 0" in events.Tensors("config")[0].tensor_proto.string_val[0]
    return kept


def tensorboard_without_fast_loading(directory):
    """The scalars by the loader of `tensorboard --load_fast=false`, which has rules of its own for purges."""
    from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(directory / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    kept = Kept()
    for metric in set(events.Tags()["tensors"]) - {"config"}:
        for event in (
            events.Tensors(metric) if events.SummaryMetadata(metric).plugin_data.plugin_name == "scalars" else ()
        ):
            kept.add(metric, event.step, make_ndarray(event.tensor_proto).item())
    assert not kept.twice
    return kept.metrics


def wandb(directory):
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()  # ends its process, which writes a moment longer than the run
    kept = Kept()
    for path in sorted(directory.glob("wandb/offline-run-*/*.wandb")):
        for data in wandb_records(path.read_bytes()):
            record = Record.FromString(data)
            if record.HasField("run"):
                kept.name = record.run.display_name
                kept.parameters = nested({one.key: json.loads(one.value_json) for one in record.run.config.update})
            values = {one.key or "/".join(one.nested_key): one.value_json for one in record.history.item}
            for metric, text in values.items():
                if not metric.startswith("_"):
                    kept.add(metric, int(values["_step"]), json.loads(text))
    return kept


def nested(config, prefix=""):
    flat = {}
    for key, value in config.items():
        flat |= nested(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return flat


def wandb_records(content):
    """The records of a .wandb file: LevelDB's log format, in blocks of 32 KiB after a head of 7 bytes."""
    place, record = 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        if not 1 <= kind <= 4:
            return
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:  # whole, or the last part
            yield record
            record = b""


def mlflow(directory):
    from mlflow import MlflowClient

    client = MlflowClient()
    run = client.get_run(json.loads((directory / "trackers" / "mlflow.json").read_text())["id"])
    kept = Kept(run.info.run_name, dict(run.data.params))
    for metric in run.data.metrics:
        for point in client.get_metric_history(run.info.run_id, metric):
            kept.add(metric, point.step, point.value)
    return kept


def trackio(directory):
    from trackio.sqlite_storage import SQLiteStorage

    run_id = json.loads((directory / "trackers" / "trackio.json").read_text())["id"]
    (record,) = [one for one in SQLiteStorage.get_run_records("rekindle") if one["id"] == run_id]
    config = SQLiteStorage.get_run_config("rekindle", record["name"], run_id=run_id)
    kept = Kept(record["name"], nested(config))
    for log in SQLiteStorage.get_logs("rekindle", record["name"], run_id=run_id):
        for metric in set(log) - {"step", "timestamp"}:
            kept.add(metric, log["step"], log[metric])
    return kept


STORES = {"tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow, "trackio": trackio}
