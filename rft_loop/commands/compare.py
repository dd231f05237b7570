"""`assay compare`: two models under one grader, or two graders, on the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rft_loop.commands.options import (
    CacheFolder,
    Concurrency,
    Output,
    Progress,
    Threshold,
    Workers,
    check_targets,
)

if TYPE_CHECKING:
    from graders.offline.compare import Comparison

Place = "Grades (.jsonl or .parquet; FILE:NAME of several graders), or with --data a grader."


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=Place, show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="The same, to be compared with A.", show_default=False)],
    data: Annotated[
        Path | None, typer.Option(help="The rows: to be graded by two graders, or to look --cluster up in.")
    ] = None,
    cluster: Annotated[str | None, typer.Option(help="Item key whose values group rows that are alike.")] = None,
    threshold: Threshold = 0.5,
    top: Annotated[int, typer.Option(help="Rows that changed most, to be shown.", min=0)] = 10,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the comparison as JSON.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where the grades of two graders are kept.")] = None,
    output: Output = "output_text",
    workers: Workers = None,
    concurrency: Concurrency = 16,
    cache: CacheFolder = None,
) -> None:
    """Compare two sets of grades of the same rows: difference with interval, test, flips, what changed most."""
    import tempfile

    from graders.offline.cache import FILE
    from graders.offline.compare import compare_grades
    from graders.registry import load
    from graders.score import grade_file_with_all

    check_targets([a, b, data, cache and cache / FILE], [json_file], grades=out)
    both = [_is_grader(place) for place in (a, b)]
    options = {"cluster": cluster, "data": data, "output": output, "threshold": threshold, "most": top}
    if not any(both):
        if out is not None:
            raise ValueError(f"{a} and {b} are grades already; --out is for the grades of two graders")
        _tell(compare_grades(a, b, **options), json_file)  # type: ignore[arg-type]
        return
    if not all(both):
        raise ValueError(f"{a if both[0] else b} is a grader and {b if both[0] else a} is not; give two of a kind")
    if data is None:
        raise ValueError(f"{a} and {b} are graders; name the rows they grade with --data")
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        grades = out or Path(folder) / "grades.jsonl"
        grade_file_with_all(
            {"A": load(a), "B": load(b)},
            data,
            grades,
            output=output,
            workers=workers,
            concurrency=concurrency,
            cache=cache,
            progress=progress.show,
        )
        found = compare_grades(f"{grades}:A", f"{grades}:B", names=(a, b), **options)  # type: ignore[arg-type]
    _tell(found, json_file)


def _is_grader(place: str) -> bool:
    """Whether the place is a definition or an object of a Python file; a file of grades may be called .json too."""
    from graders.rows import read_rows

    path = Path(place)
    if path.suffix != ".json" or not path.is_file():
        return ".py:" in place or path.suffix == ".json"
    try:
        first = next((row for _, row in read_rows(path)), {})
    except ValueError:
        return True  # a definition over several lines, or what the loading of one will refuse
    return not {"score", "grades"} & set(first)


def _tell(found: Comparison, json_file: Path | None) -> None:
    import json

    for warning in found.warnings:
        typer.echo(f"assay: {warning}", err=True)
    typer.echo(str(found))
    if json_file is not None:
        json_file.write_text(json.dumps(found.to_wire(), indent=2) + "\n")
