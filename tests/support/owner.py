"""The owner of a farmer's account who holds the exported key, and uses it without the pool."""

import base64
from dataclasses import dataclass
from uuid import UUID

from stellar_sdk import Keypair, Operation, TransactionBuilder
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.db.pool import open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.ids import WalletId
from localnet.network import Network
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import open_seed
from services.wallet.store import QUERIES
from services.wallet.store.wallets import WalletStore
from tests.support.orders import ORDERS
from tests.support.wallet_world import WalletWorld


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A key, and a node to send to."""

    rpc: SorobanServerAsync
    key: Keypair

    async def sends_from(self, other: Keypair, operation: Operation) -> None:
        """Send a transaction of another account with an operation of this one, and do not wait.

        It uses no number of this account.
        """
        network = Network()
        source = await self.rpc.load_account(other.public_key)
        builder = TransactionBuilder(source, network.passphrase, base_fee=10_000)
        envelope = builder.set_timeout(60).append_operation(operation).build()
        for key in (other, self.key):
            envelope.sign(key)
        await self.rpc.send_transaction(envelope)

    async def does(self, *operations: Operation) -> None:
        """Have one transaction of the account made; the faucet pays its fee by a fee bump."""
        network = Network()
        source = await self.rpc.load_account(self.key.public_key)
        builder = TransactionBuilder(source, network.passphrase, base_fee=1000).set_timeout(60)
        for operation in operations:
            builder.append_operation(operation)
        inner = builder.build()
        inner.sign(self.key)
        bump = TransactionBuilder.build_fee_bump_transaction(
            network.faucet, 10_000, inner, network.passphrase
        )
        bump.sign(network.faucet)
        sent = await self.rpc.send_transaction(bump)
        answer = await self.rpc.poll_transaction(sent.hash, max_attempts=20)
        assert answer.status.value == "SUCCESS", answer


async def owner_of(world: WalletWorld, farmer_id: str, rpc: SorobanServerAsync) -> Owner:
    """Return the owner of a farmer's account, with the key that an export would have given."""
    provider = LocalKeyProvider(base64.b64decode(world.environment["MASTER_KEY"]))
    address = DatabaseAddress(dsn=world.database.dsn("wallet"))
    async with open_database(
        address, queries=QUERIES, pool_size=1, timeout_ms=10_000, name="owner"
    ) as database:
        # The keys of rows are the wallet's own: nothing is judged here.
        row = await database.one("wallet_by_farmer", UUID(farmer_id))
        assert row is not None
        wallet_id = WalletId(row["id"])
        store = WalletStore(database, ORDERS)
        seed = await open_seed(provider, (await store.sealed_keys([wallet_id]))[wallet_id])
    return Owner(rpc=rpc, key=Keypair.from_raw_ed25519_seed(seed))
