"""rekindle in TRL's trainer."""

__all__: list[str] = []
