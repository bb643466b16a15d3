"""Marks in memory: the ledger in which something is looked at again."""


def is_ahead(mark: int, ledger: int, *, most: int) -> bool:
    """Tell whether a mark is still to come that was set at most `most` ledgers ahead.

    A mark further ahead was set by a head that was a lie, and does not count: the head has gone
    back, and the mark would not be reached for days.
    """
    return 0 < mark - ledger <= most
