"""Last check when all rows of a group are done: chain, records, money and secrets.

A cell is judged when none of its operations is open any more. An envelope that was signed a second
time by mistake may reach a ledger after that. So at the end, when no envelope can reach a ledger
any more, every question is asked again, and the records together have to match the chain, whoever
asked for the operations.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import asyncpg
from stellar_sdk import Asset

from devstack.chain_view import ChainView, call_rpc, read_kale_balances
from devstack.check import settled_verdict
from devstack.farmers import FUNDING
from devstack.wallet_calls import wait_until
from libs.kale.networks import NETWORKS
from trials.canaries import search_all
from trials.faults.arena import Arena
from trials.faults.checker import Findings, Question, check, facts, over_cap, recorded_figures
from trials.faults.witness import Witness
from trials.payments import Flows, SeenPayment, flows, payment_differences, pooler_accounts

#: Kinds of operations that are calls of the farm, one call for each operation.
_FARMING = ("plant", "work", "harvest")
#: Seconds that the last envelope may still be valid for: envelopes are signed for a few seconds.
_PATIENCE = 90.0


async def closing_check(arena: Arena, asked: Sequence[Question]) -> list[str]:
    """Return all faults at the end of a group, in words."""
    await _outlive_envelopes(arena)
    await arena.witness.catch_up()
    rows = await arena.records.many("succeeded")
    payments = arena.witness.payments
    return [
        *await asked_again(arena, asked),
        *unmatched(rows, arena.witness),
        *await payment_differences(arena.records, arena.world.rpc_url, payments),
        *await _money(arena, rows),
        *(f"{fee.hash}: above the cap" for fee in over_cap(arena.witness.fees, arena.cap)),
        *(await search_all(arena.world.stack)).leaks,
    ]


async def _outlive_envelopes(arena: Arena) -> None:
    """Wait until the chain has passed the last bound that was signed, and the outcome is known."""
    bound = await arena.records.count("count_last_bound")

    async def passed() -> bool:
        world = arena.world
        latest = await call_rpc(world.session, world.rpc_url, "getLatestLedger", None)
        return int(latest["closeTime"]) > bound

    await wait_until(passed, "an envelope is still valid", seconds=_PATIENCE, poll=0.5)


# Operations ----------------------------------------------------------------------------------


async def asked_again(arena: Arena, asked: Sequence[Question]) -> list[str]:
    """Return the differences in all that was requested during the group, as of now."""
    found = []
    for question in windows(asked):
        # The costs are checked for all questions at once.
        now = replace(question, fees_before=len(arena.witness.fees))
        findings = await check(arena.records, arena.witness, now)
        about = f"{question.phase} of block {question.block}, at the end"
        found += [f"{about}: {note}" for note in _in_words(findings)]
    return found


def windows(asked: Sequence[Question]) -> list[Question]:
    """Return the questions, each limited to the calls before the next question of its phase.

    A plant or a work on the chain does not say which block it was meant for.
    """
    following: dict[str, int] = {}
    found = []
    for question in reversed(asked):
        found.append(replace(question, calls_until=following.get(question.phase)))
        following[question.phase] = question.calls_before
    return found[::-1]


def _in_words(findings: Findings) -> list[str]:
    """Return at least one line when anything is wrong."""
    missing = findings.counted_given_up
    given_up = [f"given up: {count} {reason}" for reason, count in missing.items()]
    return [*findings.notes, *given_up]


def unmatched(rows: Sequence[asyncpg.Record], witness: Witness) -> list[str]:
    """Return calls that worked without a record, and records whose call did not work.

    `rows` are the records of all operations that succeeded.
    """
    farming = [row for row in rows if row["kind"] in _FARMING]
    calls = Counter(
        (seen.call.function, seen.call.farmer) for seen in witness.calls if seen.call.ok
    )
    return [
        *_differences("calls", calls, Counter((row["kind"], row["address"]) for row in farming)),
        *_differences("figures", _on_chain(witness), _recorded(farming)),
    ]


#: Kind, address and block.
_Key = tuple[str, str, int]


def _on_chain(witness: Witness) -> dict[_Key, tuple[int, ...]]:
    blocks = {block for _, block in witness.view.plants}
    return {
        (phase, address, block): figures
        for phase in _FARMING
        for block in sorted(blocks)
        for address, figures in facts(witness, phase, block).items()
    }


def _recorded(rows: Sequence[asyncpg.Record]) -> dict[_Key, tuple[int, ...]]:
    """Return the recorded figures; of several works in a block the last counts, as on the chain."""
    return {
        (row["kind"], row["address"], row["block_index"]): recorded_figures(row, row["kind"])
        for row in rows
    }


_Fact = TypeVar("_Fact", bound=tuple[object, ...])


def _differences(
    what: str, on_chain: Mapping[_Fact, object], recorded: Mapping[_Fact, object]
) -> list[str]:
    return [
        f"{what} of {key}: {on_chain.get(key)} on the chain, {recorded.get(key)} recorded"
        for key in sorted({*on_chain, *recorded}, key=str)
        if on_chain.get(key) != recorded.get(key)
    ]


# Money ---------------------------------------------------------------------------------------


async def _money(arena: Arena, rows: Sequence[asyncpg.Record]) -> list[str]:
    """Return differences in money: every stroop of KALE must be where the records put it."""
    code, _, issuer = NETWORKS["localnet"].asset.partition(":")
    addresses = [arena.world.opener.address, *(farmer.address for farmer in arena.farmers)]
    addresses += arena.others
    recorded = [
        SeenPayment(source=row["source"], destination=row["destination"], amount=row["amount"])
        for row in await arena.records.many("payments_by_wallet")
    ]
    poolers = await pooler_accounts(arena.records)
    moved = flows(recorded, dict.fromkeys(addresses, FUNDING), poolers)
    given = {address: moved.funded[address] - moved.collected[address] for address in addresses}
    expected = after_farming(rows, given)
    found = await read_kale_balances(arena.world.rpc_url, addresses, Asset(code, issuer))
    wrong = [] if arena.world.pool is None else await _events(arena, moved)
    return wrong + [
        f"balance of {address}: {found.get(address, 0)}, its operations give {amount}"
        for address, amount in expected.items()
        if found.get(address, 0) != amount
    ]


def after_farming(rows: Sequence[asyncpg.Record], given: Mapping[str, int]) -> dict[str, int]:
    """Return stroops of KALE by address after all farming that is recorded."""
    balances = Counter(given)
    for row in rows:
        if row["kind"] == "plant":
            balances[row["address"]] -= row["amount"]
        elif row["kind"] == "harvest":
            balances[row["address"]] += row["amount"] + row["stake_returned"]
    return {address: balances[address] for address in given}


async def _events(arena: Arena, moved: Flows) -> list[str]:
    """Compare the whole pool's events, and its ledger account by account, with the chain."""

    async def read() -> ChainView:
        await arena.witness.catch_up()
        return arena.witness.view

    verdict = await settled_verdict(
        arena.world.stack, moved.funded, read, collected=moved.collected
    )
    return verdict.differences if verdict.compared else ["no events were recorded"]
