"""Movement of the policy in an update: a few of its rows, scored again."""

from collections.abc import Callable
from typing import Any

import torch
import transfer_queue as tq
from transfer_queue import KVBatchMeta

from rekindle.integrations.verl.groups import PARTITION
from rekindle.integrations.verl.update import Update

__all__ = ["moved"]


def moved(update: Update, score: Callable[[KVBatchMeta], Any], multiple: int) -> float | None:
    """Mean |change of log p| per token in nats; None where no row is trained on.

    Args:
        update: The update that was made.
        score: Writes ``log_probs`` of the present policy into TransferQueue.
        multiple: Rows of all processes in one round.
    """
    rows = {row.key: row for row in update.rows if any(row.sample.advantages)}
    wanted = min(len(update.batch), multiple * -(-update.config.posterior.probe_rows // multiple))
    keys = [key for key in update.batch.keys if key in rows][:wanted]
    if not keys:
        return None
    keys += [key for key in update.batch.keys if key not in keys][: wanted - len(keys)]
    batch = update.batch.select_keys(keys)
    batch.extra_info |= {"calculate_entropy": False, "compute_loss": False, "no_lora_adapter": False}
    score(batch)
    data = tq.kv_batch_get(keys=keys, partition_id=PARTITION, select_fields=["log_probs", "old_log_probs"])
    changes = []
    for key, now, before in zip(keys, data["log_probs"], data["old_log_probs"], strict=True):
        if key in rows:
            own = torch.tensor(rows[key].mask, dtype=torch.bool)
            changes.append((now[-len(own) - 1 : -1] - before)[own].abs().double())
    return float(torch.cat(changes).mean())
