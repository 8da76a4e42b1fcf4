"""Ways to a shell, a program or a process."""

import mmap
import os
import signal
import struct

from .core import ECHO, X86, arena, attack, ctypes, libc, syscall


@attack
def os_system():
    return os.system("exit 7") >> 8 == 7


@attack
def os_popen():
    return os.popen("echo ran").read()


@attack
def subprocess_run():
    import subprocess

    return subprocess.run([ECHO, "ran"], capture_output=True).stdout


@attack
def subprocess_shell():
    import subprocess

    return subprocess.check_output("echo ran", shell=True)


@attack
def posix_spawn():
    return os.waitpid(os.posix_spawn(ECHO, ["echo"], {}), 0)[1] == 0


@attack
def posix_module():
    import posix

    return posix.system("exit 7") >> 8 == 7


@attack
def fork_exec_of_posixsubprocess():
    import subprocess

    subprocess._USE_VFORK = False
    return subprocess.check_output([ECHO, "ran"], close_fds=False)


@attack
def ctypes_system():
    return libc().system(b"exit 7") >> 8 == 7


@attack
def ctypes_popen():
    function = libc().popen
    function.restype = ctypes.c_void_p
    stream = function(b"echo ran", b"r")
    text = ctypes.create_string_buffer(16)
    if not stream:
        raise OSError("popen gave nothing")
    libc().fgets(text, 16, ctypes.c_void_p(stream))
    return text.value


@attack
def os_fork():
    child = os.fork()
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] >> 8 == 7


@attack
def os_forkpty():
    child, _ = os.forkpty()
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] >> 8 == 7


@attack
def pty_spawn():
    import pty

    return pty.spawn([ECHO, "ran"]) == 0


@attack
def ctypes_fork():
    child = libc().fork()
    if child == 0:
        os._exit(7)
    return child > 0 and os.waitpid(child, 0)[1] >> 8 == 7


@attack
def raw_clone():
    child = syscall(56, 220, signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] >> 8 == 7


@attack
def raw_clone_with_parent_as_sibling():
    clone_parent = 0x8000
    child = syscall(56, 220, clone_parent | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(7)
    return child > 0


@attack
def raw_clone3():
    child = syscall(435, 435, struct.pack("=8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64)
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] >> 8 == 7


@attack
def multiprocessing_fork():
    import multiprocessing

    process = multiprocessing.get_context("fork").Process(target=os._exit, args=(7,))
    process.start()
    process.join()
    return process.exitcode == 7


@attack
def multiprocessing_spawn():
    import multiprocessing

    process = multiprocessing.get_context("spawn").Process(target=os._exit, args=(7,))
    process.start()
    process.join()
    return process.exitcode == 7


@attack
def process_pool():
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1) as pool:
        return pool.submit(os.getpid).result(10)


@attack
def asyncio_subprocess():
    import asyncio

    async def run():
        process = await asyncio.create_subprocess_exec(ECHO, "ran", stdout=-1)
        return (await process.communicate())[0]

    return asyncio.run(run())


@attack
def os_spawn():
    return os.spawnlp(os.P_WAIT, "echo", "echo", "ran") == 0


@attack
def execv_replaces_the_process():
    os.execv(ECHO, ["echo", "WON execv_replaces_the_process"])


@attack
def execve_of_a_memfd():
    descriptor = os.memfd_create("program")
    with open(ECHO, "rb") as file:
        os.write(descriptor, file.read())
    os.execve(descriptor, ["echo", "WON execve_of_a_memfd"], {})


@attack
def execv_of_the_dynamic_loader():
    loader = "/lib64/ld-linux-x86-64.so.2" if X86 else "/lib/ld-linux-aarch64.so.1"
    os.execv(loader, ["ld.so", ECHO, "WON execv_of_the_dynamic_loader"])


@attack
def execv_of_an_own_file():
    path = arena.out + "/program"
    with open(ECHO, "rb") as source, open(path, "wb") as target:
        target.write(source.read())
    os.chmod(path, 0o755)
    os.execv(path, ["echo", "WON execv_of_an_own_file"])


@attack
def fork_of_the_terminal_library():
    """forkpty of the C library: another road to fork."""
    master = ctypes.c_int()
    child = libc().forkpty(ctypes.byref(master), None, None, None)
    if child == 0:
        os._exit(7)
    return child > 0 and os.waitpid(child, 0)[1] >> 8 == 7


@attack
def vfork_in_machine_code():
    if not X86:
        raise OSError("x86 only")
    page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
    # vfork; the child exits with 7 at once; the parent returns the child's number
    page.write(
        bytes.fromhex("5a b83a000000 0f05 85c0 740c ffe2 9090909090909090 9090")
        + bytes.fromhex("bf07000000 b83c000000 0f05")
    )
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    child = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    return child > 0 and os.waitpid(child, 0)[1] >> 8 == 7


@attack
def posix_spawn_of_the_c_library():
    child = ctypes.c_int()
    arguments = (ctypes.c_char_p * 3)(ECHO.encode(), b"ran", None)
    code = libc().posix_spawn(ctypes.byref(child), ECHO.encode(), None, None, arguments, arguments)
    return code == 0 and os.waitpid(child.value, 0)[1] == 0


@attack
def wordexp_of_the_c_library():
    """It starts a shell for $(...)."""
    result = ctypes.create_string_buffer(64)
    return libc().wordexp(b"$(echo ran)", result, 0) == 0


@attack
def execveat_of_an_open_file():
    descriptor = os.open(ECHO, os.O_RDONLY)
    arguments = (ctypes.c_char_p * 3)(b"echo", b"WON execveat_of_an_open_file", None)
    syscall(322, 281, descriptor, b"", arguments, None, 0x1000)
