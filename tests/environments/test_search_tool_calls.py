import json

import pytest

from rekindle.environments.search.codec import PolicyCodec
from rekindle.environments.search.tool_calls import ToolCalls
from rekindle.environments.search.turn_protocol import Call, Found, Turn
from rekindle.types import UserError
from search_cases import CharacterCodec, NoTemplate, bpe_policy

CODEC = CharacterCodec()
JSON_ERROR = "The tool call is not valid JSON."
NAME_ERROR = 'The tool call must be an object with the name "search".'
ARGUMENTS_ERROR = 'The arguments must have "query", a text, or "queries", a list of texts; none may be blank.'


def call(**arguments):
    return f"<tool_call>\n{json.dumps({'name': 'search', 'arguments': arguments})}\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (call(query="a"), Turn(calls=(Call(("a",)),))),
        ("I wonder. " + call(query=" a ") + "$", Turn(calls=(Call(("a",)),))),
        (call(queries=["a", "b"]), Turn(calls=(Call(("a", "b")),))),
        (call(query="a", queries=["b"]), Turn(calls=(Call(("a", "b")),))),
        (call(query="a") + call(query="b"), Turn(calls=(Call(("a",)), Call(("b",))))),
        (call(queries=list("abcd")), Turn(calls=(Call(("a", "b", "c")),), refused=1)),
        (call(queries=["a", "b"]) + call(queries=["c", "d"]) + call(query="e"),
         Turn(calls=(Call(("a", "b")), Call(("c",))), refused=2)),
        (call(query="<answer>a</answer>"), Turn(calls=(Call(("<answer>a</answer>",)),))),
        (call(query=""), Turn(calls=(Call(error=ARGUMENTS_ERROR),))),
        (call(), Turn(calls=(Call(error=ARGUMENTS_ERROR),))),
        (call(query=7), Turn(calls=(Call(error=ARGUMENTS_ERROR),))),
        (call(queries="a"), Turn(calls=(Call(error=ARGUMENTS_ERROR),))),
        (call(queries=["a", None]), Turn(calls=(Call(error=ARGUMENTS_ERROR),))),
        (call(query="\ud800"), Turn(calls=(Call(error=ARGUMENTS_ERROR),))),
        ('<tool_call>{"name": "search", "arguments": "a"}</tool_call>', Turn(calls=(Call(error=ARGUMENTS_ERROR),))),
        ('<tool_call>{"name": "python", "arguments": {}}</tool_call>', Turn(calls=(Call(error=NAME_ERROR),))),
        ("<tool_call>[1]</tool_call>", Turn(calls=(Call(error=NAME_ERROR),))),
        ("<tool_call>null</tool_call>", Turn(calls=(Call(error=NAME_ERROR),))),
        ("<tool_call>{</tool_call>", Turn(calls=(Call(error=JSON_ERROR),))),
        (f"<tool_call>{'[' * 100_000}</tool_call>", Turn(calls=(Call(error=JSON_ERROR),))),
        (f"<tool_call>{'1' * 10_000}</tool_call>", Turn(calls=(Call(error=JSON_ERROR),))),
        ('<tool_call>{"name"', Turn(calls=(Call(error="The tool call is not closed."),))),
        ("<answer>Paris</answer>", Turn(final="Paris")),
        ("perhaps <answer>Rome</answer>, no: <answer>Paris</answer>$", Turn(final="Paris")),
        ("Paris.", Turn()),
        ("</tool_call>", Turn()),
        ("<answer>Paris</answer>" + call(query="a"), Turn(calls=(Call(("a",)),))),
    ],
)  # fmt: skip
def test_turns_by_hand(text, expected):
    assert ToolCalls(3, CODEC).read(text) == expected


def test_replies_are_what_the_template_writes_between_two_turns():
    protocol = ToolCalls(2, CODEC)
    assert protocol.reply(Turn(calls=(Call(("a",)),))) == ["$T:", Found("a"), "$A:"]
    assert protocol.reply(Turn(calls=(Call(("a",)), Call(error="No.")), refused=1)) == [
        "$T:",
        Found("a"),
        "$T:",
        "No.",
        "$T:",
        "Not answered: 1 more (at most 2 in a turn).",
        "$A:",
    ]
    assert protocol.opening(ended=True) == "$T:No further search is possible. Answer now.$A:<answer>"
    assert protocol.opening(ended=False) == "\n\n<answer>"


def test_many_calls_have_few_replies():
    turn = ToolCalls(3, CODEC).read(call(query="a") * 500 + "<tool_call>{</tool_call>" * 500)
    assert (len(turn.calls), turn.refused) == (3, 997)
    assert len([part for part in ToolCalls(3, CODEC).reply(turn) if isinstance(part, Found)]) == 3


def test_frames_of_a_qwen_like_template():
    protocol = ToolCalls(2, PolicyCodec(bpe_policy()))
    before, between, after = (
        "<|im_end|>\n<|im_start|>user\n<tool_response>\n",
        "\n</tool_response>\n<tool_response>\n",
        "\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
    )
    assert protocol.reply(Turn(calls=(Call(("a",)), Call(("b",))))) == [
        before,
        Found("a"),
        between,
        Found("b"),
        after,
    ]


PLAIN_ROLES = "{% for m in messages %}{{ m.role + m.content + '\\n' }}{% endfor %}assistant"
FORGETFUL = (
    "{% if tools %}<tool_call>{...}{% endif %}{% for m in messages %}"
    "{% if not (m.role == 'assistant' and loop.index > 3) %}"
    "{{ m.role + m.content[:30] }}{% endif %}{% endfor %}assistant"
)
THINKING = (
    "{% if tools %}<tool_call>{...}{% endif %}{% for m in messages %}{{ m.role + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}assistant<think>{% endif %}"
)
STRICT = "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (PLAIN_ROLES, "does not announce tools"),
        ("{% if tools %}{{ tools | tojson }}{% endif %}" + PLAIN_ROLES, "does not announce tools"),
        (FORGETFUL, "earlier turns differently"),
        (THINKING, "earlier turns differently"),
        ("{% if tools %}<tool_call>{...}{% endif %}" + STRICT, "no tools here"),
        (None, "needs a chat template"),
    ],
)
def test_templates_that_cannot_be_used(template, words):
    with pytest.raises(UserError, match=words) as raised:
        ToolCalls(2, PolicyCodec(bpe_policy(template)))
    assert 'search.protocol = "tags"' in str(raised.value)


def test_the_codec_has_the_last_word_on_templates():
    with pytest.raises(UserError, match="no chat template"):
        ToolCalls(2, NoTemplate())


def test_a_template_that_is_switched_off():
    with pytest.raises(UserError, match=r"model\.chat_template = true"):
        ToolCalls(2, PolicyCodec(bpe_policy(), chat_template=False))


def test_the_prompt_announces_the_tool_and_keeps_the_system_prompt():
    codec = PolicyCodec(bpe_policy(), system_prompt="Be brief.")
    text = codec.decode(codec.prompt("Why?", ToolCalls(2, codec).tools))
    assert '"name": "search"' in text
    assert text.index("Be brief.") < text.index("Why?")
    own = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}]
    text = codec.decode(codec.prompt(own, ToolCalls(2, codec).tools))
    assert text.index('"name": "search"') < text.index("Be kind.") < text.index("Why?")
    assert "Be brief." not in text, "a row's own system message replaces that of the configuration"
