"""The network's limits, read from its ConfigSetting entries: none is hard-coded (STELLAR.md 3)."""

from collections.abc import Iterable, Mapping
from dataclasses import astuple
from hashlib import sha256

from stellar_sdk import xdr

from services.wallet.chain.node.ledger_entries import Entry, entries_question
from services.wallet.chain.node.questions import Question, spared
from services.wallet.domain.packing import Limits

_SETTINGS = xdr.ConfigSettingID
#: The settings that are read, all with one getLedgerEntries.
_WANTED = (
    _SETTINGS.CONFIG_SETTING_CONTRACT_COMPUTE_V0,
    _SETTINGS.CONFIG_SETTING_CONTRACT_LEDGER_COST_V0,
    _SETTINGS.CONFIG_SETTING_CONTRACT_LEDGER_COST_EXT_V0,
    _SETTINGS.CONFIG_SETTING_CONTRACT_BANDWIDTH_V0,
    _SETTINGS.CONFIG_SETTING_CONTRACT_EXECUTION_LANES,
    _SETTINGS.CONFIG_SETTING_CONTRACT_EVENTS_V0,
    _SETTINGS.CONFIG_SETTING_STATE_ARCHIVAL,
)


def _key(setting: xdr.ConfigSettingID) -> str:
    wanted = xdr.LedgerKeyConfigSetting(config_setting_id=setting)
    key = xdr.LedgerKey(xdr.LedgerEntryType.CONFIG_SETTING, config_setting=wanted)
    return key.to_xdr()


#: LedgerKeys (base64) of the settings.
KEYS = {setting: _key(setting) for setting in _WANTED}


def decode_limits(entries: Mapping[str, xdr.LedgerEntryData]) -> Limits:
    """Return the limits in the entries of KEYS.

    Raises ValueError when one of the entries is missing or of another kind.
    """
    settings = {setting: _setting(entries, key) for setting, key in KEYS.items()}
    compute = settings[_SETTINGS.CONFIG_SETTING_CONTRACT_COMPUTE_V0].contract_compute
    cost = settings[_SETTINGS.CONFIG_SETTING_CONTRACT_LEDGER_COST_V0].contract_ledger_cost
    extra = settings[_SETTINGS.CONFIG_SETTING_CONTRACT_LEDGER_COST_EXT_V0].contract_ledger_cost_ext
    bandwidth = settings[_SETTINGS.CONFIG_SETTING_CONTRACT_BANDWIDTH_V0].contract_bandwidth
    lanes = settings[_SETTINGS.CONFIG_SETTING_CONTRACT_EXECUTION_LANES].contract_execution_lanes
    events = settings[_SETTINGS.CONFIG_SETTING_CONTRACT_EVENTS_V0].contract_events
    archival = settings[_SETTINGS.CONFIG_SETTING_STATE_ARCHIVAL].state_archival_settings
    if not (compute and cost and extra and bandwidth and lanes and events and archival):
        raise ValueError("a ConfigSetting entry is not what its key says")
    limits = Limits(
        transaction_instructions=compute.tx_max_instructions.int64,
        ledger_instructions=compute.ledger_max_instructions.int64,
        transaction_footprint=extra.tx_max_footprint_entries.uint32,
        transaction_write_entries=cost.tx_max_write_ledger_entries.uint32,
        ledger_write_entries=cost.ledger_max_write_ledger_entries.uint32,
        transaction_write_bytes=cost.tx_max_write_bytes.uint32,
        ledger_write_bytes=cost.ledger_max_write_bytes.uint32,
        transaction_bytes=bandwidth.tx_max_size_bytes.uint32,
        ledger_bytes=bandwidth.ledger_max_txs_size_bytes.uint32,
        ledger_transactions=lanes.ledger_max_tx_count.uint32,
        transaction_event_bytes=events.tx_max_contract_events_size_bytes.uint32,
        temporary_ledgers=archival.min_temporary_ttl.uint32,
        max_entry_ledgers=archival.max_entry_ttl.uint32,
        mark=_mark(settings.values()),
    )
    if min(value for value in astuple(limits) if isinstance(value, int)) < 1:
        raise ValueError("a limit of nothing at all")
    return limits


def limits_question() -> Question[Limits]:
    """Return the question for the limits, all of one answer.

    Limits that cannot be read raise UnknownAnswerError: the network may keep them elsewhere now.
    """
    question = entries_question(dict.fromkeys(KEYS.values(), _data))
    return Question(
        method=question.method,
        parameters=question.parameters,
        decode=spared(lambda answer: decode_limits(question.decode(answer)[1])),
    )


def _data(entry: Entry) -> xdr.LedgerEntryData:
    return xdr.LedgerEntryData.from_xdr_bytes(entry.data)


def _mark(settings: Iterable[xdr.ConfigSettingEntry]) -> str:
    return sha256(b"".join(setting.to_xdr_bytes() for setting in settings)).hexdigest()[:16]


def _setting(entries: Mapping[str, xdr.LedgerEntryData], key: str) -> xdr.ConfigSettingEntry:
    entry = entries.get(key)
    if entry is None or entry.config_setting is None:
        raise ValueError("the node has not all ConfigSetting entries")
    return entry.config_setting
