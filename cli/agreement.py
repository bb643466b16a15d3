"""kalepool agreement: what farmers agree to, who speaks for them, and what they sign."""

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2

from cli.arguments import Count, Run
from cli.errors import CommandLineError
from cli.session import Session
from libs.kale.amounts import parse_kale

app = cyclopts.App(
    name="agreement", help="What farmers agree to, who speaks for them, and what they sign."
)
_COLUMNS = (
    "number",
    "state",
    "terms.pooler_fee",
    "operator_fee",
    "terms.stake_percentage",
    "proof",
    "effective_at",
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TermsOptions:
    """The terms of an agreement.

    Parameters
    ----------
    terms_version
        Version of its pooler's terms, which say the rest; what is given here goes before.
    pooler_fee
        The pooler's part of each reward, a decimal from 0 to 1.
    miners_part
        The miners' part of the pooler's.
    stake_percentage
        What a plant stakes of the balance at most.
    payout_threshold
        KALE from which on the farmer is paid out.
    payout_interval
        Seconds after which it is paid out at the latest; 0: by the threshold alone.
    harvest_blocks
        Blocks that are harvested together, 1 to 20.
    """

    terms_version: Count = 0
    pooler_fee: str = ""
    miners_part: str = ""
    stake_percentage: str = ""
    payout_threshold: str = ""
    payout_interval: Count | None = None
    harvest_blocks: Count = 0


_NO_TERMS = TermsOptions()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class WishOptions:
    """What a farmer wants, besides terms.

    Parameters
    ----------
    payout_address
        Where it wants to be paid out (G...), or the empty text for nowhere.
    owner_account
        Another account that is to speak for it.
    objection
        That what operators have announced does not come.
    leave
        That it leaves the pool, with everything.
    """

    payout_address: str | None = None
    owner_account: str = ""
    objection: Annotated[bool, Parameter(negative="")] = False
    leave: Annotated[bool, Parameter(negative="")] = False


_NO_WISH = WishOptions()


@app.command
async def rules(*, session: Run) -> None:
    """Show the operator's fee, what fees may be together, and the waiting times."""
    request = agreement_pb2.GetAgreementRulesRequest()
    reply = await session.ask(session.agreements.GetAgreementRules, request)
    session.output.message(reply)


@app.command(name="set")
async def set_terms(farmer_id: str, /, *, terms: TermsOptions = _NO_TERMS, session: Run) -> None:
    """Change a farmer's terms in your own name; what takes from the farmer counts after a notice.

    Parameters
    ----------
    terms
        The new terms. Without a version and a fee, what is not given stays as it is in force.
    """
    request = agreement_pb2.SetAgreementRequest(
        farmer_id=farmer_id, terms=await _terms(farmer_id, terms, session)
    )
    reply = await session.ask(session.agreements.SetAgreement, request)
    session.output.message(reply.agreement)


@app.command(name="list")
async def list_agreements(farmer_id: str, /, *, limit: Count = 100, session: Run) -> None:
    """List a farmer's agreements, newest first.

    Parameters
    ----------
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> agreement_pb2.ListAgreementsResponse:
        request = agreement_pb2.ListAgreementsRequest(
            farmer_id=farmer_id, page_size=size, page_token=token
        )
        return await session.ask(session.agreements.ListAgreements, request)

    session.output.rows(await session.pages(page, "agreements", limit), "agreements", _COLUMNS)


@app.command
async def owner(farmer_id: str, /, *, session: Run) -> None:
    """Show the account that speaks for a farmer, and the one that is to."""
    request = agreement_pb2.GetOwnerAccountRequest(farmer_id=farmer_id)
    reply = await session.ask(session.agreements.GetOwnerAccount, request)
    session.output.message(reply)


@app.command
async def set_owner(farmer_id: str, owner_account: str, /, *, session: Run) -> None:
    """Set the account that speaks for a farmer without its signature, after a long time."""
    request = agreement_pb2.SetOwnerAccountRequest(farmer_id=farmer_id, owner_account=owner_account)
    reply = await session.ask(session.agreements.SetOwnerAccount, request)
    session.output.message(reply)


@app.command
async def draft(
    farmer_id: str,
    /,
    *,
    wish: WishOptions = _NO_WISH,
    terms: TermsOptions = _NO_TERMS,
    session: Run,
) -> None:
    """Show the text that a farmer's owner account signs (SEP-53): all lines, without the last end.

    With terms it agrees to them, and is paid by them to the address.
    """
    request = agreement_pb2.DraftWishRequest(
        farmer_id=farmer_id, wish=await _wish(farmer_id, wish, terms, session)
    )
    reply = await session.ask(session.agreements.DraftWish, request)
    session.output.line(reply, reply.text)


@app.command
async def sign(
    farmer_id: str,
    /,
    *,
    signature: str,
    wish: WishOptions = _NO_WISH,
    terms: TermsOptions = _NO_TERMS,
    session: Run,
) -> None:
    """Do what a farmer's owner account has signed; the other options are those of `draft`.

    Parameters
    ----------
    signature
        The account's signature over the text of `draft`, in base64.
    """
    request = agreement_pb2.SignWishRequest(
        farmer_id=farmer_id,
        wish=await _wish(farmer_id, wish, terms, session),
        signature=_signature(signature),
    )
    reply = await session.ask(session.agreements.SignWish, request)
    session.output.message(reply)


async def _wish(
    farmer_id: str, wish: WishOptions, terms: TermsOptions, session: Session
) -> agreement_pb2.Wish:
    has_terms, address = terms != _NO_TERMS, wish.payout_address
    is_of_terms = has_terms or address is not None
    wishes = [is_of_terms, bool(wish.owner_account), wish.objection, wish.leave]
    if sum(wishes) != 1:
        raise CommandLineError(
            "give one of --payout-address (with or without terms), terms, --owner-account, "
            "--objection and --leave"
        )
    if has_terms:
        agreed = await _terms(farmer_id, terms, session)
        wanted = agreement_pb2.TermsWish(terms=agreed, payout_address=address or "")
        return agreement_pb2.Wish(terms=wanted)
    if wish.owner_account:
        return agreement_pb2.Wish(owner_account=wish.owner_account)
    if wish.objection:
        return agreement_pb2.Wish(objection=True)
    if wish.leave:
        return agreement_pb2.Wish(leave=True)
    return agreement_pb2.Wish(payout_address=address or "")


async def _terms(
    farmer_id: str, options: TermsOptions, session: Session
) -> agreement_pb2.AgreedTerms:
    """Return the terms of the options: those that its pooler has published, where one is named."""
    published = registry_pb2.Terms(stake_percentage="1", miners_part="0", harvest_blocks=1)
    if options.terms_version:
        about = registry_pb2.GetFarmerRequest(farmer_id=farmer_id)
        farmer = (await session.ask(session.registry.GetFarmer, about)).farmer
        asked = registry_pb2.GetTermsRequest(
            pooler_id=farmer.pooler_id, version=options.terms_version
        )
        published = (await session.ask(session.registry.GetTerms, asked)).terms
    elif not options.pooler_fee:
        return await _changed(farmer_id, options, session)
    return _with_options(published, options)


async def _changed(
    farmer_id: str, options: TermsOptions, session: Session
) -> agreement_pb2.AgreedTerms:
    """Return the terms in force with what the options say."""
    if options == _NO_TERMS:
        raise CommandLineError("give --terms-version or --pooler-fee, or what else is to change")

    async def page(size: int, token: str) -> agreement_pb2.ListAgreementsResponse:
        request = agreement_pb2.ListAgreementsRequest(
            farmer_id=farmer_id, page_size=size, page_token=token
        )
        return await session.ask(session.agreements.ListAgreements, request)

    known = (await session.pages(page, "agreements", 0)).agreements
    counts = [one for one in known if one.state == agreement_pb2.AGREEMENT_STATE_IN_FORCE]
    if not counts:
        raise CommandLineError("nothing is in force: give --terms-version or --pooler-fee")
    before = counts[0].terms
    published = registry_pb2.Terms(
        stake_percentage=before.stake_percentage,
        pooler_fee=before.pooler_fee,
        miners_part=before.miners_part,
        payout_threshold=before.payout_threshold,
        payout_interval_seconds=before.payout_interval_seconds,
        harvest_blocks=before.harvest_blocks,
        version=before.terms_version,
        digest=before.terms_digest,
    )
    return _with_options(published, options)


def _with_options(
    published: registry_pb2.Terms, options: TermsOptions
) -> agreement_pb2.AgreedTerms:
    """Return terms in which what the options say goes before."""
    return agreement_pb2.AgreedTerms(
        stake_percentage=options.stake_percentage or published.stake_percentage,
        pooler_fee=options.pooler_fee or published.pooler_fee,
        miners_part=options.miners_part or published.miners_part,
        payout_threshold=stroops("payout_threshold", options.payout_threshold)
        if options.payout_threshold
        else published.payout_threshold,
        payout_interval_seconds=published.payout_interval_seconds
        if options.payout_interval is None
        else options.payout_interval,
        harvest_blocks=options.harvest_blocks or published.harvest_blocks,
        terms_version=published.version,
        terms_digest=published.digest,
    )


def stroops(name: str, text: str) -> int:
    """Return an amount of KALE on the command line in stroops."""
    try:
        return parse_kale(text)
    except ValueError as error:
        raise CommandLineError(f"--{name.replace('_', '-')}: {error}") from error


def _signature(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise CommandLineError("--signature: must be base64") from error
