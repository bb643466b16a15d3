"""The query of records that tell of something which is not there."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pytest

from libs.common.ids import new_id
from tests.integration.wallet.test_wallet_audit_queries import addresses, record, token, words
from tests.support.wallet_rows import WalletRow, WalletRows, ago


@dataclass(frozen=True, kw_only=True)
class World:
    """Two of each thing that records tell of."""

    rows: WalletRows
    owners: tuple[WalletRow, WalletRow]
    transactions: tuple[UUID, UUID]
    withdrawals: tuple[UUID, UUID]
    tokens: tuple[UUID, UUID]
    #: When the first pause began, and when it ended, as the first token was revoked.
    begun: datetime
    ended: datetime

    def told(self, text: str) -> str:
        """A text of a record: {w} is the first wallet, {x} the second one, and so on."""
        return text.format(
            w=self.owners[0].id,
            x=self.owners[1].id,
            t=words(self.transactions[0], "G", 7),
            u=words(self.transactions[1], "G", 7),
            d=self.withdrawals[0],
            e=self.withdrawals[1],
            k=self.tokens[0],
            l=self.tokens[1],
            nobody=new_id(),
        )


@pytest.fixture
async def world(rows: WalletRows) -> World:
    owners = await rows.wallet(), await rows.wallet()
    begun, ended = ago(minutes=9), ago(minutes=5)
    withdrawals = await rows.payment(owners[0], None), await rows.payment(owners[1], None)
    await addresses(rows, owners[0].id, ("G", begun), ("", begun))
    await addresses(rows, owners[1].id, ("H", begun))
    transactions = (
        await rows.transaction("G", "failed", sequence=7),
        await rows.transaction("G", "failed", sequence=8),
    )
    tokens = new_id(), new_id()
    await token(rows, tokens[0], begun, revoked_by="me", revoked_at=ended)
    await token(rows, tokens[1], begun, revoked_by="me", revoked_at=ago(minutes=1))
    for owner, moments in zip(owners, ((begun, ended), (ago(8), ago(4))), strict=True):
        await rows.insert(
            "wallet.pauses",
            id=new_id(),
            scope="wallet",
            target=owner.id,
            reason="fire",
            paused_by="me",
            paused_at=moments[0],
            resumed_by="me",
            resumed_at=moments[1],
        )
    return World(
        rows=rows,
        owners=owners,
        transactions=transactions,
        withdrawals=withdrawals,
        tokens=tokens,
        begun=begun,
        ended=ended,
    )


#: Of each action: what a record says of something that is there.
SOUND = [
    ("begun", "sign", "hash", "{t}"),
    ("begun", "found", "hash", "{t}"),
    ("begun", "withdraw", "wallet {w}", "5 stroops of KALE to outside, {d}"),
    ("begun", "withdraw", "wallet {x}", "5 stroops of KALE to outside, {e}"),
    ("begun", "create_wallet", "wallet {w}", "farmer G"),
    ("begun", "create_token", "token {k}", "whose, for what"),
    ("ended", "revoke_token", "token {k}", ""),
    ("begun", "set_payout_address", "wallet {w}", "G at once"),
    ("begun", "set_payout_address", "wallet {w}", "none at once"),
    ("begun", "pause", "wallet {w}", "fire"),
    ("ended", "resume", "wallet {w}", ""),
    # Acts whose rows nobody looks for.
    ("begun", "top_up", "wallet {nobody}", ""),
    ("begun", "rotate_keys", "kek", ""),
]
#: What a record says of something that is not, or is not so.
UNSOUND = [
    ("begun", "sign", "hash", "{u}"),
    ("begun", "sign", "hash", "transaction {nobody}, source G, sequence 7, bid 100"),
    ("begun", "sign", "hash", "transaction zzzzzzzz, source G, sequence 7, bid 100"),
    ("begun", "sign", "hash", "a {t}"),
    ("begun", "sign", "hash", ""),
    ("begun", "found", "hash", "{u}"),
    ("begun", "withdraw", "wallet {w}", "5 stroops of KALE to outside, {e}"),
    ("begun", "withdraw", "wallet {w}", "5 stroops of KALE to outside, {nobody}"),
    ("begun", "withdraw", "wallet {w}", "5 stroops of KALE to outside, zzzzzzzz"),
    ("begun", "withdraw", "wallet {nobody}", "5 stroops of KALE to outside, {d}"),
    ("begun", "withdraw", "wallet", "5 stroops of KALE to outside, {d}"),
    # Of no wallet and no withdrawal, as far as anybody can read.
    ("begun", "withdraw", "wallet zzzzzzzz", "everything"),
    ("begun", "create_wallet", "wallet {nobody}", "farmer G"),
    ("begun", "create_wallet", "wallet zzzzzzzz", "farmer G"),
    ("begun", "create_wallet", "token {k}", "farmer G"),
    ("begun", "create_token", "token {nobody}", "whose, for what"),
    ("begun", "create_token", "token zzzzzzzz", "whose, for what"),
    ("begun", "create_token", "wallet {w}", "whose, for what"),
    ("begun", "revoke_token", "token {k}", ""),
    ("ended", "revoke_token", "token {l}", ""),
    ("ended", "revoke_token", "token {nobody}", ""),
    ("begun", "set_payout_address", "wallet {w}", "H at once"),
    ("begun", "set_payout_address", "wallet {w}", "at once G"),
    ("begun", "set_payout_address", "wallet {x}", "G at once"),
    ("begun", "set_payout_address", "wallet {x}", "none at once"),
    ("begun", "set_payout_address", "wallet", "G at once"),
    ("begun", "pause", "wallet {x}", "fire"),
    ("begun", "pause", "pooler {w}", "fire"),
    ("ended", "pause", "wallet {w}", "fire"),
    ("ended", "resume", "wallet {x}", ""),
    ("ended", "resume", "pooler {w}", ""),
    ("begun", "resume", "wallet {w}", ""),
]


async def write(world: World, case: tuple[str, str, str, str]) -> int:
    moment, action, subject, details = case
    at = world.begun if moment == "begun" else world.ended
    texts = {"subject": world.told(subject), "details": world.told(details)}
    return await record(world.rows, at, action, **texts)


async def unsound(world: World, after: int, until: int) -> list[int]:
    found = await world.rows.pool.many("records_without_rows", after, until)
    return [row["number"] for row in found]


@pytest.mark.parametrize("case", SOUND, ids=str)
async def test_a_record_of_what_is_there_is_not_told(
    world: World, case: tuple[str, str, str, str]
) -> None:
    number = await write(world, case)
    assert await unsound(world, 0, number) == []


@pytest.mark.parametrize("case", UNSOUND, ids=str)
async def test_a_record_of_what_is_not_there_is_told(
    world: World, case: tuple[str, str, str, str]
) -> None:
    number = await write(world, case)
    # Beside others, which are sound.
    for other in SOUND[:3]:
        await write(world, other)
    assert await unsound(world, 0, number + 99) == [number]


async def test_records_are_told_in_the_order_of_numbers_after_one_and_up_to_another(
    world: World,
) -> None:
    first, second, third, fourth = [await write(world, case) for case in UNSOUND[:4]]
    await world.rows.connection.execute(
        "UPDATE wallet.audit_log SET details = details WHERE number = $1", second
    )
    assert await unsound(world, 0, fourth) == [first, second, third, fourth]
    assert await unsound(world, first, third) == [second, third]
