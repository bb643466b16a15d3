"""Code that more than one service uses: common (no KALE knowledge) and kale (the contract's rules)."""
