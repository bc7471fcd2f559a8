"""A sandbox for a program: the kernel refuses it to say which socket of several gets a packet.

Usage: unsteered.py PROGRAM [ARGUMENTS]; it becomes the program.
"""

import ctypes
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, EPERM = 1, 51, 1
SETSOCKOPT = {"x86_64": 54, "aarch64": 208}[platform.machine()]

# Where the kernel shows a call's number and arguments (struct seccomp_data).
NUMBER_AT, LEVEL_AT, NAME_AT = 0, 24, 32
LOAD, JUMP_IF, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000


def program():
    """Whether a call is setsockopt of that option: three looks, the way out behind each."""
    looks = [(NUMBER_AT, SETSOCKOPT), (LEVEL_AT, SOL_SOCKET), (NAME_AT, SO_ATTACH_REUSEPORT_CBPF)]
    lines = []
    for index, (at, wanted) in enumerate(looks):
        lines.append((LOAD, 0, 0, at))
        lines.append((JUMP_IF, 0, 2 * (len(looks) - index) - 1, wanted))
    lines.append((RETURN, 0, 0, FAIL | EPERM))
    lines.append((RETURN, 0, 0, ALLOW))
    return [struct.pack("HBBI", *line) for line in lines]


def main():
    lines = program()
    code = ctypes.create_string_buffer(b"".join(lines))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_void_p)]

    whole = Program(len(lines), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(whole), zero, zero):
        raise OSError(ctypes.get_errno(), "seccomp")
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
