"""The commands as their users type them, each in a process of its own; test_readme.py starts the script itself."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LETTERS = ROOT / "examples" / "letters"
EXACT = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "operation": "eq",
}


Command = Callable[..., subprocess.CompletedProcess[str]]


def write_lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def exact(tmp_path: Path) -> Path:
    path = tmp_path / "exact.json"
    path.write_text(json.dumps(EXACT))
    return path


def test_grade_writes_one_line_a_row_in_the_promised_form(assay: Command, exact: Path, tmp_path: Path) -> None:
    data = write_lines(
        tmp_path / "data.jsonl",
        {"id": "a", "item": {"gene": "FBN1"}, "sample": {"output_text": "FBN1"}},
        {"item": {"gene": "FBN1"}, "output_text": "TGFBR2"},
        {"id": 7, "item": {"gen": "FBN1"}, "output_text": "FBN1"},
    )
    done = assay("grade", exact, data, "-o", tmp_path / "out.jsonl", "--max-error-rate", "0.5")
    assert done.returncode == 0, done.stderr
    assert "n 3" in done.stdout
    assert "mean 0.5000" in done.stdout
    assert "invalid_variable_error 1" in done.stdout
    right, wrong, broken = read_lines(tmp_path / "out.jsonl")
    assert [row["id"] for row in (right, wrong, broken)] == ["a", "2", "7"]
    for row in (right, wrong, broken):
        assert {"id", "score", "status", "why", "error", "parts", "grader", "seconds"} <= set(row)
        assert row["grader"].startswith("exact@")
    assert (right["score"], wrong["score"], broken["score"]) == (1.0, 0.0, None)
    assert (right["status"], wrong["status"], broken["status"]) == ("scored", "scored", "error")
    assert set(broken["error"]) == {"kind", "fault", "detail"}
    assert broken["error"]["fault"] == "grader"
    assert "did you mean 'gen'" in broken["error"]["detail"]


def test_grade_exits_with_3_when_too_much_could_not_be_decided(assay: Command, exact: Path, tmp_path: Path) -> None:
    data = write_lines(
        tmp_path / "data.jsonl", {"item": {}, "output_text": "x"}, {"item": {"gene": "x"}, "output_text": "x"}
    )
    done = assay("grade", exact, data, "-o", tmp_path / "out.jsonl", "--max-error-rate", "0.49")
    assert done.returncode == 3
    assert "50.0%" in done.stderr
    assert len(read_lines(tmp_path / "out.jsonl")) == 2, "the grades are written all the same"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{broken", "not JSON"),
        ("[1]", "a JSON object is expected"),
        ({"sample": {"output_text": "x"}}, "'item' must be an object"),
        ({"item": {"gene": "x"}}, "no sample"),
        ({"item": {"gene": "x"}, "sample": {"output": "x"}}, "unknown sample key 'output'"),
        ({"item": {"gene": "x"}, "output_text": 3}, "no sample"),
    ],
)
def test_a_malformed_line_is_named_and_what_came_before_it_is_kept(
    assay: Command, exact: Path, tmp_path: Path, line: Any, complaint: str
) -> None:
    good = {"item": {"gene": "x"}, "output_text": "x"}
    data = write_lines(tmp_path / "data.jsonl", good, good, line, good)
    out = tmp_path / "out.jsonl"
    done = assay("grade", exact, data, "-o", out)
    assert done.returncode == 2
    assert f"{data}:3: " in done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
    kept = out.with_name("out.jsonl.partial").read_bytes()
    assert kept.count(b"\n") == 2
    write_lines(data, good, good, good, good)
    assert assay("grade", exact, data, "-o", out).returncode == 0
    assert out.read_bytes().startswith(kept), "the rows graded before were taken over"
    assert not list(tmp_path.glob("*.partial*"))


def test_grades_of_a_broken_run_are_taken_over_only_while_grader_and_row_are_the_same(
    assay: Command, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    judge = tmp_path / "judge.py"
    judge.write_text(f"def judge(sample, item):\n    open({str(calls)!r}, 'a').write('x')\n    return 1.0\n")
    good = {"item": {"gene": "x"}, "output_text": "x"}
    data = write_lines(tmp_path / "data.jsonl", good, {**good, "output_text": "y"}, "{broken")
    out = tmp_path / "out.jsonl"
    assay("grade", f"{judge}:judge", data, "-o", out)
    assert len(calls.read_text()) == 2
    write_lines(data, good, {**good, "output_text": "z"}, good)
    assert assay("grade", f"{judge}:judge", data, "-o", out).returncode == 0
    assert len(calls.read_text()) == 2 + 2, "the first row was taken over, the changed one and the new one graded"
    assert len(read_lines(out)) == 3


@pytest.mark.parametrize(
    ("grader", "complaint"),
    [
        ('{"type": "string_chek"}', "did you mean 'string_check'"),
        ('{"type": "string_check", "inputt": ""}', "did you mean 'input'"),
        ("{", "not JSON"),
        ("[]", "a grader is a JSON object"),
        ('{"name": "x"}', "needs a 'type'"),
        ('{"type": "string_check", "input": "{{itm.x}}", "reference": "", "operation": "eq"}', "'item' or 'sample'"),
    ],
)
def test_a_bad_grader_is_refused_in_one_line(assay: Command, tmp_path: Path, grader: str, complaint: str) -> None:
    (tmp_path / "grader.json").write_text(grader)
    data = write_lines(tmp_path / "data.jsonl", {"item": {}, "output_text": ""})
    done = assay("grade", tmp_path / "grader.json", data, "-o", tmp_path / "out.jsonl")
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("train", LETTERS / "recipe.yaml", "-s", "group_size=1"), "group_size=1: a group of one"),
        (("train", LETTERS / "recipe.yaml", "-s", "learning_rat=1"), "did you mean 'learning_rate'"),
        (("train", "nowhere.yaml"), "no recipe 'nowhere.yaml'"),
        (("train",), "give a recipe"),
        (("train", "--resume", "nowhere"), "is no run"),
        (
            ("eval", "nowhere/at/all", "--data", LETTERS / "train.jsonl", "--grader", LETTERS / "grader.json"),
            "nowhere/at/all",
        ),
        (("eval", LETTERS, "--data", LETTERS / "train.jsonl"), "name one with --grader"),
        (("report", "nowhere"), "nowhere"),
    ],
)
def test_what_a_user_can_mend_ends_in_one_line_and_exit_code_2(
    assay: Command, tmp_path: Path, arguments: tuple[object, ...], complaint: str
) -> None:
    done = assay(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def trained(assay: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    settings = [f"runs={runs}", "name=letters", "steps=30", "eval_every=10"]
    done = assay("train", LETTERS / "recipe.yaml", *(word for setting in settings for word in ("-s", setting)))
    assert done.returncode == 0, done.stderr
    return runs / "letters"


def test_training_leaves_the_whole_record(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"recipe.json", "events.jsonl", "samples", "checkpoints", "summary.json", "report.html"} <= names
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["validation_best"] > summary["validation_start"]


def test_eval_and_grade_say_the_same_of_the_same_outputs_to_the_last_digit(
    assay: Command, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "outputs.jsonl"
    evaluated = assay(
        "eval", trained, "--data", LETTERS / "validation.jsonl", "-o", out, "--summary", tmp_path / "eval.json"
    )
    assert evaluated.returncode == 0, evaluated.stderr
    graded = assay(
        "grade", LETTERS / "grader.json", out, "-o", tmp_path / "grades.jsonl", "--summary", tmp_path / "grade.json"
    )
    assert graded.returncode == 0, graded.stderr
    one, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("eval", "grade"))
    assert one == other
    assert one["n"] == 56
    assert one["mean"] == json.loads((trained / "summary.json").read_text())["validation_best"]


def test_eval_refuses_a_damaged_checkpoint_and_to_overwrite_its_data(
    assay: Command, trained: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "letters"
    shutil.copytree(trained, copy)
    best = json.loads((copy / "summary.json").read_text())["best_checkpoint"]
    content = bytearray((copy / best / "model.safetensors").read_bytes())
    content[-1] ^= 0x80
    (copy / best / "model.safetensors").write_bytes(content)
    data = tmp_path / "data.jsonl"
    shutil.copy(LETTERS / "validation.jsonl", data)
    for model in (copy, copy / best):
        done = assay("eval", model, "--data", data, "--grader", LETTERS / "grader.json")
        assert done.returncode == 2
        assert "broken checkpoint" in done.stderr
    done = assay("eval", trained, "--data", data, "-o", data)
    assert done.returncode == 2
    assert "is read by this command" in done.stderr
    assert data.read_bytes() == (LETTERS / "validation.jsonl").read_bytes()


def test_a_finished_run_name_is_not_overwritten(assay: Command, trained: Path) -> None:
    done = assay("train", LETTERS / "recipe.yaml", "-s", f"runs={trained.parent}", "-s", "name=letters")
    assert done.returncode == 2
    assert "holds a run already" in done.stderr


def test_resume_refuses_a_recipe_that_differs_and_says_where(assay: Command, trained: Path) -> None:
    done = assay("train", "--resume", trained, "-s", "learning_rate=1")
    assert done.returncode == 2
    assert "learning_rate was 0.003 and is now 1" in done.stderr


def test_a_broken_checkpoint_is_named_with_the_remedy(assay: Command, trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "letters"
    shutil.copytree(trained, copy)
    newest = copy / "checkpoints" / "step-30"
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    done = assay("train", "--resume", copy)
    assert done.returncode == 2
    assert f"broken checkpoint {newest}: model.safetensors is not what was written" in done.stderr
    assert "delete that folder" in done.stderr
    shutil.rmtree(newest)
    assert assay("train", "--resume", copy).returncode == 0


def test_a_recipe_mended_after_a_complaint_starts_under_the_same_name(assay: Command, tmp_path: Path) -> None:
    command = ["train", LETTERS / "recipe.yaml", "-s", f"runs={tmp_path}", "-s", "steps=1", "-s", "eval_every=1"]
    for _ in range(2):
        done = assay(*command, "-s", "validation=nowhere.jsonl")
        assert done.returncode == 2
        assert "validation=nowhere.jsonl: no such file" in done.stderr
    assert assay(*command).returncode == 0


def test_resuming_a_finished_run_changes_nothing(assay: Command, trained: Path) -> None:
    def record() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(trained.rglob("*")) if path.is_file()}

    before = record()
    done = assay("train", "--resume", trained)
    assert done.returncode == 0, done.stderr
    assert {name for name, content in record().items() if before.get(name) != content} <= {str(trained / "report.html")}


def mount_small_disk(folder: Path, size: str) -> None:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("a small file system cannot be mounted here (needs root): a full disk cannot be tried")


def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(assay: Command, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    mount_small_disk(disk, "10m")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 9_000_000)
        settings = [f"runs={disk}", "steps=12", "items_per_step=4", "group_size=4", "save_every=4", "eval_every=4"]
        done = assay("train", LETTERS / "recipe.yaml", *(word for setting in settings for word in ("-s", setting)))
        assert done.returncode == 2, done.stderr
        assert "the disk is full" in done.stderr
        assert "--resume" in done.stderr
        assert "Traceback" not in done.stderr
        ballast.unlink()
        done = assay("train", "--resume", disk / "letters")
        assert done.returncode == 0, done.stderr
        assert json.loads((disk / "letters" / "summary.json").read_text())["best_step"] is not None
    finally:
        subprocess.run(["umount", disk], check=False)


def test_a_full_disk_while_grading_keeps_what_was_graded(assay: Command, exact: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    mount_small_disk(disk, "64k")
    try:
        row = {"item": {"gene": "x"}, "output_text": "x"}
        data = write_lines(tmp_path / "data.jsonl", *([row] * 2000))
        done = assay("grade", exact, data, "-o", disk / "out.jsonl")
        assert done.returncode == 2
        assert "the disk is full" in done.stderr
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        done = assay("grade", exact, data, "-o", disk / "out.jsonl")
        assert done.returncode == 0, done.stderr
        assert len(read_lines(disk / "out.jsonl")) == 2000
    finally:
        subprocess.run(["umount", disk], check=False)
