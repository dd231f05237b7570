"""Graders judge samples against items: compose them, test them, use them as metrics and as rewards."""

from graders.grade import ERROR_KINDS, Grade, GradeError, GradingError
from graders.grader import FunctionGrader, Grader, as_grader
from graders.registry import grader_class, known_types, load
from graders.sample import Item, Sample
from graders.score import grade_many
from graders.statistics import Interval, Summary, bootstrap, summarise
from graders.template import Template

__all__ = [
    "ERROR_KINDS",
    "FunctionGrader",
    "Grade",
    "GradeError",
    "Grader",
    "GradingError",
    "Interval",
    "Item",
    "Sample",
    "Summary",
    "Template",
    "as_grader",
    "bootstrap",
    "grade_many",
    "grader_class",
    "known_types",
    "load",
    "summarise",
]
