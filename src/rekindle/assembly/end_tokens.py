"""End tokens: warnings of models whose completions cannot end where their chat template ends a turn."""

from rekindle.config import Config
from rekindle.config.facts import plays_search
from rekindle.models.plain_text import control_tokens
from rekindle.models.policy import Policy
from rekindle.notices import warn
from rekindle.types import UserError

__all__ = ["warn_of_missing_ends"]

MARK = "zqxj"
"""A text that no template has."""
REMEDY = (
    "set eos_token in tokenizer_config.json or eos_token_id in generation_config.json (several are possible there), or "
    "set engine.stop"
)


def warn_of_missing_ends(config: Config, policy: Policy) -> None:
    """Warn if no token ends a completion, or if the one that ends a turn in the chat template does not.

    Texts that end a completion (``engine.stop``, or the tags of a search protocol) replace an end token.
    """
    if config.engine.stop or (plays_search(config) and config.search.protocol == "tags"):
        return
    if not policy.eos_ids:
        warn(
            "neither the tokenizer nor generation_config.json of the model names an end token, so every completion is "
            f"cut at engine.max_new_tokens = {config.engine.max_new_tokens}; {REMEDY}"
        )
        return
    end = _end_of_turn(policy) if config.model.chat_template else None
    if end is not None and end not in policy.eos_ids:
        name = policy.tokenizer.convert_ids_to_tokens(end)
        warn(f"the chat template ends an answer with {name}, which is not an end token of the model; {REMEDY}")


def _end_of_turn(policy: Policy) -> int | None:
    """The control token after an assistant's answer in the chat template; None where there is none."""
    if not policy.tokenizer.chat_template:
        return None
    messages = [{"role": role, "content": MARK} for role in ("user", "assistant", "user")]
    try:
        text = policy.render(messages)
    except UserError:  # the template has its own idea of a conversation; prompts are checked later
        return None
    after_answer = text.split(MARK)[2:-1]
    if len(after_answer) != 1:
        return None
    ids = policy.tokenizer(after_answer[0], add_special_tokens=False)["input_ids"]
    controls = control_tokens(policy.tokenizer)
    return ids[0] if ids and ids[0] in controls else None
