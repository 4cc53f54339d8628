"""rekindle inside other trainers. Each integration names the versions of the trainer that it was tested with."""

__all__: list[str] = []
