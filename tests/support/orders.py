"""Authenticators of orders as tests make them, under a key that stands in no database."""

from services.wallet.keys.row_macs import RowMacs
from services.wallet.store.orders import Orders

#: The key of rows, number 1.
KEY = bytes(range(32))
ORDERS = Orders(RowMacs({1: KEY}))
