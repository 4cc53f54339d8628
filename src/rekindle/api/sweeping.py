"""``rekindle.sweep``: the command `rekindle train --seeds --recipes` from a script."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekindle.api.arguments import to_stderr
from rekindle.config import ConfigError
from rekindle.notices import Say

if TYPE_CHECKING:
    from rekindle.sweeps.sweep import Sweep

__all__ = ["sweep"]


def sweep(
    config: str | Path | Mapping[str, Any],
    *,
    recipes: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    jobs: int | None = None,
    resume: bool = False,
    shown: bool = True,
    say: Say | None = None,
) -> "Sweep":
    """Train several recipes with several seeds, in processes that load the model once.

        done = rekindle.sweep("examples/spell_backward.toml", recipes=["grpo", "recycle"], seeds=range(3))
        print(rekindle.compare(done.directory).text)

    Each run is the one that ``rekindle.train`` makes, bit for bit. A run that fails does not stop the others. Ctrl-C
    lets every run finish its step; ``resume=True`` goes on. Functions of a script cannot go into other processes: a
    reward function is named in ``config`` by its file.

    Args:
        config: TOML file, or nested tables.
        recipes: Names of recipes; None: that of ``config``, or grpo.
        seeds: Seeds, 0 or above; None: that of ``config``.
        overrides: Settings over those of ``config``, such as ``"train.steps=100"``.
        out: Directory of the sweep, with a run directory RECIPE-SEED for each; None: ``runs/CONFIG-sweep``.
        jobs: Runs made at the same time; None: what processors and memory allow.
        resume: Go on with the sweep in ``out``.
        shown: Show progress on standard error.
        say: Shows a line to the user; None: on standard error.

    Returns:
        The directory, the state of every run, and the files of those that were begun.

    Raises:
        UserError: A run cannot be made, or ``out`` has something else in it; none was begun.
    """
    from rekindle.sweeps.sweep import SweepSettings, make_sweep

    for name, given in (("recipes", recipes), ("seeds", seeds)):
        if given is not None and (not len(given) or len(set(given)) < len(given)):
            raise ConfigError(f"{name} = {list(given)!r} has none, or one twice; name each once")
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs {jobs} makes no run; give at least 1")
    source = Path(config) if isinstance(config, str | Path) else config
    stem = f"{source.stem}-sweep" if isinstance(source, Path) else "sweep"
    return make_sweep(
        SweepSettings(source=source, recipes=recipes, seeds=seeds, overrides=overrides),
        Path("runs") / stem if out is None else Path(out),
        jobs=jobs,
        resume=resume,
        command=sys.argv[1:],
        shown=shown,
        say=say or to_stderr,
    )
