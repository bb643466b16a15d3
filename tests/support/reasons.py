"""Reasons of errors, by which callers decide: none may change unseen."""

from types import ModuleType

from libs.common.errors import PoolError


def reasons_of(errors: ModuleType) -> dict[type[PoolError], str]:
    """Return the reason of each error that a module defines."""
    return {
        item: item.default_reason
        for item in vars(errors).values()
        if isinstance(item, type)
        and issubclass(item, PoolError)
        and item.__module__ == errors.__name__
    }
