"""kalepool wallet, operation, block and treasury: custody and the chain."""

from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter
from kalepool.wallet.v1 import wallet_pb2

from cli.arguments import BlockIndex, Count, Run
from cli.errors import CommandLineError
from cli.show import cell

wallets = cyclopts.App(name="wallet", help="Show custodial wallets; never their keys.")
operations = cyclopts.App(name="operation", help="Show what the pool does on the chain.")
WALLET_COLUMNS = ("wallet_id", "farmer_id", "address", "status", "created_at")
BALANCE_COLUMNS = (
    "farmer_id",
    "address",
    "is_funded",
    "has_trustline",
    "kale_stroops",
    "xlm_stroops",
    "ledger",
)
OPERATION_COLUMNS = (
    "operation_id",
    "kind",
    "block_index",
    "state",
    "amount",
    "fee_charged",
    "attempts",
    "reason",
    "address",
)
#: Values of --state; open is everything that is not settled.
STATES = {
    "open": ("QUEUED", "SIGNED", "SENT"),
    "queued": ("QUEUED",),
    "signed": ("SIGNED",),
    "sent": ("SENT",),
    "succeeded": ("SUCCEEDED",),
    "failed": ("FAILED",),
    "expired": ("EXPIRED",),
    "all": ("UNSPECIFIED",),
}
State = Literal["open", "queued", "signed", "sent", "succeeded", "failed", "expired", "all"]
Kind = Literal[
    "all",
    "onboard",
    "plant",
    "work",
    "harvest",
    "open_channel",
    "top_up",
    "withdraw",
    "open_payer",
    "payout",
    "pool_payment",
    "data_entry",
    "close_account",
]


@wallets.command(name="show")
async def show_wallet(
    *, farmer: str = "", wallet: str = "", address: str = "", session: Run
) -> None:
    """Show one wallet, by exactly one of the options.

    Parameters
    ----------
    farmer
        Id of its farmer.
    wallet
        Its own id.
    address
        Its address (G...).
    """
    given = {"farmer_id": farmer, "wallet_id": wallet, "address": address}
    by = {name: value for name, value in given.items() if value}
    if len(by) != 1:
        raise CommandLineError("give one of --farmer, --wallet and --address")
    request = wallet_pb2.GetWalletRequest(**by)
    session.output.message((await session.ask(session.wallet.GetWallet, request)).wallet)


@wallets.command(name="list")
async def list_wallets(*, pooler: str = "", limit: Count = 100, session: Run) -> None:
    """List wallets in the order of their creation.

    Parameters
    ----------
    pooler
        Only those of this pooler.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> wallet_pb2.ListWalletsResponse:
        request = wallet_pb2.ListWalletsRequest(pooler_id=pooler, page_size=size, page_token=token)
        return await session.ask(session.wallet.ListWallets, request)

    session.output.rows(await session.pages(page, "wallets", limit), "wallets", WALLET_COLUMNS)


@wallets.command
async def balances(*farmer_ids: str, session: Run) -> None:
    """Read farmers' balances from the chain, now."""
    request = wallet_pb2.GetBalancesRequest(farmer_ids=farmer_ids)
    reply = await session.ask(session.wallet.GetBalances, request)
    session.output.rows(reply, "balances", BALANCE_COLUMNS)


@operations.command(name="show")
async def show_operation(operation_id: str, /, *, session: Run) -> None:
    """Show one operation: its kind, its state, its cost."""
    request = wallet_pb2.GetOperationRequest(operation_id=operation_id)
    session.output.message((await session.ask(session.wallet.GetOperation, request)).operation)


@operations.command(name="list")
async def list_operations(
    *,
    state: State = "all",
    kind: Kind = "all",
    farmer: str = "",
    limit: Count = 100,
    session: Run,
) -> None:
    """List operations, newest first.

    Parameters
    ----------
    state
        Only in this state; open is everything that is not settled.
    kind
        Only of this kind.
    farmer
        Only this farmer's.
    limit
        How many at most; 0 means all.
    """
    wanted = kind.upper().replace("ALL", "UNSPECIFIED")
    found = wallet_pb2.ListOperationsResponse()
    # By id: an operation that is signed between two calls is in both answers.
    operations: dict[str, wallet_pb2.Operation] = {}
    for name in STATES[state]:
        base = wallet_pb2.ListOperationsRequest(
            farmer_id=farmer,
            state=wallet_pb2.OperationState.Value(f"OPERATION_STATE_{name}"),
            kind=wallet_pb2.OperationKind.Value(f"OPERATION_KIND_{wanted}"),
        )
        reply = await _operations(session, base, limit)
        operations |= {item.operation_id: item for item in reply.operations}
        found.next_page_token = found.next_page_token or reply.next_page_token
    # Ids are UUIDv7: the newest is the largest.
    found.operations.extend(operations[name] for name in sorted(operations, reverse=True))
    if limit and len(found.operations) > limit:
        del found.operations[limit:]
        found.next_page_token = found.next_page_token or "more"
    session.output.rows(found, "operations", OPERATION_COLUMNS)


async def _operations(
    session: Run, base: wallet_pb2.ListOperationsRequest, limit: int
) -> wallet_pb2.ListOperationsResponse:
    async def page(size: int, token: str) -> wallet_pb2.ListOperationsResponse:
        base.page_size, base.page_token = size, token
        return await session.ask(session.wallet.ListOperations, base)

    found: wallet_pb2.ListOperationsResponse = await session.pages(page, "operations", limit)
    return found


async def block(
    index: BlockIndex | None = None,
    /,
    *,
    watch: Annotated[bool, Parameter(negative="")] = False,
    session: Run,
) -> None:
    """Show a block and where the chain is.

    Parameters
    ----------
    index
        The block; the current one when it is not given.
    watch
        Show every change until Ctrl-C; with an index, begin with the blocks after it.
    """
    if watch:
        await _watch(index, session)
        return
    request = wallet_pb2.GetBlockRequest(index=index)
    reply = await session.ask(session.wallet.GetBlock, request)
    session.output.message(reply)


async def _watch(after: int | None, session: Run) -> None:
    request = wallet_pb2.WatchBlocksRequest(after_index=after)
    changes = session.connections.stream(
        session.wallet.WatchBlocks, request, timeout=session.options.timeout
    )
    async for change in changes:
        session.output.line(change, _change_line(change))


def _change_line(change: wallet_pb2.WatchBlocksResponse) -> str:
    block, head = change.block, change.head
    shown = {
        "block": cell(block, "index"),
        "opened": cell(block, "opened_at"),
        "staked": cell(block, "staked_total"),
        "entropy": cell(block, "entropy")[:16],
        "plantable": cell(head, "plantable_block"),
        "paused": cell(head, "paused"),
    }
    text = ", ".join(f"{name} {value}" for name, value in shown.items())
    return f"{cell(head, 'close_time')} ledger {head.ledger}: {text}"


async def treasury(*, session: Run) -> None:
    """Show the account that pays every fee and reserve."""
    request = wallet_pb2.GetTreasuryRequest()
    reply = await session.ask(session.wallet.GetTreasury, request)
    session.output.message(reply)
