"""The columns and rows of a long run."""

from libs.common.names import SERVICES
from trials.report import Output, Table
from trials.security.access import columns, picture
from trials.security.farming import Farmed
from trials.security.forged import table_of_flaws
from trials.security.forged_orders import table_of as table_of_forged
from trials.security.fuzz import ANSWERED, LEAST_ANSWERED, LONG, MOST_SILENT, SILENT, silent_of
from trials.security.gateway.tables import tables_of
from trials.security.memory import mebibytes
from trials.security.roles import ALLOWED
from trials.security.run import FuzzResult
from trials.security.sight import table_of as table_of_sight
from trials.security.strangers import table_of
from trials.security.thefts.run import table_of as table_of_thefts
from trials.security.turns import FARMERS, PAYOUTS, Waits


def output_of(result: FuzzResult) -> Output:
    """Return the attempts, the answers, the callers that were let in, and the secrets found."""
    found, failures = result.search, result.failures
    return Output(
        parts=[
            f"before: {_in_words(result.farmed)}",
            _statuses(result),
            _answers(result),
            _left(result),
            _memory(result),
            _roles(),
            "S select, I insert, U update, u update of some columns; tried one by one",
            _access(result),
            _held_up(result),
            _audit(result),
            table_of_forged(result.forged),
            table_of_thefts(result.thefts),
            table_of_sight(result.seen),
            table_of_flaws(result.flaws),
            table_of(result.endured),
            _waits(result.waits),
            *([] if result.gateway is None else tables_of(result.gateway)),
            f"{found.canaries:,} forms of secrets looked for in {found.files:,} files "
            f"({mebibytes(found.size)} MiB) and in the arguments of all processes: "
            f"{len(found.leaks)} found",
        ],
        problems=failures,
        verdict="FAILED" if failures else "passed",
        passed=not failures,
    )


def _in_words(farmed: Farmed) -> str:
    return (
        f"{farmed.planted} planted, {farmed.worked} worked, {farmed.harvested} harvested, "
        f"{farmed.withdrawn} withdrawn"
    )


def _statuses(result: FuzzResult) -> Table:
    hostile = result.hostile
    return Table(
        title=f"{hostile.calls} requests, {result.rpcs} RPCs",
        columns=("status", "calls"),
        rows=[(name, str(count)) for name, count in hostile.statuses.most_common()],
    )


def _answers(result: FuzzResult) -> Table:
    """Return the table of how informative each RPC's answers are."""
    rows = []
    for rpc, statuses in sorted(result.hostile.by_rpc.items()):
        mark = "*" if rpc in LONG else ""
        share = f"{silent_of(statuses) / statuses.total():.1%}{mark}"
        told = (str(statuses[status]) for status in ANSWERED)
        rows.append((rpc, str(statuses.total()), *told, share))
    return Table(
        title=f"answers: {LEAST_ANSWERED:.0%} OK or INVALID_ARGUMENT at least, {MOST_SILENT:.0%} "
        f"{' or '.join(SILENT)} at most (* any, but answers who is patient)",
        columns=("RPC", "calls", *ANSWERED, "silent"),
        rows=rows,
    )


def _left(result: FuzzResult) -> Table:
    abandoned = result.abandoned
    tallies = (
        ("unary", abandoned.unary),
        ("streams", abandoned.streams),
        ("health, which keeps no records", abandoned.unrecorded),
        ("all", abandoned.all),
    )
    rows = []
    for name, tally in tallies:
        figures = (tally.left, tally.at_once, tally.arrived, tally.cancelled)
        rows.append((name, *(f"{figure:,}" for figure in figures)))
    return Table(
        title=f"given up, until {result.plan.abandoned} had reached a handler",
        columns=(
            *("calls", "given up", "of these before anything was sent"),
            *("reached a handler", "of these while it ran"),
        ),
        rows=rows,
    )


def _memory(result: FuzzResult) -> Table:
    rows = []
    for pair in zip(result.hostile_growth, result.abandoned_growth, strict=True):
        grown = (f"{mebibytes(one.before)} to {mebibytes(one.after)}" for one in pair)
        rows.append((pair[0].process, *grown))
    return Table(
        title="resident MiB after warm-up",
        columns=("process", "hostile requests", "given up"),
        rows=rows,
    )


def _roles() -> Table:
    return Table(
        title="what each service's role may do",
        columns=("table or view", *SERVICES),
        rows=[
            (relation, *(allowed.get(service, "") for service in SERVICES))
            for relation, allowed in ALLOWED.items()
        ],
    )


def _held_up(result: FuzzResult) -> Table:
    rows = []
    for one in result.held_up:
        registered = "" if one.registered is None else f"{one.registered:.2f}"
        seconds = (f"{one.plain:.2f}", f"{one.in_force:.2f}", f"{one.recorded:.2f}", registered)
        rows.append((one.who, one.taken.words(), *seconds, "; ".join(one.warnings) or "none"))
    return Table(
        title="a role that takes all that it can, and what waits for it, in seconds",
        columns=(
            *("whose password", "taken"),
            *("any answer", "pause in force", "recorded", "farmer registered", "wallet warns of"),
        ),
        rows=rows,
    )


def _audit(result: FuzzResult) -> Table:
    return Table(
        title="the audit log, attacked",
        columns=("attack", "with the rights of", "refused, or found by verify"),
        rows=[(one.name, one.role, one.answer) for one in result.audit],
    )


def _waits(waits: Waits) -> Table:
    return Table(
        title=f"what others waited for, in seconds; a ledger takes {waits.ledger}",
        columns=("what", "alone", "beside", "paid for nothing"),
        rows=[
            (
                f"a payout beside {PAYOUTS} of another pooler that cannot succeed",
                f"{waits.payouts.alone:.1f}",
                f"{waits.payouts.beside:.1f}",
                str(waits.payouts.wasted),
            ),
            (
                f"a plant of {FARMERS} farmers, and with one whose account is locked",
                f"{waits.plants.sound:.1f}",
                f"{waits.plants.locked:.1f}",
                "0" if waits.plants.is_told else "?",
            ),
        ],
    )


def _access(result: FuzzResult) -> Table:
    return Table(
        title="who is let in to what",
        columns=("method", *columns()),
        rows=picture(result.access),
    )
