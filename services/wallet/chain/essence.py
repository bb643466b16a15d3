"""What two nodes must say alike: facts without what depends on the ledger of the answer."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TypeAlias

from services.wallet.chain.read.included import Included
from services.wallet.domain.chain_facts import BlockState, FarmState, LedgerHead, Outcome

Essence: TypeAlias = Hashable

_NO_HEAD = LedgerHead(sequence=0, close_time=0)


def essence(facts: object) -> Essence:
    """What has to be the same, in a form that can be compared.

    The ledger that stands before entries is left out; a block's totals and lives change with every
    plant and work, and other nodes' heads are compared as heights.
    """
    if isinstance(facts, tuple) and len(facts) == 2 and type(facts[0]) is int:
        return _plain(facts[1])
    return _plain(facts)


def stable_block(block: BlockState | None) -> BlockState | None:
    """A block without what plants and works change."""
    if block is None:
        return None
    return replace(block, staked_total=0, normalized_total=0, live_until=0, modified=0)


def stable_farm(farm: FarmState | None) -> FarmState | None:
    """A farm with its block, without what plants and works change, and without its life."""
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
    """Of what depends on the ledger; None of anything else."""
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
            return _plain(facts.outcomes), tuple(sorted(facts.unreadable))
    return None
