"""iu-gates: takes a PostgreSQL outbox route from dry-run to live through proven gates, and back."""

__version__ = "0.1.0"
