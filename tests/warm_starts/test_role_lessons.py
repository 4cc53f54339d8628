"""Demonstrations of the three roles, and the start profile after a warm start on them."""

from collections import Counter
from itertools import islice

import pytest

from rekindle.assembly.bench import Workbench
from rekindle.engines.torch_engine import TorchEngine
from rekindle.tasks.loading import load_tasks
from rekindle.verifiers.rewards import build_verifier
from rekindle.warm_starts import role_lessons as lessons
from rekindle.warm_starts.cache import WarmStartError
from rekindle.warm_starts.embedded_tasks import embedded_task
from rekindle.warm_starts.role_lessons import ROLES, role_lessons
from rekindle.warm_starts.stage import start_workbench
from searching import self_play_config


def bench_of(*overrides):
    """An untrained policy with the teachers' corpus as its only retriever."""
    config = self_play_config("self_play", *overrides)
    policy = embedded_task(config).model()
    tasks = load_tasks(config.task, eval_prompts=config.eval.prompts, seed=0)
    verifier = build_verifier(config.task, config.verify, config.judge)
    return Workbench(config, policy, TorchEngine(policy), tasks, verifier)


@pytest.fixture(scope="module")
def bench():
    return bench_of()


@pytest.fixture(scope="module")
def shown(bench):
    """(words, words in the loss mask) of many demonstrations."""
    return [words_of(bench, one) for one in islice(role_lessons(bench), 2000)]


def words_of(bench, sample):
    words = bench.policy.tokenizer.convert_ids_to_tokens(list(sample.token_ids))
    return words, [word for word, imitated in zip(words, sample.loss_mask, strict=True) if imitated]


def role_of(words):
    return {"propose": "proposer", "verify": "verifier"}.get(words[0], "solver")


@pytest.mark.slow
def test_roles_come_in_their_shares(shown):
    found = Counter(role_of(words) for words, _ in shown)
    for role, share in ROLES.items():
        assert found[role] / len(shown) == pytest.approx(share, abs=0.06)


@pytest.mark.slow
def test_only_what_the_teacher_says_is_learned(shown):
    opening = {"solver": ("<search>", "<answer>"), "proposer": ("<think>", "<question>"), "verifier": ("<think>",)}
    for words, imitated in shown:
        assert imitated[0] in opening[role_of(words)]
        assert not {"<information>", "</information>", "propose", "verify"} & set(imitated)
        assert "<unk>" not in imitated


def test_a_verifier_reads_its_question_and_documents_and_concludes_in_one_turn(shown):
    conclusions = Counter()
    for words, imitated in shown:
        if role_of(words) == "verifier":
            assert words[-len(imitated) :] == imitated
            assert imitated[-4 if imitated[-2] != "unknown" else -3] == "<answer>"
            conclusions[imitated[-2] == "unknown"] += 1
    assert min(conclusions.values()) > 0.15 * sum(conclusions.values())


@pytest.mark.slow
def test_lessons_depend_on_the_seed_alone(bench):
    def first(other):
        return [(list(one.token_ids), list(one.loss_mask)) for one in islice(role_lessons(other), 8)]

    assert first(bench) == first(bench_of())
    assert first(bench) != first(bench_of("warm_start.seed=1"))


@pytest.mark.slow
def test_lessons_fit_the_model(bench):
    assert all(len(one.token_ids) <= bench.policy.max_length for one in islice(role_lessons(bench), 500))


def test_a_proposal_without_room_is_refused_with_the_remedy():
    with pytest.raises(WarmStartError, match=r"does not fit into model\.tiny\.max_length = 16; raise it"):
        next(role_lessons(bench_of("model.tiny.max_length=16")))


@pytest.mark.slow
def test_misread_questions_are_among_the_verifiers(bench, monkeypatch):
    monkeypatch.setattr(lessons, "MISREAD", 1.0)
    unknown = Counter(
        "unknown" in imitated
        for words, imitated in (words_of(bench, one) for one in islice(role_lessons(bench), 400))
        if role_of(words) == "verifier"
    )
    assert unknown[True] > unknown[False]


@pytest.mark.slow
def test_the_verifiers_demonstrations_have_as_much_noise_as_is_demonstrated():
    def most(*overrides):
        """Most facts that a verifier reads."""
        bench = bench_of(*overrides)
        shown = (words_of(bench, one)[0] for one in islice(role_lessons(bench), 200))
        return max(words.count(".") for words in shown if role_of(words) == "verifier")

    none = most("warm_start.check_noise=0")
    assert none == most("warm_start.check_noise=0", "check.noise=3")
    assert none < most("warm_start.check_noise=3") == most("check.noise=3")


# -- the profile ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_whole_warm_start_is_quick_and_measures_every_role():
    config = self_play_config()
    with start_workbench(config, lambda _: None) as opened:
        profile = embedded_task(opened.config).profile(opened)
    assert {"sampled", "greedy", "all_correct", "all_wrong", "proposer", "false_accepts"} <= set(profile)
    assert {f"level_{hops}" for hops in (1, 2)} <= set(profile)
    assert {f"proposer_{hops}" for hops in range(1, config.self_play.hops + 1)} <= set(profile)
    assert all(0 <= share <= 1 for share in profile.values())
