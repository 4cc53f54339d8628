"""Chat templates that raise, are missing, are several, or have variables."""

import pytest
from model_zoo import make_model

from rekindle.models.policy import ModelError, Policy
from rekindle.warm_starts.tiny_tokenizers import character_tokenizer

TURNS = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}t{% endif %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TURNS
THINKING = TURNS + "{% if enable_thinking is defined and not enable_thinking %}s{% endif %}"


@pytest.fixture
def policy():
    return Policy(make_model("llama"), character_tokenizer("abcdefghijklmnopqrst", 48))


def text(policy, prompt="abc", **settings):
    return policy.decode(policy.encode_prompt(prompt, **settings))


def test_variables_reach_the_template(policy):
    policy.tokenizer.chat_template = THINKING
    assert text(policy) == "abct"
    policy.use_template(None, {"enable_thinking": False})
    assert text(policy) == "abcts"


def test_a_template_of_ones_own(policy, tmp_path):
    policy.tokenizer.chat_template = TURNS
    path = tmp_path / "own.jinja"
    path.write_text("\ufeff{{ messages[0].content }}qq")
    policy.use_template(str(path), {})
    assert text(policy) == "abcqq"
    policy.save(tmp_path / "model")
    assert "qq" in Policy.load(tmp_path / "model", device="cpu").tokenizer.chat_template


def test_one_of_several_templates(policy):
    policy.tokenizer.chat_template = {"rag": TURNS, "tool_use": TURNS + "s"}
    with pytest.raises(
        ModelError, match=r"several chat templates and no default; set model.template to one of rag, too"
    ):
        policy.use_template(None, {})
    with pytest.raises(
        ModelError, match=r"no chat template at nowhere; set model.template to one of rag, tool_use, or"
    ):
        policy.use_template("nowhere", {})
    policy.use_template("tool_use", {})
    assert text(policy) == "abcts"
    policy.tokenizer.chat_template = {"default": TURNS, "tool_use": TURNS + "s"}
    policy.use_template(None, {})
    assert text(policy) == "abct"


@pytest.mark.parametrize(
    ("template", "variables", "message"),
    [
        (TURNS, {"enable_thinking": False}, "sets enable_thinking, which the chat template does not read; remove or"),
        (THINKING, {"enable_thinkin": 1}, r"which the chat template does not read \(it reads enable_thinking\)"),
        (THINKING, {"messages": []}, "sets messages, which the chat template does not read"),
        (None, {"enable_thinking": 1}, "and the tokenizer has no chat template; remove it, or give a template of your"),
        ("{% if %}", {}, r"the chat template is not valid Jinja \(.*\); correct it, or give"),
    ],
)
def test_variables_and_templates_that_cannot_work_are_refused(policy, template, variables, message):
    policy.tokenizer.chat_template = template
    with pytest.raises(ModelError, match=message):
        policy.use_template(None, variables)


@pytest.mark.parametrize(
    ("template", "settings", "message"),
    [
        (
            NO_SYSTEM,
            {"system_prompt": "be"},
            r"cannot write a system message \(no system role\); remove model.system_pr",
        ),
        (
            "{{ raise_exception('no\nway') }}",
            {},
            r"the chat template cannot write a prompt \(no way\); give a template",
        ),
        ("{{ messages[1].content }}", {}, "the chat template cannot write a prompt"),
        ("{{ messages[0].content + 1 }}", {}, "the chat template cannot write a prompt"),
        ("{{ 1 / 0 }}", {}, "the chat template cannot write a prompt"),
        ("{{ nothing.at.all }}", {}, "the chat template cannot write a prompt"),
    ],
)
def test_a_template_that_raises_is_one_sentence(policy, template, settings, message):
    policy.tokenizer.chat_template = template
    with pytest.raises(ModelError, match=message):
        policy.encode_prompt("abc", **settings)
    if settings:
        assert text(policy) == "abct"


def test_a_template_that_cannot_write_several_turns_says_which(policy):
    policy.tokenizer.chat_template = (
        "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}" + TURNS
    )
    turns = [{"role": role, "content": "a"} for role in ("user", "assistant", "user")]
    message = r"cannot write a conversation with the turns user, assistant, user \(one turn\); .*, or change the rows"
    with pytest.raises(ModelError, match=message):
        policy.encode_prompt(turns)


def test_a_template_that_cannot_write_tools_is_one_sentence(policy):
    policy.tokenizer.chat_template = "{% if tools %}{{ raise_exception('no tools') }}{% endif %}" + TURNS
    with pytest.raises(ModelError, match=r"cannot write a conversation with tools \(no tools\)"):
        policy.render([{"role": "user", "content": "a"}], [{"type": "function"}])
