"""The delivery seam is built."""

from __future__ import annotations

import sqlfiles

revision = "090"
down_revision = "060"
branch_labels = None
depends_on = None

FOLDER = "090_delivery_seam"


def upgrade() -> None:
    """Run the SQL of `versions/090_delivery_seam/up`."""
    sqlfiles.run(FOLDER, "up")


def downgrade() -> None:
    """Run the SQL of `versions/090_delivery_seam/down`."""
    sqlfiles.run(FOLDER, "down")
