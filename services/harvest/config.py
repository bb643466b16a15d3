"""harvest's settings."""

from typing import Annotated, Literal

from pydantic import Field

from libs.batches.config import BatchSettings
from libs.common.config import Count, Port, Seconds, Stroops
from libs.kale.constants import MAX_I64
from services.harvest.domain.payouts import Terms
from services.harvest.store.payouts import PayoutTerms
from services.harvest.usecases.payouts import PayoutLimits

_Amount = Annotated[Stroops, Field(ge=0, le=MAX_I64)]


class HarvestSettings(BatchSettings):
    """Settings that harvest reads on top of those of every service with batches."""

    #: Port to listen on.
    port: Port = 50055
    #: Seconds between two sweeps of what is pending, where what has failed waits for 1, 2, 4 ... 32
    #: times as long; 0 leaves it to HarvestPending, which tries everything.
    harvest_sweep_seconds: Annotated[Seconds, Field(ge=0)] = 60.0
    #: Blocks that a pooler's oldest closed block has to be behind the running one when a sweep
    #: harvests all of its blocks: 1 for each block as soon as it is closed. With more, several
    #: blocks of a farmer share a transaction, where wallet has a multicall contract; choose more
    #: than the poolers' `--harvest-group`, so that poolers who group are not forestalled.
    harvest_sweep_blocks: Annotated[Count, Field(ge=1, le=100)] = 1
    #: Seconds that a sweep waits for one block before it goes on to the next one.
    harvest_patience_seconds: Annotated[Seconds, Field(gt=0)] = 60.0
    #: Seconds between two looks for what wallet has to tell the pool's ledger.
    bookkeeping_seconds: Annotated[Seconds, Field(gt=0)] = 5.0
    #: Seconds between two looks at farmers' accounts on the chain for KALE that came from outside.
    deposit_seconds: Annotated[Seconds, Field(gt=0)] = 300.0
    #: Seconds for which an account has to hold more than the ledger explains, always the same,
    #: until that is booked as a deposit: everything else that may explain it is recorded by then.
    deposit_settle_seconds: Annotated[Seconds, Field(ge=0)] = 900.0
    #: Hour (UTC) at which harvest looks every night whether the whole ledger adds up.
    ledger_check_hour: Annotated[Count, Field(ge=0, le=23)] = 3
    #: Seconds after midnight (UTC) at which a day is closed: what was booked until then belongs to
    #: it, and its statements and its root are made.
    closing_delay_seconds: Annotated[Seconds, Field(ge=0, lt=86_400)] = 60.0
    #: Seconds between two looks whether a day is to be closed, or its root to be published.
    closing_look_seconds: Annotated[Seconds, Field(gt=0)] = 30.0
    #: open: everybody who may call GetFarmerSummary sees the figures of every farmer, which are on
    #: the chain for all to read; closed: operators, and poolers for their own farmers.
    farmer_pages: Literal["open", "closed"] = "open"
    #: Seconds between two looks for who is to be paid by threshold or interval, and of the first
    #: pause after a payout that failed, which grows up to 32 times as long; 0 leaves payouts to
    #: operators (kalepool payout run) and to farmers themselves.
    payout_seconds: Annotated[Seconds, Field(ge=0)] = 60.0
    #: Stroops of KALE that are worth a payment: less than that waits, whatever was agreed.
    payout_minimum_stroops: _Amount = 10_000_000
    #: Stroops of KALE above which a payout waits for an operator's run, and a run takes a second
    #: operator (SECOND_PERSON_SECONDS).
    payout_approval_stroops: _Amount = 100_000_000_000
    #: Stroops of KALE that payouts may send to a farmer within 24 hours; 0: no limit but wallet's.
    payout_daily_farmer_stroops: _Amount = 1_000_000_000_000
    #: Stroops of KALE that payouts may send to all within 24 hours; 0: no limit but wallet's.
    payout_daily_stroops: _Amount = 100_000_000_000_000
    #: Stroops of fees in the account of a farmer who is not paid itself that are moved out of it at
    #: once.
    payout_sweep_stroops: _Amount = 1_000_000_000
    #: Seconds after which smaller fees are moved out of such an account; 0: never.
    payout_sweep_seconds: Annotated[Seconds, Field(ge=0)] = 604_800.0
    #: Stroops of KALE from which on a pooler is paid.
    payout_pooler_stroops: _Amount = 1_000_000_000
    #: Seconds after which a pooler is paid less than that; 0: never.
    payout_pooler_seconds: Annotated[Seconds, Field(ge=0)] = 604_800.0
    #: Stroops of KALE from which on a miner is paid.
    payout_miner_stroops: _Amount = 100_000_000
    #: Seconds after which a miner is paid less than that; 0: never.
    payout_miner_seconds: Annotated[Seconds, Field(ge=0)] = 604_800.0

    def payout_terms(self) -> PayoutTerms:
        """Return when those are paid whom no agreement is for."""
        return PayoutTerms(
            pooler=_terms(self.payout_pooler_stroops, self.payout_pooler_seconds),
            miner=_terms(self.payout_miner_stroops, self.payout_miner_seconds),
            sweep=_terms(self.payout_sweep_stroops, self.payout_sweep_seconds),
        )

    def payout_limits(self) -> PayoutLimits:
        """Return the operator's limits of payouts."""
        return PayoutLimits(
            every=self.payout_seconds,
            minimum=self.payout_minimum_stroops,
            approval=self.payout_approval_stroops,
            daily_payee=self.payout_daily_farmer_stroops,
            daily_pool=self.payout_daily_stroops,
        )


def _terms(threshold: int, seconds: float) -> Terms:
    return Terms(threshold=threshold, interval=int(seconds))
