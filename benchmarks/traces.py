"""Agreement of our verifiers of short answers with a model's verdicts on the same answers.

    python benchmarks/traces.py --data DIR [--out benchmarks/traces.json] [--docs]

DIR holds ``traces/hotpotqa_agent_500.jsonl``, 500 answers of a search agent to questions of HotpotQA with the verdicts
of GPT-4o, published with R1-Searcher (RUCAIBox/R1-Searcher, data/eval_results, MIT), and ``qa/nq_open_dev.jsonl``,
3,610 questions with their accepted answers. Every answer is taken from its transcript and scored again, and each case
in which we and the model disagree is put into one class, by code; only the model's mistakes were read, by hand.
"""

import argparse
import json
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import arms
from rekindle.types import Task
from rekindle.verifiers import cover_match, f1, qa_exact_match
from rekindle.verifiers.completions import final_answer
from rekindle.verifiers.normalize import AnswerTokens, answer_tokens
from rekindle.verifiers.qa import MAX_FURTHER_TOKENS, QaVerifier

RESULTS = arms.ROOT / "benchmarks" / "traces.json"
PAGE = Path("howto/qa_verifiers.md")
BLOCKS = ("traces", "traces-classes", "traces-lists")
TRACES, QUESTIONS = Path("traces/hotpotqa_agent_500.jsonl"), Path("qa/nq_open_dev.jsonl")

Row = Mapping[str, str]
Results = Mapping[str, Mapping]

RULES: Mapping[str, Callable[[str, str], bool]] = {
    "SQuAD's exact match": lambda given, wanted: squad_tokens(given) == squad_tokens(wanted),
    "`qa_exact_match`": lambda given, wanted: qa_exact_match(given, wanted) == 1,
    "`cover_match`": lambda given, wanted: (
        QaVerifier("cover_match").judge([(Task("", "", wanted), given)])[0].score == 1
    ),
    "`f1` of at least 0.5": lambda given, wanted: f1(given, wanted) >= 0.5,
}

MISTAKES = {
    130: "the year of the contest, which the question gives, is left out",
    188: "asked for an occupation: author, without the nationality",
    291: "asked what else is in the cocktail: the reference is a sentence with this in it",
    374: "the same person; the reference adds a date of birth to half the name",
    396: "asked for a film: the reference is a sentence with its title in it",
}
"""Answers that the model rejects and a human reader accepts, by line number (from 0)."""

CLASSES = {
    "accents": "the same but for accents",
    "spacing": "the same but for spaces or hyphens",
    "longer": "all words of the reference and more",
    "shorter": "words of the reference, not all",
    "numbers": "numbers or dates that differ",
    "shared": "some words in common",
    "unlike": "no word in common",
    "mistake": "the model's mistake",
}


def squad_tokens(text: str) -> list[str]:
    """SQuAD's original rule, for comparison."""
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\b(?:a|an|the)\b", " ", bare).split()


def disagreement(line: int, given: str, wanted: str) -> str:
    """The class of a disagreement between our rule and the model."""
    ours, theirs = answer_tokens(given), answer_tokens(wanted)
    if line in MISTAKES:
        return "mistake"
    if ours == theirs:
        return "accents"
    if "".join(ours) == "".join(theirs):
        return "spacing"
    if within(theirs, ours):
        return "longer"
    if within(ours, theirs):
        return "shorter"
    if any(map(str.isdigit, given)) and any(map(str.isdigit, wanted)):
        return "numbers"
    return "shared" if set(ours) & set(theirs) else "unlike"


def within(part: AnswerTokens, whole: AnswerTokens) -> bool:
    """Whether the tokens of ``part`` occur in ``whole`` in this order."""
    rest = iter(whole)
    return all(token in rest for token in part)


def compare(rows: Sequence[Row]) -> dict[str, object]:
    """Counts of a rule's verdicts against the model's, and of the classes of disagreement."""
    found: dict[str, object] = {}
    for name, accepts in RULES.items():
        pairs: Counter[str] = Counter()
        classes: dict[str, Counter[str]] = {"only_us": Counter(), "only_model": Counter()}
        for line, row in enumerate(rows):
            given, wanted = final_answer(row["gen_text_store"]), row["answer"]
            ours, models = accepts(given, wanted), row["gpt4o_output"] == "True"
            kind = {(True, True): "both", (False, False): "neither", (True, False): "only_us"}.get((ours, models))
            pairs[kind or "only_model"] += 1
            if ours != models:
                classes[kind or "only_model"][disagreement(line, given, wanted)] += 1
        found[name] = {**pairs, "classes": {side: dict(sorted(one.items())) for side, one in classes.items()}}
    return found


def extraction(rows: Iterable[Row]) -> dict[str, int]:
    """Number of transcripts, and of those whose last ``<answer>`` is the recorded answer."""
    same = [final_answer(row["gen_text_store"]) == row["pred_ans"].strip() for row in rows]
    return {"transcripts": len(same), "answer_as_recorded": sum(same)}


def further_tokens(rows: Iterable[Row]) -> dict[str, int]:
    """Number of extra tokens in answers that cover the reference."""
    pairs = [(final_answer(row["gen_text_store"]), row["answer"]) for row in rows]
    beside = [len(answer_tokens(a)) - len(answer_tokens(b)) for a, b in pairs if cover_match(a, b)]
    return {str(count): number for count, number in sorted(Counter(beside).items())}


def list_attack(questions: Sequence[Mapping]) -> dict[str, dict[str, float]]:
    """Share of questions answered by a fixed list of the most frequent accepted answers."""
    common = Counter(" ".join(answer_tokens(answer)) for row in questions for answer in row["answer"])
    frequent = [answer for answer, _ in common.most_common(100)]
    tasks = [Task("", "", tuple(row["answer"])) for row in questions]
    verifier = QaVerifier("cover_match")
    shares = {}
    for size in (5, 10, 20, 100):
        text = ", ".join(frequent[:size])
        unbounded = sum(cover_match(text, task.answer) for task in tasks)
        bounded = sum(verdict.score for verdict in verifier.judge([(task, text) for task in tasks]))
        shares[str(size)] = {"unbounded": unbounded / len(tasks), "bounded": bounded / len(tasks)}
    return shares


def measure(data: Path) -> dict[str, object]:
    """All numbers of the page."""
    rows, questions = arms.read_rows(data / TRACES), arms.read_rows(data / QUESTIONS)
    return {
        "extraction": extraction(rows),
        "rules": compare(rows),
        "further_tokens": further_tokens(rows),
        "lists": list_attack(questions),
    }


def tables(measured: Results) -> dict[str, str]:
    """The blocks of the page by name."""
    made = arms.made_words([measured["made"]])
    found = (_agreement(measured), _classes(measured), _lists(measured))
    return {name: f"{text}\n{made}\n" for name, text in zip(BLOCKS, found, strict=True)}


def _agreement(measured: Results) -> str:
    lines = [["rule", "both accept", "only the rule", "only the model", "neither", "agreement"]]
    for name, one in measured["rules"].items():
        counts = [one.get(side, 0) for side in ("both", "only_us", "only_model", "neither")]
        lines.append([name, *map(str, counts), f"{(counts[0] + counts[3]) / sum(counts):.1%}"])
    return arms.markdown_table(lines)


def _classes(measured: Results) -> str:
    rules = list(measured["rules"])
    lines = [["who accepts", "the answer has", *rules]]
    for side, who in (("only_model", "only the model"), ("only_us", "only the rule")):
        counts = {rule: measured["rules"][rule]["classes"][side] for rule in rules}
        for key, words in CLASSES.items():
            if any(key in one for one in counts.values()):
                lines.append([who, words, *(str(one.get(key, 0)) for one in counts.values())])
        lines.append([who, "together", *(str(sum(one.values())) for one in counts.values())])
    return arms.markdown_table(lines)


def _lists(measured: Results) -> str:
    lines = [["answers in the list", "without a bound", f"at most {MAX_FURTHER_TOKENS} further tokens"]]
    for size, shares in measured["lists"].items():
        lines.append([size, f"{shares['unbounded']:.1%}", f"{shares['bounded']:.1%}"])
    return arms.markdown_table(lines)


def main() -> None:
    """Measure if data is given, print the tables, and write them if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="directory with traces/ and qa/; absent: use the results there are")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, nargs="?", const=arms.ROOT / "docs", help="write the page's blocks")
    options = parser.parse_args()
    if options.data:
        options.out.write_text(json.dumps({"made": arms.made_now(), **measure(options.data)}, indent=1) + "\n")
    elif not options.out.exists():
        parser.error(f"{options.out} does not exist; give --data DIR")
    for name, text in tables(arms.read_results(options.out)).items():
        print(text)
        if options.docs:
            arms.replace_block(options.docs / PAGE, name, text)


if __name__ == "__main__":
    main()
