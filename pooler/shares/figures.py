"""What the pool tells of itself and of a miner, as JSON has it."""

from collections.abc import Iterable, Mapping
from typing import Any

from libs.common.version import VERSION
from pooler.shares.domain.codes import Code
from pooler.shares.domain.model import BlockRow, Miner
from pooler.shares.domain.rates import Rate
from pooler.shares.events import moment
from pooler.shares.round import Figures, Round
from pooler.shares.service import Shares
from pooler.shares.store.store import MinerResult
from pooler.shares.workers import LiveWorker

#: The window by which the whole pool's rate is told.
_WINDOW = "1h"
#: Blocks that are told of at a time by default, and at most.
FEW, MOST = 20, 500
#: Index that no block reaches.
_ALL = 2**62


async def pool_of(shares: Shares) -> Mapping[str, Any]:
    """Return what everybody may know, also before joining."""
    settings, running = shares.settings, shares.rounds.running
    before = _ALL if running is None else running.index
    blocks = await shares.store.blocks(before=before, limit=FEW)
    return {
        "name": settings.shares_name,
        "version": VERSION,
        "terms": shares.accounts.terms.content(),
        "limits": {
            "lowestDifficulty": str(shares.bounds.lowest),
            "highestDifficulty": str(shares.bounds.highest),
            "sharesPerBlock": shares.bounds.shares,
            "mostSharesPerBlock": settings.shares_most_per_block,
            "workersPerMiner": settings.shares_max_workers,
            "requestsPerMinute": settings.shares_rate_limit,
        },
        "miners": await shares.store.count_miners(),
        "workers": len(shares.workers.active()),
        "rate": _total(shares.workers.active(), shares.clock()),
        "streams": len(shares.streams),
        "block": None if running is None else _running(running),
        "blocks": [_past(row) for row in blocks],
    }


async def stats_of(shares: Shares, miner: Miner) -> Mapping[str, Any]:
    """Return what a miner is told of itself."""
    running = shares.rounds.running
    before = _ALL if running is None else running.index
    rows = await shares.store.workers_of(miner.number)
    live = {one.number: one for one in shares.workers.of(miner.number)}
    now = shares.clock()
    return {
        "miner": miner_content(miner),
        "block": None if running is None else _own_part(running, miner.number),
        "rate": _total(live.values(), now),
        "workers": [
            _worker(live[row.number], running, now)
            if row.number in live
            else {"worker": row.name, "isThere": False}
            for row in rows
        ],
        "blocks": await results_of(shares, miner, before=before, limit=FEW),
    }


async def results_of(
    shares: Shares, miner: Miner, *, before: int, limit: int
) -> list[Mapping[str, Any]]:
    """Return a miner's closed blocks before one, the newest first."""
    found = await shares.store.results(miner.number, before=before, limit=limit)
    return [_result(one) for one in found]


def miner_content(miner: Miner) -> dict[str, Any]:
    """Return a miner's account."""
    return {
        "minerId": str(miner.miner_id),
        "address": miner.address,
        "name": miner.name,
        "terms": miner.terms,
        "joinedAt": moment(miner.joined_at),
    }


def _running(running: Round) -> Mapping[str, Any]:
    return {
        "block": running.index,
        "closesAt": int(running.block.closes_at),
        "worksSent": bool(running.sent_at),
        "farmers": len(running.farmers),
        "cap": running.block.cap,
        "points": str(running.points),
        "ownHashes": str(running.own_hashes),
        "ownRate": round(running.own_rate),
        "zeros": running.zeros(),
    }


def _past(row: BlockRow) -> Mapping[str, Any]:
    return {
        "block": row.block,
        "state": row.state.value,
        "points": str(row.points),
        "ownHashes": str(row.own_hashes),
        "rewards": str(row.rewards),
        "pot": str(row.pot),
    }


def _own_part(running: Round, miner: int) -> Mapping[str, Any]:
    return {
        "block": running.index,
        "worksSent": bool(running.sent_at),
        "points": str(running.miner_points[miner]),
        "allPoints": str(running.points),
        "ownHashes": str(running.own_hashes),
    }


def _worker(worker: LiveWorker, running: Round | None, now: float) -> Mapping[str, Any]:
    found = None if running is None else running.figures.get(worker.number)
    figures = found or Figures()
    luck = figures.luck
    return {
        "worker": worker.row.name,
        "isThere": True,
        "isGone": worker.is_gone,
        "newestShareAt": moment(worker.newest_share * 1000) if worker.newest_share else None,
        "difficulty": str(worker.difficulty),
        "isFixed": worker.is_fixed,
        "rates": {name: _rate(rate) for name, rate in worker.rates(now).items()},
        "shares": {code.value: worker.counts[code] for code in Code},
        "latestMs": worker.latest_ms,
        "block": {
            "shares": figures.shares,
            "points": str(figures.points),
            "best": figures.best,
            "luck": None if luck is None else round(luck, 4),
        },
    }


def _rate(rate: Rate) -> Mapping[str, Any]:
    return {
        "rate": round(rate.rate),
        "error": round(rate.error),
        "seconds": round(rate.seconds),
        "shares": rate.shares,
    }


def _total(workers: Iterable[LiveWorker], now: float) -> Mapping[str, Any]:
    """Return the rate of several workers together, with its error."""
    rates = [rates[_WINDOW] for rates in (one.rates(now) for one in workers) if _WINDOW in rates]
    return {
        "rate": round(sum(one.rate for one in rates)),
        "error": round(sum(one.error**2 for one in rates) ** 0.5),
    }


def _result(result: MinerResult) -> Mapping[str, Any]:
    return {
        "block": result.block,
        "state": result.state.value,
        "openedAt": moment(result.opened_at),
        "shares": result.shares,
        "points": str(result.points),
        "allPoints": str(result.all_points),
        "ownHashes": str(result.own_hashes),
        "best": result.best,
        "lateShares": result.late_shares,
        "latePoints": str(result.late_points),
        "latestMs": result.latest_ms,
        "pot": str(result.pot),
        "amount": None if result.amount is None else str(result.amount),
    }
