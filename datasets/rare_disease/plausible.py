"""Which genes of a closed list look most like a patient: the order of written-out answers. No diagnosis."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from hpo import Ontology


class Plausible:
    """Ranks genes by the information content a patient's symptoms share with each gene's annotated symptoms.

    Score of a gene: sum of the information content of the shared terms (ancestors included), divided by the
    square root of that sum over the gene's own terms, so that a gene annotated with everything is not
    like everybody.
    """

    def __init__(self, ontology: Ontology, content: Mapping[str, float], terms_of: Mapping[str, Iterable[str]]) -> None:
        self._ontology = ontology
        self._content = content
        self._size: dict[str, float] = {}
        self._genes: dict[str, list[str]] = defaultdict(list)  # of each term that has a content
        for gene, terms in sorted(terms_of.items()):
            own = [term for term in ontology.closure_of(terms) if term in content]
            self._size[gene] = math.sqrt(math.fsum(content[term] for term in own)) or 1.0
            for term in own:
                self._genes[term].append(gene)

    def ranked(self, present: Iterable[str]) -> list[str]:
        """All genes, the likest first; ties in the order of their names."""
        shared: dict[str, list[float]] = {gene: [] for gene in self._size}
        for term in self._ontology.closure_of(present):
            for gene in self._genes.get(term, ()):
                shared[gene].append(self._content[term])
        # fsum: the same to the last bit whatever order a set yields its terms in
        scores = {gene: math.fsum(contents) / self._size[gene] for gene, contents in shared.items()}
        return sorted(scores, key=lambda gene: (-scores[gene], gene))
