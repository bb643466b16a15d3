"""A wallet's database in which one of each thing has happened that the audit log tells of."""

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.chain_facts import AccountState, SignedEnvelope
from services.wallet.domain.model import NewOperation, OperationKind
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.domain.withdrawals import Asset, DailyLimit, NewWithdrawal
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store.channels import insert_pool_accounts
from services.wallet.store.custody import CustodyStore
from services.wallet.store.kill_switch import KillSwitch
from services.wallet.store.operations import OperationStore
from services.wallet.store.owners import OwnerStore
from services.wallet.store.transactions import NO_BUDGET, Draft, TransactionStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore
from tests.support.agreements import agree
from tests.support.orders import ORDERS

_PROVIDER = LocalKeyProvider(bytes(32))
LEDGER = 100


def envelope(source: str) -> SignedEnvelope:
    """Return what a signed envelope looks like to the stores."""
    name = new_id().hex
    return SignedEnvelope(
        xdr=name,
        hash=name,
        inner_hash=f"inner {name}",
        source=source,
        sequence=1,
        max_time=1000,
        fee_bid=100,
    )


async def farmer(pool: Database, *, payout: str = "GPAYOUT") -> tuple[FarmerId, PoolerId, Draft]:
    """Make a farmer who pays out to an address; return an envelope for a plant of the farmer's."""
    farmer_id, pooler_id = FarmerId(new_id()), PoolerId(new_id())
    sealed = await seal_new_key(_PROVIDER, WalletId(new_id()))
    await WalletStore(pool, ORDERS).insert_farmer(
        sealed,
        farmer_id=farmer_id,
        pooler_id=pooler_id,
        onboarding_id=OperationId(new_id()),
        payout_address=payout,
    )
    plant = NewOperation(
        id=OperationId(new_id()),
        wallet_id=sealed.wallet_id,
        amount=0,
        nonce=None,
        hash=None,
        zeros=None,
    )
    await OperationStore(pool, ORDERS).record_one(
        kind=OperationKind.PLANT, block_index=5, operation=plant, check=lambda _: None
    )
    draft = Draft(
        envelope=envelope(sealed.address), operation_ids=(plant.id,), stakes_returned=(0,), share=1
    )
    return farmer_id, pooler_id, draft


async def endow(pool: Database) -> None:
    """Make a treasury with 100 XLM, and a payer."""
    treasury = await seal_new_key(_PROVIDER, WalletId(new_id()))
    wallets = WalletStore(pool, ORDERS)
    await wallets.insert_treasury(treasury)
    rich = AccountState(address=treasury.address, exists=True, xlm=10**9, sequence=1)
    await wallets.save_accounts({treasury.wallet_id: rich}, LEDGER)
    payer = await seal_new_key(_PROVIDER, WalletId(new_id()))
    async with pool.transaction() as session:
        made = [(payer, OperationId(new_id()))]
        await insert_pool_accounts(session, ORDERS, "payer", OperationKind.OPEN_PAYER, made, most=1)


def transactions(pool: Database, switch: KillSwitch | None = None) -> TransactionStore:
    """Return the store of transactions of a process with this switch."""
    return TransactionStore(pool, ORDERS, NO_BUDGET, switch)


async def let_happen(pool: Database) -> None:
    """Do one of each thing that has a record, as wallet does it."""
    await endow(pool)
    _, pooler_id, draft = await farmer(pool)
    store, custody = transactions(pool), CustodyStore(pool, ORDERS)
    assert (await store.commit_signed([draft], ledger=LEDGER)).recorded
    raised = envelope(draft.envelope.source)
    assert await store.replace_envelope(draft.id, draft.envelope.xdr, raised)
    (wallet,) = await WalletStore(pool, ORDERS).page(pooler_id=pooler_id, after=None, limit=1)
    withdrawals = WithdrawalStore(pool, ORDERS)
    await withdrawals.record(
        NewWithdrawal(
            id=OperationId(new_id()),
            request_id="one",
            wallet_id=wallet.id,
            asset=Asset.KALE,
            amount=40,
            actor="me",
        ),
        DailyLimit(farmer=100, pool=100),
    )
    for address in ("GOTHER", ""):
        await withdrawals.set_address(wallet.id, address, cooling=60, actor="me")
    await agree(pool, wallet.id)
    await OwnerStore(pool, ORDERS).mark(pooler_id, farms_for_itself=True, actor="ann")
    reach = Reach(scope=Scope.POOLER, target=pooler_id)
    await custody.pause(reach, reason="a test", actor="ann")
    await custody.resume(reach, actor="bob")
    await custody.pause(reach, reason="again", actor="ann")
