"""
The story from nothing to live and back, on the embedded server, with a real history.

    stage    the server in the box, the logins, the settings of each of them
    parts    which versions are played when
    crew     the host that writes, the worker that delivers, the bars
    story    the steps, in order: every gate performed for real
    report   the numbers, counted by the audit
"""

from iu_gates.demo.stage import DemoOptions
from iu_gates.demo.story import run_demo

__all__ = ["DemoOptions", "run_demo"]
