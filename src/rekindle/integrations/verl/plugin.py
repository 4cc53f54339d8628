"""What verl loads of rekindle through its entry point group ``verl.plugins``, in every process that imports verl.

It says what runs after which module of verl was imported, and imports nothing itself. verl hides an exception of a
plug-in; one of a callback ends the import.
"""

from rekindle.integrations.verl.post_import import after_import, named

__all__ = ["HOOKS", "install"]

HOOKS = {
    "verl.trainer.ppo.v1": "rekindle.integrations.verl.registration:register_trainers",
    "verl.trainer.main_ppo": "rekindle.integrations.verl.endings:end_with_a_sentence",
    "verl.utils.config": "rekindle.integrations.verl.checks:check_before_ray",
    "verl.models.transformers.monkey_patch": "rekindle.integrations.verl.beside_trl:allow_trl_without_value_heads",
}
"""Module of verl -> the function that is called with it."""


def install() -> None:
    """Let the hooks wait for their modules."""
    for module, place in HOOKS.items():
        after_import(module, named(place))


install()
