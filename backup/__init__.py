"""Encrypted backups of the pool's database: made without the key that opens them.

They are checked when they are restored. The key-encryption key (KEK) of farmers' keys is not in
them: keep copies of both.
"""
