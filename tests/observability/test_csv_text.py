"""Columns as CSV, by hand, and that any reader gets back what was put in."""

import csv
import io
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from rekindle.observability.csv_text import csv_text


def test_numbers_gaps_and_texts():
    columns: dict[str, Sequence[str | float | None]] = {
        "step": [1.0, 2.0, 3],
        "loss": [0.5, None],
        'a "b", c': ["x\ny", "", "=1+1"],
    }
    assert csv_text(columns) == 'step,loss,"a ""b"", c"\n1,0.5,"x\ny"\n2,,\n3,,\'=1+1\n'
    assert csv_text({"=SUM(A1)": [], "@x": []}) == "'=SUM(A1),'@x\n"
    assert csv_text({"lr": [5e-7, 1234567.0, 1e300]}) == "lr\n5e-07\n1234567\n1e+300\n"
    assert csv_text({}) == "\n"


@given(
    st.dictionaries(st.text(min_size=1, max_size=9), st.lists(st.text(max_size=9), min_size=2, max_size=2), min_size=1)
)
def test_what_is_written_can_be_read(columns):
    names, *rows = csv.reader(io.StringIO(csv_text(columns), newline=""))
    for written, name in zip(names, columns, strict=True):
        assert written.removeprefix("'") == name.replace("\r", " ").removeprefix("'")
        assert not written.startswith(tuple("=+-@\t"))
    assert len(rows) == 2
