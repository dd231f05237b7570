"""What keeps the sandbox from running anything: no fault of a candidate's or of a grader's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graders.grade import GradingError
from graders.sandbox.pool import RefusedError
from graders.sandbox.process import ServerFailedError
from graders.sandbox.turns import OverloadedError


@contextmanager
def typed_errors(failed: str) -> Iterator[None]:
    """What the sandbox raises, as GradingError; `failed` is the kind where it could not be started or has ended."""
    try:
        yield
    except RefusedError as problem:
        raise GradingError("sandbox_refused", str(problem), "infra") from None
    except OverloadedError as problem:
        raise GradingError("overloaded", str(problem), "infra") from None
    except (ServerFailedError, OSError) as problem:
        raise GradingError(failed, str(problem), "infra") from None
