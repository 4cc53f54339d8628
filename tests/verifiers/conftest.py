"""Where the shared data sets are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def data():
    place = Path(os.environ.get("REKINDLE_DATA", ROOT.parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip("the shared data sets are not here; set REKINDLE_DATA to their directory")
    return place
