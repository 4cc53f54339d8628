"""rekindle on verl, for which many GPUs are one machine: verl owns engines, workers and the optimizer.

plugin.py       what verl loads while it is imported: which function runs after which module of verl
post_import.py  such callbacks
checks.py       checks of a run of ours before Ray starts
versions.py     the releases of verl that were tested, what verl forgets to require, the internal names that we rely on
settings/       verl's configuration and a recipe made one
trainer.py      verl's trainers with our prompts, sizes, temperatures and credit; what each part of a step is
cpu/            verl on a CPU, for tests and demonstrations; only where it is asked for
"""
