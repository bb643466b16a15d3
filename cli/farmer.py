"""kalepool farmer: the custodial accounts that poolers farm for."""

import cyclopts
from google.protobuf import json_format, struct_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import wallet_pb2, withdrawal_pb2

from cli.arguments import Count, JsonText, Run, json_argument
from cli.errors import CommandLineError
from cli.session import Session, fresh
from cli.show import cell, note

app = cyclopts.App(name="farmer", help="Register and manage farmers.")
COLUMNS = (
    "farmer_id",
    "custodial_wallet",
    "status",
    "is_funded",
    "stake_percentage",
    "current_balance",
)


@app.command
async def register(
    *,
    pooler: str,
    stake_percentage: str = "",
    metadata: JsonText = "{}",
    payout_wallet_address: str = "",
    owner_account: str = "",
    terms_version: Count = 0,
    request_id: str = "",
    session: Run,
) -> None:
    """Register a farmer with a pooler and create its custodial wallet.

    Parameters
    ----------
    pooler
        Id of the pooler.
    stake_percentage
        Part of its balance that is staked, a decimal from 0 to 1; 0.1 when it is not given.
    metadata
        A JSON object, @FILE, or - for standard input.
    payout_wallet_address
        The farmer's own outside address (G...). It counts once the owner account has signed it
        (kalepool agreement draft), or at once where the pooler farms for itself.
    owner_account
        The farmer's own Stellar account (G...), whose signature is its word.
    terms_version
        The pooler's terms that the farmer was shown; with other ones in force it is refused.
    request_id
        Makes a repeat give the same farmer.
    """
    request = registry_pb2.RegisterFarmerRequest(
        request_id=fresh(request_id),
        pooler_id=pooler,
        stake_percentage=stake_percentage,
        metadata=_metadata(metadata),
        payout_wallet_address=payout_wallet_address,
        owner_account=owner_account,
        terms_version=terms_version,
    )
    reply = await session.ask(session.registry.RegisterFarmer, request)
    session.output.message(reply)


@app.command
async def show(farmer_id: str, /, *, session: Run) -> None:
    """Show one farmer; which payout address counts by now, `kalepool withdrawal address` tells."""
    request = registry_pb2.GetFarmerRequest(farmer_id=farmer_id)
    session.output.message((await session.ask(session.registry.GetFarmer, request)).farmer)


@app.command(name="list")
async def list_farmers(
    *, pooler: str = "", owner_account: str = "", limit: Count = 100, session: Run
) -> None:
    """List farmers in the order of their registration.

    Parameters
    ----------
    pooler
        Only those of this pooler.
    owner_account
        Only those for which this account (G...) speaks now.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> registry_pb2.ListFarmersResponse:
        request = registry_pb2.ListFarmersRequest(
            pooler_id=pooler, owner_account=owner_account, page_size=size, page_token=token
        )
        return await session.ask(session.registry.ListFarmers, request)

    session.output.rows(await session.pages(page, "farmers", limit), "farmers", COLUMNS)


@app.command
async def update(
    farmer_id: str,
    /,
    *,
    stake_percentage: str | None = None,
    metadata: JsonText | None = None,
    payout_wallet_address: str | None = None,
    request_id: str = "",
    session: Run,
) -> None:
    """Change the fields that are given; the rest stays.

    Parameters
    ----------
    stake_percentage
        Part of its balance that is staked, a decimal from 0 to 1.
    metadata
        Replaces all of it: a JSON object, @FILE, or - for standard input.
    payout_wallet_address
        The farmer's own outside address (G...), or the empty text for none: for operators, and
        for poolers that farm for themselves. An address that replaces another one counts after a
        while. A farmer with an owner account signs it (kalepool agreement draft).
    request_id
        Makes a repeat give the first answer.
    """
    # Wallet takes these from their giver alone; registry only notes them.
    if stake_percentage is not None:
        limit = wallet_pb2.SetStakeLimitRequest(
            farmer_id=farmer_id, stake_percentage=stake_percentage
        )
        await session.ask(session.wallet.SetStakeLimit, limit)
    if payout_wallet_address is not None:
        order = withdrawal_pb2.SetPayoutAddressRequest(
            farmer_id=farmer_id, address=payout_wallet_address
        )
        await session.ask(session.withdrawals.SetPayoutAddress, order)
        await _tell_pending(farmer_id, session)
    request = registry_pb2.UpdateFarmerRequest(
        request_id=fresh(request_id),
        farmer_id=farmer_id,
        stake_percentage=stake_percentage,
        metadata=None if metadata is None else _metadata(metadata),
        payout_wallet_address=payout_wallet_address,
    )
    session.output.message((await session.ask(session.registry.UpdateFarmer, request)).farmer)


@app.command
async def suspend(farmer_id: str, /, *, session: Run) -> None:
    """Suspend a farmer: it is not planted any more."""
    request = registry_pb2.SuspendFarmerRequest(farmer_id=farmer_id)
    session.output.message((await session.ask(session.registry.SuspendFarmer, request)).farmer)


@app.command
async def resume(farmer_id: str, /, *, session: Run) -> None:
    """Take a farmer's suspension back."""
    request = registry_pb2.ResumeFarmerRequest(farmer_id=farmer_id)
    session.output.message((await session.ask(session.registry.ResumeFarmer, request)).farmer)


@app.command
async def leave(farmer_id: str, /, *, session: Run) -> None:
    """Have a farmer leave: all that it has is paid to its address, and its account is closed.

    kalepool farmer show tells how far that is, and what it waits for. Until its account is being
    closed, kalepool farmer stay calls it off.
    """
    request = registry_pb2.LeaveFarmerRequest(farmer_id=farmer_id)
    session.output.message((await session.ask(session.registry.LeaveFarmer, request)).farmer)


@app.command
async def stay(farmer_id: str, /, *, session: Run) -> None:
    """Call a farmer's leaving off."""
    request = registry_pb2.StayFarmerRequest(farmer_id=farmer_id)
    session.output.message((await session.ask(session.registry.StayFarmer, request)).farmer)


async def _tell_pending(farmer_id: str, session: Session) -> None:
    """Say where withdrawals go until the new payout address counts, if it does not count yet."""
    request = withdrawal_pb2.GetPayoutAddressRequest(farmer_id=farmer_id)
    known = await session.ask(session.withdrawals.GetPayoutAddress, request)
    if known.pending_address:
        moment = cell(known, "pending_effective_at")
        note(
            f"withdrawals go to {known.address or 'no address'} until {moment}, "
            f"and to {known.pending_address} from then on"
        )


def _metadata(text: str) -> struct_pb2.Struct:
    value = json_argument("metadata", text)
    if not isinstance(value, dict):
        raise CommandLineError("metadata: must be a JSON object")
    try:
        return json_format.ParseDict(value, struct_pb2.Struct())
    except (json_format.ParseError, OverflowError, UnicodeError) as error:
        raise CommandLineError(f"metadata: {error}") from error
