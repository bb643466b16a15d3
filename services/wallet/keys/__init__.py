"""Key custody: providers of the key-encryption key, and the seal around every seed."""
