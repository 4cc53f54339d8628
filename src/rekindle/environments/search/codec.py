"""Codec of search conversations: text to tokens and back, with foreign text encoded without control tokens."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rekindle.models.plain_text import control_tokens, encode_plain
from rekindle.models.templates import chat_messages
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.models.chat import Chat
    from rekindle.models.policy import Policy

__all__ = ["Codec", "PolicyCodec"]

Message = Mapping[str, str]
Tools = Sequence[Mapping[str, object]]


class Codec(Protocol):
    """Tokenizer and chat template as a search environment uses them."""

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens with which the policy ends a turn."""
        ...

    @property
    def controls(self) -> frozenset[str]:
        """Strings that ``own`` turns into control tokens."""
        ...

    def prompt(self, prompt: str | Sequence[Message], tools: Tools) -> list[int]:
        """Token ids of the user's message, or of a conversation, with the announcement of ``tools``."""
        ...

    def render(self, messages: Sequence[Message], tools: Tools) -> str:
        """Conversation as rendered by the chat template, ready for the assistant's next turn.

        Raises:
            UserError: There is no chat template, or it cannot render these messages.
        """
        ...

    def own(self, text: str) -> list[int]:
        """Token ids of our own text; control strings in it become control tokens.

        Words that a small vocabulary does not have are left out.
        """
        ...

    def plain(self, text: str) -> list[int]:
        """Token ids of foreign text without surrogates; they contain no control token."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Decoded text, without special tokens."""
        ...


class PolicyCodec:
    """The codec of a policy's tokenizer.

    Args:
        policy: Has the tokenizer and the chat template.
        chat_template: Render prompts with the chat template when there is one.
        system_prompt: Message before the user's; needs the chat template.
    """

    def __init__(
        self, policy: "Policy | Chat", *, chat_template: bool = True, system_prompt: str | None = None
    ) -> None:
        self._policy, self._tokenizer = policy, policy.tokenizer
        self._chat_template, self._system_prompt = chat_template, system_prompt
        controls = control_tokens(policy.tokenizer)
        self._forbidden = frozenset(controls)
        self.controls = frozenset(controls.values())
        self._unknown = policy.tokenizer.unk_token_id
        self.end_ids = policy.eos_ids

    def prompt(self, prompt: str | Sequence[Message], tools: Tools) -> list[int]:
        """See ``Codec.prompt``."""
        if not tools:
            return self._policy.encode_prompt(
                prompt, chat_template=self._chat_template, system_prompt=self._system_prompt
            )
        return self.own(
            self.render([{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt, tools)
        )

    def render(self, messages: Sequence[Message], tools: Tools) -> str:
        """See ``Codec.render``."""
        if not (self._chat_template and self._tokenizer.chat_template):
            raise UserError(
                'search.protocol = "tool_calls" needs a chat template, and none is used; choose a chat model with '
                'model.chat_template = true, or search.protocol = "tags"'
            )
        return self._policy.render(chat_messages(messages, self._system_prompt), _listed(tools))

    def own(self, text: str) -> list[int]:
        """See ``Codec.own``."""
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return [int(index) for index in ids if index != self._unknown]

    def plain(self, text: str) -> list[int]:
        """See ``Codec.plain``."""
        return encode_plain(self._tokenizer, text, self._forbidden)

    def decode(self, ids: Sequence[int]) -> str:
        """See ``Codec.decode``."""
        return self._policy.decode(ids)


def _listed(tools: Tools) -> list[dict[str, Any]] | None:
    return [dict(tool) for tool in tools] or None
