"""The claims of ``benchmarks/claims`` at a larger size: the arms of their settings on the pretrained model."""

from dataclasses import replace

from claims.claim import Arm, Claim
from claims.command import CLAIMS

__all__ = ["LARGER", "SCALES", "TASK", "larger"]

TASK = "benchmarks/gpu/arithmetic.toml"
SCALES = {"task.pool_size": 4.0, "train.rollouts": 4.0, "train.learning_rate": 0.2}
"""Factors of what a setting or an arm sets for the small model."""
KINDS = "task.params.kinds"
EASY = f'{KINDS}=["2+1", "2-1", "2*1", "2+2"]'
"""In the place of a setting's easier kinds: always solved by a larger model, or nearly so."""


def larger(claim: Claim) -> Claim | None:
    """The claim on the larger task; None where it has no setting on the pretrained model."""
    found = next(((name, one) for name, one in claim.settings.items() if one.is_real), None)
    if found is None:
        return None
    name, setting = found
    made = replace(
        setting,
        words=f"{setting.words.replace('SmolLM2', 'Qwen2.5-1.5B')}, four times as large",
        task=TASK,
        settings=_scaled(setting.settings),
        arms={arm: Arm(one.recipe, _scaled(one.settings)) for arm, one in setting.arms.items()},
    )
    findings = tuple(finding for finding in claim.findings if finding.setting == name)
    return replace(claim, settings={name: made}, findings=findings)


def _scaled(words: tuple[str, ...]) -> tuple[str, ...]:
    made = []
    for word in words:
        key, _, value = word.partition("=")
        if key == KINDS:
            made.append(EASY)
        else:
            made.append(f"{key}={SCALES[key] * float(value):.12g}" if key in SCALES else word)
    return tuple(made)


LARGER: dict[str, Claim] = {name: made for name, claim in CLAIMS.items() if (made := larger(claim)) is not None}
"""The claims by name; search self-play has no setting on a pretrained model."""
