"""Amounts and percentages as integers and text; floats are never used."""

import re

from libs.kale.constants import STROOPS_PER_KALE

#: Stake percentages are kept in ten-thousandths, as numeric(5,4) in the database.
WHOLE = 10_000
_PERCENTAGE = re.compile(r"(?P<whole>[01])(?:\.(?P<digits>[0-9]{1,4}))?")
_AMOUNT = re.compile(r"(?P<whole>[0-9]{1,12})(?:\.(?P<digits>[0-9]{1,7}))?")


def stake_amount(balance: int, stake_bps: int) -> int:
    """Return the stroops to stake: `stake_bps` ten-thousandths of the balance, rounded down.

    Raise ValueError for a negative balance or a part outside of 0 to 10,000.
    """
    if balance < 0:
        raise ValueError("balance must not be negative")
    if not 0 <= stake_bps <= WHOLE:
        raise ValueError("stake_bps must be from 0 to 10,000")
    return balance * stake_bps // WHOLE


def parse_percentage(text: str) -> int:
    """Parse a decimal from "0" to "1" with at most four decimals into ten-thousandths.

    Raise ValueError for any other text.
    """
    match = _PERCENTAGE.fullmatch(text)
    if match is None:
        raise ValueError('must be a decimal from "0" to "1" with at most four decimals')
    parts = int(match["whole"]) * WHOLE + int((match["digits"] or "").ljust(4, "0"))
    if parts > WHOLE:
        raise ValueError('must be a decimal from "0" to "1" with at most four decimals')
    return parts


def format_percentage(stake_bps: int) -> str:
    """Return the shortest decimal of ten-thousandths, such as "0.25"."""
    whole, rest = divmod(stake_bps, WHOLE)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".")


def parse_kale(text: str) -> int:
    """Parse a decimal number of KALE (or XLM) with at most seven decimals into stroops.

    Raise ValueError for any other text.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError("must be a decimal number with at most seven decimals")
    return int(match["whole"]) * STROOPS_PER_KALE + int((match["digits"] or "").ljust(7, "0"))


def format_kale(stroops: int) -> str:
    """Return stroops as a decimal number of KALE (or XLM) with seven decimals."""
    sign = "-" if stroops < 0 else ""
    whole, rest = divmod(abs(stroops), STROOPS_PER_KALE)
    return f"{sign}{whole}.{rest:07d}"
