import json
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.evaluation.profile_file import METADATA, check_profile, load_profile, rows_for, save_profile
from rekindle.scheduling.profiling import Profile, ProfileError, ProfileKey
from rekindle.tasks.extras import MissingExtraError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

KEY = ProfileKey("8c1f", "math", 0.8, 512)


def column(*values):
    return np.array(values, np.int64)


PROFILE = Profile(
    KEY, ("a", "b", "ü"), column(3, 0, 8), column(8, 8, 8), column(40, 64, 8), column(5, 6, 7), 2.6e9, ("long",)
)


def values(profile):
    return {name: list(value) if hasattr(value, "__len__") else value for name, value in asdict(profile).items()}


def test_round_trip(tmp_path):
    path = tmp_path / "new" / "profile.parquet"
    save_profile(path, PROFILE)
    assert values(load_profile(path)) == values(PROFILE)
    assert [one.name for one in path.parent.iterdir()] == ["profile.parquet"]


ROWS = st.tuples(st.text(max_size=5), st.integers(0, 9), st.integers(0, 2**40))


@given(st.lists(ROWS, min_size=1, unique_by=lambda row: row[0]), st.floats(0, 1e30))
def test_any_profile_survives(tmp_path_factory, rows, flops):
    ids, successes, tokens = zip(*rows, strict=True)
    counts = column(*tokens)
    profile = Profile(KEY, ids, column(*successes), column(*[9] * len(rows)), counts, counts, flops)
    path = tmp_path_factory.mktemp("profile") / "p.parquet"
    save_profile(path, profile)
    assert values(load_profile(path)) == values(profile)


def test_other_programs_can_read_it(tmp_path):
    path = tmp_path / "p.parquet"
    save_profile(path, PROFILE)
    table = parquet.read_table(path)
    assert table.to_pylist()[0] == {
        "prompt_id": "a",
        "successes": 3,
        "samples": 8,
        "mean_length": 5.0,
        "generated_tokens": 40,
        "prompt_tokens": 5,
    }
    assert json.loads(table.schema.metadata[METADATA])["model"] == "8c1f"


def test_an_existing_file_is_replaced_atomically(tmp_path, monkeypatch):
    path = tmp_path / "p.parquet"
    save_profile(path, PROFILE)
    save_profile(path, replace(PROFILE, flops=1.0))
    assert load_profile(path).flops == 1.0

    def full(table, where):
        where.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "write_table", full)
    with pytest.raises(ProfileError, match=r"cannot be written \(No space left on device\); choose another --out"):
        save_profile(path, PROFILE)
    assert load_profile(path).flops == 1.0
    assert [one.name for one in tmp_path.iterdir()] == ["p.parquet"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProfileError, match="choose another --out"):
        save_profile(tmp_path / "file" / "p.parquet", PROFILE)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("rekindle.tasks.extras.find_spec", lambda module: None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for action in (lambda: save_profile(tmp_path / "p", PROFILE), lambda: load_profile(tmp_path / "p")):
        with pytest.raises(MissingExtraError, match=r'pip install "rekindle\[parquet\]"'):
            action()


def written(path, edit_table=lambda table: table, **facts):
    """A profile file after someone else had a hand in it."""
    save_profile(path, PROFILE)
    table = parquet.read_table(path)
    known = json.loads(table.schema.metadata[METADATA]) | facts
    known = {name: value for name, value in known.items() if value is not ...}
    table = edit_table(table.replace_schema_metadata({METADATA: json.dumps(known)}))
    parquet.write_table(table, path)


@pytest.mark.parametrize(
    ("facts", "edit", "problem"),
    [
        ({"format": 2}, lambda table: table, "format 2, and this version reads format 1"),
        ({"model": ...}, lambda table: table, "'model'"),
        ({}, lambda table: table.replace_schema_metadata({}), "it has no metadata of a profile"),
        ({}, lambda table: table.drop_columns(["samples"]), "samples"),
        ({}, lambda table: table.slice(0, 0), "no rows"),
        ({}, lambda table: table.set_column(1, "successes", [[1, None, 2]]), "successes has empty values"),
        ({}, lambda table: table.set_column(1, "successes", [["x", "x", "x"]]), "Failed to parse string: 'x'"),
        ({}, lambda table: table.set_column(1, "successes", [[9, 0, 0]]), "9 successes of 8 samples"),
        ({}, lambda table: table.set_column(0, "prompt_id", [["a", "a", "b"]]), "same prompt id"),
    ],
)
def test_a_file_that_is_no_profile_is_one_sentence(tmp_path, facts, edit, problem):
    path = tmp_path / "p.parquet"
    written(path, edit, **facts)
    with pytest.raises(ProfileError, match=problem) as error:
        load_profile(path)
    assert str(error.value).startswith(f"{path} cannot be used as a profile (")
    assert "rekindle profile" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_foreign_and_damaged_files(tmp_path, content):
    path = tmp_path / "p.parquet"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match="cannot be used as a profile"):
        load_profile(path)


def test_every_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "p.parquet"
    save_profile(path, PROFILE)
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(ProfileError, match="cannot be used as a profile"):
            load_profile(path)


def test_no_file_and_a_directory(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ProfileError, match=r"there is no file .*rekindle profile"):
            load_profile(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "ffff"}, r"another model \('8c1f' there, 'ffff' here\); make"),
        ({"verifier": "exact_match"}, r"another verifier \('math' there"),
        ({"temperature": 1.0}, r"another temperature \(0\.8 there, 1\.0 here\)"),
        ({"max_new_tokens": 24, "model": "x"}, r"another model \(.*\) and max_new_tokens \(512 there, 24 here\)"),
    ],
)
def test_a_profile_of_something_else_is_refused_unless_forced(changes, words):
    here = replace(KEY, **changes)
    with pytest.raises(ProfileError, match=rf"^p\.parquet was profiled with {words}") as error:
        check_profile(PROFILE, here, forced=False, where="p.parquet")
    assert "profile.force = true" in str(error.value)
    check_profile(PROFILE, here, forced=True, where="p.parquet")


def test_a_profile_of_this_run_is_accepted():
    check_profile(PROFILE, replace(KEY), forced=False, where="p.parquet")


def test_rows_in_the_pools_order():
    found = rows_for(PROFILE, ("ü", "a"))
    assert values(found) == values(
        Profile(KEY, ("ü", "a"), column(8, 3), column(8, 8), column(8, 40), column(7, 5), 2.6e9, ("long",))
    )


def test_a_prompt_that_could_not_be_played_has_no_samples():
    found = rows_for(PROFILE, ("a", "long", "b"))
    assert found.samples.tolist() == [8, 0, 8]
    assert found.successes.tolist() == [3, 0, 0]


def test_prompts_that_were_never_profiled_are_counted():
    with pytest.raises(ProfileError, match=r"2 of the pool's 3 prompts are not in the profile, e\.g\. 'x'"):
        rows_for(PROFILE, ("a", "x", "y"))
