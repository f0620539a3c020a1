"""Events, routes, attempts and dead letters; the CHECK that forbids a live route."""

from __future__ import annotations

import sqlfiles

revision = "008"
down_revision = None
branch_labels = ("substrate",)
depends_on = None

FOLDER = "008_events_and_routes"


def upgrade() -> None:
    """Run the SQL of `versions/008_events_and_routes/up`."""
    sqlfiles.run(FOLDER, "up")


def downgrade() -> None:
    """Run the SQL of `versions/008_events_and_routes/down`."""
    sqlfiles.run(FOLDER, "down")
