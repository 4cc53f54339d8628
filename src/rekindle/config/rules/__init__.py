"""Rules about combinations of settings: which ones are refused, and why. docs/composition.md is made from them.

A rule takes a configuration whose tables are valid by themselves and yields the reasons to refuse it, one sentence
each, with the remedy. Every configuration that passes all rules is meant to work. There are two kinds of rules:
combinations that cannot work, and keys that would not be read (an option without effect is an error).
"""

from collections.abc import Callable, Iterator

from rekindle.config.rules import (
    credit,
    group_sizes,
    off_policy,
    rewards,
    runs,
    search,
    self_play,
    temperatures,
    tracking,
    unread,
)
from rekindle.config.tables import Config

__all__ = ["RULES", "Rule", "refusals"]

Rule = Callable[[Config], Iterator[str]]
"""The first line of the docstring names what the rule refuses."""

RULES: tuple[Rule, ...] = (
    group_sizes.group_estimator_needs_a_group,
    group_sizes.single_rollouts_pass_every_gate,
    group_sizes.signal_needs_a_group,
    group_sizes.one_rule_for_sizes,
    group_sizes.budgets_can_be_spent,
    group_sizes.profile_can_find_learnable_prompts,
    group_sizes.minibatches_need_groups,
    group_sizes.subset_is_smaller,
    temperatures.heating_rises,
    temperatures.heating_keeps_its_prompts,
    temperatures.reactivation_has_groups,
    temperatures.off_temperature_has_an_old_policy,
    credit.further_draws_need_a_gate,
    credit.recycling_needs_a_gate,
    credit.an_end_of_the_pool_can_be_reached,
    credit.zero_variance_groups_must_pass,
    credit.compensation_has_groups_without_signal,
    credit.ratio_needs_several_steps,
    credit.tis_has_an_old_policy,
    credit.forgetting_is_ordered,
    credit.successes_need_binary_rewards,
    credit.penalties_can_be_compared,
    credit.penalties_have_one_limit,
    off_policy.lagging_batches_are_corrected,
    off_policy.steps_ahead_are_trained_on,
    off_policy.steps_in_flight_have_one_rule,
    off_policy.proposals_wait_for_the_update,
    rewards.rewards_name_functions,
    rewards.rewards_have_names,
    rewards.rewards_judge_given_tasks,
    rewards.audits_have_names,
    rewards.audits_are_second_opinions,
    rewards.threshold_can_be_reached,
    runs.model_reads_the_task,
    runs.task_is_named,
    runs.warm_start_decays,
    search.search_agents_have_a_task,
    search.retriever_is_there,
    search.tool_calls_need_a_template,
    search.answer_leaves_room_to_search,
    search.turns_are_within_the_rollout,
    search.stop_texts_are_the_protocols,
    search.tool_tokens_have_no_behaviour,
    search.judge_has_an_address,
    search.f1_has_a_threshold,
    self_play.self_play_recipe_plays_itself,
    self_play.answers_have_held_out_questions,
    self_play.created_questions_have_no_profile,
    self_play.pools_draw_again,
    self_play.proposals_can_be_compared,
    self_play.questions_leave_room_to_search,
    self_play.a_role_learns_from_the_start,
    self_play.second_update_has_fresh_logprobs,
    self_play.checker_has_an_address,
    tracking.projects_and_runs_have_names,
    unread.unread_keys,
)
"""All rules, in the order in which their reasons are listed."""


def refusals(config: Config) -> list[str]:
    """Reasons why this configuration is refused, one sentence each; empty when it is accepted."""
    return [reason for rule in RULES for reason in rule(config)]
