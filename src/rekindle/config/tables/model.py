"""Tables of the policy, and of the warm start of a tiny one."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from rekindle.config.conditions import Condition, absent, fact, given, on
from rekindle.config.defaults import Case, Computed
from rekindle.config.facts import invents_its_world
from rekindle.config.keys import OptionalPath, Table, key
from rekindle.hardware import computes_bfloat16

if TYPE_CHECKING:
    from rekindle.config.tables import Config

__all__ = ["LORA", "READY_MODEL", "LoraTable", "ModelTable", "TinyModel", "WarmStartTable"]

MADE_HERE = absent("model.path").but("model.path names a pretrained model, remove model.path")
READY_MODEL = given("model.path", "MODEL_DIR", suggest=False).but(
    "the tiny model has no code and no chat template, set model.path"
)

TEMPLATED = (READY_MODEL & on("model.chat_template", True)).but(
    "no chat template is used, set model.chat_template = true"
)


def _fast_dtype(config: "Config") -> str:
    return "bfloat16" if computes_bfloat16(config.model.device) else "float32"


class TinyModel(Table):
    """A decoder made from scratch for the embedded tasks; used when ``model.path`` is absent."""

    read_when: ClassVar[Condition | None] = MADE_HERE

    layers: int = key(4, "decoder layers", ge=1)
    hidden_size: int = key(64, "width of the residual stream", ge=8)
    heads: int = key(4, "attention heads; must divide hidden_size into even parts", ge=1)
    kv_heads: int = key(4, "key and value heads (grouped-query attention); must divide heads", ge=1)
    intermediate_size: int = key(192, "width of the feed-forward layers", ge=8)
    max_length: int = key(128, "longest prompt plus completion, tokens", ge=16)
    initialization: Literal["llama", "copying"] = key(
        "llama",
        "first values of the weights",
        values={
            "llama": "small and random, as transformers initializes a Llama",
            "copying": "values from which copying of the prompt is learned sooner",
        },
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


LORA = given("model.lora.rank", 8)


class LoraTable(Table):
    """LoRA (arXiv 2106.09685): the weights are frozen, and low-rank updates of linear layers are trained."""

    rank: int = key(0, "rank of the updates; 0: all weights are trained", ge=0)
    alpha: float = key(16.0, "the updates are multiplied by alpha / rank", gt=0, only=LORA)
    targets: tuple[str, ...] = key(
        ("all-linear",),
        'names of the linear layers, e.g. ["q_proj", "v_proj"]; "all-linear": all but the output layer',
        only=LORA,
    )

    @model_validator(mode="after")
    def _named(self) -> "LoraTable":
        if not self.targets or ("all-linear" in self.targets and len(self.targets) > 1) or "" in self.targets:
            raise ValueError(f'targets = {list(self.targets)} must name linear layers, or be ["all-linear"] alone')
        return self


class ModelTable(Table):
    """The policy: a pretrained causal language model, or a tiny decoder made from scratch."""

    path: OptionalPath = key(
        None, 'Hugging Face directory, name on the hub ("owner/name") or .gguf file; absent: a tiny model is made'
    )
    revision: str | None = key(
        None, "branch, tag or commit on the hub; a run keeps the commit that it began with", only=READY_MODEL
    )
    dtype: Literal["float32", "bfloat16"] = key(
        "float32",
        "type of the weights; the optimizer's state is float32 in any case",
        cases=(Case(READY_MODEL, Computed('"bfloat16" if processor or GPU have units for it', _fast_dtype)),),
        values={"float32": "4 bytes a weight", "bfloat16": "2 bytes a weight, for GPUs"},
    )
    float32_head: bool = key(
        False,
        "compute logits in float32, so that engine and trainer differ less; costs a float32 copy of the head",
        only=on("model.dtype", "bfloat16"),
    )
    gradient_checkpointing: bool = key(
        False, "compute the inner values of blocks again in the backward pass: less memory, about a third more time"
    )
    device: str = key("auto", "auto, cpu, cuda or cuda:N; auto is the first GPU where there is one")
    trust_remote_code: bool = key(False, "run the code in the model directory", only=READY_MODEL)
    chat_template: bool = key(
        True, "render prompts with the tokenizer's chat template, where it has one", only=READY_MODEL
    )
    system_prompt: str | None = key(
        None, "system message put before every prompt (needs a chat template)", only=READY_MODEL
    )
    template: OptionalPath = key(
        None,
        "chat template instead of the tokenizer's: a Jinja file, or the name of one of several that the tokenizer has",
        only=TEMPLATED,
    )
    template_variables: dict[str, Any] = key(
        {}, "variables of the chat template, e.g. { enable_thinking = false }", only=TEMPLATED
    )
    lora: LoraTable = LoraTable()
    tiny: TinyModel = TinyModel()


class WarmStartTable(Table):
    """Supervised start of a tiny model on noisy demonstrations; cached by its settings."""

    read_when: ClassVar[Condition | None] = MADE_HERE

    steps: int = key(550, "optimizer steps; 0: none", ge=0)
    batch_size: int = key(64, "demonstrations of a step", ge=1)
    learning_rate: float = key(2e-3, "learning rate of AdamW", gt=0)
    decay_below: float | None = key(
        None,
        "smoothed loss, nats per token, at which the learning rate begins to fall to 0; absent: constant rate",
        gt=0,
    )
    decay_steps: int = key(0, "steps of the fall, after which the warm start ends", ge=0)
    seed: int = key(0, "seed of the weights and of the demonstrations", ge=0)
    check_noise: int | None = key(
        None,
        "most other trajectories in the demonstrations of the verifier of self-play; absent: check.noise",
        ge=0,
        only=on("task.source", "self_play"),
    )
    least_by_level: tuple[float, ...] = key(
        (),
        "smallest pass@1 of the prompts of level 1, 2, ... after the warm start, where tasks have levels",
        only=fact(
            "the tasks are those of the embedded search world", invents_its_world, task__source="search_world"
        ).but('prompts have levels with task.source = "search_world"'),
    )
    sampled_accuracy: tuple[float, float] = key(
        (0.2, 0.6), "accepted range of pass@1 on 256 pool prompts after the warm start; RL is refused outside"
    )
