"""What a verifier cannot defend against by its nature, said when it is chosen for training."""

from collections.abc import Iterator

from rekindle.config import Config
from rekindle.config.facts import verifier_judges, verifier_name
from rekindle.config.tables.task import TaskTable

__all__ = ["weaknesses"]


def weaknesses(config: Config) -> Iterator[str]:
    """One warning for each way in which answers that answer nothing earn a reward with these settings."""
    task = config.task
    if not verifier_judges(config):
        return
    if task.verifier == "cover_match":
        yield (
            'task.verifier = "cover_match" also rewards an answer that lists a few guesses, and a policy can learn to '
            'write lists; train with "qa_exact_match" or "judge", or look at samples.jsonl'
        )
    partial = not task.binary_rewards or task.success_threshold < 1
    if task.verifier == "f1" and partial:
        yield (
            f'task.verifier = "f1" {_threshold(task)} also rewards an answer with wrong words beside those of '
            'the reference; train on exact matches with "qa_exact_match", or look at samples.jsonl'
        )
    if verifier_name(task) == "reasoning_gym" and partial:
        yield (
            f"reasoning_gym's scorers {_threshold(task)} also reward answers that are wrong, some of them any answer; "
            "set task.binary_rewards = true and task.success_threshold = 1"
        )


def _threshold(task: TaskTable) -> str:
    if task.binary_rewards:
        return f"with task.success_threshold = {task.success_threshold:g}"
    return "with task.binary_rewards = false"
