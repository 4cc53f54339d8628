"""Prompts that leave no room, end tokens, templates and system messages, found when a workbench is opened."""

import json
import string
from types import SimpleNamespace
from typing import Any

import pytest

from rekindle.assembly import workbench
from rekindle.assembly.opening import load_policy
from rekindle.assembly.prompt_rooms import with_room
from rekindle.environments.single_turn import SingleTurn
from rekindle.models.policy import ModelError, Policy
from rekindle.notices import RekindleWarning
from rekindle.recipes import resolve
from rekindle.tasks.task_set import TaskError
from rekindle.types import Task, UserError
from rekindle.warm_starts.tiny_model import build_tiny

CONTEXT = 40
TURNS = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% if m.role == 'assistant' %}<eos>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}>{% endif %}{% if short %}!{% endif %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    build_tiny(
        layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16, max_length=CONTEXT,
        characters=string.printable,
    ).save(directory)  # fmt: skip
    return directory


@pytest.fixture
def opened(tmp_path, model):
    """``opened([prompt, ...], "engine.max_new_tokens=8")``: the workbench of these prompts and two held-out ones."""

    def open_bench(prompts, *settings, held_out=("yes", "no"), where=model):
        for name, texts in (("train", prompts), ("dev", held_out)):
            rows = [{"id": f"{name}{number}", "prompt": text, "answer": "a"} for number, text in enumerate(texts)]
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        path = tmp_path / "run.toml"
        path.write_text(
            f"[model]\npath = '{where}'\n[task]\nsource = 'jsonl'\npath = '{tmp_path}/train.jsonl'\n"
            f"eval_path = '{tmp_path}/dev.jsonl'\n[train]\nsteps = 1\n[eval]\nprompts = 2\n[engine]\nmax_new_tokens = "
            "4\n"
        )
        said = []
        with workbench(resolve(path, "grpo", settings), where, said.append) as bench:
            return bench, said

    return open_bench


LONG = "x" * (CONTEXT - 1)


def chat(*turns):
    """Messages of ``"role: content"`` texts."""
    return tuple(dict(zip(("role", "content"), turn.split(": "), strict=True)) for turn in turns)


def test_prompts_that_fit_are_not_mentioned(opened, recwarn):
    bench, said = opened(["a", "b" * (CONTEXT - 4)])
    assert len(bench.tasks.pool) == 2
    assert not list(recwarn)
    assert not said


@pytest.mark.parametrize("longest", [CONTEXT, CONTEXT + 1, 5000])
def test_prompts_that_leave_no_room_are_counted_and_named(opened, longest):
    said = (
        rf"1 of 3 prompts of the pool and 1 of 2 held-out prompts leave no room .* context of {CONTEXT} tokens \(the "
    )
    said += (
        rf"longest, 'train1', takes {longest}\) and fail whenever they are drawn; shorten them, or set task.overlong"
    )
    with pytest.warns(RekindleWarning, match=said):
        bench, _ = opened(["a", "x" * longest, "b"], held_out=["yes", "y" * CONTEXT])
    assert len(bench.tasks.pool) == 3


def test_prompts_that_leave_no_room_are_dropped_by_option(opened):
    with pytest.warns(RekindleWarning, match="leave no room .* and are left out"):
        bench, _ = opened(["a", "x" * CONTEXT, "b"], "task.overlong_prompts=drop", held_out=["yes", "y" * CONTEXT])
    assert [task.id for task in bench.tasks.pool] == ["train0", "train2"]
    assert [task.id for task in bench.tasks.held_out] == ["dev0"]


@pytest.mark.parametrize("option", ["drop", "fail"])
def test_a_pool_without_a_prompt_that_fits_is_refused(opened, option):
    with pytest.raises(
        TaskError,
        match=rf"all 2 prompts of the pool are too long .* {CONTEXT} tokens, and the shortest "
        r"prompt takes 50; shorten",
    ):
        opened(["x" * 60, "y" * 50], f"task.overlong_prompts={option}")


def test_held_out_prompts_of_which_none_fits_are_refused_where_they_are_dropped(opened):
    with pytest.raises(TaskError, match="all 2 prompts of the held-out prompts are too long"):
        opened(["a"], "task.overlong_prompts=drop", held_out=["x" * 60, "y" * 50])


def test_room_for_less_than_the_longest_completion_is_said(opened):
    with pytest.warns(RekindleWarning, match=r"1 of 4 prompts leave fewer than engine.max_new_tokens = 4 tokens"):
        opened(["a", LONG])
    with pytest.warns(RekindleWarning, match=rf"3 of 3 prompts leave fewer than engine.max_new_tokens = {CONTEXT} tok"):
        opened(["a"], f"engine.max_new_tokens={CONTEXT}")


def test_a_context_that_is_smaller_than_a_completion_of_the_embedded_task_is_said(quick_config):
    bench: Any = SimpleNamespace(
        config=quick_config("grpo", "engine.max_new_tokens=128"), tasks=(), policy=SimpleNamespace(max_length=128)
    )
    with pytest.warns(RekindleWarning, match=r"engine.max_new_tokens = 128 does not fit the model's context of 128"):
        with_room(bench, print)


# -- end tokens, templates, system messages ----------------------------------------------------------------------------


@pytest.fixture
def changed_model(model, tmp_path):
    """A function that saves the model with another tokenizer or generation configuration."""

    def save(template=None, end=True):
        policy = Policy.load(model, device="cpu")
        policy.tokenizer.chat_template = template
        if not end:
            policy.tokenizer.eos_token = None
            policy.model.generation_config.eos_token_id = policy.model.config.eos_token_id = None
        policy.save(tmp_path / "changed")
        return tmp_path / "changed"

    return save


def test_a_model_without_an_end_token_is_said(opened, changed_model, recwarn):
    where = changed_model(end=False)
    opened(["a"], "engine.stop=['!']", where=where)
    assert not list(recwarn), "a stop text ends completions too"
    with pytest.warns(
        RekindleWarning, match="names an end token, so every completion is cut at engine.max_new_tokens = 4"
    ):
        opened(["a"], where=where)


def test_a_turn_that_ends_with_another_token_is_said(opened, changed_model, recwarn):
    opened(["a"], where=changed_model(TURNS))
    assert not list(recwarn)
    with pytest.warns(RekindleWarning, match="the chat template ends an answer with <pad>, which is not an end token"):
        opened(["a"], where=changed_model(TURNS.replace("<eos>", "<pad>")))


def prompt_of(bench, task):
    world = bench.environment([task])
    assert isinstance(world, SingleTurn)
    return bench.policy.decode(list(world._prompt(task)))


def test_template_variables_and_system_messages_of_tasks_reach_the_prompt(opened, changed_model, tmp_path):
    where = changed_model(TURNS)
    task, own = Task("t", "q", "a"), Task("t", "q", "a", messages=chat("system: Own.", "user: q"))
    several = Task("t", "q", "a", messages=chat("user: a", "assistant: b", "user: q"))
    bench, _ = opened(["a"], "model.template_variables={short=true}", "model.system_prompt=Be.", where=where)
    assert prompt_of(bench, task) == "[system]Be.[user]q>!"
    assert prompt_of(bench, own) == "[system]Own.[user]q>!"
    assert prompt_of(bench, several) == "[system]Be.[user]a[assistant]b[user]q>!"
    (tmp_path / "own.jinja").write_text("{{ messages[-1].content }}?")
    bench, _ = opened(["a"], f"model.template={tmp_path}/own.jinja", where=where)
    assert prompt_of(bench, task) == "q?"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["model.template_variables={long=true}"],
            r"sets long, which the chat template does not read \(it reads short\)",
        ),
        (["model.template=nowhere.jinja"], "there is no chat template at nowhere.jinja"),
    ],
)
def test_templates_that_cannot_be_used_are_found_at_the_opening(opened, changed_model, settings, message):
    with pytest.raises(ModelError, match=message):
        opened(["a"], *settings, where=changed_model(TURNS))


def test_a_template_that_raises_is_found_at_the_opening(opened, changed_model):
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + TURNS
    with pytest.raises(ModelError, match=r"cannot write a system message \(no\)"):
        opened(["a"], "model.system_prompt=Be.", where=changed_model(refusing))


def test_system_messages_of_tasks_need_a_template(opened, model):
    bench, _ = opened(["a"])
    world = bench.environment([])
    with pytest.raises(UserError, match="a system prompt needs a chat template"):
        world.room(Task("t", "q", "a", messages=chat("system: Be.", "user: q")))
    with pytest.raises(
        UserError, match=r"a conversation of several turns needs a chat template, and none is used; .*one"
    ):
        world.room(Task("t", "q", "a", messages=chat("user: a", "assistant: b", "user: q")))
    assert prompt_of(bench, Task("t", "q", "a", messages=chat("user: q"))) == prompt_of(bench, Task("t", "q", "a"))


def test_conversations_without_a_template_are_found_at_the_opening(opened, changed_model):
    """Also where the shortest prompt, which is always encoded, has one turn."""
    with pytest.raises(ModelError, match=r"task 'train1': a conversation of several turns needs a chat template"):
        opened(["a", chat("user: a", "assistant: b", "user: c")])
    refusing = "{% if messages | length > 2 %}{{ raise_exception('no') }}{% endif %}" + TURNS
    message = (
        r"task 'train1': the chat template cannot write a conversation with the turns user, assistant, user \(no\)"
    )
    with pytest.raises(ModelError, match=message):
        opened(["a", chat("user: a", "assistant: b", "user: c")], where=changed_model(refusing))


def test_a_conversation_counts_with_all_its_turns(opened, changed_model, recwarn):
    where = changed_model("{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}>")
    turns = [f"{role}: {'x' * 7}" for role in ("user", "assistant", "user", "assistant", "user")]
    with pytest.warns(
        RekindleWarning, match=rf"1 of 3 prompts of the pool .*'train2', takes {5 * 8 + 1}\) and are left"
    ):
        bench, _ = opened(["a", chat(*turns[:3]), chat(*turns)], "task.overlong_prompts=drop", where=where)
    assert [task.id for task in bench.tasks.pool] == ["train0", "train1"]
    with pytest.warns(RekindleWarning, match="1 of 4 prompts leave fewer than engine.max_new_tokens = 20 tokens"):
        opened(["a", chat(*turns[:3])], "engine.max_new_tokens=20", where=where)


def test_code_of_the_model_is_trusted_wherever_it_is_loaded(opened, monkeypatch, model):
    """Policy and reference policy are loaded by the same function, with the same settings."""
    seen = []
    monkeypatch.setattr(
        Policy, "load", classmethod(lambda cls, path, **settings: seen.append(settings) or build_tiny())
    )
    bench, _ = opened(["a"], "model.trust_remote_code=true", "model.device=cpu")
    load_policy(bench.config, model)
    assert [settings["trust_remote_code"] for settings in seen] == [True, True]
