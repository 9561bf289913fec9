"""Start a child through the sandbox's launcher, say its pid, and wait to be killed.

``python parent.py [way of dropping root]``
"""

import subprocess
import sys

from sandbox.processes import Command, Drop

NOBODY = 65534
way = sys.argv[1] if len(sys.argv) > 1 else None
drop = Drop(way, NOBODY, NOBODY) if way else None
# The shell says a line once it runs, thus after the launcher has done all of its work.
words = Command(["sh", "-c", "echo started; exec sleep 60"], drop=drop).launched()
with subprocess.Popen(words, stdout=subprocess.PIPE, cwd="/", text=True) as child:
    assert child.stdout is not None
    assert child.stdout.readline() == "started\n"
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    child.wait()
