"""Live with a quota of one delivery."""

from __future__ import annotations

import sqlfiles

revision = "081"
down_revision = "080"
branch_labels = None
depends_on = "100"

FOLDER = "081_canary"


def upgrade() -> None:
    """Run the SQL of `versions/081_canary/up`."""
    sqlfiles.run(FOLDER, "up")


def downgrade() -> None:
    """Run the SQL of `versions/081_canary/down`."""
    sqlfiles.run(FOLDER, "down")
