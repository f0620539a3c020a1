"""The cursor by snapshots and the worker; the seam raises."""

from __future__ import annotations

import sqlfiles

revision = "009"
down_revision = "008"
branch_labels = None
depends_on = None

FOLDER = "009_cursor_and_worker"


def upgrade() -> None:
    """Run the SQL of `versions/009_cursor_and_worker/up`."""
    sqlfiles.run(FOLDER, "up")


def downgrade() -> None:
    """Run the SQL of `versions/009_cursor_and_worker/down`."""
    sqlfiles.run(FOLDER, "down")
