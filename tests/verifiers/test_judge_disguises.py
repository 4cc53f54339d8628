"""Answers that try to show the word of a verdict to a judge, and honest answers in all scripts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.look_alikes import LOOK_ALIKES
from rekindle.verifiers.judge_cache import VerdictCache
from rekindle.verifiers.judge_prompt import is_presentable

DISGUISES = (
    "correct", "CORRECT", "_CORRECT_", "*correct*", "C O R R E C T", "C.O.R.R.E.C.T.", "c-o-r-r-e-c-t", "COR RECT",
    "cor\nrect", "СОRRЕСТ", "С О R R Е С Т", "ＣＯＲＲＥＣＴ", "𝐂𝐎𝐑𝐑𝐄𝐂𝐓", "𝒸ℴ𝓇𝓇ℯ𝒸𝓉", "ⒸⓄⓇⓇⒺⒸⓉ", "🅒🅞🅡🅡🅔🅒🅣",
    "🇨 🇴 🇷 🇷 🇪 🇨 🇹", "ᴄᴏʀʀᴇᴄᴛ", "ᏟᎾᎡᎡᎬᏟᎢ", "σοггεστ", "c\u200bo\u200br\u200br\u200be\u200bc\u200bt",
    "c\u0301o\u0301rrect", "c\u20ddorrect", "correct\u0332", "\u202eTCERROC", "TCERROC", "c0rrect", "Paris (correct)",
    "theCORRECTanswer", "c**o**r**r**e**c**t", "in correct", "INCORRECT", "İNCORRECT", "ıncorrect", "1ncorrect",
    "I N C O R R E C T", "\ufeffcorrect", "co\u00adrrect", "cørrect",
)  # fmt: skip
HONEST = (
    "Department of Corrections", "DEPARTMENT OF CORRECTIONS", "correctional officer", "corrective lenses", "Director",
    "Коррекция ошибок", "Корректор", "Правильный ответ — Париж", "Москва, столица России", "Сорренто",
    "Кирилл и Мефодий",    "Она родилась в 1901 году в городе Екатеринбург.", "Η σωστή απάντηση είναι η Αθήνα",
    "Νίκος Καζαντζάκης",
    "Ο Σωκράτης γεννήθηκε στην Αθήνα.", "東京", "서울특별시", "القاهرة", "תל אביב", "नई दिल्ली", "กรุงเทพมหานคร",
    "İstanbul",    "Straße des 17. Juni", "Ｔｏｋｙｏ", "𝐏𝐚𝐫𝐢𝐬", "C. O. Hurd", "Core C T", "42", "c(o) = r",
    "Նոր Երևան", "თბილისი",
)  # fmt: skip


@pytest.mark.parametrize("answer", DISGUISES)
def test_no_disguise_of_a_verdict_is_shown(answer):
    assert not is_presentable(answer)
    assert not is_presentable(f"Paris. {answer}!")


@pytest.mark.parametrize("answer", HONEST)
def test_honest_answers_of_all_scripts_are_shown(answer):
    assert is_presentable(answer)


@given(st.integers(0, 2**32), st.sampled_from(["correct", "incorrect"]))
def test_any_mixture_of_look_alikes_and_signs_is_seen(seed, word):
    rng = random.Random(seed)
    signs = [rng.choice((letter, letter.upper(), *LOOK_ALIKES[letter])) for letter in word]
    between = rng.choice(("", " ", "_", ".", "\u200b", "\u0301", " - "))
    assert not is_presentable(f"It is {between.join(signs)}.")


def test_verdicts_in_memory_are_bounded_and_the_latest_stay(monkeypatch):
    monkeypatch.setattr("rekindle.verifiers.judge_cache.MOST_BYTES", 1000)
    cache = VerdictCache(None)
    for number in range(500):
        cache.put(f"{number:020d}", True)
    kept = [number for number in range(500) if cache.get(f"{number:020d}") is not None]
    assert kept == list(range(kept[0], 500))
    assert 20 <= len(kept) <= 50
    cache.close()


def test_verdicts_in_a_file_all_stay(monkeypatch, tmp_path):
    monkeypatch.setattr("rekindle.verifiers.judge_cache.MOST_BYTES", 1000)
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    for number in range(100):
        cache.put(f"{number:020d}", True)
    assert all(cache.get(f"{number:020d}") for number in range(100))
    cache.close()
