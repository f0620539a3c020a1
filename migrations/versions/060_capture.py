"""The capture trigger, the worker gate (off) and the route (dry)."""

from __future__ import annotations

import sqlfiles

revision = "060"
down_revision = "009"
branch_labels = None
depends_on = None

FOLDER = "060_capture"


def upgrade() -> None:
    """Run the SQL of `versions/060_capture/up`."""
    sqlfiles.run(FOLDER, "up")


def downgrade() -> None:
    """Run the SQL of `versions/060_capture/down`."""
    sqlfiles.run(FOLDER, "down")
