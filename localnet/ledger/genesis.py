"""The first ledger: accounts, the KALE asset, the network's settings and the contracts."""

from collections.abc import Mapping

from stellar_sdk import Keypair, xdr

from localnet.ledger.accounts import INT64_MAX, Account, ledger_entry, store_account
from localnet.ledger.close import ClosedLedger, Genesis, seal
from localnet.ledger.keys import config_key, trustline_asset
from localnet.ledger.packing import TransactionSet
from localnet.ledger.settings import BASE_FEE, default_entries, read_settings
from localnet.ledger.soroban_ops import SorobanContext
from localnet.ledger.state import Changes, Snapshot
from localnet.ledger.trustlines import AUTHORIZED, Trustline, store_trustline
from localnet.network import FAUCET_KALE, TOTAL_COINS, Network
from localnet.soroban.host import genesis_entries

#: The sequence of the first ledger.
FIRST = 1
#: Stroops of the issuer and of the faucet, each: 10,000 XLM.
_WORKING_BALANCE = 10_000 * 10**7
#: Stroops of the friendbot: enough for a million accounts.
_FRIENDBOT_BALANCE = 10**6 * _WORKING_BALANCE

_NO_TRANSACTIONS = TransactionSet(
    classic=(), classic_base_fee=BASE_FEE, clusters=(), soroban_base_fee=BASE_FEE
)


def genesis_ledger(
    genesis: Genesis, close_time: int, overrides: Mapping[str, int]
) -> tuple[Snapshot, ClosedLedger]:
    """Make the state and the header of the first ledger."""
    empty = Snapshot(sequence=FIRST, close_time=close_time, records={})
    state = Changes(empty, FIRST)
    _put_settings(state, overrides)
    _put_accounts(state, genesis.network)
    _put_contracts(state, genesis, close_time)
    records = {k: r for k, r in state.applied().items() if r is not None}
    snapshot = Snapshot(sequence=FIRST, close_time=close_time, records=records)
    ledger = seal(
        None,
        network=genesis.network,
        sequence=FIRST,
        close_time=close_time,
        chosen=_NO_TRANSACTIONS,
        applied=(),
    )
    return snapshot, ledger


def _put_settings(state: Changes, overrides: Mapping[str, int]) -> None:
    for setting in default_entries(overrides):
        data = xdr.LedgerEntryData(xdr.LedgerEntryType.CONFIG_SETTING, config_setting=setting)
        state.put(config_key(setting.config_setting_id), ledger_entry(data, None))


def _put_accounts(state: Changes, network: Network) -> None:
    def account(keypair: Keypair, balance: int, sub_entries: int = 0) -> None:
        new = Account(
            raw=keypair.raw_public_key(),
            balance=balance,
            seq_num=FIRST << 32,
            sub_entries=sub_entries,
        )
        store_account(state, new)

    account(network.issuer, _WORKING_BALANCE)
    account(network.faucet, _WORKING_BALANCE, sub_entries=1)
    account(network.friendbot, _FRIENDBOT_BALANCE)
    account(network.root, TOTAL_COINS - _FRIENDBOT_BALANCE - 2 * _WORKING_BALANCE)
    line = Trustline(
        raw=network.faucet.raw_public_key(),
        asset=trustline_asset(network.kale.to_xdr_object()),
        balance=FAUCET_KALE,
        limit=INT64_MAX,
        flags=AUTHORIZED,
    )
    store_trustline(state, line)


def _put_contracts(state: Changes, genesis: Genesis, close_time: int) -> None:
    """Put the contracts into the state as their constructors left them."""
    network = genesis.network
    context = SorobanContext(
        sequence=FIRST,
        close_time=close_time,
        network_id=network.id,
        settings=read_settings(state),
        block_seconds=genesis.block_seconds,
        state_size=0,
        farm_code_bytes=genesis.farm_code_bytes,
    )
    for key, entry in genesis_entries(network, context.ledger_info()):
        state.put(key, entry.entry, entry.live_until)
