"""Corpora for the tests of indexes."""

import hashlib
import json

import numpy as np

from rekindle.retrieval.corpus import join_contents
from rekindle.types import Document

CITIES = [
    Document("0", "Paris", "The capital of France lies on the Seine."),
    Document("1", "Seine", "A river that flows through Paris."),
    Document("2", "Rome", "The capital of Italy lies on the Tiber."),
    Document("3", "Italy", "A country whose capital is Rome."),
    Document("4", "北京", "北京是中华人民共和国的首都。"),
    Document("5", "東京", "東京は日本の首都です。"),
    Document("6", "Café de Flore", "A coffee house with naïve paintings."),
]


def write_corpus(path, documents):
    lines = (json.dumps({"id": document.id, "contents": join_contents(document)}) for document in documents)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def ids(hits):
    return [hit.document.id for hit in hits]


def numbered(count, first=0):
    return [Document(f"n{row}", f"Title {row}", f"word{row} shared text") for row in range(first, first + count)]


class HashingEncoder:
    """Bags of words, each hashed to a direction: a small encoder that needs no model.

    ``delay`` is called before every batch of passages.
    """

    dimension = 32
    fingerprint = "hashing-32"

    def __init__(self, delay=lambda: None):
        self.delay, self.encoded = delay, 0

    def encode_queries(self, queries):
        return np.array([self._vector(query) for query in queries], np.float32).reshape(len(queries), self.dimension)

    def encode_passages(self, documents):
        self.delay()
        self.encoded += len(documents)
        return self.encode_queries([f"{document.title} {document.text}" for document in documents])

    def _vector(self, text):
        total = np.full(self.dimension, 1e-3)
        for word in text.lower().split():
            seed = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=4).digest(), "big")
            total += np.random.default_rng(seed).standard_normal(self.dimension)
        return total / np.linalg.norm(total)
