"""kalepool.harvest.v1.StatementService: each method maps the request, calls, maps the result."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import grpc
from kalepool.harvest.v1 import statement_pb2, statement_pb2_grpc

from libs.common.clock import moment_of
from libs.common.errors import InvalidArgumentError
from libs.common.grpc.spans import timestamp
from libs.common.ids import PoolerId
from libs.common.paging import decode_token, encode_token, size_of, token_after
from libs.kale.constants import MAX_I64
from libs.kale.statements.document import (
    VERSION,
    Amounts,
    Balances,
    Proof,
    Statement,
    Total,
    root_texts,
)
from libs.kale.statements.lines import Line, checks_of
from libs.kale.statements.owners import Owner, OwnerKind
from libs.kale.statements.roots import Root, day_number, day_text, days_of
from services.harvest.domain.ledger import POOL
from services.harvest.domain.statements import OwnerProof, Place, PublishedRoot, StatementPage
from services.harvest.usecases.closing import Closer
from services.harvest.usecases.statements import Statements

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
T = TypeVar("T")

FULL_NAME = statement_pb2.DESCRIPTOR.services_by_name["StatementService"].full_name


class StatementServicer(statement_pb2_grpc.StatementServiceServicer):
    """Servicer of kalepool.harvest.v1.StatementService."""

    def __init__(self, statements: Statements, closer: Closer) -> None:
        self._statements = statements
        self._closer = closer

    async def GetStatement(
        self, request: statement_pb2.GetStatementRequest, context: Context
    ) -> statement_pb2.GetStatementResponse:
        """See statement.proto."""
        size, after = size_of(request.page_size), _place_after(request.page_token)
        _read("month", request.month, days_of)
        owner = await self._owner(request.farmer_id, request.pooler_id, request.miner_address)
        if owner is None:
            raise InvalidArgumentError.of("farmer_id", "must be set, or pooler_id in its place")
        page = await self._statements.statement(owner, request.month, after=after, limit=size + 1)
        message = statement_message(page.statement)
        message.lines.extend(map(line_message, page.lines[:size]))
        return statement_pb2.GetStatementResponse(
            statement=message, next_page_token=_token_after(page, size)
        )

    async def CloseDay(
        self, request: statement_pb2.CloseDayRequest, context: Context
    ) -> statement_pb2.CloseDayResponse:
        """See statement.proto."""
        closed = await self._closer.close_now()
        return statement_pb2.CloseDayResponse(root=_published_message(closed))

    async def ListRoots(
        self, request: statement_pb2.ListRootsRequest, context: Context
    ) -> statement_pb2.ListRootsResponse:
        """See statement.proto."""
        size, key = size_of(request.page_size), decode_token(request.page_token, [int])
        found = await self._statements.roots(before=None if key is None else key[0], limit=size + 1)
        return statement_pb2.ListRootsResponse(
            roots=map(_published_message, found[:size]),
            next_page_token=token_after([one.root.day for one in found], size),
        )

    async def GetProof(
        self, request: statement_pb2.GetProofRequest, context: Context
    ) -> statement_pb2.GetProofResponse:
        """See statement.proto."""
        day = _read("day", request.day, day_number)
        owner = await self._owner(request.farmer_id, request.pooler_id, request.miner_address)
        return _proof_message(
            await self._statements.proof(POOL if owner is None else owner.id, day)
        )

    async def _owner(self, farmer_id: str, pooler_id: str, miner_address: str) -> Owner | None:
        """Return whom a request names; None for nobody. Raises MinerUnknownError."""
        if farmer_id and pooler_id:
            raise InvalidArgumentError.of("pooler_id", "must not be set beside farmer_id")
        if miner_address and not pooler_id:
            raise InvalidArgumentError.of("miner_address", "must be set beside pooler_id only")
        if miner_address:
            return await self._statements.miner(PoolerId(UUID(pooler_id)), miner_address)
        if pooler_id:
            return Owner(kind=OwnerKind.POOLER, id=UUID(pooler_id))
        return Owner(kind=OwnerKind.FARMER, id=UUID(farmer_id)) if farmer_id else None


def _place_after(token: str) -> Place | None:
    """Return the place in a token; None for the first page."""
    key = decode_token(token, [int, UUID])
    return None if key is None else Place(day=key[0], journal=min(key[1].int, MAX_I64))


def _token_after(page: StatementPage, size: int) -> str:
    """Return the token for the page after one of `size` lines; empty when there is none."""
    day = page.statement.closing.day
    if day is None or len(page.lines) <= size:
        return ""
    # A journal's number may be larger than an index of a token.
    return encode_token([day, UUID(int=page.lines[size - 1].number)])


def _read(name: str, text: str, read: Callable[[str], T]) -> T:
    """Read a field; raise InvalidArgumentError for what cannot be read."""
    try:
        return read(text)
    except ValueError:
        raise InvalidArgumentError.of(
            name, "must be written as in 2026-01, or 2026-01-31"
        ) from None


def statement_message(statement: Statement) -> statement_pb2.Statement:
    """Return the message of a statement, without its lines."""
    return statement_pb2.Statement(
        version=VERSION,
        farmer_id=_id_of(statement.owner, OwnerKind.FARMER),
        pooler_id=_id_of(statement.owner, OwnerKind.POOLER),
        miner_id=_id_of(statement.owner, OwnerKind.MINER),
        address=statement.address,
        month=statement.month,
        opening=_balances_message(statement.opening),
        closing=_balances_message(statement.closing),
        totals=map(_total_message, statement.totals),
        leaf=None if statement.proof is None else _leaf_message(statement.proof),
        roots=map(root_message, statement.roots),
        checks=statement.checks,
    )


def _id_of(owner: Owner, kind: OwnerKind) -> str:
    """Return the id of an owner of this kind; empty for another one."""
    return str(owner.id) if owner.kind is kind else ""


def line_message(line: Line) -> statement_pb2.StatementLine:
    """Return the message of a line."""
    checks, digest = line.sealed
    return statement_pb2.StatementLine(
        number=line.number,
        kind=line.kind,
        source_key=line.source_key,
        block_index=line.block_index,
        ledger=line.ledger,
        transaction_hash=line.transaction_hash,
        happened_at=timestamp(moment_of(line.happened_at)),
        amounts=_amounts(line.amounts),
        checks=checks,
        digest=digest,
    )


def root_message(root: Root) -> statement_pb2.DayRoot:
    """Return the message of a root."""
    record = root.record.hex()
    return statement_pb2.DayRoot(
        day=day_text(root.day),
        closed_at=timestamp(moment_of(root.closed_at)),
        last_journal=root.last_journal,
        leaves=root.leaves,
        refused=root.refused,
        tree_hash=root.node.hash.hex(),
        total=str(root.node.total),
        account=root.account,
        previous=root.previous.hex(),
        record=record,
        checks=checks_of([text for _, text in root_texts(root, record)]),
    )


def _published_message(one: PublishedRoot) -> statement_pb2.PublishedRoot:
    return statement_pb2.PublishedRoot(
        root=root_message(one.root), transaction_hash=one.transaction_hash, ledger=one.ledger
    )


def _balances_message(balances: Balances) -> statement_pb2.StatementBalances:
    return statement_pb2.StatementBalances(
        day="" if balances.day is None else day_text(balances.day),
        balances=_amounts(balances.amounts),
        history=balances.history.hex(),
    )


def _total_message(total: Total) -> statement_pb2.StatementTotal:
    return statement_pb2.StatementTotal(
        kind=total.kind, lines=total.lines, amounts=_amounts(total.amounts)
    )


def _amounts(amounts: Amounts) -> list[statement_pb2.StatementAmount]:
    return [statement_pb2.StatementAmount(role=role, amount=str(one)) for role, one in amounts]


def _leaf_message(proof: Proof) -> statement_pb2.StatementLeaf:
    return statement_pb2.StatementLeaf(
        salt=proof.salt.hex(),
        hash=proof.leaf.hash.hex(),
        total=str(proof.leaf.total),
        path=[
            statement_pb2.ProofStep(
                hash=step.hash.hex(), total=str(step.total), is_left=step.is_left
            )
            for step in proof.path
        ],
    )


def _proof_message(found: OwnerProof) -> statement_pb2.GetProofResponse:
    return statement_pb2.GetProofResponse(
        owner_id="" if found.claim.owner == POOL else str(found.claim.owner),
        address=found.claim.address,
        balances=_balances_message(found.balances),
        leaf=_leaf_message(Proof(salt=found.claim.salt, leaf=found.leaf, path=tuple(found.path))),
        root=root_message(found.root),
    )
