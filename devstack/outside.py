"""Accounts that are not the pool's, with lines for KALE: whom the pool pays on a local network."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import aiohttp
from stellar_sdk import Account, Asset, Keypair, TransactionBuilder, xdr

from devstack.chain_view import call_rpc
from libs.kale.networks import NETWORKS

#: Accounts whose lines one transaction makes: each of them signs it.
_TOGETHER = 20
#: Stroops of XLM bid for an operation, and seconds for which a transaction is good.
_BID, _BOUND = 10_000, 300
#: Seconds between two looks for a transaction.
_LOOK = 0.2
#: Accounts, and transactions of lines, at a time, and connections for the latter.
_PARALLEL, _CONNECTIONS = 100, 20
_LOCALNET = NETWORKS["localnet"]


def kale() -> Asset:
    """Return the asset on localnet."""
    code, _, issuer = _LOCALNET.asset.partition(":")
    return Asset(code, issuer)


async def create_outside(rpc_url: str, keys: Sequence[Keypair]) -> None:
    """Create these accounts on localnet, with XLM and a line for KALE each."""
    limit = asyncio.Semaphore(_PARALLEL)

    async def within(work: Coroutine[Any, Any, None]) -> None:
        async with limit:
            await work

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(within(_fund(session, rpc_url, key.public_key)) for key in keys))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_CONNECTIONS)) as session:
        groups = [keys[start : start + _TOGETHER] for start in range(0, len(keys), _TOGETHER)]
        await asyncio.gather(*(within(_trust(session, rpc_url, group)) for group in groups))


async def _ask(
    session: aiohttp.ClientSession, rpc_url: str, method: str, parameters: object
) -> dict[str, Any]:
    """Make a call, once more when its connection was closed: a node keeps no idle ones for long."""
    while True:
        try:
            return await call_rpc(session, rpc_url, method, parameters)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            await asyncio.sleep(_LOOK)


async def _fund(session: aiohttp.ClientSession, rpc_url: str, address: str) -> None:
    async with session.get(f"{rpc_url}/friendbot", params={"addr": address}) as response:
        if response.status != 200:
            raise RuntimeError(f"the friendbot refused: {await response.text()}")


async def _trust(session: aiohttp.ClientSession, rpc_url: str, keys: Sequence[Keypair]) -> None:
    """Have each of these accounts trust KALE, in one transaction of the first of them."""
    first = keys[0].public_key
    source = Account(first, await _sequence(session, rpc_url, keys[0]))
    builder = TransactionBuilder(source, _LOCALNET.passphrase, base_fee=_BID)
    for key in keys:
        builder.append_change_trust_op(kale(), source=key.public_key)
    envelope = builder.set_timeout(_BOUND).build()
    for key in keys:
        envelope.sign(key)
    request = {"transaction": envelope.to_xdr()}
    sent = await _ask(session, rpc_url, "sendTransaction", request)
    while True:
        await asyncio.sleep(_LOOK)
        if sent["status"] == "TRY_AGAIN_LATER":  # the queue is full
            sent = await _ask(session, rpc_url, "sendTransaction", request)
            continue
        found = await _ask(session, rpc_url, "getTransaction", {"hash": sent["hash"]})
        if found["status"] == "SUCCESS":
            return
        if found["status"] != "NOT_FOUND":
            raise RuntimeError(f"no lines for KALE: {found['status']}")


async def _sequence(session: aiohttp.ClientSession, rpc_url: str, key: Keypair) -> int:
    ledger_key = xdr.LedgerKey(
        xdr.LedgerEntryType.ACCOUNT,
        account=xdr.LedgerKeyAccount(account_id=key.xdr_account_id()),
    )
    answer = await _ask(session, rpc_url, "getLedgerEntries", {"keys": [ledger_key.to_xdr()]})
    data = xdr.LedgerEntryData.from_xdr(answer["entries"][0]["xdr"])
    assert data.account is not None  # noqa: S101  (that is what was asked for)
    return data.account.seq_num.sequence_number.int64
