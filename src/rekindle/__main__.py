"""``python -m rekindle``: the command line."""

from rekindle.cli import entry

__all__ = ["entry"]

if __name__ == "__main__":
    entry()
