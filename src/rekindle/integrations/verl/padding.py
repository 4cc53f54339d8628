"""Dummy rows that make a batch divisible over processes, optimizer steps and micro-batches; they never train.

verl's own have 128 tokens each. These have two, and there are as few of them as the division needs.
"""

import copy
import uuid
from collections.abc import Mapping
from typing import Any

import torch
import transfer_queue as tq
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.padding_utils import construct_minimal_padding_template
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from rekindle.integrations.verl.row_counts import TOKENS, missing_rows

__all__ = ["padded"]

BY_TOKEN = ("input_ids", "attention_mask", "position_ids", "routed_experts", "teacher_ids", "teacher_logprobs")
"""Fields with an entry per token of prompt and response."""


def padded(batch: KVBatchMeta, multiple: int, end_token: int) -> KVBatchMeta:
    """The batch with dummy rows behind it, so that its length is a multiple of ``multiple``.

    Args:
        batch: Rows in TransferQueue; at least one.
        multiple: Rows of all processes in one round.
        end_token: Token of which dummy rows consist.
    """
    missing = missing_rows(len(batch), multiple)
    if not missing:
        return batch
    source = tq.kv_batch_get(keys=batch.keys[:1], partition_id=batch.partition_id)[0]
    template, tag = construct_minimal_padding_template(source, batch.tags[0], end_token)
    row, name = _shortened(template), f"pad{uuid.uuid4().hex}"
    tag |= {"prompt_len": TOKENS - 1, "response_len": 1, "seq_len": TOKENS}
    keys = [f"{name}_{number}_0" for number in range(missing)]
    tags = [copy.deepcopy(tag) for _ in keys]
    rows = [{**row, "uid": name, "session_id": number} for number in range(missing)]
    tq.kv_batch_put(
        keys=keys, partition_id=batch.partition_id, fields=list_of_dict_to_tensordict(rows), tags=copy.deepcopy(tags)
    )
    return KVBatchMeta(
        keys=batch.keys + keys,
        tags=batch.tags + tags,
        partition_id=batch.partition_id,
        fields=batch.fields,
        extra_info=batch.extra_info,
    )


def _shortened(template: Mapping[str, Any]) -> dict[str, Any]:
    """A dummy row of verl with its last tokens only."""
    row = dict(template)
    row["prompts"] = row["prompts"][-(TOKENS - 1) :]
    for name in BY_TOKEN:
        if isinstance(row.get(name), torch.Tensor):
            tokens = -1 if name == "position_ids" else 0
            row[name] = row[name].narrow(tokens, row[name].size(tokens) - TOKENS, TOKENS)
    return row
