"""Acts on dead letters: dry run, replay, discard, in one transaction with the ledger."""
