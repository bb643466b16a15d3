"""kalepool keys: key-encryption keys (KEKs), which seal the farmers' keys."""

import asyncio
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from kalepool.wallet.v1 import keys_pb2

from cli.arguments import Run

app = cyclopts.App(name="keys", help="Show and rotate key-encryption keys; never a secret.")
KEK_COLUMNS = ("kek_id", "data_keys", "is_openable")
#: Seconds between two looks at a rotation.
_PAUSE = 1.0


@app.command(name="status")
async def status(*, session: Run) -> None:
    """Show the provider, the KEKs in use and the last rotation."""
    session.output.summary(await _status(session), "keks", KEK_COLUMNS)


@app.command(name="rotate")
async def rotate(*, wait: Annotated[bool, Parameter(negative="")] = False, session: Run) -> int:
    """Wrap every data key under the provider's current KEK, while the pool runs.

    Parameters
    ----------
    wait
        Until it is through; the exit status is 1 when a data key did not open.
    """
    reply = await session.ask(session.keys.RotateKeys, keys_pb2.RotateKeysRequest())
    if not wait:
        session.output.message(reply)
        return 0
    async with session.progress.during("rewrapping data keys"):
        found = await _status(session)
        while not found.rotation.HasField("ended_at"):
            session.progress.say(f"{found.rotation.rewrapped} so far")
            await asyncio.sleep(_PAUSE)
            found = await _status(session)
    session.output.summary(found, "keks", KEK_COLUMNS)
    return 1 if found.rotation.failed else 0


async def _status(session: Run) -> keys_pb2.GetKeyStatusResponse:
    return await session.ask(session.keys.GetKeyStatus, keys_pb2.GetKeyStatusRequest())
