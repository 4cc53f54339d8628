"""A claim as data: its sentence, the settings in which it is measured, their arms, and the findings that decide.

An *arm* is a recipe with settings of its own. A *setting* is a task at a budget, on which its arms are run with the
same seeds. A *finding* compares two values, paired by seed; its rule is stated before anything is run.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import arms

__all__ = ["Arm", "Claim", "Finding", "PlannedRun", "Setting", "Value"]

FOLDER = Path("benchmarks") / "claims"
DIGITS = 8


@dataclass(frozen=True, slots=True)
class Arm:
    """A recipe with settings of its own, ``key=value`` each."""

    recipe: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """A number of every run of an arm.

    Attributes:
        arm: Name of the arm.
        key: Number of a run (``claims.numbers``), or one at equal cost, such as ``accuracy@rollouts``
            (``claims.values``).
    """

    arm: str
    key: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Two values compared, paired by seed.

    It holds where the 95 % t-interval of ours less theirs (``as_ratio``: of log(ours / theirs)) lies on the wished
    side of 0. It is reversed where the interval lies on the other side, and no difference is seen where 0 is in it.

    Attributes:
        words: The finding as a sentence, true where it holds.
        setting: Name of the setting.
        ours: The value expected to be the larger (``wished = "above"``) or the smaller one (``"below"``).
        theirs: What it is compared with.
        wished: Side on which the interval must lie.
        as_ratio: Compare the quotient, for costs.
        margin: What a difference must exceed; below 0 for "not worse by more than that".
    """

    words: str
    setting: str
    ours: Value
    theirs: Value
    wished: str = "above"
    as_ratio: bool = False
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run of a setting.

    Attributes:
        arguments: Of ``rekindle train``, from the root of the repository.
        place: Name of its directory. Equal arguments have equal names, so claims share their runs.
    """

    setting: str
    arm: str
    seed: int
    arguments: tuple[str, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A task at a budget, with its arms.

    Attributes:
        words: What it is, for the page.
        task: TOML file, from the root of the repository.
        arms: Name -> arm; the first is the baseline.
        settings: Of all arms; ``{seed}`` stands for the seed of a run.
        seeds: Number of seeds, 0 first.
        refused: Seeds whose start policy is refused by the gate of the task; later ones take their places.
        cpu_seconds: Of one run, measured; for the plan of the time.
        columns: Further numbers of its table, by key of ``claims.page.COLUMNS``.
        fast: Arms that `make claims-fast` makes.
    """

    words: str
    task: str
    arms: Mapping[str, Arm]
    cpu_seconds: float
    settings: tuple[str, ...] = ()
    seeds: int = 5
    refused: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    fast: tuple[str, ...] = ()

    @property
    def is_real(self) -> bool:
        """Whether it trains the pretrained model."""
        return Path(self.task).stem.startswith("smollm2")

    def runs(self, name: str, seeds: int | None = None) -> Iterator[PlannedRun]:
        """The runs, all arms of a seed before the next seed."""
        accepted = (seed for seed in itertools.count() if seed not in self.refused)
        for seed in itertools.islice(accepted, self.seeds if seeds is None else min(seeds, self.seeds)):
            for arm in self.arms:
                yield self.run(name, arm, seed)

    def run(self, name: str, arm: str, seed: int) -> PlannedRun:
        """One run."""
        recipe, own = self.arms[arm].recipe, self.arms[arm].settings
        sets = [setting.replace("{seed}", str(seed)) for setting in (*self.settings, *own)]
        arguments = [self.task, "--recipe", recipe, "--seed", str(seed)]
        arguments += [word for setting in sets for word in ("--set", setting)]
        digest = hashlib.blake2b("\n".join(arguments).encode(), digest_size=DIGITS // 2).hexdigest()
        return PlannedRun(name, arm, seed, tuple(arguments), f"{Path(self.task).stem}-{recipe}-{seed}-{digest}")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a paper says, and how it is measured here.

    Attributes:
        name: Name of the command, of the page and of the results.
        title: Heading of the page.
        arxiv: Id of the paper; None: the claim is ours.
        says: What the paper says, in our words; of ours, the goal.
        settings: Name -> setting, the most telling first.
        findings: What decides.
        headlines: Words of the findings that "What works when" has.
    """

    name: str
    title: str
    arxiv: str | None
    says: str
    settings: Mapping[str, Setting]
    findings: tuple[Finding, ...] = field(default=())
    headlines: tuple[str, ...] = ()

    @property
    def page(self) -> Path:
        """The page in the documentation."""
        return arms.ROOT / "docs" / "evidence" / f"{self.name}.md"

    @property
    def results(self) -> Path:
        """The measured numbers."""
        return arms.ROOT / FOLDER / "results" / f"{self.name}.json"

    def image(self, setting: str) -> Path:
        """The curves of a setting."""
        return arms.ROOT / "docs" / "images" / "evidence" / f"{self.name}_{setting}.svg"
