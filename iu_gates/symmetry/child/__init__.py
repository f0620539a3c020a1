"""
The program that runs a project's own ``env.py``, one revision at a time.

    python start.py RECORD OPTIONS      the descriptor for `recorder`; a JSON object, see `Options`

It reads requests, one JSON object a line, from stdin, and answers each with one line of JSON on
the descriptor that was stdout when it began; whatever the project itself prints goes to stderr.
It lives as long as its stdin, so that a project's modules are imported once and not for each
step, and is killed where a revision hangs.

    {"do": "list", "database": {…}}                       the revisions
    {"do": "up"|"down", "revision": R, "database": {…}}   one step, on that database

With ``"stays": true`` a step is committed and answered while ``env.py`` still runs, and the next
one goes in the same run and session of it, as those of ``alembic upgrade`` do, if it is in the same
direction and database. Where the transaction is not Alembic's to commit, each has its own run.

    start     gives these modules a name of their own, and runs `program`
    program   requests and answers            ways      how the project wants to be run
    steps     the revisions, and a step       address   URLs, settings and drivers
    target    where connections are led       failure   what an exception says

It runs in the project's own interpreter, which may have none of our packages, and no module of ours
in its path: so these modules import Python's own, Alembic and SQLAlchemy, and each other alone, by
their place.
"""
