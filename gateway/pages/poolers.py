"""/poolers: the poolers that farmers may choose from, with their terms and what they came to."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from kalepool.report.v1 import report_pb2

from gateway.pages.page import Page
from gateway.pages.reads import PoolReads, part
from gateway.pages.show import optional

#: Windows: the field, and what the page calls it.
WINDOWS = (("day", "1 day"), ("week", "7 days"), ("month", "30 days"))
#: What a figure is sorted by; None, which goes last: there is nothing to sort by.
Value = Callable[[report_pb2.ListedPooler], Decimal | int | str | None]


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order of the table."""

    #: What it goes by.
    value: Value
    #: The least first.
    is_rising: bool = False


def _paid(figures: report_pb2.PoolerFigures) -> Decimal | None:
    """Return the part that was paid of those who took part."""
    tried = figures.success.planted + figures.success.not_planted
    return Decimal(figures.success.harvested) / tried if tried else None


def _rate(figures: report_pb2.PoolerFigures) -> int | None:
    return figures.hash_rate.rate if figures.HasField("hash_rate") else None


def _kale(figures: report_pb2.PoolerFigures) -> int | None:
    found: int | None = optional(figures, "rewards_per_farmer_block")
    return found


_FIGURES: Mapping[str, Callable[[report_pb2.PoolerFigures], Decimal | int | None]] = {
    "paid": _paid,
    "rate": _rate,
    "kale": _kale,
}


def _of(window: str, figure: str) -> Value:
    tell = _FIGURES[figure]
    return lambda pooler: tell(getattr(pooler, window))


#: By what the query calls them.
ORDERS: Mapping[str, Order] = {
    "registered": Order(value=lambda pooler: pooler.pooler_id, is_rising=True),
    "name": Order(value=lambda pooler: pooler.name.casefold(), is_rising=True),
    "fee": Order(value=lambda pooler: Decimal(pooler.terms.pooler_fee), is_rising=True),
    "room": Order(value=lambda pooler: pooler.room),
    **{
        f"{figure}-{window}": Order(value=_of(window, figure))
        for window, _ in WINDOWS
        for figure in _FIGURES
    },
}
#: The order of who asks for none that there is.
_USUAL = "kale-month"


def order_of(asked: str) -> str:
    """Return the order that the query asks for."""
    return asked if asked in ORDERS else _USUAL


def in_order(
    poolers: Sequence[report_pb2.ListedPooler], name: str
) -> list[report_pb2.ListedPooler]:
    """Return poolers in an order; those alike by their registration, those without a value last."""
    order = ORDERS[name]
    known = [pooler for pooler in poolers if order.value(pooler) is not None]
    found = sorted(known, key=lambda pooler: pooler.pooler_id)
    # What is sorted stays in order where it is alike, also when the most comes first.
    found.sort(key=order.value, reverse=not order.is_rising)  # type: ignore[arg-type]
    return found + [pooler for pooler in poolers if order.value(pooler) is None]


async def poolers(reads: PoolReads, asked: str) -> Page:
    """Return the page."""
    found, rules = await asyncio.gather(reads.public_poolers(), part(reads.agreement_rules()))
    order = order_of(asked)
    return Page(
        template="poolers.html",
        title="Poolers",
        content={
            "poolers": in_order(found.poolers, order),
            "is_cut": bool(found.next_page_token),
            "shown": len(found.poolers),
            "order": order,
            "is_rising": ORDERS[order].is_rising,
            "windows": WINDOWS,
            "rules": rules,
        },
    )
