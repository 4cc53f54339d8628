"""The rule by which a run of the tests is made again."""

import pytest
from runs import LOST, Cluster, Made
from tiny_run import Run


class Scripted(Cluster):
    """A cluster whose runs end as said."""

    def __init__(self, *ends):
        self.ends = list(ends)

    def _made(self, run):
        code, output = self.ends.pop(0)
        return Made(code, output, [], 0.0, run.out)


def asked(folder, **given):
    return Run(str(folder), **given)


def test_a_run_that_lost_a_rank_is_made_again_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("runs.shutil.rmtree", lambda folder: None)
    cluster = Scripted((1, f"a worker died\n{LOST}"), (0, ""))
    with pytest.warns(UserWarning, match="a worker died"):
        assert cluster.make(asked(tmp_path / "run")).code == 0


@pytest.mark.parametrize("output", ["ValueError: a mistake of ours", ""])
def test_other_failures_are_not_made_again(tmp_path, output):
    cluster = Scripted((1, output), (0, ""))
    with pytest.raises(AssertionError, match=output):
        cluster.make(asked(tmp_path / "run")).checked()


def test_a_run_that_goes_on_or_kills_itself_is_not_made_again(tmp_path):
    cluster = Scripted((1, LOST), (1, LOST), (0, ""))
    assert cluster.make(asked(tmp_path)).code == 1
    assert cluster.make(asked(tmp_path / "run", moment="a:b")).code == 1
