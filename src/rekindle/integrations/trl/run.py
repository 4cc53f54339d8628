"""A run inside TRL: the same on every process, with the probe and the trainer's part in its state."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from safetensors.torch import save_file as save_tensors
from torch import Tensor
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from rekindle.config import Config
from rekindle.integrations.hosted_run import FOLDER, HostedRun
from rekindle.integrations.profiling import given_profile
from rekindle.integrations.silent_groups import counts_silent
from rekindle.integrations.trl.profiling import ProfilePass
from rekindle.integrations.trl.sampling.rollouts import TrlRollouts
from rekindle.integrations.trl.state import leave_later, load_state
from rekindle.integrations.trl.updates.probe import Probe
from rekindle.integrations.trl.words import said
from rekindle.methods import needs_profile
from rekindle.records.skipped_files import SKIPPED, keep_newest
from rekindle.records.update_stats import UpdateStats
from rekindle.scheduling.profiling import Profile
from rekindle.types import Task

__all__ = ["TrlRun"]


class TrlRun(HostedRun):
    """The run of a trainer, from ``started`` on.

    Args:
        config: The run's settings.
        tasks: The dataset's rows as tasks, in its order.
        rollouts: Makes the rollouts.
        output_dir: TRL's; the main process writes the run files into a folder of it.
        main: Whether this process writes files.
        parameters: Number of parameters, for FLOPs.
        decode: Token ids -> text, for samples.

    Attributes:
        rollouts: Makes the rollouts.
        probe: Rollouts of the update that is being made.
    """

    def __init__(
        self,
        config: Config,
        tasks: Sequence[Task],
        rollouts: TrlRollouts,
        *,
        output_dir: Path,
        main: bool,
        parameters: int,
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        super().__init__(
            config,
            tasks,
            rollouts,
            directory=output_dir / FOLDER if main else None,
            parameters=parameters,
            decode=decode,
            said=said,
            say=tqdm.write,
            main=main,
            counts_silent=counts_silent(config),
        )
        self.rollouts, self.probe = rollouts, Probe()

    @contextmanager
    def started(
        self, checkpoint: Path | None, evaluated_on: Sequence[Task] = (), *, resumable: bool, **facts: Any
    ) -> Iterator[dict[str, Any] | None]:
        """The run with its files and its scheduler; yields the trainer's part of the state, None in a new run.

        Args:
            checkpoint: Checkpoint to go on from; None: the run begins.
            evaluated_on: The prompts that TRL evaluates on, as far as they are known.
            resumable: There is a checkpoint of an earlier run.
            facts: Further facts for ``run.json``.

        Raises:
            UserError: The run files are those of another run, or the checkpoint is not one of ours.
        """
        state = None if checkpoint is None else load_state(checkpoint)
        self.probe = Probe()
        with self.opened(state, resumable=resumable, profile=self._profile, evaluated_on=evaluated_on, **facts):
            if state is not None and self._directory is not None:
                leave_later(self._directory.parent, state["trainer"]["global_step"])
            yield None if state is None else state["trainer"]

    def _shared_order(self, ids: list[str]) -> list[str]:
        """The order of the tasks in which the main process has the run."""
        shared = [ids]
        broadcast_object_list(shared, from_process=0)
        return shared[0]

    def _profile(self) -> Profile | None:
        if not needs_profile(self.config):
            return given_profile(self.config, self._tasks)
        made = ProfilePass(self.config, self.rollouts, parameters=self.parameters)
        return made.make(self._tasks, self._directory)

    def finish(self, update: UpdateStats | None, **further: Any) -> None:
        """End the step with the numbers of its update."""
        super().finish(update, **further)
        self.probe = Probe()

    def keep_skipped(
        self, batches: Sequence[Mapping[str, Tensor]], model: PreTrainedModel | None, place: tuple[int, int]
    ) -> Path | None:
        """Keep the micro-batches of an optimizer step that is not made, with the weights where one process has them.

        Args:
            batches: Micro-batches of this process: inputs of TRL's ``_compute_loss``.
            model: The model; None: its weights are in several processes.
            place: Step of the run, and TRL's micro-step.

        Returns:
            The directory; None in a process without files.
        """
        if self._directory is None:
            return None
        directory = self._directory / SKIPPED / f"step-{place[0]}-{place[1]}"
        directory.mkdir(parents=True, exist_ok=True)
        named = ((f"{index}.{key}", one) for index, part in enumerate(batches) for key, one in part.items())
        tensors = {name: one.contiguous().cpu() for name, one in named}
        save_tensors(tensors, directory / "batches.safetensors")
        if model is not None:
            model.save_pretrained(directory / "model")
        keep_newest(directory.parent)
        return directory

    def state_of(self, trainer: dict[str, Any]) -> dict[str, Any]:
        """State of the run for a checkpoint, with the trainer's own part."""
        return {"trainer": trainer, "probe": self.probe.to_json(), **self.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore."""
        super().load_state_dict(state)
        self.probe = Probe.from_json(state["probe"])
