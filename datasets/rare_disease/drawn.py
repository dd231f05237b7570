"""Patients drawn by a seed from HPO's disease profiles, and the crude draws that a warm start learns from.

The protocol is the usual one for simulated rare-disease patients (Köhler et al. 2009, "Clinical diagnostics
in human genetics with semantic similarity searches in ontologies", Am J Hum Genet 85:457): symptoms by their
published frequency, some replaced by a broader term (imprecision), some that do not belong (noise). Absent
symptoms are added, as likelihood-ratio methods read them too (LIRICAL: Robinson et al. 2020, Am J Hum Genet
107:403).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpo import Annotation, Ontology

PRESENT_TERMS = (4, 20)  # a patient's number of present symptoms, drawn uniformly between the two
IMPRECISION = 0.15  # probability that a symptom is written as one of its parents
NOISE = 0.10  # probability that a symptom is one of another gene's disease instead
ABSENT_OWN = (0, 4)  # symptoms of the patient's own disease that the draw left out
ABSENT_OTHER = (0, 4)  # symptoms of other genes' diseases, stated to be absent
MIN_EXPECTED_TERMS = 6  # a disease that shows fewer on average is not drawn from: most draws would be thrown away
WARM_PRESENT_TERMS = (4, 12)
WARM_ABSENT_TERMS = (0, 6)
MAX_TRIES = 1_000  # draws in a row that give no new patient: the profile is too small for what is asked


@dataclass(frozen=True, slots=True)
class Patient:
    """HPO ids, in the order of the ids; the causal gene; where the patient comes from."""

    id: str
    gene: str
    present: tuple[str, ...]
    absent: tuple[str, ...]
    source: str

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """Two patients with the same key are one patient, whatever is said to be absent."""
        return self.gene, self.present


@dataclass(frozen=True, slots=True)
class Profile:
    """A disease with one causal gene: each symptom's frequency, pooled over publications (sum n / sum m)."""

    disease: str
    gene: str
    frequencies: Mapping[str, float]  # 0.0: looked for and never seen ("0/m")
    publications: frozenset[str]


def curated_profiles(annotations: Iterable[Annotation], genes_of: Mapping[str, frozenset[str]]) -> list[Profile]:
    """Profiles of the OMIM diseases with one causal gene, from rows that cite a publication and count n/m.

    The few rows with a percentage or a word ("Frequent") instead of counts cannot be pooled and are left out.
    """
    counts: dict[str, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    publications: dict[str, set[str]] = defaultdict(set)
    for row in annotations:
        of_one_gene = row.disease.startswith("OMIM:") and len(genes_of.get(row.disease, ())) == 1
        if of_one_gene and row.counts and (cited := row.publications):
            counts[row.disease][row.term].append(row.counts)
            publications[row.disease] |= cited
    profiles = []
    for disease in sorted(counts):
        frequencies = {
            term: min(1.0, sum(n for n, _ in pairs) / sum(m for _, m in pairs))
            for term, pairs in sorted(counts[disease].items())
        }
        if sum(frequencies.values()) >= MIN_EXPECTED_TERMS:
            (gene,) = genes_of[disease]
            profiles.append(Profile(disease, gene, frequencies, frozenset(publications[disease])))
    return profiles


def most_published(profiles: Iterable[Profile], genes: int) -> dict[str, list[Profile]]:
    """The profiles of the `genes` genes with the most publications; ties by name."""
    by_gene: dict[str, list[Profile]] = defaultdict(list)
    for profile in profiles:
        by_gene[profile.gene].append(profile)

    def publications(gene: str) -> int:
        return len(frozenset().union(*(profile.publications for profile in by_gene[gene])))

    if not 2 <= genes <= len(by_gene):
        raise ValueError(f"--genes {genes}: give 2 to {len(by_gene)}, the number of genes that have a curated profile")
    best = sorted(by_gene, key=lambda gene: (-publications(gene), gene))[:genes]
    return {gene: by_gene[gene] for gene in sorted(best)}


def symptoms(profile: Profile, rng: random.Random) -> tuple[list[str], list[str]]:
    """Which symptoms of the disease a patient has, each by its frequency, and which not."""
    has = {term: rng.random() < frequency for term, frequency in profile.frequencies.items()}
    return [term for term, yes in has.items() if yes], [term for term, yes in has.items() if not yes]


class PatientDraw:
    """Draws patients from profiles; noise and foreign absent symptoms come from other genes' profiles."""

    def __init__(self, ontology: Ontology, profiles: Mapping[str, Sequence[Profile]], rng: random.Random) -> None:
        self._ontology = ontology
        self._rng = rng
        self._terms = {
            gene: sorted({term for p in of_gene for term, frequency in p.frequencies.items() if frequency > 0})
            for gene, of_gene in profiles.items()
        }
        self._genes = sorted(profiles)

    def patient(self, profile: Profile) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Present and absent symptoms of one patient with the disease; with too few symptoms, drawn again."""
        rng, ontology = self._rng, self._ontology
        for _ in range(MAX_TRIES):
            shown, missing = symptoms(profile, rng)
            reported = rng.sample(shown, min(rng.randint(*PRESENT_TERMS), len(shown)))
            present = tuple(sorted({self._as_written(term, profile.gene) for term in reported}))
            if len(present) >= PRESENT_TERMS[0]:
                break
        else:
            raise ValueError(f"{profile.disease}: {MAX_TRIES} draws gave no patient with {PRESENT_TERMS[0]} symptoms")
        # "no Seizure" would contradict "Focal seizure": what is present is never denied in a broader term
        barred = ontology.closure_of([*present, *shown])
        own = [term for term in missing if term not in barred]
        absent = rng.sample(own, min(rng.randint(*ABSENT_OWN), len(own)))
        for _ in range(rng.randint(*ABSENT_OTHER)):
            term = self._foreign(profile.gene)
            if term not in barred and term not in absent:
                absent.append(term)
        return present, tuple(sorted(absent))

    def _as_written(self, term: str, gene: str) -> str:
        chance = self._rng.random()
        if chance < NOISE:
            return self._foreign(gene)
        broader = self._ontology.broader(term)
        if chance < NOISE + IMPRECISION and broader:
            return self._rng.choice(broader)
        return term

    def _foreign(self, gene: str) -> str:
        """A symptom of another gene's disease: first the gene, then the symptom, both uniformly."""
        other = self._rng.choice(self._genes)
        while other == gene:
            other = self._rng.choice(self._genes)
        return self._rng.choice(self._terms[other])


def draw_patients(
    ontology: Ontology,
    profiles: Mapping[str, Sequence[Profile]],
    split: str,
    number: int,
    seed: int,
    seen: set[object],
) -> list[Patient]:
    """`number` new patients: genes as evenly as the number allows, a gene's disease by its publications."""
    rng = random.Random(f"{seed}/{split}")
    draw = PatientDraw(ontology, profiles, rng)
    patients = []
    for place, gene in enumerate(_evenly(sorted(profiles), number, rng)):
        of_gene = profiles[gene]
        for _ in range(MAX_TRIES):
            (profile,) = rng.choices(of_gene, [len(p.publications) for p in of_gene])
            present, absent = draw.patient(profile)
            source = f"drawn from the curated profile of {profile.disease}, HPO {ontology.release}"
            patient = Patient(f"{split}-{place:04}", gene, present, absent, source)
            if patient.key not in seen:
                break
        else:
            raise ValueError(f"{gene}: {MAX_TRIES} draws gave no new patient; its profile is too small")
        seen.add(patient.key)
        patients.append(patient)
    return patients


def draw_warm_start(
    ontology: Ontology, rows_of: Mapping[str, Sequence[Annotation]], number: int, seed: int, seen: set[object]
) -> list[Patient]:
    """Crude patients: some of a disease's annotated symptoms, all equally likely, and random absent ones.

    No frequency, imprecision or noise: enough to learn what an answer looks like and roughly which symptom
    goes with which gene, and not the distribution that is trained and tested on. `rows_of` are the annotation
    rows of each gene's diseases, any evidence; `source` names the references of the rows that were used. A
    gene gives fewer patients when it has no more.
    """
    rng = random.Random(f"{seed}/warm_start")
    by_disease: dict[str, dict[str, dict[str, Annotation]]] = defaultdict(lambda: defaultdict(dict))
    for gene, rows in rows_of.items():
        for row in rows:
            by_disease[gene][row.disease].setdefault(row.term, row)
    usable = {
        gene: [d for d in sorted(diseases) if len(diseases[d]) >= WARM_PRESENT_TERMS[0]]
        for gene, diseases in by_disease.items()
    }
    genes = sorted(gene for gene, diseases in usable.items() if diseases)
    own = {gene: ontology.closure_of(row.term for row in rows_of[gene]) for gene in genes}
    patients = []
    for place, gene in enumerate(_evenly(genes, number, rng)):
        diseases = by_disease[gene]
        for _ in range(MAX_TRIES):
            (disease,) = rng.choices(usable[gene], [len(diseases[d]) for d in usable[gene]])
            row_on = diseases[disease]
            low, high = WARM_PRESENT_TERMS
            present = tuple(sorted(rng.sample(sorted(row_on), rng.randint(low, min(high, len(row_on))))))
            used = [row_on[term] for term in present]
            absent = set()
            for _ in range(rng.randint(*WARM_ABSENT_TERMS)):
                row = rng.choice(rows_of[rng.choice(genes)])
                if row.term not in own[gene]:
                    absent.add(row.term)
                    used.append(row)
            references = ", ".join(sorted({reference for row in used for reference in row.references}))
            source = f"drawn from rows on {disease}, HPO {ontology.release}; rows cite {references}"
            patient = Patient(f"warm-{place:04}", gene, present, tuple(sorted(absent)), source)
            if patient.key not in seen:
                seen.add(patient.key)
                patients.append(patient)
                break
    return patients


def _evenly(genes: Sequence[str], number: int, rng: random.Random) -> list[str]:
    """`number` genes in random order, each as often as the next (give or take one)."""
    whole, rest = divmod(number, len(genes))
    order = [*genes] * whole + rng.sample(genes, rest)
    rng.shuffle(order)
    return order
