"""Task sources: the embedded tasks, reasoning-gym and files; ``loading.load_tasks`` chooses."""

__all__: list[str] = []
