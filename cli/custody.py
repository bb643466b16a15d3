"""kalepool custody: the audit log, the kill switch, and a farmer's key for its owner."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import cyclopts
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cyclopts import Parameter
from kalepool.wallet.v1 import approval_pb2, custody_pb2

from cli.arguments import Count, Run
from cli.errors import CommandLineError
from cli.session import BATCH_TIMEOUT
from cli.show import note
from libs.common.errors import FailedPreconditionError, UnavailableError
from libs.common.private_file import whole_private_file

app = cyclopts.App(name="custody", help="Show the audit log; stop signing; export a key.")
_PAUSE_COLUMNS = (
    "scope",
    "target_id",
    "reason",
    "paused_by",
    "paused_at",
    "resumed_at",
    "is_not_recorded",
)
_APPROVAL_COLUMNS = (
    *("approval_id", "method", "request", "asked_by", "asked_at", "expires_at"),
    *("approved_by", "used_at"),
)
_AUDIT_COLUMNS = ("number", "at", "actor", "action", "subject", "details")
_INFO = b"kalepool key export 1"


@app.command
async def pause(
    *, reason: str, everything: bool = False, pooler: str = "", farmer: str = "", session: Run
) -> None:
    """Stop signing, by exactly one of the options; what is signed already is still settled.

    Parameters
    ----------
    reason
        Why; the audit log keeps it.
    everything
        For everybody.
    pooler
        For all farmers of a pooler.
    farmer
        For one farmer.
    """
    request = custody_pb2.PauseSigningRequest(
        reach=_reach(everything=everything, pooler=pooler, farmer=farmer), reason=reason
    )
    reply = await session.ask(session.custody.PauseSigning, request)
    if reply.is_recorded:
        note("nothing new is signed there from now on")
    else:
        note("the wallet process that answered signs nothing new there from now on")
        raise UnavailableError(
            "the database has not taken it yet: other wallet processes may sign; repeat it",
            reason="PAUSE_NOT_RECORDED",
        )


@app.command
async def release(operation_id: str, /, *, session: Run) -> None:
    """Let an operation that waits for a person be signed again; look at the chain first.

    Two of its envelopes ended without a proof that they were excluded or had failed.
    """
    request = custody_pb2.ReleaseOperationRequest(operation_id=operation_id)
    await session.ask(session.custody.ReleaseOperation, request)


@app.command
async def resume(
    *, everything: bool = False, pooler: str = "", farmer: str = "", session: Run
) -> None:
    """End a pause, named just as it was paused.

    Parameters
    ----------
    everything
        For everybody.
    pooler
        For all farmers of a pooler.
    farmer
        For one farmer.
    """
    reach = _reach(everything=everything, pooler=pooler, farmer=farmer)
    request = custody_pb2.ResumeSigningRequest(reach=reach)
    await session.ask(session.custody.ResumeSigning, request)
    note("signing goes on there")


@app.command
async def pauses(*, ended: bool = False, session: Run) -> None:
    """List who paused what, and why.

    Parameters
    ----------
    ended
        Also pauses that are over.
    """
    request = custody_pb2.ListPausesRequest(include_ended=ended)
    reply = await session.ask(session.custody.ListPauses, request)
    session.output.rows(reply, "pauses", _PAUSE_COLUMNS)


@app.command
async def approvals(*, over: bool = False, session: Run) -> None:
    """List orders that take a second operator: who asked for what, and who has approved it.

    Parameters
    ----------
    over
        Also those that were used, and those whose time is over.
    """

    async def page(size: int, token: str) -> approval_pb2.ListApprovalsResponse:
        request = approval_pb2.ListApprovalsRequest(
            include_over=over, page_size=size, page_token=token
        )
        return await session.ask(session.approvals.ListApprovals, request)

    found = await session.pages(page, "approvals", 0)
    session.output.rows(found, "approvals", _APPROVAL_COLUMNS)


@app.command
async def approve(approval_id: str, /, *, session: Run) -> None:
    """Approve another operator's order; read it first (kalepool custody approvals).

    It goes on when the other one sends it again, or has waited for you (--approval-wait).
    """
    request = approval_pb2.ApproveRequest(approval_id=approval_id)
    reply = await session.ask(session.approvals.Approve, request)
    session.output.message(reply.approval)


@app.command
async def audit(*, action: str = "", limit: Count = 100, session: Run) -> None:
    """List records of the audit log, newest first.

    Parameters
    ----------
    action
        Only these: sign, found, create_wallet, set_payout_address, set_stake_limit, withdraw,
        top_up, pause, resume, release, rotate_keys, replace_row_key, give_up_row_keys, sign_rows,
        export_key, create_token, revoke_token, replace_token_key, ask_approval, approve or
        use_approval.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> custody_pb2.ListAuditRecordsResponse:
        request = custody_pb2.ListAuditRecordsRequest(
            action=action, page_size=size, page_token=token
        )
        return await session.ask(session.custody.ListAuditRecords, request)

    session.output.rows(await session.pages(page, "records", limit), "records", _AUDIT_COLUMNS)


@app.command
async def verify(
    *,
    number: int = 0,
    hash: str = "",  # noqa: A002
    since: Annotated[bool, Parameter(negative="")] = False,
    session: Run,
) -> None:
    """Check the audit log; exit status 1 when it is not as it was written.

    Parameters
    ----------
    number
        Number of a record that was noted earlier.
    hash
        Its hash, in hex.
    since
        Read only what has been added since that record.
    """
    try:
        noted = bytes.fromhex(hash)
    except ValueError as error:
        raise CommandLineError("--hash: must be hex") from error
    request = custody_pb2.VerifyAuditLogRequest(
        expected_number=number, expected_hash=noted, begins_there=since
    )
    reply = await session.ask(session.custody.VerifyAuditLog, request, timeout=BATCH_TIMEOUT)
    session.output.message(reply)
    for found in reply.findings:
        note(found)
    if not reply.is_sound:
        raise FailedPreconditionError(reply.flaw, reason="AUDIT_LOG_BROKEN")


@app.command(name="export-key")
async def export_key(
    farmer_id: str, /, *, address: str, reason: str, out: Path, session: Run
) -> None:
    """Write a farmer's secret key to a new file that only you can read.

    Where that takes a second operator, wait for the approval (--approval-wait): each run makes a
    key of its own to receive it, so another run is another request.

    Parameters
    ----------
    address
        The farmer's custodial address, to be sure.
    reason
        Why; the audit log keeps it.
    out
        A file that does not exist yet.
    """
    receiver = X25519PrivateKey.generate()
    request = custody_pb2.ExportKeyRequest(
        farmer_id=farmer_id,
        address=address,
        reason=reason,
        receiver_key=receiver.public_key().public_bytes_raw(),
    )
    # The file is opened before the key leaves the pool: a key that cannot be kept is not asked for.
    with ExitStack() as stack:
        try:
            kept = stack.enter_context(whole_private_file(out))
        except OSError as error:
            raise CommandLineError(f"--out: {error.strerror}: {out}") from error
        reply = await session.ask(session.custody.ExportKey, request)
        kept.write(_opened(receiver, reply, address) + b"\n")
    note(f"the secret key is in {out}; whoever has it can move the account's money")


def _opened(
    receiver: X25519PrivateKey, reply: custody_pb2.ExportKeyResponse, address: str
) -> bytes:
    """Decrypt the secret seed; see ExportKeyResponse in custody.proto."""
    try:
        shared = receiver.exchange(X25519PublicKey.from_public_bytes(reply.sender_key))
        salt = reply.sender_key + receiver.public_key().public_bytes_raw()
        key = HKDF(algorithm=SHA256(), length=32, salt=salt, info=_INFO).derive(shared)
        return ChaCha20Poly1305(key).decrypt(reply.nonce, reply.ciphertext, address.encode())
    except (InvalidTag, ValueError) as error:
        message = "the answer cannot be decrypted"
        raise FailedPreconditionError(message, reason="KEY_NOT_READABLE") from error


def _reach(*, everything: bool, pooler: str, farmer: str) -> custody_pb2.PauseReach:
    if [everything, bool(pooler), bool(farmer)].count(True) != 1:
        raise CommandLineError("give exactly one of --everything, --pooler and --farmer")
    if everything:
        return custody_pb2.PauseReach(everything=True)
    if pooler:
        return custody_pb2.PauseReach(pooler_id=pooler)
    return custody_pb2.PauseReach(farmer_id=farmer)
