"""What graders' options are made of: numbers, and objects inside a definition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from graders.template import nearest

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number; a text or a truth value is not taken for one."""


class Options(BaseModel):
    """An object inside a definition: frozen, and unknown keys are refused with the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    spellings: ClassVar[Mapping[str, str]] = {}  # other spellings of keys, and the key each stands for

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        taken: dict[str, Any] = {}
        for key, value in given.items():
            name = cls.spellings.get(key, key)
            if name not in cls.model_fields:
                raise ValueError(f"unknown key {key!r}; {nearest(str(key), cls.model_fields)}")
            if taken.get(name) not in (None, value) and value is not None:
                spelt = sorted(spelling for spelling in given if cls.spellings.get(spelling, spelling) == name)
                raise ValueError(f"{' and '.join(map(repr, spelt))} are one key, given two values")
            taken[name] = value if value is not None else taken.get(name)
        return taken
