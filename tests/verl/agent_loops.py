"""verl's agent loops without Ray: servers that are engines of ours, and the same turns replayed in an environment."""

import asyncio
import functools
from dataclasses import dataclass, field
from typing import Any

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf, open_dict
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, DictConfigWrap, _agent_loop_registry
from verl.utils import tensordict_utils as tu
from verl.utils.dataset.rl_dataset import collate_fn
from verl.workers.rollout.replica import TokenOutput

from rekindle.engines.engine import Engine, SamplingRequest
from rekindle.environments.building import build_environment
from rekindle.environments.retrievers import opened_retrievers
from rekindle.environments.rewards import build_rewards
from rekindle.integrations.verl import search_loop
from rekindle.integrations.verl.facts import rollout_fields
from rekindle.integrations.verl.row_keys import FACTS, SEED, TEMPERATURE
from rekindle.integrations.verl.rows import row_of
from rekindle.integrations.verl.sessions import chat_of, close_shared
from rekindle.integrations.verl.settings import settle
from rekindle.types import GroupRequest, Rollout

VERSION = 7
LOOPS = {one.name: one for one in (search_loop.SearchLoop, search_loop.SingleTurnLoop, search_loop.ProposerLoop,
                                   search_loop.CheckLoop)}  # fmt: skip


@functools.cache
def composed():
    """verl's configuration as its entry point composes it."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer")


def settings_of(model, rekindle, *, prompt=64, response=128, longest=None, **changes):
    """verl's configuration of a run with these tables, settled as by the entry point; ``changes`` by path."""
    settings = composed().copy()
    own = {
        "actor_rollout_ref.model.path": str(model),
        "actor_rollout_ref.rollout.name": "vllm",
        "actor_rollout_ref.rollout.n": 8,
        "actor_rollout_ref.rollout.max_model_len": longest,
        "data.max_prompt_length": prompt,
        "data.max_response_length": response,
        "data.train_batch_size": 4,
        "data.seed": 5,
        "actor_rollout_ref.actor.ppo_mini_batch_size": 4,
        "algorithm.adv_estimator": "grpo",
        "trainer.v1.trainer_mode": "rekindle",
        "trainer.total_training_steps": 3,
    }
    with open_dict(settings):
        for path, value in (own | changes).items():
            OmegaConf.update(settings, path, value)
        settings.rekindle = rekindle
    settle(settings)
    return settings


@dataclass
class Servers:
    """verl's client of the servers, answered by an engine; it keeps every turn by its prompt.

    Attributes:
        engine: Samples one turn at a time.
        extra: Tokens that a server samples beyond a stop text before it notices.
        logprobs: Whether it returns log-probabilities.
        turns: What it sampled: (prompt, completion) in order.
        asked: Its sampling parameters and session ids, in order.
    """

    engine: Engine
    extra: tuple[int, ...] = ()
    logprobs: bool = True
    turns: dict[tuple[int, ...], Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def generate(self, request_id, *, prompt_ids, sampling_params, priority=0):
        self.asked.append((request_id, dict(sampling_params)))
        await asyncio.sleep(0)
        request = SamplingRequest(
            prompt_ids,
            temperature=sampling_params["temperature"],
            max_new_tokens=sampling_params["max_tokens"],
            seed=sampling_params.get("seed", 0) + len(self.asked) * ("seed" not in sampling_params),
            stop=tuple(sampling_params.get("stop", ())),
        )
        ((_, (completion,)),) = self.engine.generate([request])
        self.turns[tuple(prompt_ids)] = completion
        extra = list(self.extra) if completion.text.endswith(request.stop or "\0") else []
        return TokenOutput(
            token_ids=completion.token_ids + extra,
            log_probs=completion.logprobs + [-1.0] * len(extra) if self.logprobs else None,
            stop_reason="completed",
            num_preempted=0,
            extra_fields={"global_steps": VERSION, "min_global_steps": VERSION, "max_global_steps": VERSION},
        )


class Replay:
    """Engine that samples what servers sampled, so that an environment meets the same turns.

    A group of several rollouts needs servers that answer equal prompts equally.
    """

    def __init__(self, servers):
        self._turns = servers.turns

    def sync(self, policy, version):
        pass

    def generate(self, requests):
        for index, request in enumerate(requests):
            yield index, [self._turns[tuple(request.prompt_ids)]] * request.n


class Worker:
    """A worker of agent loops: sessions with their rows, as they come out of verl's batch of prompts.

    Args:
        settings: verl's configuration.
        tokenizer: verl's tokenizer.
        servers: Samples the turns.
    """

    def __init__(self, settings, tokenizer, servers):
        self.settings, self.tokenizer, self.servers = settings, tokenizer, servers

    def play(self, name, tasks, *, sampling=None, seed=3, sessions=1) -> list[list[AgentLoopOutput]]:
        """The outputs of all tasks' sessions, played at the same time."""
        rows = [{**row_of(task, name, index), SEED: seed} for index, task in enumerate(tasks)]
        return self.play_rows(rows, sampling=sampling, sessions=[sessions] * len(rows))

    def play_rows(self, rows, *, sampling=None, sessions):
        return asyncio.run(self._play(rows, sampling or {"temperature": 1.0, "logprobs": True}, sessions))

    async def _play(self, rows, sampling, sessions):
        batch = tu.get_tensordict(collate_fn([dict(row) for row in rows]))
        prompts = [{key: values[index].data for key, values in batch.items()} for index in range(len(rows))]
        groups = [
            asyncio.gather(
                *[
                    self._session({**sampling, **({"seed": sampling["seed"] + place} if "seed" in sampling else {})},
                                  prompt, place)
                    for place in range(count)
                ]
            )
            for prompt, count in zip(prompts, sessions, strict=True)
        ]  # fmt: skip
        try:
            return await asyncio.gather(*groups)
        finally:
            await close_shared()

    async def _session(self, sampling, prompt, place):
        name = prompt["agent_name"]
        assert name in _agent_loop_registry
        sampling |= {"temperature": prompt[TEMPERATURE]} if TEMPERATURE in prompt else {}
        loop = LOOPS[name](
            trainer_config=DictConfigWrap(self.settings),
            server_manager=self.servers,
            tokenizer=self.tokenizer,
            processor=None,
            dataset_cls=None,
            data_config=DictConfigWrap(self.settings.data),
        )
        return await loop.run(
            sampling, session_id=place, **{key: value for key, value in prompt.items() if key != "agent_name"}
        )


def rollout_of(output, temperature=1.0):
    """The rollout in an output, as the driver reads it; its version is not the session's affair."""
    prompt = len(output.prompt_ids)
    return Rollout(
        token_ids=output.prompt_ids + output.response_ids,
        loss_mask=[False] * prompt + [bool(own) for own in output.response_mask],
        logprobs=[0.0] * prompt + output.response_logprobs,
        reward=output.reward_score,
        temperature=temperature,
        **rollout_fields(output.extra_fields[FACTS]),
    )


def replayed(worker, tasks, *, seed=3, temperature=1.0):
    """The rollouts of tasks in the environment of ``rekindle train``, for the turns that the servers sampled."""
    config = settle(worker.settings)
    chat = chat_of(config, worker.settings, worker.tokenizer)
    with opened_retrievers(config, print) as retrievers:
        verifier = build_rewards(config, audits=True)
        world = build_environment(
            config, tasks, chat=chat, engine=Replay(worker.servers), verifier=verifier, retrievers=retrievers
        )
        requests = [
            GroupRequest(id=row, task_id=task.id, row=row, n=1, temperature=temperature, seed=seed, version=0, step=0)
            for row, task in enumerate(tasks)
        ]
        played = dict(world.play(requests))
        verifier.close()
    return [played[row] for row in range(len(tasks))]


__all__ = ["LOOPS", "VERSION", "Replay", "Servers", "Worker", "replayed", "rollout_of", "settings_of"]
