"""The claim of search self-play."""

from claims.claim import Arm, Claim, Finding, Setting, Value
from claims.recycling import OWN_START

WORLD = "examples/self_play.toml"
FINAL_WORLD = "task.params.seed=11"
PUBLISHED, REFUSED = "check.unsolved=allowed", "check.unsolved=refused"
"""What a question is that nobody solves: valid, as published, or invalid, as by the default of our recipe."""
FIXED_PROPOSER = ("self_play.fixed=proposer", "self_play.proposer_estimator=reinforce")
START, NO_CHECK = "check.kind=start", "check.kind=off"
PLAY = Arm("self_play", (PUBLISHED,))
UNSOLVED = Arm("self_play", (REFUSED,))
GAME = {
    "self-play": PLAY,
    "fixed proposer": Arm("self_play", (PUBLISHED, *FIXED_PROPOSER)),
    "fixed solver": Arm("self_play", (PUBLISHED, "self_play.fixed=solver")),
    "no check": Arm("self_play", (PUBLISHED, NO_CHECK)),
    "unsolved refused": UNSOLVED,
    "fixed proposer, unsolved refused": Arm("self_play", (REFUSED, *FIXED_PROPOSER)),
}
VERIFIER = {
    "self-play": PLAY,
    "unsolved refused": UNSOLVED,
    "start policy verifies": Arm("self_play", (PUBLISHED, START)),
    "both": Arm("self_play", (REFUSED, START)),
    "unsolved refused, no check": Arm("self_play", (REFUSED, NO_CHECK)),
}
SAME_START = "warm_start.check_noise=4"
"""All amounts of noise begin with the start policies of the other arms."""
NOISE = {
    "self-play": PLAY,
    **{f"noise {count}": Arm("self_play", (PUBLISHED, f"check.noise={count}", SAME_START)) for count in (0, 1, 7)},
}
FILLS = {
    "self-play": PLAY,
    **{fill: Arm("self_play", (PUBLISHED, f"self_play.fill={fill}")) for fill in ("dummy", "resample", "replay")},
}
COLUMNS = (
    "play_valid_rate[-1]",
    "play_solver_success[-1]",
    "play_reference_success[-1]",
    "play_right[0]",
    "play_right[-1]",
    "levels_end[-1]",
)


def _setting(words: str, arms: dict[str, Arm], *, fast: tuple[str, ...] = ()) -> Setting:
    return Setting(words, WORLD, arms, cpu_seconds=85, settings=(OWN_START, FINAL_WORLD), columns=COLUMNS, fast=fast)


def _above(setting: str, arm: str) -> Finding:
    return _ends_above(setting, "self-play", arm)


def _ends_above(setting: str, ours: str, theirs: str) -> Finding:
    key = "accuracy@rollouts"
    return Finding(f"{ours} ends above {theirs}", setting, Value(ours, key), Value(theirs, key))


SELF_PLAY = Claim(
    name="self_play",
    title="Search self-play",
    arxiv="2510.18821",
    says=(
        "A policy that proposes questions and solves them improves without given ones, more than a solver that trains "
        "against a fixed proposer and than a proposer that trains against a fixed solver. The check of questions with "
        "the documents of four other trajectories mixed in is best; without it, or without noise, the gain is smaller. "
        "Batches filled with earlier questions that are dropped every ten steps beat the other ways to fill them."
    ),
    settings={
        "game": _setting("the embedded search world", GAME, fast=("self-play", "fixed proposer")),
        "verifier": _setting("the embedded search world, by who confirms a question", VERIFIER),
        "noise": _setting("the embedded search world, by noise of the check", NOISE),
        "fills": _setting("the embedded search world, by what fills a step", FILLS),
    },
    findings=(
        *(_above("game", arm) for arm in ("fixed proposer", "fixed solver", "no check")),
        Finding(
            "fewer of the accepted questions are right at the end than at the beginning",
            "game",
            Value("self-play", "play_right[-1]"),
            Value("self-play", "play_right[0]"),
            wished="below",
        ),
        *(
            Finding(
                f"more of the accepted questions are right at the end: {arm}",
                "verifier",
                Value(arm, "play_right[-1]"),
                Value("self-play", "play_right[-1]"),
            )
            for arm in VERIFIER
            if arm != "self-play"
        ),
        Finding(
            "with unsolved questions refused, the share of right ones falls by less than 5 points",
            "verifier",
            Value("unsolved refused", "play_right[-1]"),
            Value("unsolved refused", "play_right[0]"),
            margin=-0.05,
        ),
        Finding(
            "a verifier that does not change accepts a larger share of the proposals at the end",
            "verifier",
            Value("start policy verifies", "play_valid_rate[-1]"),
            Value("self-play", "play_valid_rate[-1]"),
        ),
        *(_ends_above("verifier", arm, "self-play") for arm in VERIFIER if arm != "self-play"),
        _ends_above("game", "unsolved refused", "fixed proposer, unsolved refused"),
        _ends_above("verifier", "unsolved refused", "unsolved refused, no check"),
        *(_above("noise", arm) for arm in NOISE if arm != "self-play"),
        Finding(
            "more of the accepted questions are right at the end than with noise 0",
            "noise",
            Value("self-play", "play_right[-1]"),
            Value("noise 0", "play_right[-1]"),
        ),
        *(_above("fills", arm) for arm in FILLS if arm != "self-play"),
    ),
    headlines=(
        "self-play ends above fixed proposer",
        "self-play ends above fixed solver",
        "self-play ends above no check",
        "more of the accepted questions are right at the end: unsolved refused",
    ),
)
