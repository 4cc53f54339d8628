"""Rules about search self-play: roles, checks, and its pool of created questions."""

from collections.abc import Iterator

from rekindle.config.facts import optimizer_steps, plays_itself
from rekindle.config.tables import Config
from rekindle.learning.estimators import ESTIMATORS
from rekindle.scheduling.pools import POOLS

__all__ = [
    "a_role_learns_from_the_start",
    "answers_have_held_out_questions",
    "checker_has_an_address",
    "created_questions_have_no_profile",
    "pools_draw_again",
    "proposals_can_be_compared",
    "questions_leave_room_to_search",
    "second_update_has_fresh_logprobs",
    "self_play_recipe_plays_itself",
]

SELF_PLAY_RECIPES = ("self_play", "self_play_paper")


def self_play_recipe_plays_itself(config: Config) -> Iterator[str]:
    """A self-play recipe with given tasks."""
    if config.recipe in SELF_PLAY_RECIPES and not plays_itself(config):
        yield (
            f'recipe = "{config.recipe}" creates its questions, and task.source = "{config.task.source}" reads given '
            'ones; set task.source = "self_play" or another recipe'
        )


def answers_have_held_out_questions(config: Config) -> Iterator[str]:
    """A list of answers without held-out questions to evaluate on."""
    task = config.task
    if plays_itself(config) and task.path is not None and task.eval_path is None:
        yield (
            f'task.path = "{task.path}" lists answers, not questions, so none can be held out; set task.eval_path to a '
            "file of questions to evaluate on"
        )


def created_questions_have_no_profile(config: Config) -> Iterator[str]:
    """A profile, or phases that need one, of questions that do not exist before the run."""
    if not plays_itself(config):
        return
    if POOLS[config.pool.kind].needs_profile:
        yield (
            f'pool.kind = "{config.pool.kind}" sorts prompts by a profile, and the questions of '
            'task.source = "self_play" do not exist before the run; set another pool.kind '
            '(sizes.rule = "inverse_success" sizes groups as it does)'
        )
    elif config.profile.path is not None:
        yield (
            f'profile.path = "{config.profile.path}" has no question of task.source = "self_play", which are '
            "created during the run; remove it"
        )


def pools_draw_again(config: Config) -> Iterator[str]:
    """A pool with a rule for drawing prompts again, where questions are played once."""
    kind, fill = config.pool.kind, config.self_play.fill
    if plays_itself(config) and POOLS[kind].orders and "replay" not in fill:
        yield (
            f'pool.kind = "{kind}" chooses which questions are drawn again, and self_play.fill = "{fill}" plays each '
            'in one step only; set self_play.fill = "replay" or pool.kind = "cycling"'
        )


def proposals_can_be_compared(config: Config) -> Iterator[str]:
    """A group-relative estimator with one proposal per seed."""
    table = config.self_play
    compares = ESTIMATORS[table.proposer_estimator].needs_group
    if plays_itself(config) and table.proposer_group_size == 1 and compares:
        yield (
            f'self_play.proposer_estimator = "{table.proposer_estimator}" compares proposals of one seed, and '
            "self_play.proposer_group_size = 1 leaves nothing to compare; set self_play.proposer_group_size = 4 or "
            'self_play.proposer_estimator = "reinforce"'
        )


def questions_leave_room_to_search(config: Config) -> Iterator[str]:
    """A proposer whose tokens are all reserved for the question."""
    table = config.self_play
    key = "engine.max_new_tokens" if table.max_new_tokens is None else "self_play.max_new_tokens"
    total = table.max_new_tokens or config.engine.max_new_tokens
    if plays_itself(config) and table.question_tokens >= total:
        yield (
            f"self_play.question_tokens = {table.question_tokens} of {key} = {total} leaves the proposer no tokens "
            f"for searches; raise {key} above {table.question_tokens}"
        )


def a_role_learns_from_the_start(config: Config) -> Iterator[str]:
    """A first step in which no role learns, or a refill for a solver that does not learn."""
    table = config.self_play
    if not plays_itself(config):
        return
    if min(table.proposer_from_step, table.solver_from_step) > 1:
        yield (
            f"self_play.proposer_from_step = {table.proposer_from_step} and self_play.solver_from_step = "
            f"{table.solver_from_step} leave no role that learns in the first step; set one of them to 1"
        )
    if table.fixed == "solver" and config.refill.max_rounds:
        yield (
            'self_play.fixed = "solver" learns from no group of the solver, so refill.max_rounds would always draw '
            "again; set refill.max_rounds = 0"
        )


def second_update_has_fresh_logprobs(config: Config) -> Iterator[str]:
    """An update of the solver after the proposer's with log-probabilities from before both."""
    loss = config.loss
    if not plays_itself(config) or config.self_play.updates != "proposer_first":
        return
    if loss.old_logprobs == "engine" or (loss.old_logprobs == "auto" and optimizer_steps(config) > 1):
        several = " with several optimizer steps a batch" if loss.old_logprobs == "auto" else ""
        yield (
            f'self_play.updates = "proposer_first" and loss.old_logprobs = "{loss.old_logprobs}"{several} would '
            'compare the solver with the policy before the proposer\'s update; set loss.old_logprobs = "recompute" or '
            'self_play.updates = "joint"'
        )


def checker_has_an_address(config: Config) -> Iterator[str]:
    """A check by a server without an address."""
    table = config.check
    missing = [key for key in ("url", "model") if getattr(table, key) is None]
    if plays_itself(config) and table.kind == "endpoint" and missing:
        yield (
            f'check.kind = "endpoint" needs check.url and check.model; set check.{missing[0]} '
            '(an OpenAI-compatible server, e.g. url = "http://127.0.0.1:8000/v1")'
        )
