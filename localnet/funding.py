"""Friendbot and faucet: real transactions of the localnet's own accounts.

Requests that arrive together share a transaction, because one account has at most one pending
transaction.
"""

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from stellar_sdk import Account, Keypair, StrKey, TransactionBuilder, xdr
from stellar_sdk.operation import CreateAccount, Operation, Payment

from localnet.ledger.accounts import load_account
from localnet.ledger.history import Found
from localnet.ledger.keys import account_key, trustline_asset, trustline_key
from localnet.ledger.node import Node
from localnet.ledger.queue import Status
from localnet.network import Network

#: Amount of XLM that the friendbot gives.
FRIENDBOT_XLM = "10000"
#: Maximum number of operations in one transaction.
MAX_OPERATIONS = 100
#: Number of times per ledger that the history is searched for a transaction.
_POLL_PART = 10
#: Stroops per operation that the funding accounts bid.
_BID = 10_000


class FundingError(Exception):
    """An error: the account cannot be funded; the text goes to the caller."""


@dataclass(frozen=True, kw_only=True)
class _Request:
    """One requested operation."""

    #: The operation.
    operation: Operation
    #: Future that gets the transaction's description, or the error.
    done: "asyncio.Future[dict[str, Any]]"


class _Payer:
    """A payer that does operations of one source account, batch after batch."""

    def __init__(self, node: Node, keypair: Keypair, network: Network, poll: float) -> None:
        self._node = node
        self._keypair = keypair
        self._network = network
        self._poll = poll
        self._waiting: asyncio.Queue[_Request] = asyncio.Queue()

    async def do(self, operation: Operation) -> dict[str, Any]:
        """Do one operation; return when the operation is in a ledger."""
        done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Request(operation=operation, done=done))
        return await done

    async def run(self) -> None:
        """Take the waiting requests, send them and wait for their transaction, for ever."""
        while True:
            batch = [await self._waiting.get()]
            # One turn of the event loop lets requests that came together join the batch.
            await asyncio.sleep(0)
            while len(batch) < MAX_OPERATIONS and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await self._settle(batch)

    async def _settle(self, batch: list[_Request]) -> None:
        """Try until every request is done.

        A request that fails leaves the batch, and the others are tried again.
        """
        while batch:
            found = await self._in_ledger([r.operation for r in batch])
            if found.transaction.ok:
                for request in batch:
                    _resolve(request, description(found))
                return
            batch = _without_failures(batch, found)

    async def _in_ledger(self, operations: list[Operation]) -> Found:
        while True:
            tx_hash = self._send(operations)
            for _ in range(5 * _POLL_PART):
                await asyncio.sleep(self._poll)
                found = self._node.history.find(tx_hash) if tx_hash else None
                if found is not None:
                    return found

    def _send(self, operations: list[Operation]) -> bytes | None:
        account = load_account(self._node.snapshot, self._keypair.raw_public_key())
        if account is None:
            raise RuntimeError("the funding account is gone")
        source = self._keypair.public_key
        builder = TransactionBuilder(
            Account(source, account.seq_num), self._network.passphrase, base_fee=_BID
        ).set_timeout(300)
        for operation in operations:
            builder.append_operation(operation)
        envelope = builder.build()
        envelope.sign(self._keypair)
        tx, answer = self._node.submit(envelope.to_xdr_object().to_xdr_bytes())
        taken = answer.status in (Status.PENDING, Status.DUPLICATE)
        return tx.hash if taken else None


def _resolve(request: _Request, answer: dict[str, Any] | FundingError) -> None:
    if request.done.done():
        return
    if isinstance(answer, FundingError):
        request.done.set_exception(answer)
    else:
        request.done.set_result(answer)


def _without_failures(batch: list[_Request], found: Found) -> list[_Request]:
    """Return the requests that did not fail by themselves."""
    result = xdr.TransactionResult.from_xdr_bytes(found.transaction.result).result
    rest = []
    for request, outcome in zip(batch, result.results or [], strict=False):
        arm = None
        if outcome.tr is not None:
            arm = outcome.tr.create_account_result or outcome.tr.payment_result
        if arm is not None and arm.code == 0:
            rest.append(request)
        else:
            name = arm.code.name if arm is not None else outcome.code.name
            _resolve(request, FundingError(f"the operation failed: {name}"))
    for request in batch[len(result.results or []) :]:
        _resolve(request, FundingError(f"the transaction failed: {result.code.name}"))
    return rest


def description(found: Found) -> dict[str, Any]:
    """Return the transaction in Horizon's form, with which the public friendbot answers."""
    transaction = found.transaction

    def text(data: bytes) -> str:
        return b64encode(data).decode()

    return {
        "id": transaction.hash.hex(),
        "hash": transaction.hash.hex(),
        "successful": transaction.ok,
        "ledger": found.ledger.sequence,
        "envelope_xdr": text(transaction.envelope),
        "result_xdr": text(transaction.result),
        "result_meta_xdr": text(transaction.meta),
    }


class Funding:
    """The work of GET /friendbot and GET /kale."""

    def __init__(self, node: Node, *, ledger_seconds: float) -> None:
        network, poll = node.genesis.network, ledger_seconds / _POLL_PART
        self._node = node
        self._network = network
        self._friendbot = _Payer(node, network.friendbot, network, poll)
        self._faucet = _Payer(node, network.faucet, network, poll)

    async def run(self) -> None:
        """Serve requests for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._friendbot.run())
            tasks.create_task(self._faucet.run())

    async def create_account(self, address: str) -> dict[str, Any]:
        """Create an account that does not exist, with 10,000 XLM."""
        raw = _raw(address)
        if self._node.snapshot.get(account_key(raw)) is not None:
            # Both texts are there: SDKs look for the first, the public friendbot gives the second.
            raise FundingError("createAccountAlreadyExist: account already funded")
        return await self._friendbot.do(CreateAccount(address, FRIENDBOT_XLM))

    async def pay_kale(self, address: str, amount: str) -> dict[str, Any]:
        """Pay KALE, in stroops, to an account that has the trustline."""
        raw = _raw(address)
        if not amount.isdigit() or not 0 < int(amount) < 2**63:
            raise FundingError("amount must be a number of stroops above 0")
        line = trustline_key(raw, trustline_asset(self._network.kale.to_xdr_object()))
        if self._node.snapshot.get(line) is None:
            raise FundingError("the account has no trustline for KALE")
        stroops = int(amount)
        kale = f"{stroops // 10**7}.{stroops % 10**7:07d}"
        return await self._faucet.do(Payment(address, self._network.kale, kale))


def _raw(address: str) -> bytes:
    if not StrKey.is_valid_ed25519_public_key(address):
        raise FundingError("addr must be an account (G...)")
    return StrKey.decode_ed25519_public_key(address)
