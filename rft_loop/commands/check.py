"""`assay check`: is this grader right about this data, and about its golden cases?"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rft_loop.commands.options import (
    Budget,
    CacheFolder,
    Concurrency,
    DryRun,
    GraderArgument,
    JudgesFile,
    ends_told,
    judges,
)

if TYPE_CHECKING:
    from graders.grader import Grader
    from graders.service.services import Services
    from graders.testing.check import Report
    from graders.testing.golden import GoldenFile, Outcome
    from graders.testing.properties import Result


def check(
    grader: GraderArgument,
    data: Annotated[
        Path | None,
        typer.Argument(help='Rows to check it against (.jsonl, .json, .csv, .parquet): items, or {"item": {...}}.'),
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option(help="Item key of the right answer, or a template; by default what the grader compares with."),
    ] = None,
    no_gold: Annotated[bool, typer.Option("--no-gold", help="There is no right answer to try.")] = False,
    golden: Annotated[Path | None, typer.Option(help="A golden file: cases the grader must pass.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Write the golden scores anew, and show the drift.")] = False,
    limit: Annotated[int | None, typer.Option(help="Check so many rows only.", min=1)] = None,
    full_marks: Annotated[float | None, typer.Option(help="What counts as full marks; by default the highest.")] = None,
    concurrency: Concurrency = 16,
    cache: CacheFolder = None,
    judges_file: JudgesFile = None,
    budget: Budget = None,
    dry_run: DryRun = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell it as JSON.")] = False,
) -> None:
    """Try a grader on gold answers, on degenerate outputs and on golden cases. Exit code 1 when something is found."""
    import json

    from graders.registry import load

    if data is None and golden is None:
        raise ValueError("give DATA to check the grader against, or --golden FILE with the cases it must pass")
    if golden is None and update:
        raise ValueError("--update writes a golden file; name it with --golden FILE")
    if data is None and (gold, no_gold, limit, full_marks) != (None, False, None, None):
        raise ValueError("--gold, --no-gold, --limit and --full-marks belong to DATA, which was not given")
    if gold is not None and (no_gold or not gold):
        raise ValueError("--gold names the right answer, a key or a template; --no-gold says that there is none")
    if dry_run and update:
        raise ValueError("--update writes what judges say, and with --dry-run none is asked")
    judge = load(grader)
    with (
        judges(judges_file, budget, cache if judge.waits else None, dry=dry_run) as services,
        ends_told(lambda: "" if cache is None else f"The answers are kept in {cache}: the same command asks the rest"),
    ):
        if not dry_run or budget is not None:  # which needs prices and bounds
            judge.check_ready()
        told: dict[str, Any] = {}
        texts, wrong = [], False
        if golden is not None:
            told["golden"], text, wrong = _golden(judge, golden, update)
            texts.append(text)
        if data is not None:
            report = _checked(judge, data, "" if no_gold else gold, limit, full_marks, concurrency)
            told["data"], wrong = report.to_wire(), wrong or bool(report.findings)
            texts.append(str(report))
        told, texts = _priced(services, told, texts)
    typer.echo(json.dumps(told, indent=2) if as_json else "\n\n".join(texts))
    if wrong and not dry_run:
        raise typer.Exit(1)


def _checked(
    judge: Grader, data: Path, gold: str | None, limit: int | None, full_marks: float | None, concurrency: int
) -> Report:
    from graders.testing.check import check as check_rows

    return check_rows(judge, data, gold, limit=limit, full_marks=full_marks, concurrency=concurrency)


def _priced(services: Services, told: dict[str, Any], texts: list[str]) -> tuple[dict[str, Any], list[str]]:
    """What is told, with what judges cost; of a dry run only what they would cost."""
    from graders.offline.estimate import estimate_lines
    from graders.service.cost import cost_of, usage_lines, usage_wire, used

    usage, prices = used(services.ledger), services.settings.prices
    wire = {"usage": usage_wire(usage, prices), "dollars": cost_of(usage, prices)}
    if services.dry:
        return {"dry_run": True, **wire}, ["\n".join(["dry run: nothing was asked", *estimate_lines(usage, prices)])]
    return (told | wire, [*texts, "\n".join(usage_lines(usage, prices))]) if usage else (told, texts)


def _golden(judge: Grader, path: Path, update: bool) -> tuple[dict[str, Any], str, bool]:
    """Run the cases of a golden file that are this grader's: the result as data, as text, and whether it failed."""
    from graders.testing.coverage import coverage
    from graders.testing.golden import drift_table, failure_report, read_golden, run_case, update_golden

    golden = read_golden(path)
    cases = [case for case in golden.cases if _tests(golden, case.grader, judge)]
    if golden.cases and not cases:
        names = sorted({golden.load(case.grader).label for case in golden.cases})
        raise ValueError(f"{path}: no case is about {judge.label!r}; its cases are about {', '.join(names)}")
    outcomes = [run_case(case, judge) for case in cases]
    written = update_golden(golden, outcomes) if update else []
    failed = [outcome for outcome in outcomes if outcome.problems and outcome not in written]
    properties = _properties(golden, judge, outcomes)
    broken = [str(result) for result in properties if not result.holds]
    reached = coverage(judge, [outcome.grade for outcome in outcomes])
    lines = [f"{judge.identity}  {path}: {reached}"]
    if left := len(golden.cases) - len(cases):
        lines.append(f"{left} case{'s' * (left > 1)} of other graders left out")
    if written:
        lines += ["drift, written:", drift_table(written)]
    lines += [failure_report(outcome) for outcome in failed]
    lines += [str(result) for result in properties]
    if failed and not update:
        lines += ["drift:", drift_table(failed), "Where the new grades are right: --update"]
    wire = {
        "grader": judge.identity,
        "file": str(path),
        "cases": len(cases),
        "coverage": reached.share,
        "missed": list(reached.missed),
        "failed": [_outcome_wire(outcome) for outcome in failed],
        "written": [_outcome_wire(outcome) for outcome in written],
        "properties": broken,
    }
    return wire, "\n".join(lines), bool(failed or broken)


def _tests(golden: GoldenFile, named: Any, judge: Grader) -> bool:
    """Whether a case is about this grader: it names none, or names this one."""
    if named is None and golden.grader is None:
        return True
    return golden.load(named).label == judge.label


def _properties(golden: GoldenFile, judge: Grader, outcomes: list[Outcome]) -> list[Result]:
    from graders.testing.elsewhere import Elsewhere
    from graders.testing.properties import declared

    decided = [outcome.case for outcome in outcomes if outcome.case.expected is not None]
    samples, items = [case.sample for case in decided], [case.item for case in decided]
    with tempfile.TemporaryDirectory() as folder, Elsewhere() as elsewhere:
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", folder)  # else it leaves one where the user stands
        try:
            return [declared(given).check(judge, items, samples, elsewhere=elsewhere) for given in golden.properties]
        except ModuleNotFoundError as problem:
            if problem.name != "hypothesis":
                raise
            raise ValueError(str(problem)) from None


def _outcome_wire(outcome: Outcome) -> dict[str, Any]:
    return {
        "place": outcome.case.place,
        "problems": list(outcome.problems),
        "score": outcome.grade.score,
        "why": outcome.grade.why,
    }
