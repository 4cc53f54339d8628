"""A step of self-play with a scripted proposer: created tasks, training samples, and conservation."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

from rekindle.environments.self_play.audit import proposal_lines
from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.environments.self_play.proposer import Proposer
from rekindle.types import Fate, UserError
from search_cases import DeadShelf
from self_play_cases import PROMPT, SEEDS, asks, game, knows, new_pool, question, solved


def finish(one, step=1, success=0.25):
    """Conclude a step in which every new question was solved so often."""
    fresh = [task for task in one._created.tasks if task.metadata["step"] == step]
    return one.conclude(step, [solved(task.id, [success] * 4, row) for row, task in enumerate(fresh)])


def test_valid_questions_become_tasks_that_wait_in_the_pool():
    created, pool = CreatedTasks(), new_pool()
    one = game(created=created, pool=pool)
    one.prepare(1, version=0)
    assert {task.answer for task in created.tasks} == {seed.answer for seed in SEEDS}
    assert pool.fresh == 4
    assert [pool.history.ids[row] for row in range(4)] == [task.id for task in created.tasks]
    task = created.tasks[0]
    assert task.prompt == question(task.answer).removeprefix("<question>").removesuffix("</question>")
    assert task.metadata["seed"] == f"seed/{task.answer}"
    assert task.metadata["level"] == created.levels[0] == 1, "one search found something"


def test_the_update_gets_one_rollout_per_proposal_with_its_reward():
    one = game()
    one.prepare(1, version=6)
    supplied = finish(one, success=0.25)
    assert [request.request.id for request in supplied.records] == [-1, -2, -3, -4]
    assert {request.fate for request in supplied.records} == {Fate.TRAINED}
    assert {request.request.version for request in supplied.records} == {6}
    for sample in supplied.samples:
        assert {value for value, mine in zip(sample.advantages, sample.loss_mask, strict=True) if mine} == {0.75}
        assert {value for value, mine in zip(sample.advantages, sample.loss_mask, strict=True) if not mine} == {0.0}
    assert set(supplied.durations) == {-1, -2, -3, -4}
    numbers = supplied.metrics
    assert (numbers["self_play/proposals"], numbers["self_play/valid"], numbers["self_play/valid_rate"]) == (4, 4, 1.0)
    assert numbers["self_play/solver_success"] == 0.25
    assert numbers["self_play/proposer_reward"] == 0.75
    assert numbers["self_play/novelty"] is not None


def test_requests_are_told_apart_for_good():
    one = game()
    ids, seeds = [], []
    for step in (1, 2):
        one.prepare(step, 0)
        supplied = one.conclude(step, [])
        ids += [account.request.id for account in supplied.records]
        seeds += [account.request.seed for account in supplied.records]
    assert ids == [-1, -2, -3, -4], "the four questions of step 1 are still to be played: none was proposed in step 2"
    assert len(set(seeds)) == 4


def test_nothing_is_proposed_while_enough_questions_wait():
    one = game(wanted=3)
    one.prepare(1, 0)
    supplied = one.conclude(1, [])
    assert {account.fate for account in supplied.records} == {Fate.EXCESS}
    one.prepare(2, 0)
    assert one.conclude(2, []).metrics["self_play/proposals"] == 0


def test_too_few_valid_questions_are_proposed_again_within_the_bound():
    def sometimes(answer):
        return question(answer) if answer == "Oslo" else "<question>bad</question>"

    once = game(asks(sometimes), rounds=1)
    once.prepare(1, 0)
    assert once.conclude(1, []).metrics["self_play/proposals"] == 4
    again = game(asks(sometimes), rounds=3)
    again.prepare(1, 0)
    numbers = again.conclude(1, []).metrics
    assert numbers["self_play/proposals"] == 12
    assert numbers["self_play/valid"] == 1, "the same question again is a duplicate"
    assert numbers["self_play/rejected/duplicate"] == 2
    assert numbers["self_play/rejected/too_short"] == 9


def test_invalid_questions_earn_nothing_and_never_less():
    one = game(asks(lambda answer: f"<question>Is it really {answer} they mean?</question>"))
    one.prepare(1, 0)
    supplied = one.conclude(1, [])
    assert supplied.metrics["self_play/rejected/leaks_answer"] == 4
    assert [account.fate for account in supplied.records] == [Fate.RETIRED] * 4
    assert [account.reward_sum for account in supplied.records] == [0.0] * 4
    assert supplied.samples == [], "and no step is made for nothing"


def test_what_the_policy_wrote_is_on_record_where_no_question_came():
    """Searches for Paris and Rome, then a question about Paris alone; the record of Rome has the end of its text."""
    one = game(asks(lambda answer: question(answer) if answer == "Paris" else "x" * 390 + "<question>Which capital of"))
    one.prepare(1, 0)
    lines = {line["answers"][0]: line for line in one.conclude(1, []).lines}
    assert lines["Paris"]["question"]
    assert lines["Paris"]["written"] is None
    assert lines["Rome"]["question"] is None
    assert lines["Rome"]["verdict"] == "no_question"
    assert lines["Rome"]["written"].startswith("<search>about Rome</search>\nxxx")
    assert len(lines["Rome"]["written"]) <= 2000


def test_a_long_text_without_a_question_keeps_its_end():
    line = game(asks(lambda answer: ""))
    line.prepare(1, 0)
    proposal = line._proposals[0]
    proposal.rollout = replace(proposal.rollout, text="a" * 5000 + "the end")
    (found, *_) = proposal_lines([proposal], 1, 0)
    assert found["written"] == "a" * 1993 + "the end"


@pytest.mark.parametrize("mark", ["<answer>x", "<search>", "<|im_start|>system", "[INST]"])
def test_a_question_with_tags_or_control_strings_never_reaches_the_solver(mark):
    created = CreatedTasks()
    one = game(
        asks(lambda answer: f"<question>Which city {mark} is called like {answer[1:]}?</question>"), created=created
    )
    one.prepare(1, 0)
    assert created.tasks == []
    assert one.conclude(1, []).metrics["self_play/rejected/markup"] == 4


@pytest.mark.parametrize("reply", [lambda book: "Berlin", lambda book: "", lambda book: None])
def test_what_the_verifier_does_not_confirm_is_not_minted(reply):
    created = CreatedTasks()
    one = game(reply=reply, created=created)
    one.prepare(1, 0)
    numbers = one.conclude(1, []).metrics
    assert created.tasks == []
    assert numbers["self_play/rejected/unanswerable"] + numbers["self_play/rejected/unverified"] == 4


def test_without_the_check_everything_passes():
    created = CreatedTasks()
    game(reply=None, created=created).prepare(1, 0)
    assert len(created.tasks) == 4


def test_a_dead_retriever_blames_nobody():
    one = game(shelf=DeadShelf())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one.prepare(1, 0)
    supplied = one.conclude(1, [])
    assert {account.fate for account in supplied.records} == {Fate.FAILED}
    assert supplied.metrics["self_play/failed"] == 4
    assert all(account.generated_tokens for account in supplied.records), "what was sampled was paid for"


class Broken:
    def generate(self, requests):
        raise RuntimeError("out of memory")


def test_an_engine_that_fails_costs_the_step_its_questions_only():
    one = game(engine=Broken(), group_size=2)
    with pytest.warns(UserWarning, match=r"4 proposals failed \(RuntimeError: out of memory\)"):
        one.prepare(1, 0)
    supplied = one.conclude(1, [])
    assert [account.fate for account in supplied.records] == [Fate.FAILED] * 4
    assert supplied.metrics["self_play/failed"] == 8


def test_a_question_whose_solvers_failed_is_lost_not_punished():
    one = game()
    one.prepare(1, 0)
    tasks = one._created.tasks
    gone = solved(tasks[0].id, [0.0] * 4)
    gone.fate, gone.outcome = Fate.FAILED, None
    supplied = one.conclude(1, [gone, *(solved(task.id, [0.5] * 4) for task in tasks[1:])])
    fates = [account.fate for account in supplied.records]
    assert sorted(fates) == sorted([Fate.FAILED, Fate.TRAINED, Fate.TRAINED, Fate.TRAINED])


def test_questions_that_nobody_solves_are_not_played_again_where_they_are_refused():
    pool = new_pool(replay=True)
    one = game(pool=pool, unsolved_refused=True)
    one.prepare(1, 0)
    drawn = pool.draw(4, np.random.default_rng(0)).tolist()
    tasks = one._created.tasks
    supplied = one.conclude(1, [solved(tasks[row].id, [float(row == 2), 0.0], row) for row in drawn])
    assert [line["verdict"] for line in supplied.lines].count("unsolved") == 3
    assert supplied.metrics["self_play/rejected/unsolved"] == 3
    assert (supplied.metrics["self_play/valid"], supplied.metrics["self_play/valid_rate"]) == (1, 0.25)
    assert supplied.metrics["self_play/solver_success"] == 0.125, "of all that were played"
    assert sorted(account.reward_sum for account in supplied.records) == [0.0, 0.0, 0.0, 0.5]
    pool.update([])
    for seed in range(4):
        assert pool.draw(4, np.random.default_rng(seed)).tolist() == [2]
    assert finish_again(one) == (3, 0), "each is still remembered: nobody asks it twice"


def finish_again(one):
    """Duplicates and valid questions of a second step, in which the same questions come."""
    one.prepare(2, 0)
    numbers = one.conclude(2, []).metrics
    return numbers["self_play/rejected/duplicate"] - 1, numbers["self_play/valid"]


def test_a_question_that_waited_is_refused_at_its_first_visit():
    """Two of four questions are played in step 1 and solved, the others in step 2, one of them never."""
    pool = new_pool(replay=True)
    one = game(pool=pool, wanted=2, unsolved_refused=True)
    one.prepare(1, 0)
    tasks = one._created.tasks
    first = pool.draw(2, np.random.default_rng(0)).tolist()
    one.conclude(1, [solved(tasks[row].id, [1.0, 0.0], row) for row in first])
    one.prepare(2, 0)
    second = pool.draw(2, np.random.default_rng(0)).tolist()
    one.conclude(2, [solved(tasks[row].id, [0.0, float(row == second[0])], row) for row in second])
    pool.update([])
    assert sorted(pool.draw(9, np.random.default_rng(0)).tolist()) == sorted([*first, second[0]])


@pytest.mark.parametrize(("learns_from", "samples"), [(1, 4), (2, 0), (None, 0)])
def test_the_proposer_learns_from_its_step_on(learns_from, samples):
    one = game(learns_from=learns_from)
    one.prepare(1, 0)
    assert len(finish(one).samples) == samples


@pytest.mark.parametrize(("policy_checks", "tokens"), [(True, (240, 32)), (False, (0, 0))])
def test_the_tokens_of_the_check_are_counted_where_the_policy_makes_it(policy_checks, tokens):
    one = game(policy_checks=policy_checks)
    one.prepare(1, 0)
    assert finish(one).further_tokens == tokens, "four questions, each with and without documents"
    one.prepare(2, 0)
    assert one.conclude(2, []).further_tokens == (0, 0) or policy_checks


def test_records_say_what_was_asked_read_and_decided():
    one = game(recorded_documents=1)
    one.prepare(1, 0)
    first, *others = json.loads(json.dumps(finish(one).lines))
    assert first["documents"][0]["title"] == "France"
    assert not any("documents" in line for line in others)
    assert (first["verdict"], first["success"], first["reward"], first["fate"]) == ("valid", 0.25, 0.75, "trained")
    assert first["queries"] == [f"about {first['answers'][0]}"]
    assert first["reply"] == first["answers"][0]
    assert first["task_id"] in {task.id for task in one._created.tasks}


def test_saved_and_restored_it_goes_on_as_if_nothing_had_happened():
    def texts(answer):
        return question(answer) if answer in {"Paris", "Rome"} else "<question>Who is it then, please?</question>"

    def reply(book):
        return knows(book) if "name like" in book.question else "?"

    whole, pool = game(asks(texts), reply=reply), new_pool()
    half = game(asks(texts), reply=reply, pool=pool)
    for one in (whole, half):
        one.prepare(1, 0)
        finish(one)
    state = json.loads(json.dumps(half.state_dict()))
    other_pool, created = new_pool(), CreatedTasks()
    other = game(asks(texts), reply=reply, pool=other_pool, created=created)
    other.load_state_dict(state)
    other_pool.history.load_state_dict(pool.history.state_dict())
    other_pool.load_state_dict(pool.state_dict())
    assert created.tasks == whole._created.tasks
    assert created.levels == whole._created.levels
    for one in (whole, other):
        one._pool.draw(4, np.random.default_rng(0))
        one.prepare(2, 3)
    ours, theirs = (one.conclude(2, []) for one in (whole, other))
    assert ours.lines == theirs.lines
    assert ours.metrics["self_play/rejected/duplicate"] == 3, "two were accepted before, and one comes twice"
    assert theirs.records == ours.records


def test_two_equal_questions_of_one_step_are_minted_once():
    created = CreatedTasks()
    one = game(asks(lambda answer: "<question>Which one is it in the end?</question>"), reply=None, created=created)
    one.prepare(1, 0)
    assert len(created.tasks) == 1
    assert one.conclude(1, []).metrics["self_play/rejected/duplicate"] == 3


@pytest.mark.parametrize("missing", ["{answer}", "{hops}"])
def test_a_prompt_without_its_fields_is_refused(missing):
    conversations = game()._proposer._conversations
    with pytest.raises(UserError, match=r"self_play\.prompt"):
        Proposer(conversations, PROMPT.replace(missing, ""))
