"""The cache of answers: bounded in number and in bytes."""

from hypothesis import given
from hypothesis import strategies as st

from rekindle.retrieval.hit_cache import ENTRY_BYTES, HitCache, bytes_of
from rekindle.retrieval.retriever import Hit
from rekindle.types import Document


def hits(characters, count=1):
    return [Hit(Document(str(number), "", "x" * characters), 1.0) for number in range(count)]


def test_long_documents_push_out_the_oldest_answers():
    cost = ENTRY_BYTES + 60 + bytes_of(hits(10_000))
    cache = HitCache(1000, 12 * cost)
    for number in range(30):
        cache.put((f"query {number}", 1), hits(10_000))
        cache.get(("query 0", 1))
    kept = [number for number in range(30) if cache.get((f"query {number}", 1)) is not None]
    assert kept[0] == 0  # used all the time
    assert kept[1:] == list(range(30 - len(kept) + 1, 30))
    assert 10 <= len(kept) <= 12


def test_an_answer_that_would_take_the_whole_room_is_not_kept():
    cache = HitCache(10, 100_000)
    cache.put(("small", 1), hits(10))
    cache.put(("large", 1), hits(50_000))
    assert cache.get(("large", 1)) is None
    assert cache.get(("small", 1)) is not None


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3000), st.integers(0, 3)), max_size=60))
def test_the_bytes_counted_are_those_of_what_is_kept(puts):
    cache = HitCache(5, 20_000)
    for name, characters, count in puts:
        cache.put((str(name), 1), hits(characters, count))
        kept = [cache._kept[key] for key in cache._kept]
        assert cache._bytes == sum(cost for _, cost in kept) <= 20_000
        assert len(kept) <= 5
