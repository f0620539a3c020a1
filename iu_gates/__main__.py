"""``python -m iu_gates``: the same as the command ``iu-gates``."""

from iu_gates.cli.main import run

if __name__ == "__main__":
    run()
