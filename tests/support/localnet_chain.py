"""A localnet chain in the test's own process: accounts, envelopes and ledgers on demand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stellar_sdk import Account, FeeBumpTransactionEnvelope, Keypair, TransactionBuilder, xdr
from stellar_sdk import TransactionEnvelope as Envelope
from stellar_sdk.operation import CreateAccount, Operation

from localnet.ledger import accounts, trustlines
from localnet.ledger.apply import Applied
from localnet.ledger.close import ClosedLedger, Genesis
from localnet.ledger.keys import trustline_asset
from localnet.ledger.node import Node, Store, open_node
from localnet.ledger.queue import Answer
from localnet.network import Network
from localnet.soroban.uploads import FARM_CODE_BYTES

#: Close time of the first ledger.
START = 1_800_000_000
#: Seconds between two ledgers.
STEP = 5


def make_node(
    *,
    overrides: Mapping[str, int] | None = None,
    store: Store | None = None,
    retention: int = 1000,
    block_seconds: int = 300,
    farm_code_bytes: int = FARM_CODE_BYTES,
) -> Node:
    """Return a fresh node (or the one that the store holds)."""
    return open_node(
        Genesis(network=Network(), block_seconds=block_seconds, farm_code_bytes=farm_code_bytes),
        close_time=START,
        retention=retention,
        overrides=overrides,
        store=store,
    )


@dataclass(kw_only=True)
class Chain:
    """A node and short ways to use it."""

    #: The node.
    node: Node = field(default_factory=make_node)

    @property
    def network(self) -> Network:
        """Return the network of the node."""
        return self.node.genesis.network

    @property
    def now(self) -> int:
        """Return the last close time."""
        return self.node.snapshot.close_time

    def close(self, seconds: int = STEP) -> ClosedLedger:
        """Close the next ledger, this many seconds after the last."""
        return self.node.close_ledger(self.now + seconds)

    def account(self, keypair: Keypair) -> accounts.Account:
        """Return an account that exists."""
        account = accounts.load_account(self.node.snapshot, keypair.raw_public_key())
        assert account is not None
        return account

    def exists(self, keypair: Keypair) -> bool:
        """Tell whether the account exists."""
        found = accounts.load_account(self.node.snapshot, keypair.raw_public_key())
        return found is not None

    def kale(self, keypair: Keypair) -> int | None:
        """Return the stroops of KALE, or None without a trustline."""
        asset = trustline_asset(self.network.kale.to_xdr_object())
        line = trustlines.load_trustline(self.node.snapshot, keypair.raw_public_key(), asset)
        return None if line is None else line.balance

    def build(
        self,
        source: Keypair,
        operations: Sequence[Operation],
        *signers: Keypair,
        fee: int = 100,
        sequence: int | None = None,
        max_time: int | None = None,
        min_time: int = 0,
    ) -> Envelope:
        """Build a signed envelope; `fee` is per operation, `sequence` the number that it uses."""
        if sequence is None:
            sequence = self.account(source).seq_num + 1
        builder = TransactionBuilder(
            Account(source.public_key, sequence - 1), self.network.passphrase, base_fee=fee
        )
        for operation in operations:
            builder.append_operation(operation)
        builder.add_time_bounds(min_time, self.now + 300 if max_time is None else max_time)
        envelope = builder.build()
        for keypair in (source, *signers):
            envelope.sign(keypair)
        return envelope

    def bump(self, inner: Envelope, payer: Keypair, base_fee: int) -> FeeBumpTransactionEnvelope:
        """Build a signed fee bump."""
        bump = TransactionBuilder.build_fee_bump_transaction(
            payer, base_fee, inner, self.network.passphrase
        )
        bump.sign(payer)
        return bump

    def send(self, envelope: Envelope | FeeBumpTransactionEnvelope) -> Answer:
        """Put an envelope into the queue."""
        return self.node.submit(envelope.to_xdr_object().to_xdr_bytes())[1]

    def apply(
        self, source: Keypair, operations: Sequence[Operation], *signers: Keypair, **options: Any
    ) -> Applied:
        """Send an envelope, close a ledger, and return the applied transaction."""
        envelope = self.build(source, operations, *signers, **options)
        answer = self.send(envelope)
        assert answer.status == "PENDING", answer
        self.close()
        found = self.node.history.find(envelope.hash())
        assert found is not None
        return found.transaction

    def fund(self, *keypairs: Keypair, xlm: str = "1000") -> None:
        """Create accounts from the root account."""
        creations = [CreateAccount(k.public_key, xlm) for k in keypairs]
        for start in range(0, len(creations), 100):
            assert self.apply(self.network.root, creations[start : start + 100]).ok


def result_json(packed: bytes) -> Any:
    """Return the result part of a TransactionResult in the JSON form of XDR."""
    return xdr.TransactionResult.from_xdr_bytes(packed).to_json_dict()["result"]


def operation_codes(applied: Applied) -> list[Any]:
    """Return the codes of a failed transaction's operations.

    Each code has the form {"payment": "underfunded"}, or is text.
    """
    result = result_json(applied.result)
    outcomes = result.get("txfailed") or result["txsuccess"]
    return [o["opinner"] if isinstance(o, dict) else o for o in outcomes]
