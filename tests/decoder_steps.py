"""Steps of an engine's decoder, to interrupt it at one."""

import time


class Counted:
    """Counts the steps of the decoder of a `LiveSampler`.

    Attributes:
        count: Steps since it was made.

    Args:
        sampler: The sampler.
        held: Number of the step that waits for an abort; 0: none does.
    """

    def __init__(self, sampler, held=0):
        decoder, self.count = sampler._engine._decoder, 0
        step = decoder.step

        def counting(*args):
            self.count += 1
            while self.count == held and not sampler._interrupted:
                time.sleep(0.001)
            return step(*args)

        decoder.step = counting
