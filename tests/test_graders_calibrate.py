"""Calibration: judges with planted faults must be found out, and labels must be read as they were meant."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import pytest

from graders import Grader, load
from graders.agreement import Figure
from graders.calibration.bias import PositionBias
from graders.calibration.calibrate import Calibration, calibrate
from graders.calibration.consistency import APART, Consistency, drawn_again
from graders.calibration.labels import middle_of
from graders.calibration.order import Ordering
from graders.calibration.threshold import Suggestion, best_threshold, suggest
from graders.calibration.words import verdicts
from graders.grade import Grade
from graders.sample import Item, Sample
from graders.service.services import Services, use
from graders.service.settings import Settings
from graders.testing.comparisons import walk
from graders.testing.scripted_judge import Reaction, Request, ScriptedJudge, error, said, verdict

ASK = [{"role": "user", "content": "Rate this: {{sample.output_text}}"}]
SCORE: dict[str, Any] = {"type": "score_model", "name": "rated", "model": "m", "input": ASK, "fence": False}
PRICES = {"m": {"input": 2.0, "output": 10.0}}


@contextmanager
def judge_who(script: Callable[[Request], Reaction], **service: Any) -> Iterator[ScriptedJudge]:
    with ScriptedJudge(script) as server:
        local = {"base_url": server.url, "retries": 0, **service}
        settings = Settings.model_validate(
            {"services": {"local": local}, "models": {"*": {"service": "local"}}, "prices": PRICES}
        )
        with use(Services(settings)):
            yield server


def chance(text: str, what: str = "") -> float:
    """A number from 0 to 1 that a text always has."""
    return int.from_bytes(blake2b(f"{what} {text}".encode(), digest_size=8).digest(), "big") / 2**64


def number_in(text: str, name: str) -> float:
    found = re.search(rf"{name}=(-?[0-9.]+)", text)
    assert found, text
    return float(found[1])


def row(number: int, label: Any, text: str, **item: Any) -> dict[str, Any]:
    return {"id": f"r{number}", "item": {"label": label, **item}, "output_text": text}


def holds(figure: Figure, value: float) -> bool:
    assert figure.low is not None
    assert figure.high is not None
    return figure.low <= value <= figure.high


def figure(found: Calibration, name: str) -> Figure:
    assert not isinstance(found.agreement, str)
    return found.agreement[name]


# Planted judges

BALANCED = [row(n, n % 2 == 0, f"answer {n} truth={n % 2 == 0:d}") for n in range(400)]


def test_a_judge_that_errs_in_a_fifth_of_the_rows_has_kappa_of_three_fifths() -> None:
    def errs(request: Request) -> Reaction:
        truth = number_in(request.last, "truth")
        return verdict(1 - truth if chance(request.last) < 0.2 else truth)

    with judge_who(errs):
        found = calibrate(load(SCORE), BALANCED)
    assert holds(figure(found, "accuracy"), 0.8)
    assert holds(figure(found, "kappa"), 0.6)
    assert holds(figure(found, "alpha"), 0.6)
    assert sum(found.confusion.values()) == 400
    assert abs(found.confusion["pass_pass"] - 160) < 25
    assert any("below 0.667" in line for line in verdicts(found))


def graded_rows(n: int = 300, seed: int = 0) -> list[dict[str, Any]]:
    """Rows whose label says nothing of their length."""
    draw = random.Random(seed)
    rows = []
    for number in range(n):
        label = draw.randint(1, 5)
        rows.append(row(number, label, f"answer {number} worth={label} " + "x" * draw.randint(0, 300)))
    return rows


FIVE = {**SCORE, "range": [1, 5]}


@pytest.mark.parametrize(("per_character", "biased"), [(0.0, False), (0.01, True), (-0.01, True)])
def test_a_judge_that_likes_length_is_found_out(per_character: float, biased: bool) -> None:
    def likes(request: Request) -> Reaction:
        noise = chance(request.last) - 0.5
        return verdict(number_in(request.last, "worth") + noise + per_character * (len(request.last) - 160))

    with judge_who(likes):
        found = calibrate(load({**FIVE, "range": [-10, 10]}), graded_rows())
    length = found.length
    assert length.people.value == pytest.approx(0, abs=0.12)
    said_so = [line for line in verdicts(found) if line.startswith("length bias")]
    assert bool(said_so) == biased
    if biased:
        assert length.left.value is not None
        assert (length.left.value > 0.5) if per_character > 0 else (length.left.value < -0.5)
        assert ("longer" if per_character > 0 else "shorter") in said_so[0]


def test_a_grader_that_is_nothing_but_length_is_said_to_be() -> None:
    draw = random.Random(1)
    found = calibrate(Lengths(), [row(n, draw.random() < 0.5, "x" * (n % 100)) for n in range(200)])
    assert found.length.grader.value == 1
    assert any(line.startswith("length bias: longer") for line in verdicts(found))


def test_a_judge_that_wavers_flips_as_often_as_it_was_told_to() -> None:
    def wavers(request: Request) -> Reaction:
        truth = number_in(request.last, "truth")
        return verdict(1 - truth if request.time == 2 and chance(request.last) < 0.25 else truth)

    with judge_who(wavers) as server:
        found = calibrate(load(SCORE), BALANCED[:200], samples=3)
        assert len(server.requests) == 600
    assert isinstance(found.consistency, Consistency)
    assert found.consistency.draws == 3
    assert holds(found.consistency.flips, 0.25)
    assert found.consistency.flips.value == found.consistency.spread.value  # a flip is from 0 to 1
    assert found.consistency.alpha.value == pytest.approx(1 - 0.25 * (2 / 3) / 0.5, abs=0.1)
    assert any("changes its verdict in" in line for line in verdicts(found))


def test_a_judge_that_stands_by_itself_is_said_to() -> None:
    with judge_who(lambda request: verdict(number_in(request.last, "truth"))):
        found = calibrate(load(SCORE), BALANCED[:20], samples=2)
    assert isinstance(found.consistency, Consistency)
    assert found.consistency.flips.value == 0
    assert "asked 2 times, the grader never changes its verdict" in verdicts(found)


def test_a_judge_that_prefers_the_first_answer_is_found_out() -> None:
    pair = {"type": "pairwise", "model": "m", "against": "{{item.other}}", "fence": False}

    def prefers(request: Request) -> Reaction:
        numbers = re.findall(r"truth=(\d)", request.last)
        pairs = "".join(sorted(re.findall(r"pair (\d+)", request.last)))
        result = "A" if chance(pairs) < 0.3 else "A" if numbers[0] > numbers[1] else "B"
        return said(json.dumps({"steps": [], "result": result}))

    rows = [row(n, n % 2 == 0, f"pair {n} truth={1 - n % 2}", other=f"pair {n} truth={n % 2}") for n in range(200)]
    with judge_who(prefers):
        found = calibrate(load(pair), rows)
    assert isinstance(found.position, PositionBias)
    assert found.position.depends.n == 200
    assert holds(found.position.depends, 0.3)
    assert found.position.second == 0
    assert found.position.first == round(200 * (found.position.depends.value or 0))
    assert any(line.startswith("the order decides") for line in verdicts(found))
    with judge_who(prefers):
        once = calibrate(load({**pair, "orders": "seeded"}), rows[:10])
    assert once.position == "each pair is shown in one order only"


def test_a_known_order_is_held_against_the_scores() -> None:
    worth = {"good": 5, "fair": 3, "poor": 1}
    rows = [
        {"id": f"{n}{word}", "item": {"task": n, "quality": word}, "output_text": f"task {n} worth={worth[word]}"}
        for n in range(20)
        for word in worth
    ]

    def mostly_right(request: Request) -> Reaction:
        score = number_in(request.last, "worth")
        if "task 3 " in request.last:  # upside down
            score = 6 - score
        return verdict(3 if "task 4 " in request.last else score)  # all alike

    with judge_who(mostly_right):
        found = calibrate(load(FIVE), rows, order_by="quality", group="task")
    order = found.order
    assert isinstance(order, Ordering)
    assert (order.pairs, order.ties, order.wrong, order.groups) == (60, 3, 3, 20)
    assert order.right.value == pytest.approx(54 / 60)
    assert str(order.violations[0]) == "3: 3good got 1, the worse 3poor 5"
    assert found.agreement == "no labels"
    assert "of 60 pairs of known order 90.0% come out right, 3 tie, 3 are wrong" in verdicts(found)


def test_ranks_count_from_the_best() -> None:
    rows = [row(n, n, "x" * n, place=n, task="one") for n in range(1, 6)]
    found = calibrate(Lengths(sign=-1), rows, order_by="place", group="task")
    assert isinstance(found.order, Ordering)
    assert (found.order.pairs, found.order.wrong) == (10, 0)


def test_the_cost_is_that_of_the_tokens_and_prices() -> None:
    with judge_who(lambda request: verdict(1, prompt_tokens=500, completion_tokens=50)):
        found = calibrate(load(SCORE), BALANCED[:10], samples=2)
    assert found.cost.per_1000["m"] == {"calls": 1000, "prompt_tokens": 500_000, "completion_tokens": 50_000}
    assert found.cost.dollars_per_1000 == pytest.approx(0.5 * 2 + 0.05 * 10)
    assert found.cost.grades == 20
    assert "$1.50 per 1,000 grades" in str(found)


def test_what_was_not_decided_is_counted_and_left_out_and_never_zero() -> None:
    def fails_sometimes(request: Request) -> Reaction:
        if chance(request.last) < 0.3:
            return said("I would say 7 of 10.")
        return verdict(number_in(request.last, "truth"))

    with judge_who(fails_sometimes):
        found = calibrate(load(SCORE), BALANCED[:100])
    undecided = sum(found.cost.errors.values())
    assert 15 < undecided < 45
    assert figure(found, "accuracy").value == 1
    assert figure(found, "accuracy").n == 100 - undecided
    assert any("were undecided" in line for line in verdicts(found))


def test_a_threshold_is_suggested_and_tried_on_rows_it_was_not_chosen_on() -> None:
    def lenient(request: Request) -> Reaction:
        return verdict(0.6 + 0.3 * number_in(request.last, "truth") + 0.1 * chance(request.last))

    with judge_who(lenient):
        found = calibrate(load(SCORE), BALANCED[:100])
    assert isinstance(found.suggestion, Suggestion)
    assert 0.7 < found.suggestion.threshold < 0.9
    assert found.suggestion.elsewhere.value == 1
    assert figure(found, "kappa").value == 0
    assert any(line.startswith("a threshold of 0.8") for line in verdicts(found))


def test_a_judge_of_noise_gets_no_credit_from_a_chosen_threshold() -> None:
    with judge_who(lambda request: verdict(chance(request.last))):
        found = calibrate(load(SCORE), BALANCED)
    if isinstance(found.suggestion, Suggestion):
        here, elsewhere = found.suggestion.here.value, found.suggestion.elsewhere.value
        assert here is not None
        assert elsewhere is not None
        assert elsewhere < here
        assert holds(found.suggestion.elsewhere, 0.0)


@pytest.mark.parametrize(
    ("scores", "passes", "best"),
    [
        ([1, 2, 3, 4], [False, False, True, True], 2.5),
        ([1, 1, 1], [True, False, True], None),
        ([1, 2, 3], [True, True, True], None),
        ([1, 2, 3, 4], [True, True, False, False], None),  # scores that fall with the labels
        ([], [], None),
    ],
)
def test_the_best_threshold(scores: list[float], passes: list[bool], best: float | None) -> None:
    assert best_threshold(scores, passes) == best


# People


class Lengths(Grader):
    """The output's length: no judge, and the same each time."""

    type: str = "lengths"
    sign: int = 1
    top: float = 100.0

    @property
    def range(self) -> tuple[float, float]:
        return (-self.top, 0.0) if self.sign < 0 else (0.0, self.top)

    def grade(self, sample: Sample, item: Item) -> float:
        assert "label" not in item
        return self.sign * float(len(sample.output_text))


def test_several_people_give_the_ceiling() -> None:
    draw = random.Random(5)
    rows = []
    for number in range(200):
        size = draw.randint(0, 100)
        people = [min(100, max(0, round(draw.gauss(size, 15)))) for _ in range(3)]
        rows.append(row(number, people, "x" * size))
    found = calibrate(Lengths(), rows)
    assert not isinstance(found.people, str)
    one, people_alone = found.people["grader_with_one"].value, found.people["alpha"].value
    assert one is not None
    assert people_alone is not None
    assert 0.667 < people_alone < one < 1  # the length is what they all guess at
    assert any("more than people do with each other" in line for line in verdicts(found))
    missing = calibrate(Lengths(), [row(1, [50, None], "x" * 50), row(2, [10, 20], "x"), row(3, None, "y")])
    assert missing.labels is not None
    assert missing.labels.labelled == 2


@pytest.mark.parametrize(
    ("labels", "options", "numbers", "passes", "about"),
    [
        ([True, False], {}, [100, 0], [True, False], "truth values"),
        ([[True, True, False], [True, False]], {}, [100, None], [True, None], "truth values"),
        (["pass", "Fail"], {}, [100, 0], [True, False], "texts, of which 'pass' passes"),
        (["fine", "awful"], {"passing": ["fine"]}, [100, 0], [True, False], "texts, of which 'fine' passes"),
        (["good", "fair", "poor"], {}, [100, 50, 0], [True, True, False], "fair passes"),
        ([20, 80], {}, [20, 80], [False, True], "on the grader's scale; 50 passes"),
        ([[20, 90], 80], {}, [55, 80], [True, True], "on the grader's scale"),
        ([1, 3, 5], {"label_range": (1, 5)}, [0, 50, 100], [False, True, True], "from 1 to 5"),
        ([1, 3, 5], {"label_range": (1, 5), "label_threshold": 4}, [0, 50, 100], [False, False, True], "4 passes"),
        ([-1, 1], {}, [0, 100], [False, True], "numbers from -1 to 1, brought to the grader's scale; 0 passes"),
        (["20", "80"], {}, [20, 80], [False, True], "on the grader's scale"),  # as CSV has them
        ([20, None, 80], {}, [20, None, 80], [False, None, True], "on the grader's scale"),
        ([20, "", 80], {}, [20, None, 80], [False, None, True], "on the grader's scale"),
    ],
)
def test_labels_are_read_as_people_mean_them(
    labels: list[Any], options: dict[str, Any], numbers: list[Any], passes: list[Any], about: str
) -> None:
    found = calibrate(Lengths(), [row(n, label, "x" * n) for n, label in enumerate(labels)], **options)
    assert found.labels is not None
    assert list(found.labels.numbers) == pytest.approx(numbers)
    assert list(found.labels.passes) == passes
    assert about in found.labels.about


@pytest.mark.parametrize(
    ("items", "options", "complaint"),
    [
        ([{"label": "fine"}, {"label": "awful"}], {}, "say which of them pass with --passing"),
        ([{"label": "fine"}], {"passing": ["find"]}, "'find' is the label of no row; did you mean 'fine'"),
        ([{"label": 1}], {"passing": ["find"]}, "--passing names texts"),
        ([{"label": 1}, {"label": "fine"}], {}, "use one kind"),
        ([{"label": {"a": 1}}], {}, "must be a number, a truth value, a text or a list"),
        ([{"label": None}], {}, "no row has a label"),
        ([{"gold": 1}], {}, "name what people said with --label KEY"),
        ([{"gold": 1}], {"label": "golf"}, "no item has a 'golf'; did you mean 'gold'"),
        ([{"label": 7}], {"label_range": (1, 5)}, "outside --label-range 1,5"),
        ([{"label": -3}, {"label": -3}], {}, "give --label-range"),
        ([{"label": 1}], {"order_by": "quality"}, "needs both"),
        ([{"label": 1, "q": "great", "t": 1}], {"order_by": "q", "group": "t"}, "must be good, fair or poor"),
        ([{"label": 1, "q": "good"}], {"order_by": "q", "group": "t"}, "no 't' to tell"),
        ([{"q": "good", "t": 1}, {"q": 2, "t": 1}], {"order_by": "q", "group": "t"}, "a word in some rows"),
        ([{"label": 1}], {"cluster": "source"}, "no 'source'"),
        ([], {}, "no rows"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_graded(
    items: Sequence[Mapping[str, Any]], options: dict[str, Any], complaint: str
) -> None:
    rows = [{"item": dict(item), "output_text": "x"} for item in items]
    with (
        judge_who(lambda request: verdict(1)) as server,
        pytest.raises(ValueError, match=re.escape(complaint)),
    ):
        calibrate(load(SCORE), rows, **options)
    assert server.requests == []


def test_labels_under_another_name_are_found_and_said() -> None:
    rows = [{"item": {"human": n}, "output_text": "x" * n} for n in range(5)]
    found = calibrate(Lengths(), rows)
    assert found.labels is not None
    assert found.labels.key == "human"
    assert "5 with 'human'" in str(found)


def test_a_grader_that_reads_the_label_is_refused() -> None:
    copy = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.label}}", "operation": "eq"}
    with pytest.raises(ValueError, match="it would be compared with itself"):
        calibrate(load(copy), [row(1, "x", "x")])


def test_labels_that_the_grader_gives_too_are_compared_as_such() -> None:
    names = ["polite", "rude", "unclear"]
    grader = {
        "type": "label_model",
        "model": "m",
        "input": ASK,
        "labels": names,
        "passing_labels": ["polite"],
        "fence": False,
    }
    rows = [row(n, names[n % 3], f"answer {n} label={n % 3}") for n in range(90)]

    def mixes_up(request: Request) -> Reaction:
        label = int(number_in(request.last, "label"))
        return verdict(names[2 if label == 1 and chance(request.last) < 0.5 else label])

    with judge_who(mixes_up):
        found = calibrate(load(grader), rows)
    assert figure(found, "kappa").value == 1  # rude and unclear fail alike
    category = figure(found, "category_kappa").value
    assert category is not None
    assert 0.5 < category < 0.95
    assert figure(found, "alpha").value == pytest.approx(category, abs=0.02)


# What is told


@pytest.mark.parametrize(
    "grader",
    [
        SCORE,
        {
            "type": "weighted_sum",
            "graders": {"a": SCORE, "b": {"type": "length", "unit": "characters", "max": 9}},
            "weights": {"a": 0.5, "b": 0.5},
        },
        {"type": "panel", "graders": {"a": SCORE}, "samples": 3},
        {"type": "multi", "graders": {"a": {**SCORE, "draw": 2}}, "calculate_output": "a"},
    ],
)
def test_a_grader_drawn_again_asks_for_other_answers_however_deep(grader: dict[str, Any]) -> None:
    loaded = load(grader)
    again = drawn_again(loaded, 2)
    before = [getattr(one, "draw", None) for one in walk(loaded)]
    after = [getattr(one, "draw", None) for one in walk(again)]
    assert after == [None if draw is None else draw + 2 * APART for draw in before]
    assert any(draw is not None for draw in before)
    assert again.identity != loaded.identity
    assert drawn_again(loaded, 0) is loaded
    assert load(again.to_wire()) == again


def test_a_grader_without_a_judge_is_not_drawn_again() -> None:
    found = calibrate(Lengths(), [row(n, n, "x" * n) for n in range(9)], samples=3)
    assert found.consistency == "the grader asks no judge, so there is nothing to draw again"
    assert found.cost.grades == 9
    assert found.position == "it compares no pairs of answers"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_rows_and_equal_ones_are_told_without_a_number_that_means_nothing(count: int) -> None:
    found = calibrate(Lengths(), [row(n, True, "xx") for n in range(count)], threshold=1)
    wire = json.loads(json.dumps(found.to_wire(), allow_nan=False))
    assert wire["agreement"]["kappa"]["value"] is None
    assert wire["agreement"]["kappa"]["reason"]
    assert wire["agreement"]["alpha"]["value"] is None
    assert "agreement" in str(found)


def test_everything_undecided_is_told_too() -> None:
    with judge_who(lambda request: error(500, "no")):
        found = calibrate(load(SCORE), BALANCED[:5], samples=2)
    assert figure(found, "accuracy").value is None
    assert "no row was compared" in verdicts(found)
    assert found.cost.error_rate == 1
    assert "100.0% of the grades were undecided" in str(found)


# What is claimed, and what is not


class Given(Grader):
    """The score that the item holds under `s`; None is undecided."""

    type: str = "given"
    low: float = 0.0
    high: float = 1.0

    @property
    def range(self) -> tuple[float, float]:
        return (self.low, self.high)

    def grade(self, sample: Sample, item: Item) -> Grade | float:
        score = item["s"]
        return Grade.undecided("other_error", "no answer") if score is None else float(score)


def given_rows(scores: Sequence[Any], labels: Sequence[Any], lengths: Sequence[int] | None = None) -> list[Any]:
    sizes = [1 + n % 7 for n in range(len(scores))] if lengths is None else lengths
    columns = enumerate(zip(scores, labels, sizes, strict=True))
    return [row(n, label, "x" * size, s=score) for n, (score, label, size) in columns]


def said_of(found: Calibration, what: str) -> str:
    """The one sentence that has these words."""
    (line,) = [line for line in verdicts(found) if what in line]
    return line


def length_rows(noise: float, liking: float, n: int = 300, seed: int = 0) -> list[Any]:
    """Worth follows length; the judge sees worth, and likes length by `liking`; labels from 1 to 5 have `noise`."""
    draw = random.Random(seed)
    scores, labels, sizes = [], [], []
    for _ in range(n):
        size = draw.gauss(0, 1)
        worth = 0.5 * size + 0.866 * draw.gauss(0, 1)
        labels.append(min(5, max(1, round(3 + worth + noise * draw.gauss(0, 1)))))
        scores.append(3 + worth + liking * size + 0.2 * draw.gauss(0, 1))
        sizes.append(max(0, round(400 + 100 * size)))
    return given_rows(scores, labels, sizes)


WIDE = Given(low=-10, high=16)


def test_a_judge_without_a_length_bias_is_not_blamed_for_the_noise_of_labels() -> None:
    told = [
        any(line.startswith("length bias") for line in verdicts(calibrate(WIDE, length_rows(1.0, 0.0, seed=seed))))
        for seed in range(8)
    ]
    assert sum(told) <= 1
    biased = calibrate(WIDE, length_rows(0.7, 0.4))
    line = said_of(biased, "length bias: longer")
    assert "or people's labels are noisier than the scores" in line
    assert biased.length.over is not None
    assert biased.length.over.low is not None
    assert biased.length.over.low > 0


def test_the_three_ways_in_which_no_length_bias_is_shown() -> None:
    draw = random.Random(0)
    sizes = [max(0, round(draw.gauss(400, 100))) for _ in range(400)]
    steady = given_rows([draw.random() for _ in sizes], [draw.random() for _ in sizes], sizes)
    assert "may be 0" in said_of(calibrate(Given(), steady), "no length bias is shown")
    labels = [-0.9 * (size - 400) / 100 + 0.44 * draw.gauss(0, 1) for size in sizes]
    scores = [
        -0.2 * label - 0.8 * (size - 400) / 100 + 0.9 * draw.gauss(0, 1)
        for label, size in zip(labels, sizes, strict=True)
    ]
    apart = calibrate(Given(low=-10, high=10), given_rows(scores, labels, sizes))
    assert "point opposite ways" in said_of(apart, "no length bias is shown")
    one = given_rows([0.1 * n for n in range(9)], [0.1 * (n % 4) for n in range(9)])
    for line in one:
        line["item"]["source"] = "same"
    alone = calibrate(Given(), one, cluster="source")
    assert "length bias cannot be told: no interval" in said_of(alone, "length bias")
    assert "1 cluster of rows gives no interval" in verdicts(alone)


def test_scores_in_the_order_of_labels_follow_length_as_these_do() -> None:
    scores = [0.1 * (n % 9) for n in range(90)]
    found = calibrate(Given(), given_rows([score**2 for score in scores], scores))
    assert said_of(found, "length bias") == "no length bias is shown: scores follow length just as labels do"


def test_both_rank_correlations_with_length_are_of_the_same_rows() -> None:
    scores: list[Any] = [0.1 * n for n in range(9)]
    scores[3] = None
    found = calibrate(Given(), given_rows(scores, [None, 0.5, *[0.1 * (n % 4) for n in range(7)]]))
    assert found.length.grader.n == found.length.people.n == 7


def test_an_offset_that_is_the_same_in_each_row_is_told() -> None:
    quarters = [0, 1, 2, 3] * 30
    found = calibrate(Given(), given_rows([q / 4 + 0.25 for q in quarters], [q / 4 for q in quarters]))
    assert said_of(found, "than labels") == "scores are 0.25 higher than labels in every row"


def test_rounding_is_no_bias() -> None:
    pairs = [(0.1 + 0.2, 0.3), (0.7 + 0.1, 0.8), (0.3, 0.3)] * 30
    found = calibrate(Given(), given_rows([s for s, _ in pairs], [label for _, label in pairs]))
    assert not any("than labels" in line for line in verdicts(found))
    tenths = calibrate(Given(), given_rows([0, 0.1, 0.2, 0.3] * 9, [1, 2, 3, 4] * 9), label_range=(1, 11))
    assert tenths.labels is not None
    assert list(tenths.labels.numbers[:4]) == [0, 0.1, 0.2, 0.3]


def test_few_clusters_are_told_and_one_gives_no_claim() -> None:
    draw = random.Random(3)
    rows = given_rows([draw.random() for _ in range(90)], [draw.random() < 0.5 for _ in range(90)])
    for n, line in enumerate(rows):
        line["item"] |= {"few": n % 5, "one": 0, "some": n % 20}
    few = calibrate(Given(), rows, cluster="few")
    assert "too narrow" in said_of(few, "5 clusters of rows")
    assert few.to_wire()["clusters"] == 5
    assert said_of(calibrate(Given(), rows, cluster="some"), "20 clusters of rows are few")
    one = calibrate(Given(), rows, cluster="one")
    assert "one cluster only" in said_of(one, "no interval can be told")
    assert not any(" are few" in line for line in verdicts(calibrate(Given(), rows)))


def test_rows_are_few_where_few_were_decided() -> None:
    scores: list[Any] = [n % 2 if n < 20 else None for n in range(80)]
    found = calibrate(Given(), given_rows(scores, [n % 2 == 0 for n in range(80)]))
    assert found.to_wire()["compared"] == 20
    assert said_of(found, "20 compared rows are few")


def test_undecided_pairs_of_known_order_are_counted_in_the_sentence() -> None:
    rows = given_rows([0.9, 0.1, None], [1, 0, 0])
    for line, word in zip(rows, ("good", "fair", "poor"), strict=True):
        line["item"] |= {"q": word, "t": 1}
    found = calibrate(Given(), rows, order_by="q", group="t")
    assert said_of(found, "known order").endswith("0 are wrong; 2 more were undecided")
    rows[1]["item"]["s"] = None
    nothing = calibrate(Given(), rows, order_by="q", group="t")
    assert said_of(nothing, "known order") == "no pair of known order was decided, 3 were not"


def test_perfect_agreement_of_few_rows_shows_nothing() -> None:
    alternate = [n % 2 for n in range(6)]
    line = said_of(calibrate(Given(), given_rows(alternate, [bool(n) for n in alternate])), "alpha 1.00")
    assert "no interval can be told, so these rows do not show it" in line
    many = [n % 2 for n in range(80)]
    line = said_of(calibrate(Given(), given_rows(many, [bool(n) for n in many])), "alpha 1.00")
    assert "do not show it" not in line


@pytest.mark.parametrize(
    ("noise", "said"),
    [(0.02, "more than people do"), (0.9, "less than people do"), (0.12, "not shown to differ from")],
)
def test_the_grader_is_held_against_people_on_the_same_rows(noise: float, said: str) -> None:
    draw = random.Random(0)
    scores: list[Any] = []
    labels: list[Any] = []
    for number in range(240):
        worth = draw.random()
        hard = number < 60  # labelled by one only, at random: it must not count against the grader
        labels.append([draw.random()] if hard else [min(1, max(0, draw.gauss(worth, 0.12))) for _ in range(3)])
        scores.append(None if number % 12 == 7 else min(1, max(0, draw.gauss(worth, noise))))
    found = calibrate(Given(), given_rows(scores, labels))
    line = said_of(found, "with one person")
    assert said in line
    assert "on the 165 rows with two labels or more" in line
    assert not isinstance(found.people, str)
    assert {figure.n for figure in found.people.values()} == {165}


@pytest.mark.parametrize("people", ["123", (1, 2, 3), (1.0, 2.0, 3.0)])
def test_labels_of_digits_stay_texts_where_the_grader_gives_them(people: Sequence[Any]) -> None:
    names = ["1", "2", "3"]
    grader = {"type": "label_model", "model": "m", "input": ASK, "labels": names, "passing_labels": ["3"]}
    rows = [row(n, people[n % 3], f"answer {n} label={n % 3}") for n in range(30)]
    with judge_who(lambda request: verdict(names[int(number_in(request.last, "label"))])):
        found = calibrate(load({**grader, "fence": False}), rows)
    assert found.labels is not None
    assert found.labels.kind == "category"
    assert figure(found, "category_accuracy").value == 1
    assert found.confusion == {"pass_pass": 10, "pass_fail": 0, "fail_pass": 0, "fail_fail": 20}


def test_no_threshold_is_praised_where_the_present_one_is_best() -> None:
    praised = 0
    for seed in range(12):
        draw = random.Random(seed)
        worth = [draw.random() for _ in range(60)]
        scores = [min(1, max(0, one + draw.gauss(0, 0.25))) for one in worth]
        found = calibrate(Given(), given_rows(scores, [one >= 0.5 for one in worth]))
        praised += any("agrees better" in line for line in verdicts(found))
        if isinstance(found.suggestion, Suggestion):
            assert found.suggestion.gain.n == 60
    assert praised <= 1  # one in forty by chance


@pytest.mark.parametrize(
    ("passes", "clusters", "reason"),
    [
        ([True, False, True, False], None, "fewer than 5 rows"),
        ([True, False] * 4, [0, 1, 2, 3] * 2, "fewer than 5 clusters"),
        ([True, *[False] * 7], None, "fewer than two rows that pass and two that fail"),
    ],
)
def test_a_threshold_of_too_few_rows_is_not_cross_validated(
    passes: list[bool], clusters: list[int] | None, reason: str
) -> None:
    found = suggest([float(passed) for passed in passes], passes, 0.5, clusters)
    assert isinstance(found, Suggestion)
    assert (found.elsewhere.value, found.accuracy_elsewhere.value, found.gain.value) == (None, None, None)
    assert reason in found.elsewhere.reason


@pytest.mark.parametrize(("low", "high"), [(0.1, 1.1), (0.0, 0.3), (-0.7, 0.1), (1, 5), (0.3, 0.9)])
def test_fair_passes_on_any_scale(low: float, high: float) -> None:
    words = ["good", "fair", "poor", ["fair", "fair", "fair"]]
    middle = middle_of((low, high))
    found = calibrate(Given(low=low, high=high), given_rows([high, middle, low, middle], words))
    assert found.labels is not None
    assert list(found.labels.passes) == [True, True, False, True]
    assert found.confusion["pass_pass"] == 3
    assert middle_of((0.1, 1.1)) == 0.6


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        ([0, 1], {}, "labels lie between 0 and 1, under half of the grader's range from 0 to 10"),
        ([0, 1], {}, "no label passes (5 does)"),
        ([8, 9], {}, "every label passes (5 does)"),
        (["no", "fail"], {}, "no label passes"),
    ],
)
def test_labels_that_may_be_on_another_scale_are_pointed_out(
    labels: list[Any], options: dict[str, Any], said: str
) -> None:
    found = calibrate(Given(high=10), given_rows([n % 11 for n in range(20)], labels * 10), **options)
    line = said_of(found, said)
    assert ("--label-range" in line) == isinstance(labels[0], int)


def test_labels_of_the_whole_scale_are_not_pointed_at() -> None:
    rows = given_rows([n % 2 for n in range(20)], [0, 1] * 10)
    for scale in (None, (0.0, 1.0)):
        told = verdicts(calibrate(Given(), rows, label_range=scale))
        assert not any("--label-range" in line for line in told)


@pytest.mark.parametrize(
    ("labels", "options", "complaint"),
    [
        ([True, False], {"label_range": (0.0, 1.0)}, "--label-range is of numbers"),
        (["good", "poor"], {"label_threshold": 0.5}, "--label-threshold is of numbers"),
        ([1, 0], {"threshold": math.nan}, "threshold=nan"),
        ([1, 0], {"label_threshold": math.inf}, "label_threshold=inf"),
        ([1, 0], {"label_range": (0.0, math.inf)}, "label_range=(0.0, inf)"),
        ([1, 0], {"label_range": (-1e308, 1e308)}, "too wide"),
        ([1e308, -1e308], {}, "too wide"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_anything_is_graded(
    labels: list[Any], options: dict[str, Any], complaint: str
) -> None:
    rows = [{"item": {"label": label}, "output_text": "x"} for label in labels]
    with judge_who(lambda request: verdict(1)) as server, pytest.raises(ValueError, match=re.escape(complaint)):
        calibrate(load(SCORE), rows, **options)
    assert server.requests == []
