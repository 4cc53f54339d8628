"""What servers say, repeated and obeyed safely."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from rekindle.remote import one_line, retry_after


def test_retry_after_as_seconds_as_a_date_and_as_nonsense():
    assert [retry_after(value, 300.0) for value in (None, "3", "0.5", "-2", "soon", "nan", "inf")] == [
        0.0, 3.0, 0.5, 0.0, 0.0, 0.0, 300.0,
    ]  # fmt: skip
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < retry_after(soon, 300.0) <= 100
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 300.0) == 0.0


def test_a_message_is_one_printable_line_of_bounded_length():
    assert one_line("a\n\tb \x1b[31mc\u202e") == "a b [31mc"
    assert len(one_line("x" * 10_000)) == 300
