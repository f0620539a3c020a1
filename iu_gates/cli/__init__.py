"""
The command line: options in, one use case called, a page or JSON out.

    main       the tree of commands, and the way from an error to an exit code
    call       what every command shares: --database-url, --config, --expect-head, --json
    failure    any exception as one that users can read
    gates, approval, undo, checks, backup, worker, ledger, history, demo   one file a group
    docs       docs/cli.md, from the commands themselves

Use cases are imported when their command is called: `status` loads neither Alembic nor
SQLAlchemy, and `--help` not even psycopg.
"""
