"""`rekindle eval` as a user types it, with the embedded policy."""

import json
import re
import signal

import pytest

from dying import JOURNAL_LINE, signalled
from embedded import EXAMPLE, QUICK
from rekindle.cli import main
from rekindle.tasks.spell_backward import Split, split_of

SETTINGS = [part for key in QUICK for part in ("--set", key)]
RESULTS = ("results.json", "table.md", "transcripts.jsonl")


def words(count, length):
    """Held-out words, reversed by nobody yet."""
    found = (
        f"{a}{e}{b}{o}"[:length] for a in "bdfgklmnprstvz" for b in "bdgklmnprstvz" for e in "aeiou" for o in "aeiou"
    )
    return [word for word in dict.fromkeys(found) if split_of(word) is Split.HELD_OUT][:count]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two question sets in formats of the field."""
    place = tmp_path_factory.mktemp("sets")
    short = [{"question": f"{word}>", "golden_answers": [word[::-1]]} for word in words(20, 3)]
    (place / "short.jsonl").write_text("".join(json.dumps(row) + "\n" for row in short))
    rows = [{"Question": f"{word}>", "Answer": word[::-1], "level": word[0]} for word in words(150, 4)]
    (place / "long.json").write_text(json.dumps(rows))
    return place


def command(sets, *more):
    given = ["--questions", f"short={sets / 'short.jsonl'}", "--questions", f"long={sets / 'long.json'}"]
    return ["eval", str(EXAMPLE), *SETTINGS, *given, "--samples", "4", "--k", "1,4", *map(str, more)]


def content(out):
    return {name: (out / name).read_bytes() for name in RESULTS}


@pytest.fixture(scope="module")
def made(sets, tmp_path_factory):
    out = tmp_path_factory.mktemp("eval") / "out"
    assert main(command(sets, "--out", out)) == 0
    return out


def test_sets_tables_and_files(made, sets, tmp_path, capsys):
    copies = [tmp_path / name for name in RESULTS]
    given = zip(("--json", "--markdown", "--transcripts"), copies, strict=True)
    assert main(command(sets, *(part for pair in given for part in pair))) == 0
    assert {path.name: path.read_bytes() for path in copies} == content(made), "with --out or without"
    message = capsys.readouterr()
    lines = message.out.splitlines()
    assert not [line for line in lines if line.startswith("pass@")]
    assert [line.split()[0] for line in lines if not re.match(r"long: \w", line)] == [
        "set",
        "short",
        "long",
        "average",
        "all",
    ]
    assert "170 questions, 4 rollouts each, temperature 1" in message.err
    assert "170 of 170 questions" in message.err
    value = json.loads(copies[0].read_text())
    assert value["sets"]["short"]["pass_at"]["1"] > 0.3
    assert value["average_over_sets"]["pass_at"]["4"] == pytest.approx(
        (value["sets"]["short"]["pass_at"]["4"] + value["sets"]["long"]["pass_at"]["4"]) / 2
    )
    rewards = [reward for prompt in value["prompts"] for reward in prompt["rewards"]]
    assert sum(rewards) / len(rewards) == pytest.approx(value["pass_at"]["1"])
    assert len(copies[2].read_text().splitlines()) == 170 * 4


def test_without_sets_the_held_out_prompts_are_played(tmp_path, capsys):
    results = tmp_path / "results.json"
    plain = ["eval", str(EXAMPLE), *SETTINGS, "--samples", "4", "--k", "1,4", "--json", str(results)]
    assert main(plain) == 0
    message = capsys.readouterr()
    assert "16 held-out prompts, 4 rollouts each, temperature 1" in message.err
    value = json.loads(results.read_text())
    for k in (1, 4):
        line = f"pass@{k}  {value['pass_at'][str(k)]:.4f}  +- {value['standard_error'][str(k)]:.4f}"
        assert line in message.out.splitlines()
    assert list(value["sets"]) == ["held-out"]
    assert main([*plain, "--seed", "1"]) == 0
    assert json.loads(results.read_text())["prompts"] != value["prompts"], "--seed throws the dice anew"


def test_questions_that_cannot_be_played_count_as_never_solved_and_are_told(tmp_path, capsys):
    path, results = tmp_path / "s.tsv", tmp_path / "r.json"
    path.write_text(f"question\tanswer\nbo>\tob\n{'a' * 200}>\ta\n")
    assert main(["eval", str(EXAMPLE), *SETTINGS, "--questions", f"s={path}", "--json", str(results)]) == 0
    assert "1 prompts could not be played and count as never solved" in capsys.readouterr().err
    value = json.loads(results.read_text())
    assert value["void"] == 1
    assert [one["void"] for one in value["prompts"]] == [False, True]
    assert value["pass_at"]["1"] == pytest.approx(value["prompts"][0]["correct"] / 8 / 2)


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_and_is_the_same(made, sets, tmp_path):
    arguments = command(sets, "--out", tmp_path / "out")
    signalled(arguments, JOURNAL_LINE, 150)
    assert not (tmp_path / "out" / "results.json").exists()
    kept = (tmp_path / "out" / "journal.jsonl").read_bytes().count(b"\n")
    assert 1 < kept < 171, "some questions were played, and not all"
    assert main(arguments) == 0
    assert content(tmp_path / "out") == content(made)


@pytest.mark.slow
def test_an_interrupted_evaluation_says_how_to_go_on(sets, tmp_path):
    arguments = command(sets, "--out", tmp_path / "out")
    done = signalled(arguments, JOURNAL_LINE, 20, signal.SIGINT)
    assert done.returncode == 130
    assert (
        done.stderr.splitlines()[-1] == "rekindle: interrupted during the evaluation; to continue, repeat the command"
    )
    assert not (tmp_path / "out" / "results.json").exists()


def test_repeating_a_finished_evaluation_plays_nothing(made, sets, capsys):
    before, journal = content(made), (made / "journal.jsonl").read_bytes()
    assert main(command(sets, "--out", made)) == 0
    assert content(made) == before
    assert (made / "journal.jsonl").read_bytes() == journal
    assert "average over sets" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param(["--samples", "5"], "another samples;", marks=pytest.mark.slow),
        (["--temperature", "0.5", "--top-p", "0.9"], "another top_p, temperature;"),
        pytest.param(["--set", "task.binary_rewards=false"], "another task.binary_rewards;", marks=pytest.mark.slow),
        (["--set", "warm_start.seed=1", "--set", "warm_start.steps=1"], "another model;"),
    ],
)
def test_a_journal_of_something_else_is_refused(made, sets, more, message, capsys):
    before = content(made)
    assert main(command(sets, "--out", made, *more)) == 2
    error = capsys.readouterr().err
    assert f"holds an evaluation with {message}" in error
    assert "Traceback" not in error
    assert content(made) == before


def test_sampling_settings_reach_the_policy(sets, tmp_path, capsys):
    def evaluated(*more):
        assert main([*command(sets, "--json", tmp_path / "r.json", *more), "--samples", "2", "--k", "1"]) == 0
        return json.loads((tmp_path / "r.json").read_text())

    greedy = evaluated("--temperature", "0")
    assert all(one["answers"][0] == one["answers"][1] for one in greedy["prompts"])
    assert greedy["run_error"] == 0.0
    for narrow in (["--top-p", "0.0001"], ["--min-p", "0.9999"]):
        assert [one["answers"] for one in evaluated(*narrow)["prompts"]] == [
            one["answers"] for one in greedy["prompts"]
        ]
    assert "does not fit" not in capsys.readouterr().err
    evaluated("--max-new-tokens", "128")
    assert "--max-new-tokens 128 does not fit the model's context of 128 tokens" in capsys.readouterr().err
    short = evaluated("--max-new-tokens", "2")
    assert short["settings"]["max_new_tokens"] == 2
    assert short["truncated"] > 0.9
    assert all(len(text) <= 2 for one in short["prompts"] for text in one["answers"])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A directory with the start policy, to write a generation configuration into."""
    run = tmp_path_factory.mktemp("run")
    assert main(["train", str(EXAMPLE), *SETTINGS, "--set", "train.steps=1", "--out", str(run / "run")]) == 0
    return next((run / "run" / "checkpoints").iterdir()) / "model"


@pytest.mark.parametrize(
    ("written", "more", "expected"),
    [
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.9}, [], (0.6, 0.9, 0.0)),
        ({"temperature": 0.6, "min_p": 0.1, "top_k": None, "num_beams": 1}, [], (0.6, 1.0, 0.1)),
        (
            {"do_sample": True, "temperature": 0.6, "top_p": 0.9},
            ["--temperature", "1", "--top-p", "0.8"],
            (1.0, 0.8, 0.0),
        ),
        ({"do_sample": False, "temperature": 0.6, "top_k": 20}, [], (0.0, 1.0, 0.0)),
    ],
)
def test_the_sampling_settings_of_a_model(written, more, expected, model, tmp_path):
    (model / "generation_config.json").write_text(json.dumps(written))
    results = tmp_path / "r.json"
    chosen = ["--checkpoint", str(model), "--sampling", "model", "--samples", "1", "--json", str(results), *more]
    assert main(["eval", str(EXAMPLE), *SETTINGS, *chosen]) == 0
    found = json.loads(results.read_text())["settings"]
    assert (found["temperature"], found["top_p"], found["min_p"]) == expected


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('{"do_sample": true, "top_k": 20, "repetition_penalty": 1.1}', "top_k = 20 and repetition_penalty = 1.1"),
        ('{"eos_token_id": 3}', "says nothing of sampling; give --temperature"),
        ('{"temperature": -1}', "temperature = -1 is out of bounds; give --temperature"),
        ('{"top_p": "high"}', "top_p = 'high' is out of bounds; give --top-p"),
        ("{", "is not valid JSON; give --temperature"),
        (None, "cannot be read (No such file or directory); give --temperature"),
    ],
)
def test_settings_that_a_model_cannot_have_here(written, message, model, capsys):
    (model / "generation_config.json").unlink(missing_ok=True)
    if written:
        (model / "generation_config.json").write_text(written)
    assert main(["eval", str(EXAMPLE), *SETTINGS, "--checkpoint", str(model), "--sampling", "model"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"rekindle: {model / 'generation_config.json'}")
    assert message in last


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--questions", "nq"], "--questions nq: expected NAME=FILE"),
        (["--questions", "=x"], "expected NAME=FILE"),
        (["--questions", "a=no.jsonl"], "there is no file no.jsonl"),
        (["--questions", "a=x", "--questions", "a=y"], "another set of this name"),
        (["--top-p", "0"], "--top-p 0 must be above 0 and at most 1"),
        (["--min-p", "1"], "--min-p 1 must be at least 0 and below 1"),
        (["--max-new-tokens", "0"], "--max-new-tokens 0 leaves no room"),
        (["--temperature", "nan"], "--temperature nan must be a number of at least 0"),
        (["--samples", "0"], "every k must be between 1 and the number of samples"),
        (["--json", "nowhere/r.json"], "nowhere/r.json cannot be written"),
        (["--markdown", "."], ". cannot be written; give a file"),
    ],
)
def test_bad_use_is_one_sentence(more, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["eval", str(EXAMPLE), *SETTINGS, *more]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_bad_rows_are_named_before_a_model_is_loaded(tmp_path, capsys):
    path = tmp_path / "s.jsonl"
    path.write_text('{"question": "a>", "answer": "a"}\n{"question": "b>"}\n')
    assert main(["eval", str(EXAMPLE), *SETTINGS, "--questions", f"s={path}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"rekindle: {path}:2: there is no")
    assert len(error.splitlines()) == 1
