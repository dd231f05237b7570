"""text_similarity beside the public scorers it follows, in one process: `python benchmarks/text_similarity.py`.

Ours is the whole grade: `grader(sample, item)` with templates, checks and the result object. Theirs is the bare call,
its scorer built once. Each round makes new texts, the same for both sides, because sacrebleu remembers the lines it
has split; outputs are references with a quarter of their words left out or exchanged. Medians of seven rounds.
"""

from __future__ import annotations

import logging
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # beside this script lies graders.py, which shares its name with our package

from nltk.translate.gleu_score import sentence_gleu  # noqa: E402
from nltk.translate.meteor_score import single_meteor_score  # noqa: E402
from rapidfuzz import fuzz, utils  # noqa: E402
from rouge_score.rouge_scorer import RougeScorer  # noqa: E402
from sacrebleu.metrics import BLEU  # noqa: E402

from graders import Sample, load  # noqa: E402

ROUNDS = 7
LENGTHS = (10, 25, 75, 150, 200)  # words
Pairs = Sequence[tuple[str, str]]


class NoWordNet:
    """In place of nltk's WordNet, which needs a download: no word has synonyms."""

    def synsets(self, word: str) -> list[object]:
        return []


SACREBLEU = BLEU(effective_order=True)
ROUGE = {n: RougeScorer([f"rouge{n}"]) for n in ("1", "2", "L")}
THEIRS: dict[str, tuple[str, float | None, Callable[[str, str], float]]] = {  # name, ratio asked for, call
    "rouge_l": ("rouge-score", 10, lambda output, gold: ROUGE["L"].score(gold, output)["rougeL"].fmeasure),
    "bleu": ("sacrebleu", 5, lambda output, gold: SACREBLEU.sentence_score(output, [gold]).score / 100),
    "meteor": ("nltk", 3, lambda output, gold: single_meteor_score(gold.split(), output.split(), wordnet=NoWordNet())),
    "fuzzy_match": (
        "rapidfuzz",
        1 / 1.3,
        lambda output, gold: fuzz.WRatio(output, gold, processor=utils.default_process) / 100,
    ),
    "gleu": ("nltk", None, lambda output, gold: sentence_gleu([gold.split()], output.split())),
    "rouge_1": ("rouge-score", None, lambda output, gold: ROUGE["1"].score(gold, output)["rouge1"].fmeasure),
    "rouge_2": ("rouge-score", None, lambda output, gold: ROUGE["2"].score(gold, output)["rouge2"].fmeasure),
}


def sentences() -> list[str]:
    """The sentences of our own documentation."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    text = " ".join(re.sub(r"```.*?```|[|#`*]", " ", page.read_text("utf-8"), flags=re.DOTALL) for page in pages)
    return [
        " ".join(sentence.split()) for sentence in re.split(r"(?<=[.:])\s+", text) if 4 < len(sentence.split()) < 40
    ]


def make_pairs(words: int, number: int, rng: random.Random, known: Sequence[str]) -> Pairs:
    """References of so many words, begun within a sentence, each with an output much like it."""
    pairs = []
    for _ in range(number):
        start = rng.randrange(10)
        gold = " ".join(rng.choices(known, k=words // 4 + 4)).split()[start : start + words]
        output = [rng.choice(gold) if rng.random() < 0.15 else word for word in gold if rng.random() > 0.1]
        pairs.append((" ".join(output), " ".join(gold)))
    return pairs


def seconds(call: Callable[[str, str], object], pairs: Pairs) -> float:
    """Per call, of processor time: what else runs on the machine disturbs it less."""
    start = time.process_time()
    for output, gold in pairs:
        call(output, gold)
    return (time.process_time() - start) / len(pairs)


def main() -> None:
    logging.disable(logging.WARNING)  # sacrebleu remarks on texts that end in a stop
    rng, known = random.Random(0), sentences()
    print(f"{'metric':<12} {'words':>5}  {'ours':>8}  {'theirs':>9}  {'ratio':>8}  {'asked':>7}  beside")
    for metric, (name, asked, theirs) in THEIRS.items():
        wire = {"type": "text_similarity", "input": "{{sample.output_text}}", "reference": "{{item.gold}}"}
        grader = load({**wire, "evaluation_metric": metric})
        seconds(lambda output, gold: grader(output, {"gold": gold}), make_pairs(25, 300, rng, known))  # noqa: B023
        for words in LENGTHS:
            rounds = []
            for _ in range(ROUNDS):
                pairs = make_pairs(words, max(60, 6000 // words), rng, known)
                cases = [(Sample(output), {"gold": gold}) for output, gold in pairs]
                slow = seconds(theirs, pairs)
                fast = seconds(grader, cases)  # type: ignore[arg-type]
                rounds.append((fast, slow, slow / fast))
            for output, gold in pairs:
                assert abs(float(grader(output, {"gold": gold}).score or 0) - theirs(output, gold)) < 1e-9
            ours, raw, ratio = (statistics.median(column) for column in zip(*rounds, strict=True))
            wish = "" if asked is None else f"{asked:.2f}x"
            times = f"{ours * 1e6:>5.1f} us  {raw * 1e6:>6.1f} us"
            print(f"{metric:<12} {words:>5}  {times}  {ratio:>7.2f}x  {wish:>7}  {name}")


if __name__ == "__main__":
    main()
