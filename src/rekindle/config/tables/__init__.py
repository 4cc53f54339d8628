"""The configuration of a run: one table per subject, one file per group of tables.

``rules`` has the combinations of keys that are refused; ``reading`` turns a file into a configuration.
"""

from typing import Annotated, Literal

from rekindle.config.keys import SomeOf, Table, key
from rekindle.config.tables.credit import (
    AdvantageTable,
    LossTable,
    OverlongTable,
    ReactivationTable,
    SubsetTable,
)
from rekindle.config.tables.dialogue import DialogueTable
from rekindle.config.tables.model import ModelTable, WarmStartTable
from rekindle.config.tables.prompts import (
    PhasesTable,
    PoolTable,
    PosteriorTable,
    PriorityTable,
    ProfileTable,
    SkipTable,
)
from rekindle.config.tables.rewards import AuditTable, RewardTable
from rekindle.config.tables.rollouts import EngineTable, HeatingTable, RefillTable, SizesTable, TopUpTable
from rekindle.config.tables.search import RetrieverTable, SearchTable
from rekindle.config.tables.self_play import CheckTable, FiltersTable, SelfPlayTable
from rekindle.config.tables.task import JudgeTable, TaskTable, VerifyTable
from rekindle.config.tables.tracking import TRACKERS, TrackingTable
from rekindle.config.tables.training import CheckpointTable, EvalTable, OptimizerTable, SamplesTable, TrainTable

__all__ = ["Config"]


class Config(Table):
    """A complete run."""

    recipe: str = key("grpo", "preset for the keys that are not set; `rekindle recipes` lists the recipes")
    base: Literal["grpo", "dapo"] = key(
        "grpo",
        "what the recipe is built on",
        values={
            "grpo": "the defaults of all keys",
            "dapo": "the settings of the recipe `dapo`: refill, clip-higher, token mean",
        },
    )
    track: Annotated[tuple[str, ...], SomeOf(TRACKERS)] = key(
        (), 'trackers that receive every step, beside metrics.jsonl, e.g. ["tensorboard"]'
    )
    rewards: tuple[RewardTable, ...] = key((), "reward functions of your own, as tables `[[rewards]]`")
    audits: tuple[AuditTable, ...] = key((), "second opinions that are not trained on, as tables `[[audits]]`")
    model: ModelTable = ModelTable()
    warm_start: WarmStartTable = WarmStartTable()
    task: TaskTable = TaskTable()
    verify: VerifyTable = VerifyTable()
    search: SearchTable = SearchTable()
    retriever: RetrieverTable = RetrieverTable()
    judge: JudgeTable = JudgeTable()
    dialogue: DialogueTable = DialogueTable()
    self_play: SelfPlayTable = SelfPlayTable()
    filters: FiltersTable = FiltersTable()
    check: CheckTable = CheckTable()
    pool: PoolTable = PoolTable()
    priority: PriorityTable = PriorityTable()
    posterior: PosteriorTable = PosteriorTable()
    skip: SkipTable = SkipTable()
    profile: ProfileTable = ProfileTable()
    phases: PhasesTable = PhasesTable()
    sizes: SizesTable = SizesTable()
    heating: HeatingTable = HeatingTable()
    reactivation: ReactivationTable = ReactivationTable()
    top_up: TopUpTable = TopUpTable()
    subset: SubsetTable = SubsetTable()
    overlong: OverlongTable = OverlongTable()
    refill: RefillTable = RefillTable()
    train: TrainTable = TrainTable()
    advantage: AdvantageTable = AdvantageTable()
    loss: LossTable = LossTable()
    optimizer: OptimizerTable = OptimizerTable()
    engine: EngineTable = EngineTable()
    eval: EvalTable = EvalTable()
    samples: SamplesTable = SamplesTable()
    checkpoint: CheckpointTable = CheckpointTable()
    tracking: TrackingTable = TrackingTable()
