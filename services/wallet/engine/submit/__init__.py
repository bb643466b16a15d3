"""Plants, works and harvests from the queue, put into envelopes: singly, or several in one."""
