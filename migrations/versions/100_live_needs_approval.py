"""The CHECK that forbids a live route gives way to one that asks for an approval."""

from __future__ import annotations

import sqlfiles

revision = "100"
down_revision = "090"
branch_labels = None
depends_on = None

FOLDER = "100_live_needs_approval"


def upgrade() -> None:
    """Run the SQL of `versions/100_live_needs_approval/up`."""
    sqlfiles.run(FOLDER, "up")


def downgrade() -> None:
    """Run the SQL of `versions/100_live_needs_approval/down`."""
    sqlfiles.run(FOLDER, "down")
