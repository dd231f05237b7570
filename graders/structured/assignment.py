"""Matching one to one: which row goes with which column so that the scores add up to the most."""

from __future__ import annotations

from collections.abc import Sequence

Matched = list[tuple[int, int]]


def best_matching(scores: Sequence[Sequence[float]]) -> Matched:
    """Pairs (row, column) of the greatest sum of `scores[row][column]`, in order of rows; each used at most once.

    The Hungarian method with potentials (Kuhn 1955; Jonker & Volgenant 1987), O(n^2 m) for n the shorter side. Of
    matchings with the same sum the choice is fixed. Scores are at least 0; a pair that scores 0 is left out.

    >>> best_matching([[0.9, 0.8], [0.8, 0.1]])
    [(0, 1), (1, 0)]
    """
    if not scores or not scores[0]:
        return []
    pairs = _each_row_its_best(scores)
    if pairs is None:
        if len(scores) <= len(scores[0]):
            pairs = _hungarian(scores)
        else:
            columns = _hungarian(list(zip(*scores, strict=True)))
            pairs = sorted((row, column) for column, row in columns)
    return [(row, column) for row, column in pairs if scores[row][column] > 0]


def _each_row_its_best(scores: Sequence[Sequence[float]]) -> Matched | None:
    """The rows' best columns, where no two rows want the same: nothing can be better, and it is found at once."""
    taken: set[int] = set()
    pairs = []
    for number, row in enumerate(scores):
        best = max(row)
        if best <= 0:
            continue
        column = next((place for place, score in enumerate(row) if score == best and place not in taken), None)
        if column is None:
            return None
        taken.add(column)
        pairs.append((number, column))
    return pairs


def _hungarian(scores: Sequence[Sequence[float]]) -> Matched:
    """For at most as many rows as columns: rows enter one by one, each by a cheapest augmenting path."""
    width = len(scores[0])
    row_price = [0.0] * len(scores)
    column_price = [0.0] * (width + 1)
    row_of = [-1] * (width + 1)  # column `width` stands for the row that enters
    for entering in range(len(scores)):
        row_of[width] = entering
        slack, came_from = [float("inf")] * width, [width] * width
        open_columns, visited, column = list(range(width)), [width], width
        while row_of[column] >= 0:
            row = row_of[column]
            price, gains = row_price[row], scores[row]
            delta, following = float("inf"), -1
            for place in open_columns:
                cost = -gains[place] - price - column_price[place]
                if cost < slack[place]:
                    slack[place], came_from[place] = cost, column
                if slack[place] < delta:
                    delta, following = slack[place], place
            for place in visited:
                row_price[row_of[place]] += delta
                column_price[place] -= delta
            open_columns.remove(following)
            for place in open_columns:
                slack[place] -= delta
            visited.append(following)
            column = following
        while column != width:
            row_of[column] = row_of[came_from[column]]
            column = came_from[column]
    return sorted((row, column) for column, row in enumerate(row_of[:width]) if row >= 0)
