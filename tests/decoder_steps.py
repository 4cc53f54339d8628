"""Steps of an engine's decoder, to interrupt it at one."""


class Counted:
    """Counts the steps of the decoder of a `LiveSampler`.

    Attributes:
        count: Steps since it was made.
    """

    def __init__(self, sampler):
        decoder, self.count = sampler._engine._decoder, 0
        step = decoder.step

        def counting(*args):
            self.count += 1
            return step(*args)

        decoder.step = counting
