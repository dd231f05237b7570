"""Real, published patients from GA4GH phenopackets, split so that no publication is on two sides.

HPO's annotations are partly curated from the very papers that describe the patients. So every annotation row
that cites a publication of any patient in the set is dropped before anything is learned from annotations.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drawn import Patient
from hpo import Annotation, Ontology

PRESENT_TERMS = (4, 30)  # patients with fewer or more are left out
MAX_PER_GENE = 40  # so that one large cohort does not become the whole set
MIN_PUBLICATIONS = 2  # of a gene: one to train on, one to be tested on
MIN_ANNOTATED_TERMS = 8  # of a gene, after the leak filter: a warm start needs something to draw from


@dataclass(frozen=True, slots=True)
class Published:
    """A real patient and the publications that describe them."""

    patient: Patient
    publications: frozenset[str]


class UnusablePacketError(Exception):
    """This packet cannot be used; the message is the reason it is counted under."""


def published_set(
    patients: Sequence[Published],
    annotations: Sequence[Annotation],
    genes_of: Mapping[str, frozenset[str]],
    genes: int,
    sizes: Mapping[str, int],
    seed: int,
) -> tuple[dict[str, list[Patient]], dict[str, list[Annotation]], list[Annotation]]:
    """The splits; each gene's annotation rows that cite none of their publications; all such rows."""
    chosen, kept = choose(patients, annotations, genes_of, genes, seed)
    splits = split(chosen, sizes, seed)
    empty = [name for name, part in splits.items() if not part]
    if empty:
        raise ValueError(f"{len(chosen)} patients of {genes} genes leave none for {empty[0]}; give more phenopackets")
    if any(len(splits[name]) < size for name, size in sizes.items()):
        asked = ", ".join(f"{size} {name}" for name, size in sizes.items())
        counts = ", ".join(f"{len(part)} {name}" for name, part in splits.items())
        print(f"{len(chosen)} patients are too few for {asked}; in that proportion: {counts}", file=sys.stderr)
    diseases = _diseases_of(genes_of, {one.patient.gene for one in chosen})
    wanted: dict[str, list[str]] = defaultdict(list)
    for gene, of_gene in diseases.items():
        for disease in of_gene:
            wanted[disease].append(gene)
    rows_of: dict[str, list[Annotation]] = {gene: [] for gene in sorted(diseases)}
    for row in kept:
        for gene in wanted.get(row.disease, ()):
            rows_of[gene].append(row)
    return {name: [one.patient for one in part] for name, part in splits.items()}, rows_of, kept


def read_patients(path: Path, ontology: Ontology) -> tuple[list[Published], dict[str, str]]:
    """Every usable patient, sorted by id, duplicates dropped; and the labels of terms unknown to this HPO.

    `path` is a folder (searched through), a .zip, or the flat form `.jsonl`/`.jsonl.gz`. What is left out is
    counted on stderr with its reason and the first file. Raises ValueError for what is no JSON, naming the
    file.
    """
    labels: dict[str, str] = {}
    skipped: Counter[str] = Counter()
    first: dict[str, str] = {}
    read: list[Published] = []
    found = 0
    for place, packet in _packets(path):
        found += 1
        try:
            read.append(_patient(packet, ontology, labels))
        except UnusablePacketError as problem:
            skipped[str(problem)] += 1
            first.setdefault(str(problem), place)
    if not found:
        raise ValueError(f"{path}: no phenopacket in it; a folder or .zip with GA4GH Phenopacket *.json is expected")
    patients: dict[object, Published] = {}
    ids: set[str] = set()
    for one in sorted(read, key=lambda one: (one.patient.id, one.patient.key)):
        if one.patient.key in patients or one.patient.id in ids:
            skipped["a patient that was already there"] += 1
            first.setdefault("a patient that was already there", one.patient.id)
        else:
            patients[one.patient.key] = one
            ids.add(one.patient.id)
    for reason, times in sorted(skipped.items()):
        print(f"{path}: left out {times} of {found}: {reason} (first: {first[reason]})", file=sys.stderr)
    if not patients:
        raise ValueError(f"{path}: none of {found} phenopackets can be used; the reasons stand above")
    return list(patients.values()), labels


def _packets(path: Path) -> Iterator[tuple[str, Any]]:
    """Each JSON document with its place."""
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            yield str(file), _loads(file.read_bytes(), str(file))
    elif not path.is_file():
        raise FileNotFoundError(f"--phenopackets {path}: no such file or folder")
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        content = path.read_bytes()
        try:
            lines = (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()
        except (OSError, EOFError) as problem:
            raise ValueError(f"{path}: not readable as gzip ({problem})") from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield f"{path}:{number}", _loads(line, f"{path}:{number}")
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    # "._name" is what macOS adds beside each file
                    if name.endswith(".json") and not name.rpartition("/")[2].startswith("._"):
                        yield f"{path}/{name}", _loads(archive.read(name), f"{path}/{name}")
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as problem:
            raise ValueError(f"{path}: neither a folder nor a readable .zip or .jsonl(.gz) ({problem})") from None


def _loads(content: bytes, place: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{place}: not JSON ({problem}); a GA4GH Phenopacket is expected") from None


def _patient(packet: Any, ontology: Ontology, labels: dict[str, str]) -> Published:
    """A phenopacket, or a line of the flat form, as a patient."""
    try:
        if "phenotypicFeatures" in packet:
            features = packet["phenotypicFeatures"]
            present = [feature["type"] for feature in features if not feature.get("excluded")]
            absent = [feature["type"] for feature in features if feature.get("excluded")]
            symbols = set(_causal_genes(packet))
            references = packet.get("metaData", {}).get("externalReferences", [])
            cited = " ".join(str(reference.get("id", "")) for reference in references)
        elif "present" in packet and "gene" in packet:
            present, absent = packet["present"], packet.get("absent", [])
            symbols = {packet["gene"]} - {None, ""}
            cited = str(packet.get("source", ""))
        else:
            raise UnusablePacketError("no phenopacket: it has no phenotypicFeatures")
        has = {_term(term, ontology, labels) for term in present}
        has_not = {_term(term, ontology, labels) for term in absent} - has
        name = str(packet["id"])
    except KeyError as problem:
        raise UnusablePacketError(f"no valid phenopacket: a part lacks {problem}") from None
    except (TypeError, AttributeError) as problem:
        raise UnusablePacketError(f"no valid phenopacket: {problem}") from None
    if len(symbols) != 1:
        raise UnusablePacketError("no causal gene" if not symbols else "several causal genes")
    has = {term for term in has if ontology.is_abnormality(term)}
    low, high = PRESENT_TERMS
    if not low <= len(has) <= high:
        raise UnusablePacketError(
            f"fewer than {low} present symptoms" if len(has) < low else f"more than {high} present symptoms"
        )
    publications = frozenset(f"PMID:{number}" for number in re.findall(r"PMID:\s*(\d+)", cited))
    if not publications:
        raise UnusablePacketError("no publication (PMID), so it cannot be split by publication")
    has_not = {term for term in has_not if ontology.is_abnormality(term)}
    (gene,) = symbols
    source = ", ".join(sorted(publications))
    return Published(Patient(name, str(gene), tuple(sorted(has)), tuple(sorted(has_not)), source), publications)


def _causal_genes(packet: Mapping[str, Any]) -> Iterator[str]:
    for interpretation in packet.get("interpretations", []):
        for found in interpretation.get("diagnosis", {}).get("genomicInterpretations", []):
            if found.get("interpretationStatus") == "CAUSATIVE":
                descriptor = found.get("variantInterpretation", {}).get("variationDescriptor", {})
                symbol = (descriptor.get("geneContext") or found.get("gene") or {}).get("symbol")
                if symbol:
                    yield symbol


def _term(term: Mapping[str, str], ontology: Ontology, labels: dict[str, str]) -> str:
    """A term's id in this HPO release; one that it does not know keeps its own id and label."""
    given = term["id"]
    current = ontology.renamed.get(given, given)
    if current not in ontology.labels:
        # a label is one line of the prompt
        labels.setdefault(current, " ".join(str(term["label"]).split()))
    return current


def choose(
    patients: Iterable[Published],
    annotations: Sequence[Annotation],
    genes_of: Mapping[str, frozenset[str]],
    genes: int,
    seed: int,
) -> tuple[list[Published], list[Annotation]]:
    """Patients of the `genes` best-covered genes, and the annotation rows that cite none of their papers.

    Best covered: first the genes with a publication for each split, then those with MIN_PUBLICATIONS; among
    them by patients (at most MAX_PER_GENE count), publications, name. A gene left with fewer than
    MIN_ANNOTATED_TERMS annotated symptoms after the filter makes room for the next.
    """
    of_gene: dict[str, list[Published]] = defaultdict(list)
    for one in patients:
        of_gene[one.patient.gene].append(one)
    publications = {gene: frozenset().union(*(one.publications for one in ones)) for gene, ones in of_gene.items()}
    candidates = sorted(
        (gene for gene in of_gene if len(publications[gene]) >= MIN_PUBLICATIONS),
        key=lambda gene: (
            len(publications[gene]) < 3,
            -min(MAX_PER_GENE, len(of_gene[gene])),
            -len(publications[gene]),
            gene,
        ),
    )
    capped = {gene: _spread(of_gene[gene], random.Random(f"{seed}/{gene}")) for gene in candidates}
    eligible = len(candidates)
    while True:
        chosen = [one for gene in sorted(candidates[:genes]) for one in capped[gene]]
        cited = frozenset().union(*(one.publications for one in chosen))
        kept = [row for row in annotations if not row.publications & cited]
        terms: dict[str, set[str]] = defaultdict(set)
        for row in kept:
            terms[row.disease].add(row.term)
        diseases = _diseases_of(genes_of, candidates[:genes])
        bare = {
            gene
            for gene in candidates[:genes]
            if len(frozenset().union(*(terms[disease] for disease in diseases[gene]))) < MIN_ANNOTATED_TERMS
        }
        if not bare:
            break
        candidates = [gene for gene in candidates if gene not in bare]
    if genes < 2 or len(candidates) < genes:
        remedy = f"or --genes {len(candidates)} at most" if len(candidates) >= 2 else "2 such genes at least"
        raise ValueError(
            f"--genes {genes}: of these patients' {len(publications)} genes, {eligible} have patients from "
            f"{MIN_PUBLICATIONS} publications or more, {len(candidates)} of those also {MIN_ANNOTATED_TERMS} "
            f"symptoms annotated from elsewhere; give more phenopackets ({remedy})"
        )
    return chosen, kept


def _spread(patients: Sequence[Published], rng: random.Random) -> list[Published]:
    """At most MAX_PER_GENE patients, from each publication in turn: no large cohort crowds out the rest."""
    by_publication: dict[tuple[str, ...], list[Published]] = defaultdict(list)
    for one in patients:
        by_publication[tuple(sorted(one.publications))].append(one)
    queues = [by_publication[publication] for publication in sorted(by_publication)]
    for queue in queues:
        rng.shuffle(queue)
    rng.shuffle(queues)
    order = [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
    return order[:MAX_PER_GENE]


def split(patients: Sequence[Published], sizes: Mapping[str, int], seed: int) -> dict[str, list[Published]]:
    """Train, validation, test, no publication on two sides; a patient who cites several joins them.

    Gene by gene, those with the fewest publications first, each bundle of publications goes where the gene's
    share is most lacking (iterative stratification, Sechidis et al. 2011). A gene that train does not have is
    dropped from the other two. Each split is cut to its size, at random, when there are more patients than
    `sizes` asks.
    """
    rng = random.Random(f"{seed}/split")
    bundles = _bundles(patients)
    rng.shuffle(bundles)
    genes = Counter(one.patient.gene for one in patients)
    share = {name: size / sum(sizes.values()) for name, size in sizes.items()}
    wanted = {(gene, name): number * share[name] for gene, number in genes.items() for name in sizes}
    lacking = dict(wanted)
    room = {name: len(patients) * share[name] for name in sizes}
    of_gene = {gene: [b for b in bundles if any(one.patient.gene == gene for one in b)] for gene in genes}
    splits: dict[str, list[Published]] = {name: [] for name in sizes}
    placed: set[int] = set()
    for gene in sorted(genes, key=lambda gene: (len(of_gene[gene]), gene)):
        for bundle in sorted(of_gene[gene], key=len, reverse=True):
            if id(bundle) in placed:
                continue
            placed.add(id(bundle))
            name = max(sizes, key=lambda name: (lacking[gene, name] / wanted[gene, name], room[name]))
            splits[name] += bundle
            room[name] -= len(bundle)
            for one in bundle:
                lacking[one.patient.gene, name] -= 1
    for name, part in splits.items():
        splits[name] = sorted(rng.sample(part, min(len(part), sizes[name])), key=lambda one: one.patient.id)
        rng.shuffle(splits[name])
    trained = {one.patient.gene for one in splits["train"]}
    for name in ("validation", "test"):
        known = [one for one in splits[name] if one.patient.gene in trained]
        if strangers := len(splits[name]) - len(known):
            print(f"{name}: dropped {strangers} patients of genes that train does not have", file=sys.stderr)
        splits[name] = known
    return splits


def _bundles(patients: Sequence[Published]) -> list[list[Published]]:
    """Patients joined by shared publications, directly or through others (union-find)."""
    leader: dict[str, str] = {}

    def find(publication: str) -> str:
        while leader.setdefault(publication, publication) != publication:
            leader[publication] = leader[leader[publication]]
            publication = leader[publication]
        return publication

    for one in patients:
        head, *rest = sorted(one.publications)
        for other in rest:
            leader[find(other)] = find(head)
    bundles: dict[str, list[Published]] = defaultdict(list)
    for one in patients:
        bundles[find(min(one.publications))].append(one)
    return [bundles[head] for head in sorted(bundles)]


def _diseases_of(genes_of: Mapping[str, frozenset[str]], genes: Iterable[str]) -> dict[str, list[str]]:
    """Every disease that HPO links with each gene, OMIM and Orphanet, shared ones included."""
    diseases: dict[str, list[str]] = {gene: [] for gene in genes}
    for disease, causal in sorted(genes_of.items()):
        for gene in causal & diseases.keys():
            diseases[gene].append(disease)
    return diseases
