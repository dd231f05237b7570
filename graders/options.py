"""Types of the fields in which graders take their options."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number; a text or a truth value is not taken for one."""
