"""The commands with judges, as their users type them: what goes wrong is one clear line, and nothing is paid for it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from graders.service import services
from graders.service.settings import Settings, read_settings
from graders.testing.scripted_judge import Reaction, Request, ScriptedJudge, error, verdict
from rft_loop.cli import main

ROOT = Path(__file__).parent.parent
LETTERS = ROOT / "examples" / "letters"
KEY = "sk-planted-0123456789abcdef"
QUALITY: dict[str, Any] = {
    "type": "score_model",
    "name": "quality",
    "model": "gpt-4o",
    "input": [{"role": "user", "content": "{{item.q}}: {{sample.output_text}}"}],
    "sampling_params": {"max_completions_tokens": 100},
}
IMAGE = {"type": "input_image", "image_url": "https://example.com/a.png"}
ASKS = {"role": "user", "content": ["{{sample.output_text}}", IMAGE]}
PRICES = {"gpt-4o": {"input": 2.0, "output": 10.0}}
DOLLARS = (100 * 2 + 20 * 10) / 1e6  # of a call of the scripted judge


class Done(NamedTuple):
    code: int
    out: str
    err: str


Assay = Callable[..., Done]


@pytest.fixture
def assay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Assay:
    """Runs a command in the test's folder, and gives its exit code and what it said."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ASSAY_JUDGES", "ASSAY_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(services, "_current", None)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["assay", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return Done(end.value.code if isinstance(end.value.code, int) else 0, told.out, told.err)

    return run


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[ScriptedJudge]:
    with ScriptedJudge(lambda request: verdict(0.5)) as server:
        write_judges(tmp_path, server.url)
        write_rows(tmp_path / "data.jsonl", 12)
        (tmp_path / "quality.json").write_text(json.dumps(QUALITY))
        yield server


def write_judges(folder: Path, url: str, prices: Any = PRICES, **service: Any) -> Path:
    wire = {
        "services": {"local": {"base_url": url, "retries": 0, **service}},
        "models": {"*": {"service": "local"}},
        "prices": prices,
    }
    (folder / "judges.yaml").write_text(yaml.safe_dump(wire))
    return folder / "judges.yaml"


def write_rows(path: Path, count: int) -> None:
    rows = [{"id": f"r{n}", "item": {"q": f"question {n}"}, "output_text": f"answer {n}"} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


GRADE = ("grade", "quality.json", "data.jsonl", "-o", "out.jsonl", "--judges", "judges.yaml")


# Wrong input


@pytest.mark.parametrize(
    ("grader", "judges", "more", "said"),
    [
        ({}, None, (), "no key for https://api.openai.com/v1: the environment variable OPENAI_API_KEY is not set"),
        ({}, {"services": {"x": {"base_url": "htp://there"}}}, (), "the address must begin with https:// or http://"),
        ({}, {"services": {"x": {"base_url": "http://a b"}}}, (), "not a web address: it needs a host and no spaces"),
        ({}, {"models": {"gpt-4o": {"service": "locl"}}}, (), "models.gpt-4o: no service 'locl'; "),
        ({}, {"services": {"x": {"api_key": KEY}}}, (), "unknown key 'api_key'; did you mean 'api_key_env'?"),
        ({}, "services: [", (), "not YAML"),
        ({}, "- a", (), "a file of judges is an object with services, models and prices, not ['a']"),
        ({}, "missing", (), "no file of judges 'judges.yaml'"),
        ({"input": [{"role": "user", "content": "{{item.qq}}"}]}, {}, (), "{{ item.qq }} is in no item: item has no"),
        ({"range": [1, 0]}, {}, (), "the lowest score must be less than the highest, and 1 >= 0"),
        ({}, {"prices": {}}, ("--budget", "5"), "a budget needs the price of 'gpt-4o'; write prices: {gpt-4o: "),
        ({"sampling_params": None}, {}, ("--budget", "5"), "a budget needs a bound on the answers of 'gpt-4o'"),
        ({}, {}, ("--budget", "0"), "--budget 0: a budget is a number of dollars above 0"),
        ({}, {}, ("--budget", "-1"), "--budget -1: a budget is a number of dollars above 0"),
        ({}, {}, ("--budget", "nan"), "--budget nan: a budget is a number of dollars above 0"),
        ({}, {}, ("--budget", "inf"), "--budget inf: a budget is a number of dollars above 0"),
        ({}, {"prices": {"gpt-4o": {"input": -1, "output": 1}}}, (), "prices.gpt-4o.input: "),
    ],
)
def test_what_can_be_known_before_is_refused_before_anything_is_sent(
    grader: Any, judges: Any, more: tuple[str, ...], said: str, judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    (tmp_path / "quality.json").write_text(json.dumps({**QUALITY, **grader}))
    arguments: tuple[str, ...] = GRADE
    if judges is None:
        arguments = GRADE[:-2]
    elif judges == "missing":
        (tmp_path / "judges.yaml").unlink()
    elif isinstance(judges, str):
        (tmp_path / "judges.yaml").write_text(judges)
    else:
        wire = yaml.safe_load((tmp_path / "judges.yaml").read_text())
        (tmp_path / "judges.yaml").write_text(yaml.safe_dump({**wire, **judges}))
    done = assay(*arguments, *more)
    assert done.code == 2, done
    assert said in done.err
    assert done.err.count("\n") == 1, "one line"
    assert KEY not in done.err
    assert judge.requests == []
    assert not list(tmp_path.glob("out.jsonl*"))


@pytest.mark.parametrize(
    ("reaction", "said"),
    [
        (error(404, "The model `gpt-4o` does not exist", "model_not_found"), "HTTP 404: 'The model `gpt-4o` does not"),
        (error(401, f"Incorrect API key provided: {KEY}"), "HTTP 401: 'Incorrect API key provided: <key>'"),
        (error(403, "this project may not"), "HTTP 403: 'this project may not'"),
        (
            error(400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported"),
            "set structured_output: json_object, or none, for this service in the file of judges",
        ),
        (error(400, "image input is not supported by this model"), "image input is not supported by this model"),
        (error(429, "You exceeded your quota", "insufficient_quota"), "You exceeded your quota"),
    ],
)
def test_what_the_server_refuses_of_every_row_ends_the_run_in_its_words(
    reaction: Reaction, said: str, judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    judge.script = lambda request: reaction
    (tmp_path / "quality.json").write_text(json.dumps({**QUALITY, "input": [ASKS]}))
    done = assay(*GRADE)
    assert done.code == 4, done
    assert said in done.err
    assert "Nothing was graded" in done.err
    assert done.err.count("\n") == 1
    assert KEY not in done.err
    assert not list(tmp_path.glob("out.jsonl*"))


def test_an_address_at_which_nothing_listens_ends_the_run(judge: ScriptedJudge, assay: Assay, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    write_judges(tmp_path, url, give_up_after=0.001)
    done = assay(*GRADE)
    assert done.code == 4, done
    assert url in done.err
    assert done.err.count("\n") == 1


def test_the_grades_need_a_place(judge: ScriptedJudge, assay: Assay) -> None:
    done = assay("grade", "quality.json", "data.jsonl", "--judges", "judges.yaml")
    assert (done.code, done.err) == (
        2,
        "assay: no place for the grades; name it with -o OUT, or tell only the price with --dry-run\n",
    )


def test_the_file_of_judges_is_not_overwritten(judge: ScriptedJudge, assay: Assay) -> None:
    done = assay(*GRADE, "--summary", "judges.yaml")
    assert done.code == 2
    assert "judges.yaml is read by this command" in done.err
    assert judge.requests == []


# assay grade


def test_the_summary_tells_usage_cost_and_the_correlation_with_length(
    judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    judge.script = lambda request: verdict(0.9 if re.search(r"answer \d\d", request.last) else 0.1)
    done = assay(*GRADE, "--summary", "summary.json")
    assert done.code == 0, done
    assert "  judge gpt-4o: 12 calls, 1,200 prompt + 240 completion tokens, $0.0048\n" in done.out
    assert "  score and length r = 1.00 [1.00, 1.00]\n" in done.out
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["usage"]["gpt-4o"]["dollars"] == told["dollars"] == pytest.approx(12 * DOLLARS)
    assert told["score_and_length"]["n"] == 12


def test_the_environment_names_the_file_of_judges_where_no_option_does(
    judge: ScriptedJudge, assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_JUDGES", "judges.yaml")
    assert assay(*GRADE[:-2]).code == 0
    assert len(judge.requests) == 12


def test_past_the_budget_the_run_stops_and_a_larger_one_goes_on(
    judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    small = (*GRADE, "--concurrency", "1", "--budget", str(8 * DOLLARS))
    first = assay(*small)
    assert first.code == 4, first
    assert first.err.startswith("assay: the budget of $0.0032 would be passed: ")
    assert "What was graded is kept in out.jsonl.partial; the same command goes on from there" in first.err
    paid = len(judge.requests)
    assert 0 < paid == len(lines(tmp_path / "out.jsonl.partial")) <= 8
    assert assay(*small).code == 4
    assert len(judge.requests) == paid, "what is recorded counts toward the budget"
    last = assay(*GRADE, "--budget", "1")
    assert last.code == 0, last
    assert len(judge.requests) == len(lines(tmp_path / "out.jsonl")) == 12
    assert "12 calls" in last.out


def test_a_dry_run_tells_the_price_and_leaves_everything_as_it_is(
    judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    (tmp_path / "out.jsonl").write_text("of an earlier run\n")
    done = assay(*GRADE, "--dry-run", "--budget", "0.001", "--cache", "cache", "--summary", "price.json")
    assert done.code == 0, done
    assert done.out.startswith("dry run: 12 rows to grade, 0 of them without a judge; nothing was asked")
    assert "judge gpt-4o: 12 calls, about " in done.out
    assert "more than --budget 0.001 allows" in done.out
    assert json.loads((tmp_path / "price.json").read_text())["estimate"]["gpt-4o"]["calls"] == 12
    assert (tmp_path / "out.jsonl").read_text() == "of an earlier run\n"
    assert not (tmp_path / "cache").exists()
    assert judge.requests == []


def test_a_dry_run_needs_no_key_and_no_place(assay: Assay, judge: ScriptedJudge) -> None:
    done = assay("grade", "quality.json", "data.jsonl", "--dry-run")
    assert done.code == 0, done
    assert "12 calls" in done.out
    assert "no price known" in done.out


def test_the_cache_holds_the_answers_too_and_another_file_of_the_same_questions_is_free(
    judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    assay(*GRADE, "--cache", "cache")
    loud = {**QUALITY, "pass_threshold": 0.4}  # another grader hash, so that no grade is taken over
    (tmp_path / "quality.json").write_text(json.dumps(loud))
    done = assay("grade", "quality.json", "data.jsonl", "-o", "b.jsonl", "--judges", "judges.yaml", "--cache", "cache")
    assert (tmp_path / "cache" / "answers.sqlite").is_file()
    (tmp_path / "quality.json").write_text(json.dumps(QUALITY))
    again = assay("grade", "quality.json", "data.jsonl", "-o", "c.jsonl", "--judges", "judges.yaml", "--cache", "cache")
    assert done.code == again.code == 0
    assert "12 of 12 grades were in the cache" in again.out
    assert "judge gpt-4o: 0 calls, 12 kept, 0 prompt + 0 completion tokens, $0.00" in again.out
    assert len(judge.requests) == 24


def test_a_dry_run_with_a_budget_asks_for_what_the_real_command_would(
    judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    write_judges(tmp_path, judge.url, prices={})
    check = ("check", "quality.json", "data.jsonl", "--no-gold", "--judges", "judges.yaml")
    for command in (GRADE, check):
        real, dry = assay(*command, "--budget", "1"), assay(*command, "--budget", "1", "--dry-run")
        assert (real.code, dry.code) == (2, 2), (real, dry)
        assert real.err == dry.err
        assert "a budget needs the price of 'gpt-4o'" in dry.err
        assert assay(*command, "--dry-run").code == 0
    assert judge.requests == []


def test_recorded_grades_of_another_grader_are_told_of_and_kept(
    judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    assert assay(*GRADE, "--budget", str(12 * DOLLARS), "--concurrency", "1").code == 4
    recorded = (tmp_path / "out.jsonl.partial").read_bytes()
    paid = len(judge.requests)
    (tmp_path / "quality.json").write_text(json.dumps({**QUALITY, "pass_threshold": 0.4}))
    done = assay(*GRADE, "--budget", "1")
    assert done.code == 0, done
    assert done.err == (
        f"assay: {paid} recorded grades are of another grader or of other rows and are made anew; what was recorded is "
        "kept in out.jsonl.partial.old\n"
    )
    assert (tmp_path / "out.jsonl.partial.old").read_bytes() == recorded
    assert not (tmp_path / "out.jsonl.partial.spent").exists()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_what_was_spent_is_known_after_an_end_of_any_kind(end: signal.Signals, tmp_path: Path) -> None:
    def script(request: Request) -> Reaction:
        return verdict(0.5, seconds=30.0 if "answer 0" in request.last else 0.01)

    with ScriptedJudge(script) as server:
        write_judges(tmp_path, server.url)
        write_rows(tmp_path / "data.jsonl", 40)
        (tmp_path / "quality.json").write_text(json.dumps(QUALITY))
        command = [str(Path(sys.executable).with_name("assay")), *GRADE, "--concurrency", "4", "--budget", "1"]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        spent, until = tmp_path / "out.jsonl.partial.spent", time.monotonic() + 60
        while len(server.requests) < 16 and time.monotonic() < until:  # as far as reading runs ahead of the first
            time.sleep(0.02)
        while not spent.is_file() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.5)  # for the answers to arrive
        process.send_signal(end)
        process.communicate(timeout=60)
        stored = json.loads(spent.read_text())
        (usage,) = stored["usage"].values()
        assert 0 < usage["gpt-4o"]["calls"] <= 15
        assert usage["gpt-4o"]["calls"] == 15 or end == signal.SIGKILL
        assert stored["lost"]["dollars"] > 0, "of the call under way, which may be charged"


def test_ctrl_c_keeps_what_was_graded(tmp_path: Path) -> None:
    def slow(request: Request) -> Reaction:
        return verdict(0.5, seconds=0.05 if len(server.requests) < 20 else 1.0)

    with ScriptedJudge(slow) as server:
        write_judges(tmp_path, server.url)
        write_rows(tmp_path / "data.jsonl", 40)
        (tmp_path / "quality.json").write_text(json.dumps(QUALITY))
        command = [str(Path(sys.executable).with_name("assay")), *GRADE, "--concurrency", "4"]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        partial, end = tmp_path / "out.jsonl.partial", time.monotonic() + 60
        while (not partial.exists() or len(lines_so_far(partial)) < 8) and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert err == (
            "assay: interrupted. What was graded is kept in out.jsonl.partial; the same command goes on from there\n"
        )
        recorded = [line["id"] for line in lines(partial)]
        assert len(recorded) >= 8
        server.script = lambda request: verdict(0.5)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        times = {raw: count for raw, count in server.times.items() if count > 1}
        assert not any(f"answer {name[1:]}\\n".encode() in raw for raw in times for name in recorded)
    assert len(lines(tmp_path / "out.jsonl")) == 40


def lines_so_far(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def test_the_key_is_nowhere(
    judge: ScriptedJudge, assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    write_judges(tmp_path, judge.url, api_key_env="JUDGE_KEY")
    judge.script = lambda request: (
        error(400, f"no, {request.headers['authorization']}") if "answer 5" in request.last else verdict(0.5)
    )
    done = assay(*GRADE, "--cache", "cache", "--summary", "summary.json", "--max-error-rate", "1", "--concurrency", "1")
    assert done.code == 0, done
    assert judge.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in done.out + done.err
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


# assay check, eval and train


def test_check_is_priced(judge: ScriptedJudge, assay: Assay, tmp_path: Path) -> None:
    rows = [{"q": f"question {n}", "right": "FBN1"} for n in range(2)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ("check", "quality.json", "items.jsonl", "--gold", "right", "--judges", "judges.yaml")
    dry = assay(*given, "--dry-run", "--json")
    assert dry.code == 0, dry
    estimate = json.loads(dry.out)["usage"]["gpt-4o"]
    assert judge.requests == []
    done = assay(*given, "--json")
    told = json.loads(done.out)
    assert told["usage"]["gpt-4o"]["calls"] == len(judge.requests) > 2
    assert len(judge.requests) <= estimate["calls"], "what several rows ask at once is asked once"
    assert told["dollars"] == pytest.approx(len(judge.requests) * DOLLARS)
    assert f"judge gpt-4o: {len(judge.requests)} calls" in assay(*given).out
    few = assay(*given, "--budget", "0.000001")
    assert few.code == 4, few
    assert "the budget of $0.0000010 would be passed" in few.err


LETTER: dict[str, Any] = {
    "type": "score_model",
    "name": "last_letter",
    "model": "gpt-4o",
    "input": [{"role": "user", "content": "{{item.last}}: {{sample.output_text}}"}],
    "sampling_params": {"max_completions_tokens": 100},
    "substance": False,
}
SMALL = ("steps=3", "items_per_step=4", "group_size=4", "eval_every=3", "save_every=1", "max_error_rate=1")


@pytest.fixture
def training(judge: ScriptedJudge, tmp_path: Path) -> tuple[str, ...]:
    judge.script = right_letter
    (tmp_path / "letter.json").write_text(json.dumps(LETTER))
    given = (*SMALL, f"runs={tmp_path / 'runs'}", "grader=letter.json", "judges=judges.yaml")
    return "train", str(LETTERS / "recipe.yaml"), *(part for one in given for part in ("-s", one))


def right_letter(request: Request) -> Reaction:
    digest = sum(request.raw) % 10
    return verdict(digest / 10)


def test_a_run_that_passes_its_budget_stops_and_goes_on_with_another(
    training: tuple[str, ...], judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "letters"
    first = assay(*training, "-s", "budget=0.02", "-s", "grader_concurrency=1")
    assert first.code == 4, first
    assert first.err.startswith("assay: the budget of $0.0200 would be passed: ")
    assert first.err.endswith(f"Go on with: assay train --resume {run}; -s budget=... gives it another budget\n")
    assert (run / "report.html").is_file()
    asked = len(judge.requests)
    spent = json.loads((run / "judges" / "spent.json").read_text())["usage"]
    assert [usage["gpt-4o"]["calls"] for usage in spent.values()] == [asked]
    again = assay("train", "--resume", run)
    assert again.code == 4, again
    assert len(judge.requests) == asked, "what was spent before counts, and is not spent again"
    done = assay("train", "--resume", run, "-s", "budget=1")
    assert done.code == 0, done
    assert max(judge.times.values()) == 1, "no question was asked twice"
    assert json.loads((run / "recipe.json").read_text())["budget"] == 1
    summary = json.loads((run / "summary.json").read_text())
    assert summary["usage"]["gpt-4o"]["calls"] == len(judge.requests)
    assert summary["dollars"] == pytest.approx(len(judge.requests) * DOLLARS)
    assert summary["models"] == ["gpt-4o json_schema"]
    assert f"judge gpt-4o: {len(judge.requests)} calls" in done.out
    events = lines(run / "events.jsonl")
    assert {event["models"][0] for event in events if event["event"] == "start"} == {"gpt-4o json_schema"}
    steps = [event for event in events if event["event"] == "step"]
    assert {"judge/calls", "judge/kept", "judge/prompt_tokens", "judge/dollars_so_far"} <= steps[-1].keys()


def test_what_a_recipe_file_does_not_say_stays_as_the_run_was_started_with(
    training: tuple[str, ...], judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "letters"
    assert assay(*training, "-s", "budget=0.02", "-s", "grader_concurrency=1").code == 4
    asked = len(judge.requests)
    given = (*SMALL, "grader=letter.json", "grader_concurrency=1")
    again = assay("train", "--resume", run, training[1], *(part for one in given for part in ("-s", one)))
    assert again.code == 4, again
    stored = json.loads((run / "recipe.json").read_text())
    assert (stored["budget"], stored["judges"]) == (0.02, str(tmp_path / "judges.yaml"))
    assert len(judge.requests) == asked
    free = assay("train", "--resume", run, *training[1:], "-s", "budget=null", "-s", "grader_concurrency=1")
    assert free.code == 0, free
    assert json.loads((run / "recipe.json").read_text())["budget"] is None


def test_what_a_run_lost_counts_toward_its_budget_when_it_goes_on(
    training: tuple[str, ...], judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    def silent(request: Request) -> Reaction:
        reaction = right_letter(request)
        wire = json.loads(reaction.body)
        del wire["usage"]
        return replace(reaction, body=json.dumps(wire).encode())

    judge.script = silent
    run = tmp_path / "runs" / "letters"
    first = assay(*training, "-s", "budget=0.02", "-s", "grader_concurrency=4")
    assert first.code == 4, first
    assert "whose usage was not told" in first.err
    asked = len(judge.requests)
    lost = json.loads((run / "judges" / "spent.json").read_text())["lost"]
    assert 0 < lost["dollars"] <= 0.02
    assert lost["calls"] == lost["untold"] == asked
    assert assay("train", "--resume", run).code == 4
    assert len(judge.requests) == asked


def test_eval_takes_the_judges_of_the_run_and_is_priced(
    training: tuple[str, ...], judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "letters"
    assert assay(*training, "-s", "steps=1").code == 0
    asked = len(judge.requests)
    done = assay("eval", run, "--data", LETTERS / "validation.jsonl", "--budget", "1", "--summary", "s.json")
    assert done.code == 0, done
    calls = len(judge.requests) - asked
    assert f"judge gpt-4o: {calls} call" in done.out
    assert json.loads((tmp_path / "s.json").read_text())["dollars"] == pytest.approx(calls * DOLLARS)
    few = assay("eval", run, "--data", LETTERS / "validation.jsonl", "--budget", "0.000001", "-o", "o.jsonl")
    assert few.code == 4, few
    assert "The outputs are kept in o.jsonl: assay grade GRADER o.jsonl -o GRADES grades them" in few.err
    assert len(lines(tmp_path / "o.jsonl")) == len(lines(LETTERS / "validation.jsonl"))


def test_a_run_whose_judge_cannot_be_asked_leaves_nothing_behind(
    training: tuple[str, ...], judge: ScriptedJudge, assay: Assay, tmp_path: Path
) -> None:
    wire = yaml.safe_load((tmp_path / "judges.yaml").read_text())
    (tmp_path / "judges.yaml").write_text(yaml.safe_dump({**wire, "prices": {}}))
    done = assay(*training, "-s", "budget=1")
    assert done.code == 2, done
    assert "a budget needs the price of 'gpt-4o'" in done.err
    assert not (tmp_path / "runs" / "letters").exists()
    assert judge.requests == []


# The page


def test_the_page_of_judges_shows_files_that_are_read_and_names_every_key(tmp_path: Path) -> None:
    from graders.service.settings import Model, Price, Service

    page = (ROOT / "docs" / "judges.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert shown
    for number, text in enumerate(shown):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text, encoding="utf-8")
        assert isinstance(read_settings(file), Settings)
    for options in (Settings, Service, Model, Price):
        for key in options.model_fields:
            assert f"`{key}`" in page, key


def test_the_page_of_judges_says_the_defaults_there_are() -> None:
    from graders.service.settings import Service

    page = (ROOT / "docs" / "judges.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", page.split("### A ")[1], re.MULTILINE))
    for name, field in Service.model_fields.items():
        default = (
            "" if field.default is None else f"{field.default:g}" if isinstance(field.default, float) else field.default
        )
        assert rows[name].strip().strip("`") == str(default), name


def test_the_python_of_the_page_of_judges_prints_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "judges.md").read_text(encoding="utf-8")
    found = re.search(r"^```python\n(.*?)^```\n\n```output\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    (tmp_path / "snippet.py").write_text(found[1], encoding="utf-8")
    command = [sys.executable, "snippet.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, found[2]), done.stderr
