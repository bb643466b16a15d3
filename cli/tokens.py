"""kalepool token: API tokens, for callers without a certificate."""

from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter, validators
from kalepool.wallet.v1 import token_pb2

from cli.arguments import Count, Run
from cli.errors import CommandLineError
from cli.session import fresh
from cli.show import note
from libs.common.grpc.identity import uris_of
from libs.common.grpc.rpcs import path_of, services

app = cyclopts.App(name="token", help="Make, list and revoke API tokens.")
_COLUMNS = ("token_id", "subject", "name", "is_read_only", "expires_at", "revoked_at")
_DAY = 86_400
Days = Annotated[float, Parameter(validator=validators.Number(gt=0, lte=365))]


@app.command
async def create(
    role: Literal["pooler", "operator"],
    id_or_name: str = "",
    /,
    *,
    name: str = "",
    read_only: Annotated[bool, Parameter(negative="")] = False,
    methods: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    expires: Days = 90.0,
    request_id: str = "",
    session: Run,
) -> None:
    """Make a token and show it, once: whoever has it calls the pool in your name.

    Parameters
    ----------
    role
        Whom it speaks for: a pooler, or you as an operator.
    id_or_name
        The pooler's id, unless your certificate is the pooler's; what to call an operator's token.
    name
        What to call the token: small letters, digits, dots, dashes and underscores.
    read_only
        It may read, and nothing else.
    methods
        The only methods that it is for, such as PlantService/Plant; without them it may all that
        its role may by a token (docs/access.md).
    expires
        Days until it ends.
    request_id
        Names the request: with the same one no second token is made.
    """
    is_pooler = role == "pooler"
    request = token_pb2.CreateTokenRequest(
        request_id=fresh(request_id),
        role=token_pb2.TOKEN_ROLE_POOLER if is_pooler else token_pb2.TOKEN_ROLE_OPERATOR,
        pooler_id=(id_or_name or _own_id(session)) if is_pooler else "",
        name=name or ("" if is_pooler else id_or_name),
        methods=[_full_name(method) for method in methods or ()],
        is_read_only=read_only,
        expires_in_seconds=round(expires * _DAY),
    )
    reply = await session.ask(session.tokens.CreateToken, request)
    note("keep the token: it is not shown again")
    session.output.message(reply)


@app.command(name="list")
async def list_tokens(*, pooler: str = "", limit: Count = 100, session: Run) -> None:
    """List tokens, newest first; none is shown with its secret.

    Parameters
    ----------
    pooler
        Only those of this pooler; poolers see their own.
    limit
        How many at most; 0 means all.
    """
    whose = pooler or _pooler_of(session)

    async def page(size: int, token: str) -> token_pb2.ListTokensResponse:
        request = token_pb2.ListTokensRequest(pooler_id=whose, page_size=size, page_token=token)
        return await session.ask(session.tokens.ListTokens, request)

    session.output.rows(await session.pages(page, "tokens", limit), "tokens", _COLUMNS)


@app.command
async def revoke(token_id: str, /, *, session: Run) -> None:
    """Revoke a token for good; within a minute nobody gets in with it."""
    request = token_pb2.RevokeTokenRequest(token_id=token_id)
    reply = await session.ask(session.tokens.RevokeToken, request)
    note("it may be taken for a minute more: each service knows of it by then")
    session.output.message(reply.info)


@app.command(name="replace-key")
async def replace_key(*, session: Run) -> None:
    """Make another key that signs access tokens; tokens go on meanwhile."""
    request = token_pb2.ReplaceTokenKeyRequest()
    reply = await session.ask(session.tokens.ReplaceTokenKey, request)
    note("it signs in two minutes, when every service knows it")
    session.output.message(reply)


def _own_id(session: Run) -> str:
    found = _pooler_of(session)
    if not found:
        raise CommandLineError("give the pooler's id: your certificate is no pooler's")
    return found


def _pooler_of(session: Run) -> str:
    """Return the pooler that the certificate of this run names; "" for any other certificate."""
    chosen = session.options.connection
    certificate = None if chosen.is_plaintext else chosen.tls[0]
    if certificate is None:
        return ""
    names = [uri.rpartition("/pooler/") for uri in uris_of(certificate.read_bytes())]
    return next((pooler_id for _, found, pooler_id in names if found), "")


def _full_name(text: str) -> str:
    """Return a method's full name, for a text that it ends with: PlantService/Plant."""
    names = [path_of(method) for service in services() for method in service.methods]
    found = [name for name in names if name == text or name.endswith(("/" + text, "." + text))]
    if len(found) == 1:
        return found[0]
    told = f"is one of {', '.join(found)}" if found else "is no method"
    raise CommandLineError(f"--methods: {text!r} {told}")
