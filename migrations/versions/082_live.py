"""Live: the quota is lifted."""

from __future__ import annotations

import sqlfiles

revision = "082"
down_revision = "081"
branch_labels = None
depends_on = None

FOLDER = "082_live"


def upgrade() -> None:
    """Run the SQL of `versions/082_live/up`."""
    sqlfiles.run(FOLDER, "up")


def downgrade() -> None:
    """Run the SQL of `versions/082_live/down`."""
    sqlfiles.run(FOLDER, "down")
