"""The worker gate is opened."""

from __future__ import annotations

import sqlfiles

revision = "080"
down_revision = None
branch_labels = ("runtime",)
depends_on = "060"

FOLDER = "080_worker_gate"


def upgrade() -> None:
    """Run the SQL of `versions/080_worker_gate/up`."""
    sqlfiles.run(FOLDER, "up")


def downgrade() -> None:
    """Run the SQL of `versions/080_worker_gate/down`."""
    sqlfiles.run(FOLDER, "down")
