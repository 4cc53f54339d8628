"""The text side of a policy, without its weights: tokenizer, chat template, end tokens and context length."""

from collections.abc import Mapping, Sequence
from typing import Any

from rekindle.models.directory import ModelError
from rekindle.models.templates import chat_messages, chosen_template, refuse_unread_variables, rendered

__all__ = ["Chat", "end_ids"]


class Chat:
    """Text to tokens and back, as a policy reads and writes it.

    Attributes:
        tokenizer: The transformers tokenizer.
        eos_ids: Tokens that end a completion.
        max_length: Most tokens, prompt and completion together.
        vocabulary: Number of tokens that the model has an embedding for.
        max_response: Most tokens after a prompt; None: as many as ``max_length`` has room for.

    Args:
        tokenizer: The transformers tokenizer.
        eos_ids: Tokens that end a completion.
        max_length: Most tokens, prompt and completion together.
        vocabulary: Number of tokens that the model has an embedding for.
        max_response: Most tokens after a prompt; None: as many as ``max_length`` has room for.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        eos_ids: frozenset[int],
        max_length: int,
        vocabulary: int,
        max_response: int | None = None,
    ) -> None:
        self.tokenizer, self.eos_ids = tokenizer, eos_ids
        self.max_length, self.vocabulary, self.max_response = max_length, vocabulary, max_response
        self._template_variables: Mapping[str, Any] = {}

    def use_template(self, template: str | None, variables: Mapping[str, Any]) -> None:
        """Use another chat template, or variables for it, from now on; it becomes the tokenizer's own.

        Args:
            template: A Jinja file, or the name of one of several templates of the tokenizer; None: the tokenizer's own.
            variables: Further variables of the template.

        Raises:
            ModelError: There is no such template, or it does not read the variables.
        """
        found = chosen_template(self.tokenizer, template)
        refuse_unread_variables(found, variables)
        self.tokenizer.chat_template, self._template_variables = found, dict(variables)

    def render(self, messages: Sequence[Mapping[str, str]], tools: Sequence[Mapping[str, object]] | None = None) -> str:
        """Return the conversation as the chat template writes it, ready for the assistant's next turn.

        Raises:
            ModelError: The template cannot write these messages.
        """
        return rendered(self.tokenizer, messages, self._template_variables, tools)

    def encode_prompt(
        self,
        prompt: str | Sequence[Mapping[str, str]],
        *,
        chat_template: bool = True,
        system_prompt: str | None = None,
    ) -> list[int]:
        """Return the token ids of a prompt for the policy to continue; at least one.

        Args:
            prompt: The user's message, or a conversation that ends with one.
            chat_template: Render the messages with the tokenizer's chat template, if it has one.
            system_prompt: System message of conversations without one; requires the chat template.

        Raises:
            ModelError: Several messages without a chat template, messages that the template cannot write, a text
                without tokens, or a token that the model has no embedding for.
        """
        messages = chat_messages(prompt, system_prompt)
        if chat_template and self.tokenizer.chat_template:
            return self._known(self._encode(self.render(messages), add_special_tokens=False))
        if len(messages) > 1:
            raise ModelError(_needs_a_template(messages))
        text = messages[0]["content"]
        ids = _opened(self._encode(text, add_special_tokens=True), self._encode(text, add_special_tokens=False))
        if not ids:
            raise ModelError(f"the prompt {text!r:.80} has no tokens; a prompt needs at least one")
        return self._known(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, without special tokens."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _known(self, ids: list[int]) -> list[int]:
        if max(ids, default=0) >= self.vocabulary:
            raise ModelError(
                f"a prompt has the token {self.tokenizer.convert_ids_to_tokens(max(ids))!r} ({max(ids)}), and the "
                f"model has embeddings for {self.vocabulary} tokens only; use the model's own tokenizer"
            )
        return ids

    def _encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)["input_ids"])


def end_ids(tokenizer: Any, generation: Any) -> frozenset[int]:
    """Tokens that end a completion.

    Args:
        tokenizer: A transformers tokenizer.
        generation: The model's generation configuration; None where it has none.
    """
    ids = {tokenizer.eos_token_id}
    configured = getattr(generation, "eos_token_id", None)
    ids.update(configured if isinstance(configured, Sequence) else [configured])
    return frozenset(int(token) for token in ids if token is not None)


def _needs_a_template(messages: Sequence[Mapping[str, str]]) -> str:
    is_system = any(one["role"] == "system" for one in messages)
    what = "a system prompt" if is_system else "a conversation of several turns"
    remedy = (
        "remove model.system_prompt or the tasks' own system messages" if is_system else "give one turn of the user"
    )
    return (
        f"{what} needs a chat template, and none is used; give one (model.template), choose a chat model, or {remedy}"
    )


def _opened(ids: list[int], text_ids: list[int]) -> list[int]:
    """Cut off tokens that a tokenizer appends to every text: a prompt must not end with an end token."""
    for end in range(len(ids), len(text_ids) - 1, -1):
        if ids[end - len(text_ids) : end] == text_ids:
            return ids[:end]
    return ids
