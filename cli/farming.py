"""kalepool plant, work, harvest and the lists of what was recorded of them."""

from typing import Any

from google.protobuf import json_format
from kalepool.harvest.v1 import harvest_pb2
from kalepool.plant.v1 import plant_pb2
from kalepool.work.v1 import work_pb2

from cli.arguments import BlockIndex, Count, JsonText, Run, json_argument
from cli.errors import CommandLineError
from cli.progress import Look
from cli.session import BATCH_TIMEOUT, PAGE
from cli.show import note

PLANTING_COLUMNS = (
    "farmer_id",
    "block_index",
    "status",
    "stake_amount",
    "ledger",
    "fee_charged",
    "reason",
)
VERDICT_COLUMNS = ("farmer_id", "nonce", "status", "zeros", "gap", "estimated_reward", "reason")
WORK_COLUMNS = ("farmer_id", "block_index", "status", "nonce", "zeros", "gap", "ledger", "reason")
HARVEST_COLUMNS = (
    "farmer_id",
    "block_index",
    "status",
    "reward_amount",
    "stake_returned",
    "ledger",
    "reason",
)
#: Why a harvest may have found nothing: it pays what is not paid yet.
_NOTHING_LEFT = (
    "nothing was left to harvest: nobody worked, or the pool's own sweep, once a minute, was "
    "faster (kalepool harvests has all)"
)
#: Seconds for a look at what is recorded while a batch runs.
PATIENCE = 5.0
BLOCK_COLUMNS = (
    "block_index",
    "pooler_id",
    "total_eligible",
    "successful_harvests",
    "failed_harvests",
    "total_rewards",
)


async def plant(
    *, pooler: str, block: BlockIndex, max_farmers: Count = 0, request_id: str = "", session: Run
) -> None:
    """Plant every eligible farmer of a pooler in a block, and wait until each is settled.

    Parameters
    ----------
    pooler
        Id of the pooler.
    block
        Index of the block.
    max_farmers
        Farmers to plant at most; 0 means 1,000.
    request_id
        Pass a fresh one to plant farmers who became eligible since.
    """
    request = plant_pb2.PlantRequest(
        block_index=block,
        pooler_id=pooler,
        max_farmers_capacity=max_farmers,
        request_id=request_id,
    )
    recorded = plant_pb2.ListPlantingsRequest(pooler_id=pooler, block_index=block, page_size=PAGE)
    look = _recorded(session, session.plant.ListPlantings, recorded, "plantings")
    reply = await session.ask(session.plant.Plant, request, timeout=BATCH_TIMEOUT, look=look)
    session.output.summary(reply, "plantings", PLANTING_COLUMNS)


async def work(
    *, pooler: str, block: BlockIndex, submissions: JsonText, request_id: str = "", session: Run
) -> None:
    """Submit nonces for farmers who planted in a block, and wait until each is settled.

    Parameters
    ----------
    pooler
        Id of the pooler.
    block
        Index of the block.
    submissions
        A file with a JSON list of {"farmerId", "nonce", "timestamp"}; - for standard input.
    request_id
        Makes a repeat give the same summary.
    """
    request = work_pb2.SubmitWorkRequest(
        block_index=block,
        pooler_id=pooler,
        submissions=_submissions(submissions),
        request_id=request_id,
    )
    recorded = work_pb2.ListWorksRequest(pooler_id=pooler, block_index=block, page_size=PAGE)
    look = _recorded(session, session.work.ListWorks, recorded, "works")
    reply = await session.ask(session.work.SubmitWork, request, timeout=BATCH_TIMEOUT, look=look)
    session.output.summary(reply, "verdicts", VERDICT_COLUMNS)


async def harvest(*, pooler: str, block: BlockIndex, request_id: str = "", session: Run) -> None:
    """Harvest every farmer of a pooler who worked in a block, and wait until each is settled.

    Parameters
    ----------
    pooler
        Id of the pooler.
    block
        Index of the block.
    request_id
        Pass a fresh one to try failed harvests again.
    """
    request = harvest_pb2.HarvestRequest(block_index=block, pooler_id=pooler, request_id=request_id)
    recorded = harvest_pb2.ListHarvestsRequest(pooler_id=pooler, block_index=block, page_size=PAGE)
    look = _recorded(session, session.harvest.ListHarvests, recorded, "harvests")
    reply = await session.ask(session.harvest.Harvest, request, timeout=BATCH_TIMEOUT, look=look)
    session.output.summary(reply, "harvests", HARVEST_COLUMNS)
    if not reply.total_eligible:
        note(_NOTHING_LEFT)


async def harvest_pending(*, pooler: str = "", max_blocks: Count = 0, session: Run) -> None:
    """Harvest every closed block that could still be lost; the block that expires first goes first.

    Parameters
    ----------
    pooler
        Only this pooler's.
    max_blocks
        Blocks at most; 0 means 300, about a day.
    """
    request = harvest_pb2.HarvestPendingRequest(pooler_id=pooler, max_blocks=max_blocks)
    reply = await session.ask(session.harvest.HarvestPending, request, timeout=BATCH_TIMEOUT)
    session.output.summary(reply, "blocks", BLOCK_COLUMNS)
    if not reply.blocks:
        note(_NOTHING_LEFT)


async def plantings(
    *,
    pooler: str,
    block: BlockIndex | None = None,
    farmer: str = "",
    limit: Count = 100,
    session: Run,
) -> None:
    """List recorded plantings, newest block first.

    Parameters
    ----------
    pooler
        Id of the pooler.
    block
        Only this block.
    farmer
        Only this farmer's.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> plant_pb2.ListPlantingsResponse:
        request = plant_pb2.ListPlantingsRequest(
            pooler_id=pooler, block_index=block, farmer_id=farmer, page_size=size, page_token=token
        )
        return await session.ask(session.plant.ListPlantings, request)

    found = await session.pages(page, "plantings", limit)
    session.output.rows(found, "plantings", PLANTING_COLUMNS)


async def works(
    *,
    pooler: str,
    block: BlockIndex | None = None,
    farmer: str = "",
    limit: Count = 100,
    session: Run,
) -> None:
    """List recorded works, newest block first.

    Parameters
    ----------
    pooler
        Id of the pooler.
    block
        Only this block.
    farmer
        Only this farmer's.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> work_pb2.ListWorksResponse:
        request = work_pb2.ListWorksRequest(
            pooler_id=pooler, block_index=block, farmer_id=farmer, page_size=size, page_token=token
        )
        return await session.ask(session.work.ListWorks, request)

    session.output.rows(await session.pages(page, "works", limit), "works", WORK_COLUMNS)


async def harvests(
    *,
    pooler: str,
    block: BlockIndex | None = None,
    farmer: str = "",
    limit: Count = 100,
    session: Run,
) -> None:
    """List recorded harvests, newest block first.

    Parameters
    ----------
    pooler
        Id of the pooler.
    block
        Only this block.
    farmer
        Only this farmer's.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> harvest_pb2.ListHarvestsResponse:
        request = harvest_pb2.ListHarvestsRequest(
            pooler_id=pooler, block_index=block, farmer_id=farmer, page_size=size, page_token=token
        )
        return await session.ask(session.harvest.ListHarvests, request)

    found = await session.pages(page, "harvests", limit)
    session.output.rows(found, "harvests", HARVEST_COLUMNS)


async def balance(farmer_id: str, /, *, session: Run) -> None:
    """Show what one farmer has earned."""
    request = harvest_pb2.GetBalanceRequest(farmer_id=farmer_id)
    reply = await session.ask(session.harvest.GetBalance, request)
    session.output.message(reply)


def _recorded(session: Run, method: Any, request: Any, field_name: str) -> Look:
    """Return a look at how many events of a block are recorded, for who waits for its batch."""

    async def look() -> str:
        page = await session.connections.call(method, request, timeout=PATIENCE)
        more = "or more " if page.next_page_token else ""
        return f"{len(getattr(page, field_name))} {more}{field_name} recorded"

    return look


def _submissions(place: str) -> list[work_pb2.Submission]:
    """Read submissions in protobuf's JSON: a list, or an object that has the list."""
    values = json_argument("submissions", place if place == "-" else f"@{place}")
    if isinstance(values, dict):
        values = values.get("submissions")
    if not isinstance(values, list):
        raise CommandLineError("submissions: must be a JSON list")
    return [_submission(number, value) for number, value in enumerate(values)]


def _submission(number: int, value: Any) -> work_pb2.Submission:
    if not isinstance(value, dict):
        raise CommandLineError(f"submissions[{number}]: must be a JSON object")
    try:
        return json_format.ParseDict(value, work_pb2.Submission())
    except json_format.ParseError as error:
        raise CommandLineError(f"submissions[{number}]: {error}") from error
