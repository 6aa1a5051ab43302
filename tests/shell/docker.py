# SPDX-License-Identifier: BSD-2-Clause
"""Seccomp filters of containers as files for `outer --filter`: docker.rules compiled as runc does with libseccomp's help, for processes of all three kinds that an
x86-64 kernel runs. docker.py CAPS OUT writes one; CAPS: capabilities of the bounding set, separated by commas, or "default"."""
import errno
import os
import re
import struct
import sys

# What Docker gives a container, in its bounding set; in the other sets as well for root.
DEFAULT = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8,
           "CAP_NET_BIND_SERVICE": 10, "CAP_NET_RAW": 13, "CAP_SYS_CHROOT": 18, "CAP_MKNOD": 27, "CAP_AUDIT_WRITE": 29, "CAP_SETFCAP": 31}
DEFAULT_MASK = f"{sum(1 << bit for bit in DEFAULT.values()):x}"

LOAD, JUMP, EQUAL, GREATER, SET, AND, RETURN = 0x20, 0x05, 0x15, 0x25, 0x45, 0x54, 0x06
NR, ARCH, ARGS = 0, 4, 16
ALLOW, REFUSE, KILL_PROCESS = 0x7fff0000, 0x00050000, 0x80000000
X86_64, I386, X32_BIT = 0xc000003e, 0x40000003, 0x40000000


def insn(code, k, yes=0, no=0):
    return struct.pack("<HBBI", code, yes, no, k)


def numbers(name):
    """The calls' numbers by name, of asm/unistd_NAME.h."""
    for folder in ("/usr/include/x86_64-linux-gnu", "/usr/include"):
        try:
            with open(f"{folder}/asm/unistd_{name}.h", encoding="utf-8") as f:
                found = re.findall(r"^#define __NR_(\w+)\s+\(?(?:__X32_SYSCALL_BIT \+ )?(\d+)\)?", f.read(), re.M)
                return {call: int(n) + (X32_BIT if name == "x32" else 0) for call, n in found}
        except FileNotFoundError:
            pass
    raise FileNotFoundError(f"asm/unistd_{name}.h")


def rules(caps):
    """(action, condition or None, names), of those that hold for these capabilities."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "docker.rules"), encoding="utf-8") as f:
        for line in f:
            if line.startswith("#") or not line.strip():
                continue
            m = re.fullmatch(r"(\w+)(?: (with|without) (CAP_\w+))?(?: if (\d) (?:(==|!=) (\w+)|&(\w+) 0))?: (.*)\n", line)
            if not m:
                raise ValueError(f"docker.rules: {line}")
            action, having, cap, arg, op, value, mask, names = m.groups()
            if having and (cap in caps) != (having == "with"):
                continue
            condition = (int(arg), op or "&", int(value or mask, 0)) if arg else None
            yield ALLOW if action == "allow" else REFUSE | getattr(errno, action), condition, names.split()


def test(nr, action, condition):
    """Returns the action for a call whose number is nr; the accumulator holds the number before and after."""
    if not condition:
        return insn(EQUAL, nr, 0, 1) + insn(RETURN, action)
    arg, op, value = condition
    low, high = ARGS + 8 * arg, ARGS + 8 * arg + 4
    if op == "has":
        body = insn(LOAD, low) + insn(SET, value, 0, 1) + insn(RETURN, action)
    elif op == "&":
        body = insn(LOAD, low) + insn(AND, value) + insn(EQUAL, 0, 0, 1) + insn(RETURN, action)
    elif op == "==":
        body = insn(LOAD, high) + insn(EQUAL, 0, 0, 3) + insn(LOAD, low) + insn(EQUAL, value, 0, 1) + insn(RETURN, action)
    else:
        body = insn(LOAD, high) + insn(EQUAL, 0, 0, 2) + insn(LOAD, low) + insn(EQUAL, value, 1, 0) + insn(RETURN, action)
    body += insn(LOAD, NR)
    return insn(EQUAL, nr, 0, len(body) // 8) + body


def of_architecture(names, caps):
    """The tests of one architecture, and the highest number that they know."""
    table = numbers(names)
    known = [(table[name], action, condition) for action, condition, calls in rules(caps) for name in calls if name in table]
    return b"".join(test(*rule) for rule in known), max(nr for nr, _, _ in known)


def docker(caps=tuple(DEFAULT)):
    """A container's whole profile."""
    unknown = insn(RETURN, REFUSE | errno.ENOSYS)
    refused = insn(RETURN, REFUSE | errno.EPERM)
    (wide, last_wide), (x32, last_x32), (i386, last_i386) = (of_architecture(name, caps) for name in ("64", "x32", "32"))
    i386 = insn(LOAD, NR) + insn(GREATER, last_i386, 0, 1) + unknown + i386 + refused
    x32 = insn(GREATER, last_x32, 0, 1) + unknown + x32 + refused
    wide = insn(GREATER, last_wide, 0, 1) + unknown + wide + refused
    wide = insn(LOAD, NR) + insn(SET, X32_BIT, 0, 1) + insn(JUMP, len(wide) // 8) + wide + x32
    return (insn(LOAD, ARCH) + insn(EQUAL, X86_64, 0, 1) + insn(JUMP, 2 + len(i386) // 8) + insn(EQUAL, I386, 1, 0) + insn(RETURN, KILL_PROCESS)
            + i386 + wide)


# What older kernels lack, as far as it matters here: (first version that has it, call, condition or None, error without it).
NOTIF_ADDFD, NOTIF_SET_FLAGS, WAIT_KILLABLE_RECV, GET_SYSCALL_INFO = 0x40182103, 0x40082104, 1 << 5, 0x420e
SINCE = [((5, 0), "seccomp", None, "EINVAL"), ((5, 3), "ptrace", (0, "==", GET_SYSCALL_INFO), "EIO"), ((5, 3), "pidfd_open", None, "ENOSYS"), ((5, 3), "clone3", None, "ENOSYS"),
         ((5, 6), "pidfd_getfd", None, "ENOSYS"), ((5, 6), "openat2", None, "ENOSYS"), ((5, 8), "faccessat2", None, "ENOSYS"), ((5, 9), "close_range", None, "ENOSYS"),
         ((5, 11), "epoll_pwait2", None, "ENOSYS"), ((5, 14), "ioctl", (1, "==", NOTIF_ADDFD), "EINVAL"), ((5, 16), "futex_waitv", None, "ENOSYS"),
         ((5, 19), "seccomp", (1, "has", WAIT_KILLABLE_RECV), "EINVAL"), ((6, 6), "ioctl", (1, "==", NOTIF_SET_FLAGS), "EINVAL")]


def lacking(missing):
    table = numbers("64")
    return insn(LOAD, NR) + b"".join(test(table[call], REFUSE | getattr(errno, error), condition) for _, call, condition, error in missing) + insn(RETURN, ALLOW)


def linux(*version):
    """Without what came after that version."""
    return lacking([row for row in SINCE if row[0] > version])


def no_listener():
    """seccomp(2) fails as on a kernel that knows no listeners; prctl(2) is left."""
    return lacking([row for row in SINCE if row[1] == "seccomp" and not row[2]])


if __name__ == "__main__":
    with open(sys.argv[2], "wb") as out:
        out.write(docker(tuple(DEFAULT) if sys.argv[1] == "default" else sys.argv[1].split(",")))
