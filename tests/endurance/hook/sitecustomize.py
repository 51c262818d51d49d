"""Python imports this at its start: notes the operations on files, or kills all at a chosen one.

ENDURANCE_LOG names a file that gets a line an operation: the program, a tab, the number.
ENDURANCE_AT is such a line; at that operation the whole process group is killed: before it if
ENDURANCE_LATER is empty, else this many seconds after it began.
"""

import os
import signal
import sys
import threading

_EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def _watch():
    root = os.environ["ENDURANCE_ROOT"]
    log, at = os.environ.get("ENDURANCE_LOG"), os.environ.get("ENDURANCE_AT")
    later = float(os.environ.get("ENDURANCE_LATER") or 0)
    words = sys.orig_argv[1:]
    program = " ".join(os.path.basename(word) for word in words)
    state = {"number": 0, "program": program, "killed": False}

    def forked():
        state.update(number=0, program=program + " (worker)")

    os.register_at_fork(after_in_child=forked)

    def kill(*_):
        os.killpg(0, signal.SIGKILL)

    def hook(event, arguments):
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & _WRITING
            if not writes or not isinstance(path, str | bytes | os.PathLike):
                return
        elif event in _EVENTS:
            path = arguments[0]
        else:
            return
        try:
            path = os.path.abspath(os.fsdecode(path))
        except TypeError:  # a descriptor
            return
        if not path.startswith(root) or "__pycache__" in path or path == log:
            return
        state["number"] += 1
        line = f"{state['program']}\t{state['number']}"
        if log:
            file = os.open(log, os.O_WRONLY | os.O_APPEND)
            os.write(file, f"{line}\t{event}\t{path[len(root) :]}\n".encode())
            os.close(file)
        if line == at and not state["killed"]:
            state["killed"] = True
            if later and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGALRM, kill)
                signal.setitimer(signal.ITIMER_REAL, later)
            else:
                kill()

    sys.addaudithook(hook)


if "ENDURANCE_ROOT" in os.environ:
    _watch()
