"""Ways to a file, a listing or an environment that was not granted."""

# ruff: noqa: SIM115

import importlib
import importlib.util
import io
import mmap
import os
import struct
import sys
import threading
import time

from .core import AT_FDCWD, arena, attack, ctypes, libc, read_secret, syscall


@attack
def plain_open():
    return read_secret()


@attack
def file_io():
    return io.FileIO(arena.secret).read()


@attack
def os_open():
    return os.read(os.open(arena.secret, os.O_RDONLY), 99)


@attack
def memory_map():
    with open(arena.secret, "rb") as file:
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:]


@attack
def pathlib_read():
    from pathlib import Path

    return Path(arena.secret).read_text()


@attack
def linecache_read():
    import linecache

    return linecache.getlines(arena.secret)


@attack
def codecs_read():
    import codecs

    return codecs.open(arena.secret).read()


@attack
def numpy_fromfile():
    import numpy

    return bytes(numpy.fromfile(arena.secret, numpy.uint8))


@attack
def numpy_genfromtxt():
    import numpy

    return numpy.genfromtxt(arena.secret, dtype=str)


@attack
def pandas_read_csv():
    import pandas

    return list(pandas.read_csv(arena.secret))


@attack
def import_by_path():
    spec = importlib.util.spec_from_file_location("stolen", arena.secret_module)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TOKEN


@attack
def import_through_sys_path():
    sys.path.insert(0, os.path.dirname(arena.secret_module))
    importlib.invalidate_caches()
    import secret_module

    return secret_module.TOKEN


@attack
def runpy_run_path():
    import runpy

    return runpy.run_path(arena.secret_module)["TOKEN"]


@attack
def sqlite_attach():
    import sqlite3

    return (
        sqlite3.connect(f"file:{arena.secret_db}?mode=ro", uri=True)
        .execute("select token from t")
        .fetchone()
    )


@attack
def ctypes_open():
    descriptor = libc().open(arena.secret.encode(), 0)
    return os.read(descriptor, 99)


@attack
def raw_openat():
    return os.read(syscall(257, 56, AT_FDCWD, arena.secret.encode(), 0, 0), 99)


@attack
def raw_openat2():
    return os.read(syscall(437, 437, AT_FDCWD, arena.secret.encode(), bytes(24), 24), 99)


@attack
def open_by_handle():
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128), 136)
    mount = ctypes.c_int()
    syscall(303, 264, AT_FDCWD, arena.secret.encode(), handle, ctypes.addressof(mount), 0)
    base = os.open(os.path.dirname(arena.secret), os.O_RDONLY)
    return os.read(syscall(304, 265, base, handle, os.O_RDONLY), 99)


@attack
def io_uring_setup():
    return syscall(425, 425, 4, ctypes.create_string_buffer(120)) > 0


@attack
def dot_dot():
    return open(arena.read + "/../private/secret.txt").read()


@attack
def relative_from_the_working_folder():
    os.chdir(arena.read)
    return open("../private/secret.txt").read()


@attack
def symlink_made_before():
    return open(arena.read + "/symlink").read()


@attack
def folder_symlink_made_before():
    return open(arena.read + "/folder-symlink/secret.txt").read()


@attack
def symlink_made_now():
    os.symlink(arena.secret, arena.out + "/symlink")
    return open(arena.out + "/symlink").read()


@attack
def hard_link_made_now():
    os.link(arena.secret, arena.out + "/hard-link")
    return open(arena.out + "/hard-link").read()


@attack
def renamed_into_reach():
    os.rename(arena.secret_spare, arena.out + "/mine-now")
    return open(arena.out + "/mine-now").read()


@attack
def folder_renamed_into_reach():
    os.rename(os.path.dirname(arena.secret_deep), arena.out + "/folder")
    return open(arena.out + "/folder/deep.txt").read()


@attack
def copied_by_sendfile():
    with open(arena.secret, "rb") as source, open(arena.out + "/copy", "w+b") as target:
        os.sendfile(target.fileno(), source.fileno(), 0, 99)
        target.seek(0)
        return target.read()


@attack
def copied_by_shutil():
    import shutil

    return open(shutil.copy(arena.secret, arena.out + "/copied")).read()


@attack
def proc_self_root():
    return open("/proc/self/root" + arena.secret).read()


@attack
def proc_of_the_parent_root():
    return open(f"/proc/{arena.victim}/root" + arena.secret).read()


@attack
def proc_self_cwd():
    os.chdir(arena.read)
    return open("/proc/self/cwd/../private/secret.txt").read()


@attack
def proc_self_maps():
    return open("/proc/self/maps").read()


@attack
def environment_of_another_process():
    return b"CANARY" in open(f"/proc/{arena.victim}/environ", "rb").read()


@attack
def own_environment():
    return os.environ.get("CANARY")


@attack
def environment_in_memory():
    pointer = ctypes.POINTER(ctypes.c_char_p).in_dll(libc(), "environ")
    index = 0
    while pointer[index]:
        if b"CANARY" in pointer[index]:
            return pointer[index]
        index += 1
    return None


@attack
def inherited_descriptors():
    for descriptor in range(3, 256):
        try:
            data = os.pread(descriptor, 99, 0)
        except OSError:
            continue
        if b"TOKEN" in data:
            return data
    return None


@attack
def listing_the_folder():
    return os.listdir(os.path.dirname(arena.secret))


@attack
def walking_up_by_descriptor():
    folder = os.open(arena.read, os.O_RDONLY)
    up = os.open("../private", os.O_RDONLY, dir_fd=folder)
    return os.read(os.open("secret.txt", os.O_RDONLY, dir_fd=up), 99)


@attack
def race_with_a_swapped_folder():
    """A thread swaps a folder with the link "b", made before, while a file is opened through it."""
    os.makedirs(arena.out + "/a", exist_ok=True)
    with open(arena.out + "/a/secret.txt", "w") as file:
        file.write("harmless")
    stop = time.monotonic() + 0.5

    def swap():
        while time.monotonic() < stop:
            libc().renameat2(
                AT_FDCWD, f"{arena.out}/a".encode(), AT_FDCWD, f"{arena.out}/b".encode(), 2
            )

    thread = threading.Thread(target=swap)
    thread.start()
    while time.monotonic() < stop:
        text = open(arena.out + "/a/secret.txt").read()
        if "TOKEN" in text:
            return text
    return None


@attack
def system_files():
    return open("/etc/passwd").read()


@attack
def kernel_log():
    return syscall(103, 116, 3, ctypes.create_string_buffer(4096), 4096) > 0


@attack
def memory_of_another_process():
    local = ctypes.create_string_buffer(16)
    mine = struct.pack("@PN", ctypes.addressof(local), 16)
    theirs = struct.pack("@PN", arena.victim_address, 16)
    return syscall(310, 270, arena.victim, mine, 1, theirs, 1, 0) == 16


@attack
def beneath_a_folder_opened_by_path_only():
    folder = os.open(os.path.dirname(arena.secret), os.O_PATH)
    return os.read(os.open("secret.txt", os.O_RDONLY, dir_fd=folder), 99)


@attack
def changing_into_a_folder_by_descriptor():
    os.fchdir(os.open(os.path.dirname(arena.secret), os.O_PATH))
    return open("secret.txt").read()


@attack
def reopening_by_descriptor():
    descriptor = os.open(arena.secret, os.O_PATH)
    return open(f"/proc/self/fd/{descriptor}").read()


@attack
def linking_by_descriptor():
    descriptor = os.open(arena.secret, os.O_PATH)
    source, target = f"/proc/self/fd/{descriptor}", arena.out + "/by-descriptor"
    syscall(265, 37, AT_FDCWD, source.encode(), AT_FDCWD, target.encode(), 0x400)
    return open(arena.out + "/by-descriptor").read()


@attack
def exchanged_into_reach():
    """The secret and an own file change places."""
    mine = arena.out + "/mine-for-yours"
    open(mine, "w").close()
    syscall(316, 276, AT_FDCWD, mine.encode(), AT_FDCWD, arena.secret_exchanged.encode(), 2)
    return open(mine).read()


@attack
def memory_of_another_process_as_a_file():
    with open(f"/proc/{arena.victim}/mem", "rb", buffering=0) as file:
        file.seek(arena.victim_address)
        return file.read(16)


@attack
def command_lines_of_others():
    return open(f"/proc/{arena.victim}/cmdline").read()


@attack
def descriptors_of_another_process():
    return os.listdir(f"/proc/{arena.victim}/fd")


@attack
def links_of_another_process():
    return os.readlink(f"/proc/{arena.victim}/exe")


@attack
def list_of_processes():
    return [name for name in os.listdir("/proc") if name.isdecimal()]


@attack
def tables_of_mounts():
    return open("/proc/self/mountinfo").read()


@attack
def pipes_of_the_system():
    """What lies in shared memory for others."""
    return os.listdir("/dev/shm") is not None


@attack
def extended_attributes():
    return os.listxattr(arena.secret) is not None
