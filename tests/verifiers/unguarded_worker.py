"""A scoring server without guards, whose processes are confined by the layers of the last argument alone."""

import sys
from functools import partial

from rekindle.verifiers import confinement, scorers, worker_main

if __name__ == "__main__":
    layers = sys.argv.pop().split(",")
    vars(scorers)["GUARDS"] = {}
    vars(worker_main)["confine"] = partial(confinement.confine, layers=layers)
    worker_main.main()
