"""The table of thefts: who tries what, and what it could gain."""

from collections.abc import Sequence

from libs.common.names import SERVICES
from trials.security.thefts import (
    addresses,
    approvals,
    columns,
    flights,
    holding,
    names,
    own_say,
    pauses,
    payments,
    records,
    treasury,
    words,
)
from trials.security.thefts.kinds import ALL_RIGHTS, Theft

_WALLET, _ADMIN, _BOTH = ("wallet",), (ALL_RIGHTS,), ("wallet", ALL_RIGHTS)
_OPERATOR, _POOLER = "one operator's certificate", "a pooler's certificate"
_PAID = "payouts in a pause"
_MONEY = "where a farmer's money goes"
_ALONE = "an order that takes two operators"

#: In the order in which they are tried: what uses up a limit, or may stop a payer, is late.
THEFTS: Sequence[Theft] = (
    # While the log is sound.
    Theft(
        name="records of the log in another operator's name",
        roles=_WALLET,
        gain="a false word about who did what",
        act=records.a_record_in_bobs_name,
    ),
    # Payments.
    Theft(
        name="a transaction of the thief's for the treasury to bid for",
        roles=_WALLET,
        gain="XLM of the treasury",
        act=payments.a_transaction_of_the_thiefs,
    ),
    Theft(
        name="a call of Soroban of the thief's for the treasury to bid for",
        roles=_WALLET,
        gain="XLM of the treasury, above every cap",
        act=payments.the_rent_of_the_thiefs_choice,
    ),
    Theft(
        name="a payout that failed and is shown to have been made",
        roles=_WALLET,
        gain="a payout that a pause and its address forbid",
        act=payments.a_payment_that_was_shown_to_be_made,
        is_slow=True,
    ),
    Theft(
        name="a payout that was made, put back",
        roles=_ADMIN,
        gain="a second payout",
        act=payments.nothing_is_gone,
        is_slow=True,
    ),
    Theft(
        name="a payout that was made, put back without its link",
        roles=_ADMIN,
        gain="a second payout",
        act=payments.its_link_is_gone,
        is_slow=True,
    ),
    Theft(
        name="a payout that was made, put back without its transaction",
        roles=_ADMIN,
        gain="a second payout",
        act=payments.its_transaction_is_gone,
        is_slow=True,
    ),
    Theft(
        name="payouts in flight that ended years ago",
        roles=_WALLET,
        shows=_POOLER,
        gain="more than a day's limit",
        act=payments.an_end_of_long_ago,
    ),
    Theft(
        name="a payout that fails, and counts as withdrawn",
        shows="plant's certificate and a pooler's",
        gain="a stake that nobody agreed to",
        act=payments.a_stake_that_was_not_agreed,
    ),
    # Pauses.
    Theft(
        name="an older end around a newer pause",
        roles=_BOTH,
        gain=_PAID,
        act=pauses.an_older_end_around_a_newer_pause,
    ),
    Theft(
        name="the end of a pause in an operator's name",
        roles=_BOTH,
        gain=_PAID,
        act=pauses.an_end_in_an_operators_name,
    ),
    Theft(
        name="the end of another pause, with its authenticator",
        roles=_BOTH,
        gain=_PAID,
        act=pauses.the_end_of_another_pause,
    ),
    Theft(
        name="a pause that becomes somebody else's",
        roles=_BOTH,
        gain=_PAID,
        act=pauses.a_pause_of_somebody_else,
    ),
    Theft(
        name="a pause that is deleted",
        roles=_BOTH,
        gain=_PAID,
        act=pauses.a_pause_that_is_deleted,
    ),
    Theft(
        name="a function that says that nothing is paused",
        roles=_BOTH,
        gain=_PAID,
        act=pauses.a_function_that_says_no,
    ),
    Theft(
        name="a trigger that drops new pauses",
        roles=_BOTH,
        gain="a pause that is told as recorded and is nowhere",
        act=pauses.a_trigger_that_drops_pauses,
    ),
    Theft(
        name="a farmer's row spoilt before its pause",
        roles=_WALLET,
        gain="later pauses that other processes are not told of",
        act=pauses.a_spoilt_row_before_a_pause,
    ),
    Theft(
        name="a lock on the log",
        roles=_WALLET,
        gain=_PAID,
        act=pauses.a_lock_on_the_pauses,
    ),
    # Approvals.
    Theft(
        name="an honest text beside another request's digest",
        roles=_WALLET,
        shows=_OPERATOR,
        gain=_ALONE,
        act=approvals.another_request_than_is_shown,
    ),
    Theft(
        name="another operator's name beside one's own request",
        roles=_BOTH,
        shows=_OPERATOR,
        gain=_ALONE,
        act=approvals.an_approval_that_nobody_gave,
    ),
    Theft(
        name="an approval used twice",
        roles=_BOTH,
        shows=_OPERATOR,
        gain=_ALONE,
        act=approvals.an_approval_used_twice,
    ),
    Theft(
        name="an approval used late",
        roles=_BOTH,
        shows=_OPERATOR,
        gain=_ALONE,
        act=approvals.an_approval_used_late,
    ),
    Theft(
        name="an approval of a payout that was refused, used again",
        shows=_OPERATOR,
        gain=_ALONE,
        act=approvals.an_approval_of_what_was_refused,
    ),
    Theft(
        name="every order that takes two operators",
        shows=_OPERATOR,
        gain=_ALONE,
        act=approvals.one_operator_alone,
    ),
    Theft(
        name="a flood of requests in operators' names",
        shows="registry's certificate",
        gain="an honest request that nobody finds",
        act=approvals.a_flood_of_requests,
    ),
    # Addresses.
    Theft(
        name="a payout address that was there already",
        roles=_BOTH,
        shows=_POOLER,
        gain="an address that counts at once",
        act=addresses.an_address_that_was_there_already,
    ),
    Theft(
        name="a payout address whose cooling time is over",
        roles=_BOTH,
        shows=_POOLER,
        gain="an address that counts at once",
        act=addresses.an_address_without_cooling,
    ),
    Theft(
        name="a payout address of a row",
        roles=_BOTH,
        gain="where a farmer's money goes",
        act=addresses.an_address_of_a_row,
    ),
    Theft(
        name="payout addresses again and again",
        shows=_POOLER,
        gain="slow payouts, and wallet's memory",
        act=addresses.addresses_again_and_again,
    ),
    # What farmers have a say in.
    Theft(
        name="a pooler's own address for its farmers",
        shows=_POOLER,
        gain=_MONEY,
        act=own_say.an_address_of_ones_own,
    ),
    Theft(
        name="an address changed twice",
        shows=_POOLER,
        gain=_MONEY,
        act=own_say.an_address_changed_twice,
    ),
    Theft(
        name="an address taken away",
        shows=_POOLER,
        gain="a farmer that is not paid",
        act=own_say.an_address_taken_away,
    ),
    Theft(
        name="all rows of a service rewritten, and a pooler's own address",
        roles=("harvest", "registry"),
        shows=_POOLER,
        gain=_MONEY,
        act=own_say.tables_of_a_service,
    ),
    Theft(
        name="an owner account of a row",
        roles=_BOTH,
        shows=_POOLER,
        gain=_MONEY,
        act=own_say.an_owner_account_of_a_row,
    ),
    Theft(
        name="a row that says that a pooler farms for itself",
        roles=_BOTH,
        shows=_POOLER,
        gain=_MONEY,
        act=own_say.a_mark_of_a_row,
    ),
    Theft(
        name="a fee of everything",
        roles=("registry",),
        shows=_POOLER,
        gain="all that a farmer earns",
        act=own_say.a_fee_of_everything,
    ),
    Theft(
        name="a fee of nothing",
        shows="a farmer's owner account",
        gain="the pooler's part, and its miners'",
        act=own_say.a_fee_of_nothing,
    ),
    Theft(
        name="a fee raised in mid-block",
        roles=("harvest",),
        shows=_POOLER,
        gain="a part of what is earned already",
        act=own_say.an_agreement_in_mid_block,
    ),
    Theft(
        name="an agreement of a row",
        roles=_BOTH,
        gain="a fee that nobody agreed to",
        act=own_say.an_agreement_of_a_row,
    ),
    # What the database says.
    Theft(
        name="a function that names the thief's address",
        roles=_BOTH,
        gain="where a farmer's money goes",
        act=words.an_address_by_a_function,
    ),
    Theft(
        name="a function that has the treasury carry payouts",
        roles=_BOTH,
        gain="a payment that its payer's number does not tell of",
        act=words.a_payer_by_a_function,
    ),
    Theft(
        name="a view that shows the thief's account as a farmer's",
        roles=_BOTH,
        gain="where a farmer's money goes",
        act=words.an_account_by_a_view,
    ),
    # All of an order, column by column.
    Theft(
        name="each column of a payout that waits, of its farmer's wallet, account and addresses",
        roles=_BOTH,
        gain="another payout than the one that was asked for",
        act=columns.each_column,
        is_slow=True,
    ),
    # What is everybody's.
    Theft(
        name="types and views of one's own in the way of the owner's functions",
        roles=SERVICES,
        gain="all rights on the database",
        act=names.the_rights_of_the_owner,
    ),
    Theft(
        name="savepoints without an end",
        roles=("plant", "work", "harvest"),
        gain="the server's table of locks",
        act=holding.savepoints_without_an_end,
    ),
    Theft(
        name="an old snapshot",
        roles=("registry", "plant", "work", "harvest"),
        gain="old versions of all rows",
        act=holding.an_old_snapshot,
    ),
    Theft(
        name="the end of honest sessions",
        roles=_WALLET,
        gain="other services' sessions",
        act=holding.the_end_of_honest_sessions,
    ),
    # The treasury's XLM.
    Theft(
        name="a channel account that is said to be empty",
        roles=_BOTH,
        gain="top-ups, one for each ledger",
        act=treasury.a_channel_that_is_said_to_be_empty,
    ),
    Theft(
        name="fewer farmers than there are",
        roles=_WALLET,
        shows=_POOLER,
        gain="reserves beyond the pooler's limit",
        act=treasury.fewer_farmers_than_there_are,
    ),
    Theft(
        name="poolers that are invented",
        roles=("registry",),
        gain="reserves beyond the pool's limit",
        act=treasury.poolers_that_are_invented,
    ),
    # Keys.
    Theft(
        name="the wrapping of a key of rows from before",
        roles=_WALLET,
        shows="a key of rows that leaked and was replaced",
        gain="orders that wallet did not write",
        act=records.a_key_of_rows_put_back,
        is_slow=True,
    ),
    # What may stop payers is the last.
    Theft(
        name="each column of a transaction in flight",
        roles=_BOTH,
        gain="another transaction than the one that was signed",
        act=flights.each_column_in_flight,
        is_slow=True,
        may_stop=True,
    ),
)
