"""${message}"""

from __future__ import annotations

import sqlfiles

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

FOLDER = "${up_revision}_${message}"


def upgrade() -> None:
    sqlfiles.run(FOLDER, "up")


def downgrade() -> None:
    sqlfiles.run(FOLDER, "down")
