"""A scoring server without guards, whose processes are confined by the layers of the last argument alone."""

import sys
from functools import partial

from rekindle.verifiers import scorers, worker_main

if __name__ == "__main__":
    layers = sys.argv.pop().split(",")
    scorers.GUARDS = {}
    worker_main.confine = partial(worker_main.confine, layers=layers)
    worker_main.main()
