"""The ledger's Git repository."""
