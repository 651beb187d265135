"""Runs a program and measures it: launch.py RESULT LOG COMMAND...

The kernel counts the resident memory of whoever starts a program into the program's own peak, so this is a process of its
own that loads next to nothing: below its 9 MiB nothing can be seen.
"""

import os
import sys
import time

result, log, *command = sys.argv[1:]
output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
redirect = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
redirect += [(os.POSIX_SPAWN_DUP2, output, to) for to in (1, 2)]
begun = time.monotonic()
child = os.posix_spawnp(command[0], command, os.environ, file_actions=redirect)
_, status, used = os.wait4(child, 0)
wall = time.monotonic() - begun
# CPU of the program and of all that it waited for; the peak in KiB.
numbers = (os.waitstatus_to_exitcode(status), wall, used.ru_utime + used.ru_stime, used.ru_maxrss)
with open(result, "w") as file:
    print(*numbers, file=file)
