"""Reasons of errors, as callers read them in docs/errors.md."""

from pathlib import Path
from types import ModuleType

from libs.common.errors import PoolError

_ERRORS = Path(__file__).resolve().parents[2] / "docs" / "errors.md"


def reasons_not_listed(errors: ModuleType) -> list[str]:
    """Return the status and reason of each of a module's errors that docs/errors.md leaves out.

    Callers decide by the reason, so that none may change unseen.
    """
    text = _ERRORS.read_text(encoding="utf-8")
    own = [
        item
        for item in vars(errors).values()
        if isinstance(item, type)
        and issubclass(item, PoolError)
        and item.__module__ == errors.__name__
    ]
    assert own, f"{errors.__name__} has no error"
    rows = [f"| {item.code.name} | {item.default_reason} |" for item in own]
    return [row for row in rows if f"\n{row} " not in text]
