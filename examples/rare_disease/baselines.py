"""What needs no training: three simple methods on the test split, written for `assay grade` to read.

    python examples/rare_disease/baselines.py nearest --data datasets/rare_disease --out nearest.jsonl

`random` names genes by a seed, `frequent` the genes that training patients have most often, `nearest` the
genes of the training patients whose symptoms are most alike. A trained model should be compared with the
last.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graders.rows import read_rows

GENES = 10
Row = Mapping[str, Any]


class Data(NamedTuple):
    """What a baseline may look at. Rows have `gene` and `present`, the labels of the patient's symptoms."""

    train: Sequence[Row]
    test: Sequence[Row]
    genes: Sequence[str]
    ancestors: Mapping[str, Sequence[str]]


def random_genes(data: Data, seed: int = 0) -> list[list[str]]:
    """Ten different genes of the closed list, each as likely as the next."""
    rng = random.Random(seed)
    return [rng.sample(data.genes, min(GENES, len(data.genes))) for _ in data.test]


def frequent_genes(data: Data, seed: int = 0) -> list[list[str]]:
    """The same answer for everybody: the genes with the most training patients; ties by name."""
    patients = Counter(row["gene"] for row in data.train)
    answer = sorted(data.genes, key=lambda gene: (-patients[gene], gene))[:GENES]
    return [answer for _ in data.test]


def nearest_case(data: Data, seed: int = 0) -> list[list[str]]:
    """Genes by their most similar training patient; ties, and genes without a patient, by name.

    Similarity of two patients: the weight of the terms they share over the weight of the terms that either
    has (Jaccard), ancestors included. A term weighs log((1 + n) / (1 + patients with it)), over the n
    training patients: what everybody has says nothing.
    """
    train = [_terms(row, data.ancestors) for row in data.train]
    test = [_terms(row, data.ancestors) for row in data.test]
    column = {term: place for place, term in enumerate(sorted(frozenset().union(*train, *test)))}
    has = _matrix(train, column)  # (training patients, terms)
    asked = _matrix(test, column)  # (test patients, terms)
    weights = np.log((1 + len(train)) / (1 + has.sum(axis=0)))
    shared = (asked * weights) @ has.T  # (test patients, training patients)
    either = (asked @ weights)[:, None] + (has @ weights)[None, :] - shared
    # rounded, so that equal similarities tie whatever order the products were summed in
    similarity = np.round(shared / np.maximum(either, 1e-12), 12)
    places: dict[str, list[int]] = {gene: [] for gene in data.genes}
    for place, row in enumerate(data.train):
        places[row["gene"]].append(place)
    best = {gene: similarity[:, at].max(axis=1) if at else np.full(len(test), -1.0) for gene, at in places.items()}
    return [sorted(best, key=lambda gene: (-best[gene][place], gene))[:GENES] for place in range(len(test))]


BASELINES: Mapping[str, Callable[[Data, int], list[list[str]]]] = {
    "random": random_genes,
    "frequent": frequent_genes,
    "nearest": nearest_case,
}


def read_data(folder: Path) -> Data:
    """The files that `make_rare_disease.py` writes; a row whose gene is not in the closed list is refused."""
    try:
        genes = json.loads((folder / "genes.json").read_bytes())
        ancestors = json.loads((folder / "ancestors.json").read_bytes())
        rows = {split: list(read_rows(folder / f"{split}.jsonl")) for split in ("train", "test")}
    except FileNotFoundError as problem:
        built = f"python datasets/rare_disease/make_rare_disease.py --out {folder}"
        raise FileNotFoundError(f"{problem}; build the set first: {built}") from None
    for place, row in (*rows["train"], *rows["test"]):
        if row.get("gene") not in genes:
            raise ValueError(
                f"{place}: gene {row.get('gene')!r} is not in the closed list {folder / 'genes.json'}; "
                "rows and list must come from one build"
            )
        if not isinstance(row.get("present"), list):
            raise ValueError(f"{place}: no list 'present' of the patient's symptoms")
    return Data([row for _, row in rows["train"]], [row for _, row in rows["test"]], genes, ancestors)


def as_lines(test: Sequence[Row], answers: Sequence[Sequence[str]]) -> str:
    """One JSON object a line: `{"id", "item", "sample": {"output_text"}}`, a gene a line in the output."""
    return "".join(
        json.dumps({"id": row["id"], "item": row, "sample": {"output_text": "\n".join(answer)}}, ensure_ascii=False)
        + "\n"
        for row, answer in zip(test, answers, strict=True)
    )


def _terms(row: Row, ancestors: Mapping[str, Sequence[str]]) -> frozenset[str]:
    return frozenset().union(*(ancestors.get(label, [label]) for label in row["present"]))


def _matrix(patients: Sequence[frozenset[str]], column: Mapping[str, int]) -> np.ndarray:
    matrix = np.zeros((len(patients), len(column)))
    for place, terms in enumerate(patients):
        matrix[place, [column[term] for term in terms]] = 1.0
    return matrix


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one baseline's answers; 0 when they stand, 1 with one line on stderr when they cannot be made."""
    parser = argparse.ArgumentParser(description="Answers of a simple method on the rare-disease test split.")
    parser.add_argument("baseline", choices=BASELINES)
    parser.add_argument("--data", type=Path, default=Path("datasets/rare_disease"), help="folder of the built set")
    parser.add_argument("--out", type=Path, required=True, help="file to write, one JSON object a line")
    parser.add_argument("--seed", type=int, default=0, help="for `random` (default: 0)")
    options = parser.parse_args(arguments)
    try:
        data = read_data(options.data)
        lines = as_lines(data.test, BASELINES[options.baseline](data, options.seed))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        beside = options.out.with_name(f".{options.out.name}.part")
        beside.write_text(lines, encoding="utf-8")
        beside.replace(options.out)
    except (ValueError, OSError) as problem:
        print(f"baselines.py: error: {problem}", file=sys.stderr)
        return 1
    print(f"{options.out}: {len(data.test)} answers of `{options.baseline}`")
    return 0


if __name__ == "__main__":
    sys.exit(main())
