"""`assay eval`: answer the items of a data set with a model, and grade the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rft_loop.commands.options import (
    Budget,
    CacheFolder,
    Cluster,
    Concurrency,
    JudgesFile,
    MaxErrorRate,
    SummaryFile,
    check_targets,
    close,
    ends_told,
    judges,
)


def evaluate(
    model: Annotated[
        str, typer.Argument(help="A run (its best checkpoint), a checkpoint or model folder, or a hub id.")
    ],
    data: Annotated[Path, typer.Option(help="Items to answer, a JSON line each; the last message is the user's.")],
    grader: Annotated[str | None, typer.Option(help="A grader; by default the run's own.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Store the outputs with their grades; `assay grade` reads them."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of -o where it is there.")] = False,
    max_new_tokens: Annotated[int | None, typer.Option(help="By default the run's, else 256.", min=1)] = None,
    thinking: Annotated[
        str | None,
        typer.Option(help="Tag of the thinking that the grader does not see; '' shows it all. By default the run's."),
    ] = None,
    concurrency: Concurrency = 16,
    cache: CacheFolder = None,
    judges_file: JudgesFile = None,
    budget: Budget = None,
    max_error_rate: MaxErrorRate = 0.05,
    cluster: Cluster = None,
    summary_file: SummaryFile = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Answer every item of a data set greedily, and grade the answers."""
    check_targets([data, grader, judges_file], [out, summary_file])
    if out is not None and out.is_file() and not overwrite:
        raise FileExistsError(f"{out} is there already; name another file with -o, or give --overwrite")
    from graders.registry import load
    from rft_loop.evaluate import best_checkpoint, grade_outputs, outputs_of, write_outputs
    from rft_loop.items import check_gradable, read_items
    from rft_loop.model.checkpoint import read_progress
    from rft_loop.model.policy import choose_device, load_pretrained
    from rft_loop.reading import check_sees_enough
    from rft_loop.watching.record import open_run

    source, decode_rows, trained_with, precision = Path(model), 512, None, "float32"
    hidden, response_format = "think" if thinking is None else thinking or None, None
    if (source / "recipe.json").is_file():
        run, recipe = open_run(source)
        source, decode_rows = best_checkpoint(source), recipe.decode_rows
        max_new_tokens, precision = max_new_tokens or recipe.max_new_tokens, recipe.precision
        judges_file = judges_file or recipe.judges
        hidden = recipe.thinking if thinking is None else hidden
        response_format = recipe.response_format
        judge = load(grader if grader is not None else recipe.grader)
        trained_with = read_progress(source).grader
        typer.echo(f"assay: answering with {source}, the best by {recipe.best_by} on the validation split", err=True)
    elif grader is None:
        raise ValueError(f"{model!r} is no run, so its grader is not known: name one with --grader")
    else:
        judge = load(grader)
    if judge.judges_groups:
        raise ValueError(
            f"{judge.label!r} compares the outputs of one item, and here each item has one. Keep the outputs with "
            "assay eval -o OUTPUTS and another --grader; where they stand beside others of their items, assay grade "
            "GRADER OUTPUTS -o GRADES --group KEY compares them"
        )
    if (source / "manifest.json").is_file():
        read_progress(source)  # a checkpoint is what was written, or is refused
    with judges(judges_file, budget, cache if judge.waits else None), ends_told(lambda: _kept(out)):
        if trained_with not in (None, judge.identity):
            typer.echo(
                f"assay: {run.folder} was trained with {trained_with}; graded here by {judge.identity}", err=True
            )
        judge.check_ready()
        check_sees_enough(judge, hidden)
        items = read_items(data)
        check_gradable(judge, items)
        policy = load_pretrained(str(source) if source.exists() else model, choose_device(device), precision)
        outputs = outputs_of(policy, items, max_new_tokens or 256, decode_rows, hidden, response_format)
        if out is not None:
            write_outputs(out, outputs)  # before they are graded: what was decoded is not lost to a broken grader
        graded, summary = grade_outputs(outputs, judge, cluster, concurrency)
        if out is not None:
            write_outputs(out, graded)
        close(summary, judge.identity, max_error_rate, summary_file)


def _kept(out: Path | None) -> str:
    if out is None or not out.is_file():
        return "Nothing was kept; -o keeps the outputs"
    return f"The outputs are kept in {out}: assay grade GRADER {out} -o GRADES grades them"
