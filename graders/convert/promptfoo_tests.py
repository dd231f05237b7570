"""What a Promptfoo config tests: its test cases with defaults merged in, files read, and variables put in."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graders.convert.converted import Converted, read_yaml
from graders.sample import read_json
from graders.template import short

VARIABLE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
PATH = re.compile(r"""[A-Za-z_]\w*(?:\.\w+|\[\d+\]|\[(['"])[\w-]+\1\])*""")
LOGIC = re.compile(r"\{[%#]")
MAX_CASES = 100_000  # of one test whose variables are lists: every combination is a case

TEST_KEYS: Mapping[str, str] = {
    "provider": "the model that answers is named where `assay eval` is called",
    "providers": "the model that answers is named where `assay eval` is called",
    "prompts": "every prompt is paired with every test; take out the rows that should not be",
    "assertScoringFunction": "a function in JavaScript or Python that replaces the score; write it as a grader",
}
OPTION_KEYS: Mapping[str, str] = {
    "transform": "it changes the output before it is judged; graders here judge the output as it is (see extract)",
    "postprocess": "it changes the output before it is judged; graders here judge the output as it is (see extract)",
    "transformVars": "it changes the variables by code; the rows hold them as they stand in the file",
    "storeOutputAs": "an output cannot be a variable of another row",
    "factuality": "weights of its own for the five answers; the judge's answers count 1 or 0",
}
READ_OPTIONS = {"provider", "rubricPrompt", "prefix", "suffix", "disableVarExpansion", "disableDefaultAsserts"}


class NotCarriedError(ValueError):
    """Something of the source has no counterpart; the message says why."""


@dataclass(slots=True)
class Case:
    """One test of one set of variables, defaults merged in."""

    place: str
    vars: dict[str, Any]
    asserts: list[tuple[str, Any]]  # (where it stands, the assertion)
    threshold: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    metadata: Any = None
    output: Any = None  # where it was stored
    prompt: Any = None  # as it was sent, where that was stored
    verdict: dict[str, Any] = field(default_factory=dict)  # Promptfoo's own, where it was stored


def js_text(value: Any) -> str:
    """A value as JavaScript's String() and Promptfoo's templates write it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if isinstance(value, list):
        return ",".join(map(js_text, value))
    return json.dumps(value, ensure_ascii=False)


def variables(text: str) -> list[re.Match[str]]:
    """The `{{ variable }}` of a Nunjucks text; NotCarriedError for filters and logic, which only Promptfoo can run."""
    if LOGIC.search(text):
        raise NotCarriedError(f"{short(text)} holds Nunjucks logic, and a template here is a path")
    found = list(VARIABLE.finditer(text))
    for match in found:
        if not PATH.fullmatch(match[1]):
            raise NotCarriedError(f"{short(match[0])} is more than a path (a filter or an expression of Nunjucks)")
        if match[1].split(".")[0] == "env":
            raise NotCarriedError(f"{short(match[0])} is read from the environment")
    return found


def as_template(text: str) -> str:
    """A Nunjucks text as a template of ours: `{{ name.key }}` becomes `{{item.name.key}}`."""
    variables(text)
    return VARIABLE.sub(lambda match: "{{item." + re.sub(r"\[(['\"])([\w-]+)\1\]", r".\2", match[1]) + "}}", text)


def with_variables(text: str, values: Mapping[str, Any]) -> str:
    """A Nunjucks text with its variables put in; what is not there is empty, as in Nunjucks."""
    variables(text)

    def value_of(match: re.Match[str]) -> str:
        value: Any = values
        for step in re.findall(r"\w[\w-]*", match[1]):
            try:
                value = value[int(step)] if isinstance(value, list) else value[step]
            except (LookupError, TypeError, ValueError):
                return ""
        return js_text(value)

    return VARIABLE.sub(value_of, text)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than a file's may be
        return False


class Files:
    """The files a config points at with `file://`, read from beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self, reference: str) -> list[Path]:
        """The files of one reference, which may hold `*`. NotCarriedError where there is none."""
        name = reference.removeprefix("file://")
        if any(sign in name for sign in "*?["):
            found = sorted(self.folder.glob(name.removeprefix("./"))) if not Path(name).is_absolute() else []
        else:
            found = [path] if _is_file(path := self.folder / name) else []
        if not found:
            raise NotCarriedError(f"no file {short(name)} beside the config")
        return found

    def read(self, path: Path) -> Any:
        """Data of JSON and YAML, rows of JSONL, text of anything else. NotCarriedError with the reason."""
        try:
            text = path.read_text(encoding="utf-8-sig")
            if path.suffix == ".json":
                return read_json(text)
            if path.suffix in (".yaml", ".yml"):
                return read_yaml(text)
            if path.suffix == ".jsonl":
                return [read_json(line) for line in text.splitlines() if line.strip()]
        except (ValueError, OSError) as problem:
            raise NotCarriedError(f"{path.name} cannot be read: {problem}") from None
        return text

    def load(self, value: Any) -> Any:
        """The value, or what the file it points at holds."""
        if isinstance(value, str) and value.startswith("file://"):
            return self.read(self.paths(value)[0])
        return value


class TestReader:
    """Reads the test cases of a config; what it cannot read is remarked upon."""

    def __init__(self, config: Mapping[str, Any], files: Files, converted: Converted) -> None:
        self.config = config
        self.files = files
        self.converted = converted
        self.default = self._default_test()
        self.said: set[str] = set()

    def cases(self) -> list[Case]:
        """Every case, in order: of exported results where there are some, else of `tests` and `scenarios`."""
        tests = list(self._tests(self.config.get("tests"), "tests"))
        for number, scenario in enumerate(self._list(self.config.get("scenarios"), "scenarios")):
            tests.extend(self._scenario(scenario, f"scenarios.{number}"))
        if not tests and self.config.get("tests") is None and self.default.get("assert"):
            tests = [("defaultTest", {})]  # Promptfoo runs its prompts once, without variables
        return [case for place, test in tests for case in self._expanded(place, test)]

    def _default_test(self) -> Mapping[str, Any]:
        try:
            default = self.files.load(self.config.get("defaultTest") or {})
        except NotCarriedError as problem:
            self.converted.lost("defaultTest", self.config["defaultTest"], str(problem))
            return {}
        if not isinstance(default, Mapping):
            self.converted.lost("defaultTest", default, "a test is an object")
            return {}
        return default

    def _list(self, value: Any, place: str) -> Sequence[Any]:
        """A list of the config, or of the files it names."""
        given = value if isinstance(value, list) else [] if value is None else [value]
        elements: list[Any] = []
        for number, element in enumerate(given):
            if isinstance(element, str) and not element.startswith(("http:", "https:", "huggingface:")):
                try:
                    for path in self.files.paths(element):
                        elements.extend(self._file_elements(path))
                except NotCarriedError as problem:
                    self.converted.lost(f"{place}.{number}", element, str(problem))
            elif isinstance(element, str):
                self.converted.lost(f"{place}.{number}", element, "rows are read from files beside the config")
            else:
                elements.append(element)
        return elements

    def _file_elements(self, path: Path) -> list[Any]:
        if path.suffix == ".csv":
            return list(csv_tests(path, self.converted))
        if path.suffix not in (".json", ".jsonl", ".yaml", ".yml"):
            raise NotCarriedError(f"{path.name}: tests are read from .csv, .json, .jsonl and .yaml files")
        data = self.files.read(path)
        return data if isinstance(data, list) else [data]

    def _tests(self, value: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for number, test in enumerate(self._list(value, place)):
            if isinstance(test, Mapping) and "path" in test and "vars" not in test:
                self.converted.lost(f"{place}.{number}", test, "tests made by code are not run")
            elif isinstance(test, Mapping):
                yield f"{place}.{number}", test
            else:
                self.converted.lost(f"{place}.{number}", test, "a test is an object")

    def _scenario(self, scenario: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if not isinstance(scenario, Mapping):
            self.converted.lost(place, scenario, "a scenario is an object")
            return
        tests = list(self._tests(scenario.get("tests"), f"{place}.tests")) or [(place, {})]
        for number, config in enumerate(self._list(scenario.get("config"), f"{place}.config")):
            if not isinstance(config, Mapping):
                self.converted.lost(f"{place}.config.{number}", config, "variables of a scenario are an object")
                continue
            for where, test in tests:
                merged = {**config, **test, "vars": {**_mapping(config.get("vars")), **_mapping(test.get("vars"))}}
                yield f"{where} with config.{number}", merged

    def _expanded(self, place: str, test: Mapping[str, Any]) -> Iterator[Case]:
        options = {**_mapping(self.default.get("options")), **_mapping(test.get("options"))}
        self._remark_on_keys(place, test, options)
        defaults = [] if options.get("disableDefaultAsserts") else _listed(self.default.get("assert"))
        asserts = [(f"defaultTest.assert.{n}", one) for n, one in enumerate(defaults)]
        asserts += [(f"{place}.assert.{n}", one) for n, one in enumerate(_listed(test.get("assert")))]
        metadata = {**_mapping(self.default.get("metadata")), **_mapping(test.get("metadata"))}
        if description := test.get("description"):
            metadata["description"] = description
        for values in self._combinations(place, test, options):
            yield Case(
                place,
                values,
                asserts,
                test.get("threshold", self.default.get("threshold")),
                options,
                metadata or None,
                test.get("providerOutput", self.default.get("providerOutput")),
            )

    def _remark_on_keys(self, place: str, test: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        for key, why in TEST_KEYS.items():
            for holder, where in ((test, place), (self.default, "defaultTest")):
                if holder.get(key):
                    self._lost(f"{where}.{key}", holder[key], why)
        for key, value in options.items():
            where = place if key in _mapping(test.get("options")) else "defaultTest"
            if key not in READ_OPTIONS and value is not None:
                why = OPTION_KEYS.get(key, "an option of how Promptfoo calls the model")
                self._lost(f"{where}.options.{key}", value, why)

    def _lost(self, place: str, what: Any, why: str) -> None:
        """A remark, once for a place: what `defaultTest` says is said of every test."""
        if place not in self.said:
            self.said.add(place)
            self.converted.lost(place, what, why)

    def _combinations(
        self, place: str, test: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """The variables of a test; one that is a list stands for each of its elements."""
        values: dict[str, list[Any]] = {}
        try:
            given = {
                **_mapping(self.files.load(self.default.get("vars"))),
                **_mapping(self.files.load(test.get("vars"))),
            }
            for name, value in given.items():
                loaded = self._loaded_variable(f"{place}.vars.{name}", value)
                several = isinstance(loaded, list) and not options.get("disableVarExpansion")
                values[str(name)] = loaded if several else [loaded]
        except NotCarriedError as problem:
            self.converted.lost(f"{place}.vars", test.get("vars"), str(problem))
            return
        combinations = itertools.product(*values.values())
        for number, combination in enumerate(combinations):
            if number == MAX_CASES:
                self.converted.lost(f"{place}.vars", "further combinations", f"a test gives at most {MAX_CASES:,} rows")
                return
            yield _rendered(dict(zip(values, combination, strict=True)))

    def _loaded_variable(self, place: str, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("file://"):
            if Path(value).suffix in (".js", ".ts", ".mjs", ".cjs", ".py"):
                raise NotCarriedError(f"{place}: a variable made by code ({value}) is not run")
            if Path(value).suffix.lower() in (".png", ".jpg", ".jpeg", ".gif", ".webp", ".pdf", ".mp3", ".wav", ".mp4"):
                raise NotCarriedError(f"{place}: {value} is no text")
            return self.files.load(value)
        return value


def _listed(value: Any) -> list[Any]:
    """A list as it is, nothing as an empty one, and anything else as the one thing it is."""
    return value if isinstance(value, list) else [value] if value else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _rendered(values: dict[str, Any]) -> dict[str, Any]:
    """Variables that name each other, put in (at most three deep)."""
    for _ in range(3):
        for name, value in values.items():
            if isinstance(value, str) and "{{" in value:
                try:
                    values[name] = with_variables(value, values)
                except NotCarriedError:
                    continue
    return values


# CSV


def csv_tests(path: Path, converted: Converted) -> Iterator[dict[str, Any]]:
    """The tests of a CSV file: a column a variable, columns that begin with two underscores as Promptfoo reads them."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            for number, row in enumerate(csv.DictReader(file, strict=True), start=2):
                yield _csv_test(
                    {key: value or "" for key, value in row.items() if key is not None}, path, number, converted
                )
        except csv.Error as problem:
            raise NotCarriedError(f"{path.name} is not CSV: {problem}") from None


def _csv_test(row: Mapping[str, str], path: Path, number: int, converted: Converted) -> dict[str, Any]:
    test: dict[str, Any] = {"vars": {}, "assert": [], "options": {}, "metadata": {}}
    config: dict[str, dict[str, Any]] = {}
    for column, text in row.items():
        key = column.strip()
        if key.startswith("__expected"):
            if text.strip():
                test["assert"].append((key, assertion_from_text(text.strip())))
        elif key.startswith("__config:__expected"):
            _, which, option = key.split(":", 2)
            if text.strip():
                config.setdefault(which, {})[option] = _number_or_text(text)
        elif key.startswith("__metadata:"):
            test["metadata"][key.partition(":")[2].removesuffix("[]")] = text.split(",") if key.endswith("[]") else text
        elif key in ("__prefix", "__suffix"):
            test["options"][key[2:]] = text
        elif key in ("__description", "__threshold", "__providerOutput", "__metric"):
            if text.strip():
                test[key[2:]] = _number_or_text(text) if key == "__threshold" else text
        elif key.startswith("__"):
            converted.lost(f"{path.name}:{number}", key, "no such column of a Promptfoo CSV file is known")
        else:
            test["vars"][key] = text
    metric = test.pop("metric", None)
    test["assert"] = [
        {**assertion, **config.get("__expected", {}), **config.get(key, {}), **({"metric": metric} if metric else {})}
        for key, assertion in test["assert"]
    ]
    return test


def _number_or_text(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


LISTS = ("contains-all", "contains-any", "icontains-all", "icontains-any")
SHORT_FORM = re.compile(r"(not-)?([a-z][a-z-]*(?::[a-z-]+)?)(?:\((\d+(?:\.\d+)?)\))?:(.*)", re.DOTALL)


def assertion_from_text(text: str) -> dict[str, Any]:
    """An assertion in the short form of CSV files: `type: value`, `type(threshold): value`, else `equals`."""
    from graders.convert.promptfoo_assertions import TYPES

    if text.startswith("file://") and re.search(r"\.(py|js|ts)(:|$)", text):
        return {"type": "python" if ".py" in text else "javascript", "value": text}
    for alias, kind in (("fn:", "javascript"), ("eval:", "javascript"), ("grade:", "llm-rubric")):
        if text.startswith(alias):
            return {"type": kind, "value": text.removeprefix(alias).strip()}
    match = SHORT_FORM.fullmatch(text)
    bare = text.removeprefix("not-")
    if match is None and bare in TYPES and bare != "assert-set":  # is-json stands for itself
        return {"type": text}
    if match is None or match[2] not in TYPES:
        return {"type": "equals", "value": text}
    value: Any = match[4].strip()
    if match[2] in LISTS:
        value = split_commas(value)
    threshold = {} if match[3] is None else {"threshold": float(match[3])}
    return {"type": f"{match[1] or ''}{match[2]}", **({"value": value} if value else {}), **threshold}


def split_commas(text: str) -> list[str]:
    """Values between commas; one in double quotes may hold some."""
    return [value.strip() for value in next(csv.reader([text], skipinitialspace=True), [])]
