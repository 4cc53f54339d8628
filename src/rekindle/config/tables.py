"""The tables of a configuration: every key with its type, its bound and its default.

What a key means for others (which combinations work) is in ``rules``; how a file becomes one in ``reading``.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "CheckTable",
    "CheckpointTable",
    "Config",
    "EngineTable",
    "EvalTable",
    "FiltersTable",
    "HeatingTable",
    "JudgeTable",
    "ModelTable",
    "PhasesTable",
    "PoolTable",
    "PosteriorTable",
    "PriorityTable",
    "ProfileTable",
    "ReactivationTable",
    "RefillTable",
    "RetrieverTable",
    "SearchTable",
    "SelfPlayTable",
    "SizesTable",
    "SkipTable",
    "SubsetTable",
    "TaskTable",
    "TinyModel",
    "TopUpTable",
    "TrainTable",
    "VerifyTable",
    "WarmStartTable",
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True, protected_namespaces=())


class TinyModel(_Table):
    """A decoder made from scratch for the embedded tasks; used when ``model.path`` is absent."""

    layers: int = Field(default=4, ge=1)
    hidden_size: int = Field(default=64, ge=8)
    heads: int = Field(default=4, ge=1)
    kv_heads: int = Field(default=4, ge=1)
    intermediate_size: int = Field(default=192, ge=8)
    max_length: int = Field(default=128, ge=16, description="longest prompt plus completion, tokens")
    initialization: Literal["llama", "copying"] = Field(
        default="llama", description="of the weights: all small; or such that copying what was read is learned sooner"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> "TinyModel":
        if self.hidden_size % self.heads or (self.hidden_size // self.heads) % 2:
            raise ValueError(
                f"heads = {self.heads} must divide hidden_size = {self.hidden_size} into even parts; choose heads = 4"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads = {self.kv_heads} must divide heads = {self.heads}")
        return self


class ModelTable(_Table):
    """Which policy: a Hugging Face causal LM directory, or a tiny one made from scratch."""

    path: str | None = Field(default=None, description="directory with config, weights and tokenizer")
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    trust_remote_code: bool = Field(default=False, description="run code that came with the model directory")
    chat_template: bool = Field(
        default=True, description="render prompts with the tokenizer's chat template when it has one"
    )
    system_prompt: str | None = Field(
        default=None, description="system message put before every prompt (needs a chat template)"
    )
    tiny: TinyModel = TinyModel()


class WarmStartTable(_Table):
    """Supervised start of a tiny model on noisy demonstrations; cached by its settings."""

    steps: int = Field(default=550, ge=0)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    decay_below: float | None = Field(
        default=None,
        gt=0,
        description="smoothed loss, nats a token, from which on the learning rate falls to 0; absent: it is constant",
    )
    decay_steps: int = Field(default=0, ge=0, description="steps of that fall, after which the warm start ends")
    seed: int = Field(default=0, ge=0)
    least_by_level: tuple[float, ...] = Field(
        default=(),
        description="least pass@1 of the prompts of level 1, 2, ... after the warm start, where tasks have one",
    )
    sampled_accuracy: tuple[float, float] = Field(
        default=(0.2, 0.6),
        description="accepted range of pass@1 on 256 pool prompts after the warm start; RL is refused outside",
    )


class TaskTable(_Table):
    """Where prompts come from and how answers are judged."""

    source: Literal["spell_backward", "search_world", "self_play", "reasoning_gym", "jsonl", "parquet", "gsm8k"] = (
        "spell_backward"
    )
    environment: Literal["auto", "single_turn", "search"] = Field(
        default="auto", description="how tasks are played; auto: search for search_world and self_play, else one turn"
    )
    name: str | None = Field(default=None, description="data set name (reasoning_gym)")
    path: str | None = Field(
        default=None,
        description="file (jsonl, parquet, gsm8k); self_play: answers to ask for, absent: the embedded search world's",
    )
    eval_path: str | None = Field(
        default=None, description="held-out file; absent: eval.prompts rows are split off (self_play with a path: none)"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the generator")
    pool_size: int | None = Field(
        default=None, ge=1, description="prompts in the pool; absent: all of the file, 4096 if generated"
    )
    verifier: Literal[
        "auto", "exact_match", "math", "reasoning_gym", "qa_exact_match", "cover_match", "f1", "judge"
    ] = "auto"
    binary_rewards: bool = Field(default=True, description="turn scores into 0 or 1 at success_threshold")
    success_threshold: float = Field(default=1.0, gt=0, le=1, description="a score of at least this much is a success")


class VerifyTable(_Table):
    """Worker processes for verifiers that are not ours."""

    workers: int = Field(default=2, ge=1)
    timeout_seconds: float = Field(default=5.0, gt=0, description="wall-clock limit of one verdict")


class SearchTable(_Table):
    """A search agent: how the policy asks, what it reads, and what bounds a rollout (task.environment = "search").

    ``engine.max_new_tokens`` bounds the tokens that the policy samples in all turns together.
    """

    protocol: Literal["tags", "tool_calls"] = Field(
        default="tags", description="<search> and <answer> (Search-R1), or the JSON tool calls of the chat template"
    )
    prompt: str | None = Field(
        default=None, description="text with {question} in it; absent: instructions for the protocol"
    )
    max_turns: int = Field(default=5, ge=1, description="times the policy may speak, the answer included")
    max_queries: int = Field(default=3, ge=1, le=3, description="queries of one turn that are answered")
    turn_tokens: int | None = Field(
        default=None, ge=1, description="tokens sampled in one turn; absent: engine.max_new_tokens"
    )
    answer_tokens: int = Field(
        default=32,
        ge=0,
        description="tokens kept for an answer that is asked for when turns or tokens run out; 0: none",
    )
    documents: int = Field(default=3, ge=1, description="documents per query")
    document_tokens: int = Field(default=200, ge=1, description="tokens of one document; what is longer is cut")
    document_format: str = Field(
        default='Doc {rank}(Title: "{title}") {text}\n', description="how a document is written: {rank} {title} {text}"
    )


class RetrieverTable(_Table):
    """Where a search agent finds documents; the embedded search world brings its own."""

    kind: Literal["lexical", "dense", "hybrid", "http"] = Field(
        default="lexical", description="BM25; vectors; both, by reciprocal ranks; a server that speaks /retrieve"
    )
    corpus: str | None = Field(default=None, description="JSONL file with id and contents (title line, then text)")
    index: str | None = Field(
        default=None, description="directory of the index; made when it is not there; absent: in the user's cache"
    )
    title_weight: float = Field(default=2.0, gt=0, description="weight of a match in the title (lexical, hybrid)")
    encoder: str | None = Field(default=None, description="directory of the encoder of dense vectors (dense, hybrid)")
    vectors: str | None = Field(
        default=None, description="ready vectors of the passages, in their order (dense, hybrid): .npy or a faiss index"
    )
    query_prefix: str | None = Field(
        default=None, description='what the encoder puts before a query, e.g. "query: " for E5; absent: what it says'
    )
    passage_prefix: str | None = Field(
        default=None,
        description='what the encoder puts before a passage, e.g. "passage: " for E5; absent: what it says',
    )
    url: str | None = Field(default=None, description="address of the server, e.g. http://127.0.0.1:8000/retrieve")
    token_env: str | None = Field(default=None, description="environment variable with the server's token (http)")
    timeout_seconds: float = Field(default=10.0, gt=0, description="longest wait for one answer (http)")
    retries: int = Field(default=3, ge=0, description="further attempts after a failed one (http)")
    cache_size: int = Field(default=100_000, ge=0, description="answers kept in memory (http); 0 keeps none")


class JudgeTable(_Table):
    """A model that judges answers, behind an OpenAI-compatible API (task.verifier = "judge")."""

    url: str | None = Field(default=None, description="base address, e.g. http://127.0.0.1:8000/v1")
    model: str | None = Field(default=None, description="name the server knows it by")
    key_env: str | None = Field(default=None, description="environment variable with the API key")
    max_calls: int | None = Field(default=None, ge=1, description="calls of one process; what is over is not judged")
    timeout_seconds: float = Field(default=60.0, gt=0)
    concurrency: int = Field(default=16, ge=1, description="requests in flight at the same time")
    cache: str | None = Field(default=None, description="SQLite file with verdicts; absent: kept in memory")


class SelfPlayTable(_Table):
    """Search self-play: one policy proposes questions and solves them (task.source = "self_play").

    The solver's estimator, temperature and group size are those of ``train``; both roles search by ``search``.
    """

    proposals: int | None = Field(
        default=None, ge=1, description="seeds drawn per step (and round); absent: train.groups_per_step"
    )
    prompt: str | None = Field(
        default=None, description="text with {answer} and {hops} in it; absent: instructions for the protocol"
    )
    hops: int = Field(default=4, ge=1, description="most hops that are wished for; 1 ... hops are drawn evenly")
    hops_warmup_steps: int = Field(
        default=0, ge=0, description="steps in which the most wished hops rise from 1 to hops; 0: all from the start"
    )
    max_turns: int | None = Field(default=None, ge=1, description="of the proposer; absent: search.max_turns")
    max_new_tokens: int | None = Field(
        default=None, ge=1, description="tokens the proposer samples in all; absent: engine.max_new_tokens"
    )
    turn_tokens: int | None = Field(
        default=None, ge=1, description="tokens the proposer samples in one turn; absent: as many as are left"
    )
    question_tokens: int = Field(
        default=96, ge=0, description="tokens kept for a question that is asked for when turns or tokens run out"
    )
    proposer_group_size: int = Field(default=1, ge=1, description="proposals per seed")
    proposer_temperature: float = Field(default=1.0, gt=0)
    proposer_estimator: Literal["reinforce", "batch_centred", "batch_standardize", "grpo", "dr_grpo", "rloo"] = (
        "reinforce"
    )
    proposer_reward: Literal["difficulty", "intermediate"] = Field(
        default="difficulty", description="of a valid question, s its success rate: 1 - s; or 4 (low + s) (high - s)"
    )
    intermediate_low: float = Field(default=0.0, ge=0, le=1, description='low of proposer_reward = "intermediate"')
    intermediate_high: float = Field(default=1.0, gt=0, le=1, description='high of proposer_reward = "intermediate"')
    proposer_weight: float = Field(default=1.0, gt=0, description="factor of the proposer's loss")
    solver_weight: float = Field(default=1.0, gt=0, description="factor of the solver's loss")
    proposer_from_step: int = Field(default=1, ge=1, description="first step in which the proposer learns")
    solver_from_step: int = Field(default=1, ge=1, description="first step in which the solver learns")
    fixed: Literal["none", "proposer", "solver"] = Field(
        default="none", description="a control: the start policy plays this role, and only the other one learns"
    )
    fill: Literal["dummy", "resample", "replay", "replay_reset"] = Field(
        default="replay_reset",
        description="where too few questions are valid: a smaller step; further proposals; earlier questions; earlier "
        "questions, forgotten every reset_every steps",
    )
    max_rounds: int = Field(default=4, ge=2, description='rounds of proposals of fill = "resample", first included')
    reset_every: int = Field(default=10, ge=1, description='steps after which fill = "replay_reset" forgets')
    yardstick_samples: int = Field(
        default=1,
        ge=0,
        description="times the start policy tries each new question, to measure its difficulty; 0: none",
    )
    recorded_documents: int = Field(
        default=8, ge=0, description="proposals of a step whose documents are kept in proposals.jsonl"
    )


class FiltersTable(_Table):
    """What a proposed question must be before it is checked (task.source = "self_play")."""

    min_characters: int = Field(default=10, ge=1)
    max_characters: int = Field(default=1000, ge=1)
    min_words: int = Field(default=3, ge=1, description="words; characters in scripts without spaces")
    min_searches: int = Field(default=1, ge=0, description="searches of the proposer that found something")
    answer_in_query: Literal["allowed", "refused"] = Field(
        default="allowed", description="whether the proposer may search for the answer itself"
    )
    near_duplicate: float = Field(
        default=0.9, gt=0, le=1, description="similarity to an accepted question that is too much; 1: only equal ones"
    )
    ambiguous: Literal["refused", "allowed"] = Field(
        default="refused", description="questions with several answers, where the corpus can tell (embedded world)"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "FiltersTable":
        if self.min_characters > self.max_characters:
            raise ValueError(
                f"filters.min_characters = {self.min_characters} is above filters.max_characters = "
                f"{self.max_characters}; exchange them"
            )
        return self


class CheckTable(_Table):
    """The RAG check: a question is valid only if its answer follows from what the proposer read."""

    kind: Literal["policy", "endpoint", "off"] = Field(
        default="policy", description="who answers: the policy itself, an OpenAI-compatible server, nobody (a control)"
    )
    noise: int = Field(default=4, ge=0, description="other trajectories whose documents are mixed in")
    closed_book: int = Field(
        default=1, ge=0, description="attempts without any document; a question answered so is refused; 0: none"
    )
    prompt: str | None = Field(default=None, description="text with {documents} and {question} in it")
    temperature: float = Field(default=0.0, ge=0)
    max_new_tokens: int = Field(default=256, ge=1)
    url: str | None = Field(default=None, description="base address, e.g. http://127.0.0.1:8000/v1 (endpoint)")
    model: str | None = Field(default=None, description="name the server knows it by (endpoint)")
    key_env: str | None = Field(default=None, description="environment variable with the API key (endpoint)")
    timeout_seconds: float = Field(default=60.0, gt=0, description="longest wait for one reply (endpoint)")
    concurrency: int = Field(default=16, ge=1, description="requests in flight at the same time (endpoint)")


class PoolTable(_Table):
    """Which prompts may be drawn, and when they come back."""

    kind: Literal["cycling", "recycling", "prioritized", "selective", "phased"] = Field(
        default="cycling",
        description="every prompt in turn; only prompts that taught leave; drawn by priority; GRESO; sGPO's phases",
    )
    alpha: float = Field(default=0.0, ge=0, lt=1, description="weight left to a trained prompt (soft recycling)")
    on_empty: Literal["reset", "stop"] = Field(default="reset", description="when no prompt is live (recycling)")
    reset_below: float = Field(default=0.0, ge=0, lt=1, description="reset when the live fraction falls below it")


class PriorityTable(_Table):
    """How a pool of kind "prioritized" weighs prompts (posterior recycling, MoPPS, SPO)."""

    score: Literal["signal_chance", "uncertainty"] = Field(
        default="signal_chance",
        description="the posterior chance that the group carries signal; or sqrt(p (1 - p)) + floor",
    )
    estimate: Literal["mean", "sample"] = Field(
        default="mean", description="the chance under the posterior, or at one Thompson sample from it"
    )
    select: Literal["weighted", "best"] = Field(default="weighted", description="draw by weight, or take the highest")
    floor: float = Field(default=0.05, ge=0, le=1, description="exploration: least weight of a prompt")
    sharpness: float = Field(default=1.0, ge=0, description="exponent of the weight; 0 draws uniformly")
    consume: Literal["none", "drawn", "trained"] = Field(
        default="none", description="which prompts leave until a reset: none, all drawn (cycling), trained (recycling)"
    )


class PosteriorTable(_Table):
    """What is believed of a prompt's success rate: Beta counts of its visits, and how they are forgotten."""

    prior_successes: float = Field(default=0.5, ge=0)
    prior_failures: float = Field(default=0.5, ge=0)
    half_life: float | None = Field(
        default=None,
        gt=0,
        description="nats of policy movement (mean |change of log p|) that halve a count; absent: none",
    )
    least_discount: float = Field(default=0.0, ge=0, le=1, description="least factor of the counts at a visit")
    most_discount: float = Field(default=1.0, gt=0, le=1, description="greatest factor of the counts at a visit")
    probe_rows: int = Field(
        default=16, ge=1, description="rollouts scored again after an update to measure the movement (with a half_life)"
    )


class SkipTable(_Table):
    """GRESO: prompts skipped before they are rolled out (pool.kind = "selective")."""

    target: float = Field(default=0.25, ge=0, le=1, description="share of groups without signal that is aimed at")
    easy_part: float = Field(default=1 / 3, ge=0, le=1, description="part of the target that all-correct groups may be")
    explore: float = Field(default=0.01, ge=0, le=1, description="least chance of a rollout; 1 never skips")


class ProfileTable(_Table):
    """A profiling pass with the start policy; its counts are also the first counts of the posterior."""

    path: str | None = Field(default=None, description="file written by rekindle profile")
    samples: int = Field(default=8, ge=1, description="rollouts per prompt, where the run has to make the profile")
    trivial_above: float = Field(
        default=0.75, gt=0, le=1, description="prompts with a higher success rate are left out (phased); 1 keeps all"
    )
    unsolved_share: float = Field(
        default=0.1, ge=0, le=1, description="part of the never solved prompts that joins every phase (phased)"
    )
    force: bool = Field(default=False, description="use the profile of another model, verifier, temperature or length")


class PhasesTable(_Table):
    """sGPO's curriculum, easy to hard (pool.kind = "phased")."""

    max_epochs: int = Field(default=3, ge=1, description="passes over a phase's prompts")
    patience: int = Field(default=10, ge=1, description="steps without a gain after which a phase has converged")
    min_gain: float = Field(default=0.005, ge=0, description="rise of the smoothed reward that counts as a gain")
    smoothing: float = Field(default=0.1, gt=0, le=1, description="weight of a step in the smoothed reward")
    after_last: Literal["continue", "stop"] = Field(default="continue", description="when the last phase is over")
    reprofile: bool = Field(default=False, description="size the later phases by the run's own counts, at no cost")


class SizesTable(_Table):
    """How many rollouts a prompt gets."""

    rule: Literal["fixed", "inverse_success", "knapsack"] = Field(
        default="fixed", description="train.group_size for all; 2^round(log2 1/p); the best spending of their total"
    )
    minimum: int = Field(default=2, ge=1)
    maximum: int = Field(default=8, ge=1)
    rounding: Literal["floor", "nearest", "ceil"] = Field(default="floor", description="of log2(1/p)")

    @model_validator(mode="after")
    def _ordered(self) -> "SizesTable":
        if self.minimum > self.maximum:
            raise ValueError(f"sizes.minimum = {self.minimum} is above sizes.maximum = {self.maximum}; exchange them")
        return self


class HeatingTable(_Table):
    """ERPO's history tracker: prompts that are always solved are sampled hotter."""

    delta: float = Field(default=0.0, ge=0, description="rise of the temperature per all-correct visit; 0 is off")
    maximum: float = Field(default=1.2, gt=0, description="highest temperature")
    on_signal: Literal["reset", "step_down", "hold"] = Field(
        default="step_down", description="the streak after a visit with signal: 0, one less, or kept"
    )


class ReactivationTable(_Table):
    """ERPO's RA: a signal for groups that are all correct although they were heated."""

    kind: Literal["off", "virtual_failure", "constant"] = "off"
    constant: float = Field(default=0.25, gt=0, description='advantage of kind "constant"')
    decay: bool = Field(default=False, description="divide by 1 + streak at the highest temperature")


class TopUpTable(_Table):
    """Further rollouts for a prompt once its first ones are known."""

    kind: Literal["off", "mixed", "balance"] = Field(
        default="off",
        description="mixed: groups with signal get `more` (SPEED-RL); balance: until half of subset.size is right and "
        "half wrong (Reinforce-Ada)",
    )
    more: int = Field(default=20, ge=1, description='further rollouts of kind "mixed"')
    max_rounds: int = Field(default=4, ge=2, description='rounds of kind "balance", the first included')


class SubsetTable(_Table):
    """Train on some of a group's rollouts."""

    kind: Literal["off", "max_variance", "balanced"] = Field(
        default="off", description="all; the most different rewards (PODS); half right and half wrong (Reinforce-Ada)"
    )
    size: int = Field(default=4, ge=2, description="rollouts of a group that are trained on")
    baseline: Literal["selected", "all"] = Field(default="selected", description="rollouts that advantages compare")


class RefillTable(_Table):
    """DAPO's dynamic sampling: draw again inside the step until enough groups carry signal."""

    max_rounds: int = Field(default=0, description="extra rounds per step; 0 switches refill off")
    on_exhausted: Literal["train", "stop"] = Field(default="train", description="when the rounds are spent")

    @model_validator(mode="after")
    def _bounded(self) -> "RefillTable":
        if self.max_rounds < 0:
            raise ValueError(
                f"refill.max_rounds = {self.max_rounds} would be a refill without a bound, which hangs when no prompt "
                "teaches; set refill.max_rounds = 4"
            )
        if not self.max_rounds and self.on_exhausted != "train":
            raise ValueError(
                "refill.on_exhausted is about refill rounds, and there are none; set refill.max_rounds = 4"
            )
        return self


class TrainTable(_Table):
    """The update."""

    steps: int | None = Field(default=None, ge=1, description="steps to make; absent: until train.rollouts are spent")
    rollouts: int | None = Field(
        default=None, ge=1, description="rollouts to spend; with train.steps, the most that may be spent"
    )
    tokens: int | None = Field(
        default=None, ge=1, description="generated tokens to spend, a profile's included; with train.steps, likewise"
    )
    seed: int = Field(default=0, ge=0)
    groups_per_step: int = Field(default=64, ge=1)
    group_size: int = Field(default=4, ge=1)
    oversample: int = Field(default=1, ge=1, description="k: prompts drawn per step = oversample x groups_per_step")
    temperature: float = Field(default=1.0, gt=0)
    gate: Literal["has_signal", "not_all_wrong", "everything"] = "has_signal"
    estimator: Literal[
        "grpo",
        "dr_grpo",
        "rloo",
        "maxrl",
        "gpg",
        "reinforce_pp_baseline",
        "batch_standardize",
        "c_rf",
        "spo",
        "shrunk_baseline",
        "reinforce",
        "batch_centred",
    ] = "grpo"
    baseline_strength: float = Field(
        default=4.0, ge=0, description='visits that the batch mean counts for (estimator "shrunk_baseline")'
    )
    zero_variance_scale: float = Field(
        default=0.0, ge=0, description="entropy-shaped advantage of groups without signal (RL-ZVP); 0 is off"
    )
    negative_keep_ratio: float = Field(
        default=1.0, gt=0, le=1, description="part of a failed rollout's tokens, the least likely, that learn; 1 is all"
    )
    tool_tokens: Literal["masked", "trained"] = Field(
        default="masked", description="what search results are to the loss; trained is a control that shows the harm"
    )
    loss: Literal["ppo_clip", "gspo", "cispo"] = "ppo_clip"
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.2, gt=0)
    aggregation: Literal["token_mean", "group_token_mean", "sequence_mean", "constant_length"] = "group_token_mean"
    epochs: int = Field(default=1, ge=1, description="passes over a batch")
    minibatches: int = Field(default=1, ge=1, description="optimizer steps per pass")
    old_logprobs: Literal["auto", "engine", "recompute"] = Field(
        default="auto",
        description="auto: the ratio's denominator is the current policy when it is the one that sampled",
    )
    off_temperature: Literal["tempered", "importance", "ignore"] = Field(
        default="tempered",
        description="rollouts of a heated prompt: log-probabilities at their own temperature; at train.temperature "
        "with an importance weight; at train.temperature",
    )
    importance_cap: float = Field(default=2.0, gt=0, description='greatest weight of off_temperature = "importance"')
    kl_coefficient: float = Field(default=0.0, ge=0, description="weight of the KL to the start policy")
    learning_rate: float = Field(default=5e-4, gt=0)
    batch_exponent: float = Field(
        default=0.0, ge=0, description="the step is scaled by (groups that taught / groups_per_step) to this power"
    )
    warmup_steps: int = Field(default=20, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    weight_decay: float = Field(default=0.0, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    grad_clip: float = Field(default=1.0, gt=0)
    microbatch_tokens: int = Field(default=8192, ge=1, description="padded tokens of one forward and backward pass")
    threads: int = Field(default=1, ge=1, description="CPU threads; two can be slower than one for tiny models")
    max_barren_steps: int = Field(
        default=20, ge=1, description="steps in a row without any signal before the run stops"
    )


class EngineTable(_Table):
    """Sampling limits."""

    max_new_tokens: int = Field(default=24, ge=1)
    top_p: float = Field(default=1.0, gt=0, le=1)
    min_p: float = Field(default=0.0, ge=0, lt=1)
    stop: tuple[str, ...] = ()
    max_rows: int = Field(default=256, ge=1, description="rollouts decoded at the same time")


class EvalTable(_Table):
    """Evaluation on held-out prompts."""

    every: int = Field(
        default=20, ge=1, description="steps between evaluations; one is made before the first and after the last"
    )
    prompts: int = Field(default=256, ge=1)
    samples: int = Field(default=1, ge=1, description="rollouts per held-out prompt at temperature 1")


class CheckpointTable(_Table):
    """When to save."""

    every: int = Field(default=50, ge=1)
    keep: int = Field(default=2, ge=1, description="checkpoints kept; older ones are deleted")


class Config(_Table):
    """A complete run."""

    recipe: str = "grpo"
    model: ModelTable = ModelTable()
    warm_start: WarmStartTable = WarmStartTable()
    task: TaskTable = TaskTable()
    verify: VerifyTable = VerifyTable()
    search: SearchTable = SearchTable()
    retriever: RetrieverTable = RetrieverTable()
    judge: JudgeTable = JudgeTable()
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
    refill: RefillTable = RefillTable()
    train: TrainTable = TrainTable()
    engine: EngineTable = EngineTable()
    eval: EvalTable = EvalTable()
    checkpoint: CheckpointTable = CheckpointTable()
