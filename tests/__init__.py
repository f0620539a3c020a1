"""Tests: real PostgreSQL everywhere but in ``unit``."""
