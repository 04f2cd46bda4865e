"""The replica's durable outbox: bodies and denials, until the ledger has them."""
