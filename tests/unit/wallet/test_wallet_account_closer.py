"""One account that cannot be closed, and the others that are closed beside it."""

from types import SimpleNamespace
from typing import Any, cast

from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.closing import ClosingAccount
from services.wallet.domain.errors import AccountNotEmptyError, PayoutAddressTamperedError
from services.wallet.domain.model import FailureReason, Settlement
from services.wallet.engine.treasury.closing import AccountCloser
from tests.unit.wallet.test_wallet_closing import BARE

TAMPERED, FULL = WalletId(new_id()), WalletId(new_id())


class Parts:
    """Stores and nodes: the rows of one wallet were changed, the other one holds KALE."""

    def __init__(self) -> None:
        self.settled: list[Settlement] = []
        self.items = [
            SimpleNamespace(
                id=OperationId(new_id()), wallet_id=wallet, address=str(wallet), attempts=0
            )
            for wallet in (TAMPERED, FULL)
        ]
        self.wakeups = SimpleNamespace(tell_settled=lambda: None)

    async def take_up(self, *_: object, **__: object) -> list[Any]:
        return list(self.items)

    async def release(self, ids: list[OperationId]) -> None:
        assert ids == []

    async def read(self, addresses: list[str]) -> tuple[int, dict[str, ClosingAccount]]:
        return 7, dict.fromkeys(addresses, BARE)

    async def judge(self, wallet_id: WalletId, *_: object) -> Any:
        if wallet_id == TAMPERED:
            raise PayoutAddressTamperedError("its addresses are not wallet's")
        return AccountNotEmptyError("1 stroop is left")

    async def busy(self, _: list[WalletId]) -> set[WalletId]:
        return set()

    async def settle_queued(self, settlements: list[Settlement]) -> bool:
        self.settled += settlements
        return bool(settlements)


async def test_rows_that_were_changed_are_one_farmers_trouble_alone() -> None:
    parts = cast(Any, Parts())
    closer = AccountCloser(
        reader=parts,
        closings=parts,
        operations=parts,
        treasury=parts,
        signers=parts,
        transactions=parts,
        broken_keys=parts,
    )
    assert await closer.step()
    first, second = parts.items
    assert {one.operation_id: one.reason for one in parts.settled} == {
        first.id: FailureReason.TAMPERED,
        second.id: FailureReason.ACCOUNT_NOT_EMPTY,
    }
