"""The resource attacks: each uses more than its budget, and prints WON when it got away with it.

Bounded, so that they are harmless where nothing stops them. ``python bombs.py NAME`` runs one.
"""

# ruff: noqa: PERF203, SIM115

import fcntl
import importlib
import mmap
import os
import signal
import sys
import tempfile
import threading
import time
from typing import NamedTuple

ctypes = importlib.import_module("ctypes")  # an import statement would be refused politely
MB = 1 << 20


class Bomb(NamedTuple):
    """An attack, the budgets it runs under, and how the report may call its end."""

    function: object
    limits: dict
    endings: tuple


BOMBS = {}


def bomb(*endings, **limits):
    def register(function):
        BOMBS[function.__name__] = Bomb(function, limits, endings)
        return function

    return register


def linger():
    """Over budget, but for what is measured now and then: long enough on any machine."""
    time.sleep(3)


def end_this_thread():
    """And not the process: a raw exit, which Python has no name for."""
    ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)


@bomb("memory", "failed", memory_mb=64)
def memory_at_once():
    return len(bytearray(900 * MB))


@bomb("memory", "failed", memory_mb=64)
def memory_bit_by_bit():
    hoard = []
    for _ in range(300):
        hoard.append(os.urandom(MB))
        time.sleep(0.002)
    linger()
    return hoard


@bomb("memory", "failed", memory_mb=64)
def memory_in_a_shared_mapping():
    area = mmap.mmap(-1, 500 * MB)
    for offset in range(0, len(area), 4096):
        area[offset] = 1
    return True


@bomb("memory", "failed", memory_mb=64)
def memory_in_a_memory_file():
    descriptor = os.memfd_create("hoard")
    for _ in range(500):
        os.write(descriptor, bytes(MB))
    return True


@bomb("memory", "finished", memory_mb=64)
def memory_in_page_tables():
    """Mappings that read as zeros cost no data, only the tables that describe them."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size = 64 << 30
    area = libc.mmap(None, ctypes.c_size_t(size), 1, 0x4022, -1, ctypes.c_long(0))
    return area != ctypes.c_void_p(-1).value


def map_touch_and_keep(flags, afterwards=lambda address, size: None):
    """500 MB of private memory in pieces, which RLIMIT_DATA may not count."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size = 20 * MB
    for _ in range(25):
        area = libc.mmap(None, ctypes.c_size_t(size), 3, 0x22 | flags, -1, ctypes.c_long(0))
        if area == ctypes.c_void_p(-1).value:
            raise MemoryError
        ctypes.memset(area, 1, size)
        afterwards(ctypes.c_void_p(area), ctypes.c_size_t(size))
    linger()
    return True


@bomb("memory", "failed", memory_mb=64)
def memory_in_stacks():
    return map_touch_and_keep(0x100)  # MAP_GROWSDOWN


@bomb("memory", "failed", memory_mb=64)
def memory_that_is_read_only_afterwards():
    libc = ctypes.CDLL(None, use_errno=True)
    return map_touch_and_keep(0, lambda area, size: libc.mprotect(area, size, 1))


@bomb("memory", "failed", memory_mb=400)
def memory_in_numpy():
    import numpy

    return numpy.ones((1100, MB // 8)).size


@bomb("memory", "failed", memory_mb=100)
def zip_bomb_read_by_a_library():
    import io
    import zipfile

    import numpy

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        header = io.BytesIO()
        numpy.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": (300 * MB,)}
        )
        with archive.open("a.npy", "w", force_zip64=True) as member:
            member.write(header.getvalue())
            for _ in range(300):
                member.write(bytes(MB))
    packed.seek(0)
    array = numpy.load(packed)["a"]
    linger()
    return array.size


@bomb("failed", "refused", memory_mb=64)
def memory_in_shared_zeros():
    """Reading through a shared mapping of /dev/zero takes memory that is no data of ours."""
    with open("/dev/zero", "rb") as file:
        area = mmap.mmap(file.fileno(), 500 * MB, prot=mmap.PROT_READ)
    for offset in range(0, len(area), 4096):
        area[offset]
    linger()
    return True


@bomb("memory", "failed", memory_mb=64)
def memory_after_the_first_thread_has_ended():
    """The numbers in /proc/PID are the first thread's, and gone with it."""

    def outlive():
        time.sleep(0.5)
        hoard = [os.urandom(MB) for _ in range(200)]
        linger()
        print("WON" if hoard else "", flush=True)
        os._exit(0)

    threading.Thread(target=outlive).start()
    end_this_thread()


@bomb("memory", memory_mb=64)
def memory_in_file_locks():
    """Every other byte of many files locked: the kernel's own memory, without any limit."""
    held = []
    for number in range(400):
        held.append(open(f"locked{number}", "wb"))
        for offset in range(0, 2000, 2):
            fcntl.lockf(held[-1], fcntl.LOCK_EX, 1, offset)
    return held


@bomb("failed", "refused", memory_mb=64)
def memory_in_socket_buffers():
    import _socket

    pairs = []
    for _ in range(400):
        pairs.append(_socket.socketpair())
        left = pairs[-1][0]
        left.setblocking(False)
        try:
            while True:
                left.send(bytes(4096))
        except BlockingIOError:
            pass
    return pairs


@bomb("threads", "failed", threads=40)
def thread_bomb():
    stop = threading.Event()
    for _ in range(300):
        threading.Thread(target=stop.wait, daemon=True).start()
    return True


@bomb("failed", "refused", threads=40)
def fork_bomb():
    for _ in range(20):
        if os.fork() == 0:
            time.sleep(0.2)
            os._exit(0)
    return True


@bomb("timeout", timeout=1)
def endless_loop():
    end = time.monotonic() + 3
    while time.monotonic() < end:
        pass
    return True


@bomb("timeout", timeout=1)
def sleeping():
    time.sleep(3)
    return True


@bomb("timeout", timeout=1)
def native_loop_that_ignores_signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, set(signal.Signals))
    end = time.monotonic() + 3
    return any(map(end.__lt__, iter(time.monotonic, None)))


@bomb("timeout", timeout=1)
def loop_that_swallows_exceptions():
    end = time.monotonic() + 3
    while time.monotonic() < end:
        try:
            time.sleep(1)
        except BaseException:
            continue
    return True


@bomb("timeout", timeout=1)
def threads_that_never_end():
    def outlive():
        time.sleep(3)
        print("WON", flush=True)

    threading.Thread(target=outlive).start()


@bomb("disk", "failed", disk_mb=8)
def one_large_file():
    with open("large", "wb", buffering=0) as file:
        for _ in range(64):
            if file.write(bytes(MB)) != MB:
                raise OSError("short write")
    return True


@bomb("disk", disk_mb=8)
def many_files():
    for number in range(200):
        with open(f"part{number}", "wb") as file:
            file.write(bytes(MB))
    return True


@bomb("disk", disk_mb=8)
def deleted_files_held_open():
    held = []
    for number in range(100):
        file = open(f"part{number}", "wb", buffering=0)
        os.unlink(file.name)
        file.write(bytes(4 * MB))
        held.append(file)
    return held


@bomb("disk", disk_mb=8)
def deleted_files_held_mapped():
    held = []
    for number in range(50):
        with open(f"part{number}", "w+b") as file:
            file.truncate(4 * MB)
            area = mmap.mmap(file.fileno(), 4 * MB)
        os.unlink(f"part{number}")
        area[:] = bytes(4 * MB)
        held.append(area)
    linger()  # on a tmpfs, what is written through mappings is seen by the timed look alone
    return held


@bomb("disk", disk_mb=8)
def deleted_files_held_after_the_first_thread_has_ended():
    def outlive():
        time.sleep(0.5)
        held = deleted_files_held_open()
        linger()
        print("WON" if held else "", flush=True)
        os._exit(0)

    threading.Thread(target=outlive).start()
    end_this_thread()


@bomb("disk", "failed", disk_mb=8)
def deleted_files_held_in_a_table_of_its_own():
    """A thread with a descriptor table of its own shows nobody what it holds open."""
    libc = ctypes.CDLL(None, use_errno=True)

    def hold():
        close_range, unshare = 436, 2
        if libc.syscall(close_range, 900, 1000, unshare) == 0:
            deleted_files_held_open()
            linger()
            print("WON", flush=True)

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    raise OSError("it could not")


@bomb("disk", disk_mb=8)
def temporary_files():
    held = []
    for _ in range(60):
        held.append(tempfile.NamedTemporaryFile())
        held[-1].write(bytes(MB))
        held[-1].flush()
    return held


@bomb("disk", files=100, disk_mb=8)
def many_empty_files():
    for number in range(1500):
        open(f"empty{number}", "w").close()
    return True


@bomb("disk", files=100, disk_mb=8)
def many_folders():
    for number in range(1500):
        os.mkdir(f"folder{number}")
    return True


@bomb("disk", files=100, disk_mb=8)
def many_names_of_one_file():
    open("file", "w").close()
    for number in range(1500):
        os.link("file", f"name{number}")
    return True


@bomb("disk", files=100, disk_mb=8)
def many_files_by_many_threads():
    def make(thread):
        for number in range(100):
            open(f"empty{thread}-{number}", "w").close()

    threads = [threading.Thread(target=make, args=[number]) for number in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return True


@bomb("disk", files=200, disk_mb=8)
def files_in_a_folder_that_moves():
    """Whoever counts may have looked where it comes from and not yet where it goes."""
    os.makedirs("a/moving")
    os.mkdir("b")
    moving = os.open("a/moving", os.O_RDONLY)
    threading.Thread(target=_move, args=[time.monotonic() + 1], daemon=True).start()
    for number in range(3000):
        os.close(os.open(f"empty{number}", os.O_CREAT | os.O_WRONLY, dir_fd=moving))
    return True


def _move(end):
    libc = ctypes.CDLL(None)
    while time.monotonic() < end:
        libc.rename(b"a/moving", b"b/moving")
        libc.rename(b"b/moving", b"a/moving")


@bomb("disk", files=10000, disk_mb=64)
def folders_without_end():
    """Deeper than any path can name: whoever measures by path would miss what lies there."""
    name = "d" * 200
    for _ in range(40):
        os.mkdir(name)
        os.chdir(name)
    linger()
    return True


@bomb("output", output_mb=1)
def a_flood_of_lines():
    for _ in range(400_000):
        print("line after line after line after line")
    return True


@bomb("output", output_mb=1)
def a_flood_of_errors():
    for _ in range(3000):
        os.write(2, bytes(4096))
    return True


@bomb("failed")
def descriptors():
    return [os.dup(0) for _ in range(5000)]


@bomb("failed", disk_mb=8)
def reserving_space():
    with open("reserved", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 64 * MB)
    return True


def main():
    if BOMBS[sys.argv[1]].function():
        print("WON", flush=True)


if __name__ == "__main__":
    main()
