"""What tracking stores hold, as (metric, step, value), sorted."""

import json
import math
import struct

from lic_exp.tracking.mlflow_store import connect, record_file


def logged_points(run):
    """What metrics.jsonl holds, which every store must come to hold."""
    return sorted(
        (name, entry["step"], value)
        for entry in run.metrics()
        for name, value in entry.items()
        if name not in ("step", "epoch", "time")
    )


def mlflow_points(uri, run):
    """Points of the MLflow run that the run folder knows."""
    client, run_id = connect(uri), json.loads(record_file(run).read_text())["run_id"]
    names = client.get_run(run_id).data.metrics
    history = [metric for name in names for metric in client.get_metric_history(run_id, name)]
    return sorted((metric.key, metric.step, metric.value) for metric in history)


def tensorboard_points(run):
    """As TensorBoard itself reads the folder: values are float32."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.root / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return sorted((tag, point.step, point.value) for tag in events.Tags()["scalars"] for point in events.Scalars(tag))


def wandb_points(run):
    """What the one offline transaction log of the run holds."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = run.root.glob("wandb/offline-run-*/*.wandb")
    points = []
    for record in map(Record.FromString, wandb_records(file.read_bytes())):
        if record.WhichOneof("record_type") == "history":
            row = {"".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            points += [(name, row["_step"], number(value)) for name, value in row.items() if name[0] != "_"]
    return sorted(points)


def wandb_records(data):
    """The records of a wandb file: LevelDB's log format, in blocks of 32 KiB, after seven bytes of its own."""
    position, record = 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        position += 7
        record += data[position : position + length]
        position += length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def number(value):
    return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value, value)
