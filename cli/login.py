"""kalepool login: log in with a farmer's owner account, where no browser is."""

import base64
import binascii
from datetime import UTC

import cyclopts
from kalepool.wallet.v1 import login_pb2

from cli.arguments import Run
from cli.errors import CommandLineError
from cli.show import note

app = cyclopts.App(name="login", help="Log in with a farmer's owner account, where no browser is.")


@app.command
async def show(*, session: Run) -> None:
    """Show for which host people log in, and the key that signs challenges."""
    reply = await session.ask(session.logins.GetLogin, login_pb2.GetLoginRequest())
    session.output.message(reply)


@app.command
async def draft(account: str, /, *, session: Run) -> None:
    """Show the text that an account signs (SEP-53) to log in: all lines, without the last end.

    The challenge that it belongs to is told beside it, for `finish`.

    Parameters
    ----------
    account
        The account (G...) that logs in.
    """
    request = login_pb2.StartLoginRequest(account=account)
    reply = await session.ask(session.logins.StartLogin, request)
    note(f"then: kalepool login finish --signature BASE64 --transaction {reply.transaction}")
    session.output.line(reply, reply.text)


@app.command
async def finish(*, transaction: str, signature: str = "", session: Run) -> None:
    """Log in by a challenge that the account has signed, and show the token.

    Keep the token in a file: --token-file takes it, as HTTP takes it as a bearer's.

    Parameters
    ----------
    transaction
        The challenge of `draft`; with the account's own signatures when `signature` is not given.
    signature
        The account's signature over the text of `draft`, in base64.
    """
    request = login_pb2.FinishLoginRequest(transaction=transaction, signature=_signature(signature))
    reply = await session.ask(session.logins.FinishLogin, request)
    note(f"{reply.account} is logged in until {reply.ends_at.ToDatetime(UTC).isoformat()}")
    session.output.line(reply, reply.token)


def _signature(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise CommandLineError("--signature: must be base64") from error
