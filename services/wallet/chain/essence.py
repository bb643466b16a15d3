"""The part of facts that two nodes must agree on: all that does not depend on the ledger."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TypeAlias

from services.wallet.chain.read.included import Included
from services.wallet.domain.chain_facts import BlockState, FarmState, LedgerHead, Outcome

Essence: TypeAlias = Hashable

_NO_HEAD = LedgerHead(sequence=0, close_time=0)


def essence(facts: object) -> Essence:
    """Return the part of the facts that has to be the same, in a form that can be compared.

    The ledger that stands before entries is left out. So are a block's totals and lives, which
    change with every plant and work. The heads of nodes are left out because they are compared as
    heights.
    """
    if isinstance(facts, tuple) and len(facts) == 2 and type(facts[0]) is int:
        return _plain(facts[1])
    return _plain(facts)


def stable_block(block: BlockState | None) -> BlockState | None:
    """Return a block without the values that plants and works change."""
    if block is None:
        return None
    return replace(block, staked_total=0, normalized_total=0, live_until=0, modified=0)


def stable_farm(farm: FarmState | None) -> FarmState | None:
    """Return a farm and its block without the values that plants and works change.

    The lives of the farm's instance and code are left out, too.
    """
    if farm is None:
        return None
    return replace(farm, block=stable_block(farm.block), instance_until=0, code_until=0)


def _plain(facts: object) -> Essence:
    known = _reduced(facts)
    if known is not None:
        return known
    if isinstance(facts, Mapping):
        return frozenset((key, _plain(value)) for key, value in facts.items())
    if isinstance(facts, Sequence) and not isinstance(facts, str | bytes):
        return tuple(_plain(item) for item in facts)
    if is_dataclass(facts) and not isinstance(facts, type):
        parts = (_plain(getattr(facts, field.name)) for field in fields(facts))
        return type(facts).__name__, *parts
    return facts if isinstance(facts, Hashable) else repr(facts)


def _reduced(facts: object) -> Essence | None:
    """Return the essence of facts that depend on the ledger; None for all other facts."""
    match facts:
        case BlockState():
            return stable_block(facts)
        case FarmState():
            return stable_farm(facts)
        case LedgerHead():
            return _NO_HEAD
        case Outcome():
            return replace(facts, head=_NO_HEAD)
        case Included():
            return _plain(facts.outcomes)
    return None
