from pathlib import Path

import pytest

from rekindle.caching import CacheError, cache_directory, writable_cache
from rekindle.retrieval.opening import open_index
from rekindle.warm_starts.cache import cached


def never():
    raise AssertionError("nothing is computed for a cache that cannot be written")


def test_a_file_in_the_way_is_found_before_anything_is_computed(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "1", "contents": "a\\nb"}\n')
    for name in ("REKINDLE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv("REKINDLE_CACHE", raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv(name, str(tmp_path / "file"))
        with pytest.raises(CacheError, match=r"the start policy is kept.*set REKINDLE_CACHE \(or XDG_CACHE_HOME\)"):
            cached({"a": 1}, never)
        with pytest.raises(CacheError, match="is where the index of a corpus is kept, and it cannot be written"):
            open_index(corpus)


def test_a_directory_without_permission_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr("os.access", lambda place, mode: Path(place) != tmp_path)
    with pytest.raises(CacheError, match="cannot be written"):
        writable_cache(tmp_path / "a" / "b", "it")


def test_a_directory_that_is_still_to_be_made_is_not_made(tmp_path):
    place = tmp_path / "a" / "b"
    assert writable_cache(place, "it") == place
    assert not list(tmp_path.iterdir())


def test_a_user_without_home(monkeypatch):
    monkeypatch.delenv("REKINDLE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(CacheError, match=r"there is no home directory \(no home\); set REKINDLE_CACHE"):
        cache_directory("x")


def test_the_tilde_of_a_variable(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of/someone")
    monkeypatch.setenv("REKINDLE_CACHE", "~/cache")
    assert cache_directory("x") == Path("/home/of/someone/cache/x")
