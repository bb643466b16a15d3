"""Authenticators of orders as tests make them, under a key that stands in no database."""

from services.wallet.keys.row_macs import RowMacs
from services.wallet.store.orders import Orders

ORDERS = Orders(RowMacs({1: bytes(range(32))}))
