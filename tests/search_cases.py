"""Shared cases of the search environment: codecs, retrievers, scripted engines."""

from itertools import groupby
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rekindle.engines.engine import Completion, SamplingLimits
from rekindle.engines.stopping import contains_stop
from rekindle.environments.search.conversations import SearchConversations
from rekindle.environments.search.environment import SearchEnvironment
from rekindle.environments.search.limits import SearchLimits
from rekindle.environments.search.tags import Tags
from rekindle.models.policy import Policy
from rekindle.retrieval.retriever import Hit, RetrieverDown
from rekindle.types import Document, GroupRequest, Task, UserError
from rekindle.verifiers.exact import ExactMatchVerifier

FORMAT = 'Doc {rank}(Title: "{title}") {text}\n'
PARIS = Document("1", "France", "The capital of France is Paris.")
TASK = Task("t", "Capital of France?", "Paris")

TEMPLATE = (
    "{% if tools %}{{ '<|im_start|>system\\nTools, to be called by <tool_call>{...}</tool_call>:' }}"
    "{% for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endif %}"
    "{% for m in messages %}"
    "{% if m.role == 'tool' %}"
    "{% if messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}"
    "{{ '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' }}"
    "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\\n' }}{% endif %}"
    "{% else %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "</s>", "<s>", "<｜User｜>")
ADDED = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "[INST]", "[/INST]", "<think>", "zebra")
TEXTS = [
    "The capital of France is Paris. <search>capital of France</search> <answer>Paris</answer>",
    '<information>Doc 1(Title: "France") text</information> {"name": "search", "arguments": {"query": "x"}}',
    "user assistant system tool im_start im_end Answer the question below.",
]


def bpe_tokenizer(template=TEMPLATE):
    """A small byte-level BPE tokenizer with special tokens, added tokens and a chat template, as Qwen's."""
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(TEXTS * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        model_max_length=1 << 20,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:])})
    tokenizer.add_tokens([AddedToken(text, normalized=text.startswith("[")) for text in ADDED])
    tokenizer.chat_template = template
    return tokenizer


def bpe_policy(template=TEMPLATE):
    """The tokenizer with a model that is never asked anything."""
    tokenizer = bpe_tokenizer(template)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        intermediate_size=8,
        max_position_embeddings=65536,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Policy(LlamaForCausalLM(config), tokenizer)


class CharacterCodec:
    """A token per character, its code point; "$" ends a turn. ``render`` writes lines, as a chat template would."""

    end_ids = frozenset([ord("$")])
    controls = frozenset(["$"])

    def prompt(self, prompt, tools):
        if isinstance(prompt, str):
            return self.own(self.render([{"role": "user", "content": prompt}], tools) if tools else prompt)
        return self.own(self.render(prompt, tools))

    def render(self, messages, tools):
        lines = [f"{m['role'][0].upper()}:{m['content']}$" for m in messages]
        return ("tools by <tool_call>{\n" if tools else "") + "".join(lines) + "A:"

    def own(self, text):
        return [ord(character) for character in text]

    def plain(self, text):
        return [ord(character) for character in text if character != "$"]

    def decode(self, ids):
        return "".join(chr(index) for index in ids)


class NoTemplate(CharacterCodec):
    def render(self, messages, tools):
        raise UserError("there is no chat template")


class ScriptedEngine:
    """Engine that generates ``script(text so far) -> text``, honouring limits and stop texts; log-probabilities differ.

    Args:
        codec: Its ``own`` tokens are what is sampled.
        script: From the decoded conversation, special tokens left out, and the sample's index.
    """

    def __init__(self, codec, script):
        self.codec, self.script, self.requests = codec, script, []

    def sync(self, policy, version):
        """Nothing: a script has no weights."""

    def generate(self, requests):
        self.requests += requests
        for index in reversed(range(len(requests))):
            yield index, [self._say(requests[index], sample) for sample in range(requests[index].n)]

    def _say(self, request, sample):
        assert request.max_new_tokens >= 1
        generated = []
        for token in self.codec.own(self.script(self.codec.decode(request.prompt_ids), sample)):
            generated.append(token)
            stopped = bool(request.stop) and contains_stop(generated, request.stop, self.codec.decode)
            if stopped or token in self.codec.end_ids or len(generated) == request.max_new_tokens:
                break
        ended = len(generated) < request.max_new_tokens or generated[-1] in self.codec.end_ids or stopped
        logprobs = [-0.25 * (1 + position % 7) for position in range(len(generated))]
        return Completion(generated, logprobs, truncated=not ended, text=self.codec.decode(generated))


class Shelf:
    """Retriever that finds the same documents for every query; records the queries."""

    def __init__(self, *documents):
        self.documents, self.asked = documents or (PARIS,), []

    def search(self, queries, k):
        self.asked.append(list(queries))
        return [[Hit(document, 1.0) for document in self.documents[:k]] for _ in queries]

    def close(self):
        pass


class DeadShelf(Shelf):
    def search(self, queries, k):
        raise RetrieverDown("nobody there")


def in_turn(*turns):
    """Script with one text per turn; the number of end tokens of the policy selects the turn."""
    counts = {}

    def script(text, sample):
        turn = counts.get(sample, 0)
        counts[sample] = turn + 1
        return turns[min(turn, len(turns) - 1)]

    return script


def environment(script, shelf=None, *, codec=None, protocol=None, tasks=(TASK,), verifier=None, prompt=None, **options):
    """A search environment with a scripted engine; ``options``: of ``SearchLimits``, and the format."""
    codec = codec or CharacterCodec()
    document_format = options.pop("document_format", FORMAT)
    retrievers = options.pop("retrievers", {"": shelf or Shelf()})
    engine = options.pop("engine", None) or ScriptedEngine(codec, script)
    of_sampling: dict[str, Any] = {"max_new_tokens": 400, "context": 4000}
    for name in ("max_new_tokens", "context", "top_p", "min_p"):
        if name in options:
            of_sampling[name] = options.pop(name)
    of_search: dict[str, Any] = {"sampling": SamplingLimits(**of_sampling), "answer_tokens": 20}
    limits = SearchLimits(**of_search | options)
    conversations = SearchConversations(
        codec=codec,
        engine=engine,
        retrievers=retrievers,
        limits=limits,
        protocol=protocol or Tags(limits.max_queries),
        document_format=document_format,
    )
    return SearchEnvironment(
        tasks,
        conversations=conversations,
        corpora=tuple(retrievers),
        verifier=verifier or ExactMatchVerifier(),
        reward=float,
        prompt=prompt or "Q: {question}\n",
    )


def order(row=0, n=1, seed=0, temperature=1.0):
    return GroupRequest(id=row, task_id=f"t{row}", row=row, n=n, temperature=temperature, seed=seed, version=3, step=1)


def play(world, n=1):
    """The rollouts of the first task."""
    ((_, rollouts),) = world.play([order(n=n)])
    return rollouts


def runs(rollout):
    """The rollout as (sampled, token ids) pieces."""
    pairs = zip(rollout.loss_mask, rollout.token_ids, strict=True)
    return [(sampled, [token for _, token in piece]) for sampled, piece in groupby(pairs, key=lambda pair: pair[0])]


def sampled_runs(rollout):
    """Token ids of the sampled pieces."""
    return [ids for sampled, ids in runs(rollout) if sampled]


def shown_runs(rollout):
    """Token ids of the replies."""
    return [ids for sampled, ids in runs(rollout) if not sampled][1:]
