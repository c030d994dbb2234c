"""Publishing: transactions, fencing, hanging transactions."""
