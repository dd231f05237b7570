"""The training loop: sample, grade, reward, compare within the group, update, validate.

Importing this package imports no torch; its modules that compute do.
"""

import graders as _graders
import rewards as _rewards

for _package, _mark in ((_graders, "Grade"), (_rewards, "rewards_of")):
    if not hasattr(_package, _mark):
        raise ImportError(
            f"'import {_package.__name__}' found {_package.__file__}, not Assay's package. "
            "Rename that file, or run your script from another folder."
        )

from rft_loop.learning.advantage import group_advantages  # noqa: E402  (after the guard)
from rft_loop.recipe import Recipe, load_recipe  # noqa: E402

__all__ = ["Recipe", "group_advantages", "load_recipe"]
