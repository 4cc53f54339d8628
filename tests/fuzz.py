"""``make fuzz``: every property at 100 times its examples, with new random seeds, for as long as asked.

A round takes the properties in a random order; the next round has another seed. What fails is printed with the smallest
example found and a line ``@reproduce_failure(...)``: add the example to the property with ``@example(...)``, or make it
a test of its own.
"""

import argparse
import secrets
import subprocess
import sys
import time

FACTOR = 100
NOTHING_FAILED = {0, 5}  # 5: nothing was run


def main() -> int:
    """Rounds until the time is over; the exit code of the first round that found something."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="no property begins after so many (default: 30)")
    parser.add_argument("--seed", type=int, help="of a single round, to repeat it")
    parser.add_argument("tests", nargs="*", default=["tests"], help="files or directories (default: all)")
    given = parser.parse_args()
    until = time.time() + 60 * given.minutes
    while time.time() < until:
        seed = secrets.randbelow(2**32) if given.seed is None else given.seed
        print(f"seed {seed}, {(until - time.time()) / 60:.1f} minutes left", flush=True)
        options = [f"--fuzz-until={until}", f"--hypothesis-seed={seed}", f"--examples={FACTOR}", "--timeout=0"]
        code = subprocess.run([sys.executable, "-m", "pytest", *options, *given.tests], check=False).returncode
        if code not in NOTHING_FAILED:
            print(f"found something; `python tests/fuzz.py --seed {seed}` repeats this round")
            return code
        if given.seed is not None:
            break
    return 0


if __name__ == "__main__":
    sys.exit(main())
