"""What a grader's definition reads: its template variables and its references, those of its parts included."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from graders.composite import Composite
from graders.grader import Grader
from graders.template import Variable, parse
from graders.variables import variables_of


def walk(grader: Grader) -> Iterator[Grader]:
    """The grader and, depth first, every grader inside it."""
    yield grader
    if isinstance(grader, Composite):
        for part in grader.members.values():
            yield from walk(part)


def item_variables(grader: Grader) -> list[str]:
    """The variables of the item that its templates name, `item.gene`, each once, in order."""
    return list(dict.fromkeys(variable.text for _, variable in variables_of(grader) if _of_item(variable)))


def references(grader: Grader) -> list[str]:
    """The templates it compares with that name an item's variable, each once, those of its parts included."""
    return list(dict.fromkeys(_references(grader)))


def _references(grader: Grader) -> Iterator[str]:
    own = getattr(grader, "reference", None)
    if own is not None:  # the graders of a part of it see that part as `item.reference`
        texts = own if isinstance(own, list) else [own]
        named = (text for text in texts if isinstance(text, str) and any(map(_of_item, _variables(text))))
        yield from islice(named, 1)
    elif isinstance(grader, Composite):
        for part in grader.members.values():
            yield from _references(part)


def _of_item(variable: Variable) -> bool:
    return variable.namespace == "item"


def _variables(text: str) -> list[Variable]:
    try:
        return [piece for piece in parse(text) if isinstance(piece, Variable)]
    except ValueError:  # no template
        return []
