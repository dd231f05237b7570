"""Which genes of a closed list look most like a patient: the order of written-out answers. No diagnosis."""

from __future__ import annotations

import math
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
        self._terms = {gene: ontology.closure_of(terms) for gene, terms in sorted(terms_of.items())}
        self._size = {
            gene: math.sqrt(math.fsum(content.get(term, 0.0) for term in terms)) or 1.0
            for gene, terms in self._terms.items()
        }

    def ranked(self, present: Iterable[str]) -> list[str]:
        """All genes, the likest first; ties in the order of their names."""
        patient = self._ontology.closure_of(present)
        content = self._content
        scores = {
            # fsum: the same to the last bit whatever order a set yields its terms in
            gene: math.fsum([content[term] for term in patient & terms if term in content]) / self._size[gene]
            for gene, terms in self._terms.items()
        }
        return sorted(scores, key=lambda gene: (-scores[gene], gene))
