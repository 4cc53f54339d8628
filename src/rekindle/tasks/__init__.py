"""Where prompts come from: the embedded task, reasoning-gym and files; ``loading.load_tasks`` chooses."""

__all__: list[str] = []
