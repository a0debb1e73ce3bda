"""The command of a systemd unit with what the unit forbids, without systemd: where Linux allows it.

``python -m tests.sandbox UNIT COMMAND ...`` runs a command with no new privileges, no memory that
is both written and executed, and the system calls and address families of the unit. PASSED in the
environment is the descriptor of a socket that it gets as systemd would pass it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

UNITS = Path(__file__).parent.parent / "conf" / "systemd"
LIBRARY = "libseccomp.so.2"
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 38, 65, 1
ALLOW, ERRNO, EQUAL = 0x7FFF0000, 0x00050000, 4


class Comparison(ctypes.Structure):
    """libseccomp's ``struct scmp_arg_cmp``."""

    _fields_ = [
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("mask", ctypes.c_uint64),
    ]


def values(unit: str, name: str) -> list[str]:
    """All values of a setting in a unit, in their order."""
    return re.findall(rf"^{name}=(.*)$", (UNITS / unit).read_text(), re.MULTILINE)


def command_of(unit: str, **specifiers: str) -> list[str]:
    """The command of a unit, without a shell, as the unit says it."""
    (line,) = values(unit, "ExecStart")
    for letter, value in specifiers.items():
        line = line.replace(f"%{letter}", value)
    return line.split()


def calls(group: str) -> set[str]:
    """The system calls of one group of systemd."""
    if not group.startswith("@"):
        return {group}
    run = ["systemd-analyze", "syscall-filter", group]
    listed = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    lines = [line.strip() for line in listed.splitlines()[1:]]
    return set().union(*[calls(line) for line in lines if line and not line.startswith("#")])


def allowed(unit: str) -> set[str]:
    """The system calls that a unit allows."""
    found: set[str] = set()
    for value in values(unit, "SystemCallFilter"):
        named = set().union(*map(calls, value.removeprefix("~").split()))
        found = found - named if value.startswith("~") else found | named
    return found


def restrict(unit: str) -> None:
    """Have this process do only what a unit allows, from here on."""
    names, library = allowed(unit), ctypes.CDLL(LIBRARY, use_errno=True)
    families = [
        getattr(socket, name) for name in values(unit, "RestrictAddressFamilies")[0].split()
    ]
    library.seccomp_init.restype = ctypes.c_void_p
    made = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(ERRNO | errno.EPERM)))
    for name in names - {"socket"}:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            library.seccomp_rule_add(made, ctypes.c_uint32(ALLOW), number, 0)
    for family in families:
        number = library.seccomp_syscall_resolve_name(b"socket")
        only = (Comparison * 1)(Comparison(0, EQUAL, family, 0))
        library.seccomp_rule_add_array(made, ctypes.c_uint32(ALLOW), number, 1, only)
    if "MemoryDenyWriteExecute=yes" in (UNITS / unit).read_text():
        ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
    if ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or library.seccomp_load(made):
        sys.exit("no filter of system calls can be loaded")


if __name__ == "__main__":
    restrict(sys.argv[1])
    if passed := os.environ.pop("PASSED", ""):
        os.dup2(int(passed), 3)
        os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
    os.execvp(sys.argv[2], sys.argv[2:])
