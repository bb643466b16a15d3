"""Plants, works and harvests from the queue into envelopes: singly, or several in one."""
