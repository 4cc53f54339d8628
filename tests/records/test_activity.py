"""What a run is doing: parts, rollouts and tokens, with an engine that counts and with one that does not."""

from rekindle.records.activity import Activity, Doing, Part


class Time:
    now = 0.0

    def __call__(self):
        return self.now


def test_before_the_first_part_there_is_nothing_to_read():
    activity = Activity()
    activity.expect(4)
    activity.tell(4)
    assert activity.read() is None


def test_an_engine_that_counts_is_ahead_of_finished_groups():
    counts, clock = [100, 9000], Time()
    activity = Activity(lambda: (counts[0], counts[1]), clock=clock)
    activity.begin(Part.ROLLING_OUT)
    activity.expect(128)
    activity.expect(128)  # a second round of requests
    counts[:], clock.now = [196, 12100], 10.0
    activity.tell(8)
    assert activity.read() == Doing(Part.ROLLING_OUT, 256, 96, 3100, 10.0)


def test_without_counts_finished_groups_count():
    activity = Activity(clock=Time())
    activity.begin(Part.ROLLING_OUT, 16)
    activity.tell(8)
    assert activity.read() == Doing(Part.ROLLING_OUT, 16, 8, 0, 0.0)


def test_groups_that_no_engine_played_count_as_well():
    activity = Activity(lambda: (0, 0), clock=Time())
    activity.begin(Part.ROLLING_OUT, 16)
    activity.tell(16)
    assert activity.read() == Doing(Part.ROLLING_OUT, 16, 16, 0, 0.0)


def test_more_calls_of_the_engine_than_rollouts_are_no_more_rollouts():
    """An environment may ask an engine several times for one rollout."""
    counts = [0, 0]
    activity = Activity(lambda: (counts[0], counts[1]), clock=Time())
    activity.begin(Part.ROLLING_OUT, 16)
    counts[0] = 40
    doing = activity.read()
    assert doing is not None
    assert doing.ended == 16


def test_a_new_part_begins_from_zero():
    counts = [40, 300]
    activity = Activity(lambda: (counts[0], counts[1]), clock=Time())
    activity.begin(Part.ROLLING_OUT, 16)
    activity.tell(16)
    activity.begin(Part.TRAINING)
    assert activity.read() == Doing(Part.TRAINING, 0, 0, 0, 0.0)
