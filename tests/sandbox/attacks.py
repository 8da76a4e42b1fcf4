"""The attacks: each a function that tries to break out and returns evidence when it did.

This file is itself the hostile script: ``python attacks.py CONFIG NAME...`` runs the named attacks
one after the other and prints how each went. Without the sandbox every one of them must work. They
are bounded, and run only in the throw-away namespaces of ``arena.py``.
"""

# ruff: noqa: PERF203, SIM115

import gc
import importlib
import importlib.util
import io
import json
import mmap
import os
import signal
import struct
import sys
import threading
import time
from types import SimpleNamespace

ctypes = importlib.import_module("ctypes")  # an import statement would be refused politely
ATTACKS = {}
FAMILIES = {}
AT_FDCWD = -100
ECHO = "/bin/echo"
# What the arena provides: paths, ports, a victim process. Filled from the command line.
arena = SimpleNamespace()


def attack(family):
    def register(function):
        ATTACKS[function.__name__] = function
        FAMILIES[function.__name__] = family
        return function

    return register


def libc():
    return ctypes.CDLL(None, use_errno=True)


X86 = os.uname().machine == "x86_64"


def syscall(x86, arm, *arguments):
    """A raw system call; raises OSError when it fails."""
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc().syscall(ctypes.c_long(x86 if X86 else arm), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read_secret():
    with open(arena.secret) as file:
        return file.read()


# --- programs ---------------------------------------------------------------------------------


@attack("program")
def os_system():
    return os.system("exit 7") >> 8 == 7


@attack("program")
def os_popen():
    return os.popen("echo ran").read()


@attack("program")
def subprocess_run():
    import subprocess

    return subprocess.run([ECHO, "ran"], capture_output=True).stdout


@attack("program")
def subprocess_shell():
    import subprocess

    return subprocess.check_output("echo ran", shell=True)


@attack("program")
def posix_spawn():
    return os.waitpid(os.posix_spawn(ECHO, ["echo"], {}), 0)[1] == 0


@attack("program")
def posix_module():
    import posix

    return posix.system("exit 7") >> 8 == 7


@attack("program")
def fork_exec_of_posixsubprocess():
    import subprocess

    subprocess._USE_VFORK = False
    return subprocess.check_output([ECHO, "ran"], close_fds=False)


@attack("program")
def ctypes_system():
    return libc().system(b"exit 7") >> 8 == 7


@attack("program")
def ctypes_popen():
    function = libc().popen
    function.restype = ctypes.c_void_p
    stream = function(b"echo ran", b"r")
    text = ctypes.create_string_buffer(16)
    if not stream:
        raise OSError("popen gave nothing")
    libc().fgets(text, 16, ctypes.c_void_p(stream))
    return text.value


@attack("program")
def os_fork():
    child = os.fork()
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] >> 8 == 7


@attack("program")
def os_forkpty():
    child, _ = os.forkpty()
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] >> 8 == 7


@attack("program")
def pty_spawn():
    import pty

    return pty.spawn([ECHO, "ran"]) == 0


@attack("program")
def ctypes_fork():
    child = libc().fork()
    if child == 0:
        os._exit(7)
    return child > 0 and os.waitpid(child, 0)[1] >> 8 == 7


@attack("program")
def raw_clone():
    child = syscall(56, 220, signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] >> 8 == 7


@attack("program")
def raw_clone_with_parent_as_sibling():
    clone_parent = 0x8000
    child = syscall(56, 220, clone_parent | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(7)
    return child > 0


@attack("program")
def raw_clone3():
    child = syscall(435, 435, struct.pack("=8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64)
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] >> 8 == 7


@attack("program")
def multiprocessing_fork():
    import multiprocessing

    process = multiprocessing.get_context("fork").Process(target=os._exit, args=(7,))
    process.start()
    process.join()
    return process.exitcode == 7


@attack("program")
def multiprocessing_spawn():
    import multiprocessing

    process = multiprocessing.get_context("spawn").Process(target=os._exit, args=(7,))
    process.start()
    process.join()
    return process.exitcode == 7


@attack("program")
def process_pool():
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1) as pool:
        return pool.submit(os.getpid).result(10)


@attack("program")
def asyncio_subprocess():
    import asyncio

    async def run():
        process = await asyncio.create_subprocess_exec(ECHO, "ran", stdout=-1)
        return (await process.communicate())[0]

    return asyncio.run(run())


@attack("program")
def os_spawn():
    return os.spawnlp(os.P_WAIT, "echo", "echo", "ran") == 0


@attack("program")
def execv_replaces_the_process():
    os.execv(ECHO, ["echo", "WON execv_replaces_the_process"])


@attack("program")
def execve_of_a_memfd():
    descriptor = os.memfd_create("program")
    with open(ECHO, "rb") as file:
        os.write(descriptor, file.read())
    os.execve(descriptor, ["echo", "WON execve_of_a_memfd"], {})


@attack("program")
def execv_of_the_dynamic_loader():
    loader = "/lib64/ld-linux-x86-64.so.2" if X86 else "/lib/ld-linux-aarch64.so.1"
    os.execv(loader, ["ld.so", ECHO, "WON execv_of_the_dynamic_loader"])


@attack("program")
def execv_of_an_own_file():
    path = arena.out + "/program"
    with open(ECHO, "rb") as source, open(path, "wb") as target:
        target.write(source.read())
    os.chmod(path, 0o755)
    os.execv(path, ["echo", "WON execv_of_an_own_file"])


# --- reading ----------------------------------------------------------------------------------


@attack("read")
def plain_open():
    return read_secret()


@attack("read")
def file_io():
    return io.FileIO(arena.secret).read()


@attack("read")
def os_open():
    return os.read(os.open(arena.secret, os.O_RDONLY), 99)


@attack("read")
def memory_map():
    with open(arena.secret, "rb") as file:
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:]


@attack("read")
def pathlib_read():
    from pathlib import Path

    return Path(arena.secret).read_text()


@attack("read")
def linecache_read():
    import linecache

    return linecache.getlines(arena.secret)


@attack("read")
def codecs_read():
    import codecs

    return codecs.open(arena.secret).read()


@attack("read")
def numpy_fromfile():
    import numpy

    return bytes(numpy.fromfile(arena.secret, numpy.uint8))


@attack("read")
def numpy_genfromtxt():
    import numpy

    return numpy.genfromtxt(arena.secret, dtype=str)


@attack("read")
def pandas_read_csv():
    import pandas

    return list(pandas.read_csv(arena.secret))


@attack("read")
def import_by_path():
    spec = importlib.util.spec_from_file_location("stolen", arena.secret_module)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TOKEN


@attack("read")
def import_through_sys_path():
    sys.path.insert(0, os.path.dirname(arena.secret_module))
    importlib.invalidate_caches()
    import secret_module

    return secret_module.TOKEN


@attack("read")
def runpy_run_path():
    import runpy

    return runpy.run_path(arena.secret_module)["TOKEN"]


@attack("read")
def sqlite_attach():
    import sqlite3

    return (
        sqlite3.connect(f"file:{arena.secret_db}?mode=ro", uri=True)
        .execute("select token from t")
        .fetchone()
    )


@attack("read")
def ctypes_open():
    descriptor = libc().open(arena.secret.encode(), 0)
    return os.read(descriptor, 99)


@attack("read")
def raw_openat():
    return os.read(syscall(257, 56, AT_FDCWD, arena.secret.encode(), 0, 0), 99)


@attack("read")
def raw_openat2():
    return os.read(syscall(437, 437, AT_FDCWD, arena.secret.encode(), bytes(24), 24), 99)


@attack("read")
def open_by_handle():
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128), 136)
    mount = ctypes.c_int()
    syscall(303, 264, AT_FDCWD, arena.secret.encode(), handle, ctypes.addressof(mount), 0)
    base = os.open(os.path.dirname(arena.secret), os.O_RDONLY)
    return os.read(syscall(304, 265, base, handle, os.O_RDONLY), 99)


@attack("read")
def io_uring_setup():
    return syscall(425, 425, 4, ctypes.create_string_buffer(120)) > 0


@attack("read")
def dot_dot():
    return open(arena.read + "/../private/secret.txt").read()


@attack("read")
def relative_from_the_working_folder():
    os.chdir(arena.read)
    return open("../private/secret.txt").read()


@attack("read")
def symlink_made_before():
    return open(arena.read + "/symlink").read()


@attack("read")
def folder_symlink_made_before():
    return open(arena.read + "/folder-symlink/secret.txt").read()


@attack("read")
def symlink_made_now():
    os.symlink(arena.secret, arena.out + "/symlink")
    return open(arena.out + "/symlink").read()


@attack("read")
def hard_link_made_now():
    os.link(arena.secret, arena.out + "/hard-link")
    return open(arena.out + "/hard-link").read()


@attack("read")
def renamed_into_reach():
    os.rename(arena.secret_spare, arena.out + "/mine-now")
    return open(arena.out + "/mine-now").read()


@attack("read")
def folder_renamed_into_reach():
    os.rename(os.path.dirname(arena.secret_deep), arena.out + "/folder")
    return open(arena.out + "/folder/deep.txt").read()


@attack("read")
def copied_by_sendfile():
    with open(arena.secret, "rb") as source, open(arena.out + "/copy", "w+b") as target:
        os.sendfile(target.fileno(), source.fileno(), 0, 99)
        target.seek(0)
        return target.read()


@attack("read")
def copied_by_shutil():
    import shutil

    return open(shutil.copy(arena.secret, arena.out + "/copied")).read()


@attack("read")
def proc_self_root():
    return open("/proc/self/root" + arena.secret).read()


@attack("read")
def proc_of_the_parent_root():
    return open(f"/proc/{arena.victim}/root" + arena.secret).read()


@attack("read")
def proc_self_cwd():
    os.chdir(arena.read)
    return open("/proc/self/cwd/../private/secret.txt").read()


@attack("read")
def proc_self_maps():
    return open("/proc/self/maps").read()


@attack("read")
def environment_of_another_process():
    return b"CANARY" in open(f"/proc/{arena.victim}/environ", "rb").read()


@attack("read")
def own_environment():
    return os.environ.get("CANARY")


@attack("read")
def environment_in_memory():
    pointer = ctypes.POINTER(ctypes.c_char_p).in_dll(libc(), "environ")
    index = 0
    while pointer[index]:
        if b"CANARY" in pointer[index]:
            return pointer[index]
        index += 1
    return None


@attack("read")
def inherited_descriptors():
    for descriptor in range(3, 256):
        try:
            data = os.pread(descriptor, 99, 0)
        except OSError:
            continue
        if b"TOKEN" in data:
            return data
    return None


@attack("read")
def listing_the_folder():
    return os.listdir(os.path.dirname(arena.secret))


@attack("read")
def walking_up_by_descriptor():
    folder = os.open(arena.read, os.O_RDONLY)
    up = os.open("../private", os.O_RDONLY, dir_fd=folder)
    return os.read(os.open("secret.txt", os.O_RDONLY, dir_fd=up), 99)


@attack("read")
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


@attack("read")
def system_files():
    return open("/etc/passwd").read()


@attack("read")
def kernel_log():
    return syscall(103, 116, 3, ctypes.create_string_buffer(4096), 4096) > 0


@attack("read")
def memory_of_another_process():
    local = ctypes.create_string_buffer(16)
    mine = struct.pack("@PN", ctypes.addressof(local), 16)
    theirs = struct.pack("@PN", arena.victim_address, 16)
    return syscall(310, 270, arena.victim, mine, 1, theirs, 1, 0) == 16


# --- writing ----------------------------------------------------------------------------------


def outside(name):
    return f"{arena.outside}/{name}-{os.getpid()}"


@attack("write")
def open_for_writing():
    with open(outside("a"), "w") as file:
        return file.write("x")


@attack("write")
def os_open_creating():
    return os.open(outside("b"), os.O_CREAT | os.O_WRONLY)


@attack("write")
def overwriting():
    with open(arena.victim_file, "r+") as file:
        return file.write("x")


@attack("write")
def appending():
    with open(arena.victim_file, "a") as file:
        return file.write("x")


@attack("write")
def writing_where_reading_is_granted():
    with open(arena.read + "/new", "w") as file:
        return file.write("x")


@attack("write")
def writing_the_script_itself():
    with open(__file__, "a") as file:
        return file.write("") + 1


@attack("write")
def numpy_save():
    import numpy

    numpy.save(outside("c"), numpy.ones(3))
    return True


@attack("write")
def safetensors_save():
    import numpy
    from safetensors.numpy import save_file

    save_file({"a": numpy.ones(3)}, outside("d"))
    return True


@attack("write")
def pandas_to_csv():
    import pandas

    pandas.DataFrame({"a": [1]}).to_csv(outside("e"))
    return True


@attack("write")
def temporary_file():
    import tempfile

    return tempfile.NamedTemporaryFile(dir=arena.outside).name


@attack("write")
def unnamed_temporary_file():
    return os.open(arena.outside, os.O_TMPFILE | os.O_RDWR)


@attack("write")
def logging_to_a_file():
    import logging

    logging.FileHandler(outside("f")).emit(logging.makeLogRecord({"msg": "x"}))
    return os.path.exists(outside("f"))


@attack("write")
def sqlite_database():
    import sqlite3

    sqlite3.connect(outside("g")).execute("create table t (x)")
    return True


@attack("write")
def renaming_out():
    with open(arena.out + "/mine", "w"):
        os.rename(arena.out + "/mine", outside("h"))
    return True


@attack("write")
def linking_out():
    with open(arena.out + "/mine2", "w"):
        os.link(arena.out + "/mine2", outside("i"))
    return True


@attack("write")
def symlinking_outside():
    os.symlink("x", outside("j"))
    return True


@attack("write")
def leaving_a_symlink_in_the_output():
    os.symlink(arena.victim_file, arena.out + "/trap")
    return os.path.islink(arena.out + "/trap")


@attack("write")
def leaving_a_fifo_in_the_output():
    os.mkfifo(arena.out + "/fifo")
    return True


@attack("write")
def leaving_a_set_user_id_program():
    path = arena.out + "/suid"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o6755))
    os.chmod(path, 0o6755)
    return os.stat(path).st_mode & 0o6000


@attack("write")
def making_a_folder():
    os.mkdir(outside("k"))
    return True


@attack("write")
def removing():
    os.unlink(arena.spare_files.pop())
    return True


@attack("write")
def removing_a_folder():
    os.rmdir(arena.spare_folder)
    return True


@attack("write")
def renaming_away():
    os.rename(arena.spare_files.pop(), outside("l"))
    return True


@attack("write")
def truncating_by_path():
    os.truncate(arena.victim_file, 1)
    return os.stat(arena.victim_file).st_size == 1


@attack("write")
def truncating_what_may_be_read():
    os.open(arena.read + "/data.txt", os.O_RDONLY | os.O_TRUNC)
    return os.stat(arena.read + "/data.txt").st_size == 0


@attack("write")
def changing_modes():
    os.chmod(arena.victim_file, 0o600)
    return os.stat(arena.victim_file).st_mode & 0o777 == 0o600


@attack("write")
def changing_modes_through_a_read_descriptor():
    with open(arena.read + "/data.txt") as file:
        os.fchmod(file.fileno(), 0o640)
        return os.fstat(file.fileno()).st_mode & 0o777 == 0o640


@attack("write")
def changing_times():
    os.utime(arena.read + "/data.txt", (1, 1))
    return os.stat(arena.read + "/data.txt").st_mtime == 1


@attack("write")
def changing_owners():
    os.chown(arena.victim_file, os.getuid(), os.getgid())
    return True


@attack("write")
def setting_attributes():
    os.setxattr(arena.victim_file, "user.mine", b"1")
    return True


@attack("write")
def making_a_device():
    os.mknod(arena.out + "/null", 0o20600, os.makedev(1, 3))
    return True


@attack("write")
def shared_memory_folder():
    with open("/dev/shm/mine", "w") as file:
        return file.write("x")


@attack("write")
def named_semaphore():
    import _multiprocessing

    return _multiprocessing.SemLock(1, 1, 1, "/mine", True)


@attack("write")
def moving_with_shutil():
    import shutil

    with open(arena.out + "/moving", "w"):
        return shutil.move(arena.out + "/moving", outside("m"))


# --- networks ---------------------------------------------------------------------------------


def connect(family, kind, address, protocol=0):
    import socket

    with socket.socket(family, kind, protocol) as end:
        end.settimeout(2)
        end.connect(address)
        return True


@attack("network")
def tcp():
    import socket

    return connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", arena.tcp_port))


@attack("network")
def tcp6():
    import socket

    return connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", arena.tcp6_port))


@attack("network")
def multipath_tcp():
    import socket

    return connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", arena.tcp_port), 262)


@attack("network")
def udp():
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        return end.sendto(b"x", ("127.0.0.1", arena.udp_port))


@attack("network")
def listening():
    import socket

    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        end.listen()
        return True


@attack("network")
def unix_socket():
    import socket

    return connect(socket.AF_UNIX, socket.SOCK_STREAM, arena.unix_path)


@attack("network")
def abstract_socket():
    import socket

    return connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + arena.abstract_name)


@attack("network")
def unix_datagram_from_a_pair():
    import socket

    left, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return left.sendto(b"x", arena.datagram_path)


@attack("network")
def passing_descriptors():
    import socket

    left, right = socket.socketpair()
    socket.send_fds(left, [b"x"], [0])
    return socket.recv_fds(right, 9, 1)[1]


@attack("network")
def unix_socket_file():
    import socket

    with socket.socket(socket.AF_UNIX) as end:
        end.bind(arena.out + "/socket")
        return True


@attack("network")
def netlink():
    import socket

    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0))
    return True


@attack("network")
def raw_packets():
    import socket

    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno()


@attack("network")
def raw_ip():
    import socket

    return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno()


@attack("network")
def urllib_request():
    from urllib.request import urlopen

    return urlopen(f"http://127.0.0.1:{arena.http_port}/", timeout=5).read()


@attack("network")
def pandas_from_a_url():
    import pandas

    return list(pandas.read_csv(f"http://127.0.0.1:{arena.http_port}/"))


@attack("network")
def asyncio_connection():
    import asyncio

    return asyncio.run(asyncio.open_connection("127.0.0.1", arena.tcp_port))


@attack("network")
def name_lookup():
    """A DNS question, as a resolver sends it, to a server that listens."""
    import socket

    question = b"\0\1\1\0\0\1\0\0\0\0\0\0\6secret\7example\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.connect(("127.0.0.1", arena.udp_port))
        return end.send(question)


@attack("network")
def raw_socket_call():
    return syscall(41, 198, 2, 1, 0)


@attack("network")
def ctypes_socket():
    end = libc().socket(1, 1, 0)
    address = struct.pack("=H", 1) + arena.unix_path.encode() + b"\0"
    return libc().connect(end, address, len(address)) == 0


@attack("network")
def raw_kernel_events():
    return syscall(41, 198, 16, 3, 15)  # a netlink socket for device events


# --- tricks with the interpreter: around the Python layer, to the secret ------------------------


@attack("interpreter")
def subclasses():
    for kind in object.__subclasses__():
        if kind.__name__ == "_wrap_close":
            return kind.__init__.__globals__["system"]("exit 7") >> 8 == 7
    return None


@attack("interpreter")
def frames():
    frame = sys._getframe()
    while frame.f_back:
        frame = frame.f_back
    return frame.f_builtins["open"](arena.secret).read()


@attack("interpreter")
def garbage_collector_finds_the_guard():
    for thing in gc.get_objects():
        if type(thing).__name__ == "Watch":
            thing._readable = thing._writable = ("",)
            thing._is_own = lambda file: False
    return read_secret()


@attack("interpreter")
def restoring_import():
    import builtins

    for cell in getattr(builtins.__import__, "__closure__", None) or ():
        if callable(cell.cell_contents):
            builtins.__import__ = cell.cell_contents
    import subprocess

    return subprocess.check_output([ECHO, "ran"])


@attack("interpreter")
def replacing_the_guard_class():
    module = sys.modules.get("pycyxwiz.scripting.sandbox.courtesy")
    if module:
        module.Watch.audit = lambda *_: None
        module.Watch._refused_action = lambda *_: ""
    return read_secret()


@attack("interpreter")
def posing_as_the_import_system():
    """The Python layer lets what happens inside an import pass to the kernel."""
    source = "def f(p):\n    return open(p).read()"
    names = {}
    exec(compile(source, "<frozen importlib._bootstrap>", "exec"), names)
    return names["f"](arena.secret)


@attack("interpreter")
def code_object():
    stolen = compile("open(path).read()", "x", "eval").replace(co_filename="/usr/lib/library.py")
    return eval(stolen, {"path": arena.secret})


@attack("interpreter")
def marshalled_bytecode():
    import marshal

    code = marshal.loads(marshal.dumps(compile("open(path).read()", "y", "eval")))
    return eval(code, {"path": arena.secret})


@attack("interpreter")
def format_string():
    text = "{0.__init__.__globals__[_sys].modules[posix]}"
    return "posix" in text.format(threading.Thread()) and read_secret()


@attack("interpreter")
def pickled_call():
    import pickle

    class Bomb:
        def __reduce__(self):
            return os.system, ("exit 7",)

    return pickle.loads(pickle.dumps(Bomb())) >> 8 == 7


@attack("interpreter")
def pickled_array():
    import numpy

    class Bomb:
        def __reduce__(self):
            return os.system, ("exit 7",)

    path = arena.out + "/bomb.npy"
    numpy.save(path, numpy.array([Bomb()], dtype=object), allow_pickle=True)
    return numpy.load(path, allow_pickle=True)[0] >> 8 == 7


@attack("interpreter")
def fresh_modules():
    for name in ("os", "posix", "io"):
        sys.modules.pop(name, None)
    import posix

    return posix.read(posix.open(arena.secret, 0), 99)


@attack("interpreter")
def import_hook():
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return importlib.util.spec_from_file_location(name, arena.secret_module)

    sys.meta_path.insert(0, Finder)
    import no_such_module_at_all

    return no_such_module_at_all.TOKEN


@attack("interpreter")
def low_level_open():
    import _io

    return _io.open_code(arena.secret).read()


@attack("interpreter")
def swallowing_the_refusal():
    for _ in range(3):
        try:
            return read_secret()
        except BaseException:
            continue
    return None


@attack("interpreter")
def exec_with_own_builtins():
    import builtins

    names = {"__builtins__": dict(vars(builtins)), "path": arena.secret}
    exec("text = open(path).read()", names)
    return names["text"]


@attack("interpreter")
def pretending_to_be_a_library():
    code = compile("import subprocess", "/usr/lib/python3/x.py", "exec")
    names = {"__file__": "/usr/lib/python3/x.py", "__name__": "numpy"}
    exec(code, names)
    return names["subprocess"].check_output([ECHO, "ran"])


@attack("interpreter")
def native_code_in_memory():
    """Machine code in executable memory makes the call: open and read are done by libc here."""
    page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
    page.write(b"\xb8\x39\x00\x00\x00\x0f\x05\xc3" if X86 else bytes(8))  # fork()
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    child = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    if child == 0:
        os._exit(7)
    return child > 0


@attack("interpreter")
def other_system_call_table():
    """The 32-bit table, where the filter's numbers mean something else."""
    if not X86:
        raise OSError("x86 only")
    page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
    page.write(b"\x53\xb8\x02\x00\x00\x00\xcd\x80\x5b\xc3")  # push rbx; fork by int 0x80
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    child = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    if child == 0:
        os._exit(7)
    return child > 0


# --- the boundary: other processes, privileges, the machine --------------------------------------


@attack("boundary")
def signalling_another_process():
    os.kill(arena.victim, signal.SIGCONT)
    return True


@attack("boundary")
def signalling_the_parent():
    os.kill(os.getppid(), 0)
    return os.getppid() > 0


@attack("boundary")
def signalling_everyone():
    os.kill(-1, 0)
    return True


@attack("boundary")
def raw_signal():
    syscall(62, 129, arena.victim, signal.SIGCONT)
    return True


@attack("boundary")
def queued_signal():
    syscall(129, 138, arena.victim, signal.SIGCONT, struct.pack("=iii", 0, 0, -1) + bytes(116))
    return True


@attack("boundary")
def signal_by_process_descriptor():
    syscall(424, 424, os.pidfd_open(arena.victim), signal.SIGCONT, None, 0)
    return True


@attack("boundary")
def signal_by_descriptor_owner():
    import fcntl

    reader, _ = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, arena.victim)
    return True


@attack("boundary")
def stealing_a_descriptor():
    return syscall(438, 438, os.pidfd_open(arena.victim), 0, 0)


@attack("boundary")
def tracing():
    syscall(101, 117, 0x4206, arena.victim, 0, 0)  # PTRACE_SEIZE
    return True


@attack("boundary")
def pinning_another_process():
    os.sched_setaffinity(arena.victim, os.sched_getaffinity(0))
    return True


@attack("boundary")
def slowing_another_process():
    os.setpriority(os.PRIO_PROCESS, arena.victim, 1)
    return True


@attack("boundary")
def limiting_another_process():
    import resource

    return resource.prlimit(arena.victim, resource.RLIMIT_NOFILE)


@attack("boundary")
def raising_own_limits():
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True


@attack("boundary")
def leaving_the_session():
    os.setsid()
    return True


@attack("boundary")
def outliving_the_parent():
    syscall(157, 167, 1, 0, 0, 0, 0)  # PR_SET_PDEATHSIG: none
    return True


@attack("boundary")
def background_process():
    child = os.fork()
    if child == 0:
        with open("/dev/null", "r+") as null:
            for descriptor in range(3):
                os.dup2(null.fileno(), descriptor)
        time.sleep(1)
        os._exit(0)
    return child


@attack("boundary")
def new_namespaces():
    syscall(272, 97, 0x10000000)
    return True


@attack("boundary")
def joining_namespaces():
    syscall(308, 268, os.open(f"/proc/{arena.victim}/ns/uts", os.O_RDONLY), 0)
    return True


@attack("boundary")
def mounting():
    syscall(165, 40, b"none", arena.out.encode(), b"tmpfs", 0, None)
    return True


@attack("boundary")
def changing_the_root():
    os.chroot(arena.out)
    return True


@attack("boundary")
def becoming_root():
    os.setresuid(0, 0, 0)
    return os.geteuid() == 0


@attack("boundary")
def changing_the_host_name():
    syscall(170, 161, b"mine", 4)
    return True


@attack("boundary")
def loading_a_kernel_program():
    attributes = struct.pack("=IIII", 2, 4, 4, 1) + bytes(112)  # BPF_MAP_CREATE: an array
    return syscall(321, 280, 0, attributes, 128)


@attack("boundary")
def watching_performance():
    attributes = struct.pack("=IIQ", 1, 64, 0) + bytes(48)
    return syscall(298, 241, attributes, 0, -1, -1, 0)


@attack("boundary")
def kernel_keys():
    return syscall(248, 217, b"user", b"mine", b"x", 1, -4)


@attack("boundary")
def page_fault_handler():
    return syscall(323, 282, 0)


@attack("boundary")
def system_v_shared_memory():
    return syscall(29, 194, 0, 4096, 0o1600) >= 0


@attack("boundary")
def message_queue():
    return syscall(240, 180, b"mine", os.O_CREAT | os.O_RDWR, 0o600, None)


@attack("boundary")
def watching_files():
    return syscall(294, 26, 0)


@attack("boundary")
def executable_memory_file():
    return os.memfd_create("mine")


@attack("boundary")
def other_personality():
    return syscall(135, 92, 0x0040000) >= 0


@attack("boundary")
def terminal_input():
    """Type into the terminal that started us (TIOCSTI): here it must not even be ours to ask."""
    import fcntl

    master, terminal = os.openpty()
    return fcntl.ioctl(terminal, 0x5413, bytes(8)) is not None and master


def main():
    vars(arena).update(json.loads(sys.argv[1]))
    for name in sys.argv[2:]:
        print("BEGIN", name, flush=True)
        try:
            evidence = ATTACKS[name]()
        except BaseException as error:
            print("FAILED", name, f"{type(error).__name__}: {error}"[:200], flush=True)
        else:
            print("WON" if evidence else "FAILED", name, repr(evidence)[:200], flush=True)


if __name__ == "__main__":
    main()
