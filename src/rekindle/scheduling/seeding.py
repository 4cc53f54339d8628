"""Seeds of requests, derived from the run's seed and a counter, so that no generator state has to be saved."""

__all__ = ["mixed_seed"]


def mixed_seed(seed: int, counter: int) -> int:
    """63-bit seed of a request (splitmix64's finaliser); neighbouring counters give unrelated seeds."""
    z = (seed * 0x9E3779B97F4A7C15 + counter * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (z ^ (z >> 31)) >> 1
