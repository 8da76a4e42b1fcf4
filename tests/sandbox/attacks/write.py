"""Ways to change files outside of the output folder, or to leave in it what is no plain file."""

import mmap
import os

from .core import AT_FDCWD, arena, attack, syscall


def outside(name):
    return f"{arena.outside}/{name}-{os.getpid()}"


@attack
def open_for_writing():
    with open(outside("a"), "w") as file:
        return file.write("x")


@attack
def os_open_creating():
    return os.open(outside("b"), os.O_CREAT | os.O_WRONLY)


@attack
def overwriting():
    with open(arena.victim_file, "r+") as file:
        return file.write("x")


@attack
def appending():
    with open(arena.victim_file, "a") as file:
        return file.write("x")


@attack
def writing_where_reading_is_granted():
    with open(arena.read + "/new", "w") as file:
        return file.write("x")


@attack
def writing_the_script_itself():
    with open(__file__, "a") as file:
        return file.write("") + 1


@attack
def numpy_save():
    import numpy

    numpy.save(outside("c"), numpy.ones(3))
    return True


@attack
def safetensors_save():
    import numpy
    from safetensors.numpy import save_file

    save_file({"a": numpy.ones(3)}, outside("d"))
    return True


@attack
def pandas_to_csv():
    import pandas

    pandas.DataFrame({"a": [1]}).to_csv(outside("e"))
    return True


@attack
def temporary_file():
    import tempfile

    return tempfile.NamedTemporaryFile(dir=arena.outside).name


@attack
def unnamed_temporary_file():
    return os.open(arena.outside, os.O_TMPFILE | os.O_RDWR)


@attack
def logging_to_a_file():
    import logging

    logging.FileHandler(outside("f")).emit(logging.makeLogRecord({"msg": "x"}))
    return os.path.exists(outside("f"))


@attack
def sqlite_database():
    import sqlite3

    sqlite3.connect(outside("g")).execute("create table t (x)")
    return True


@attack
def renaming_out():
    with open(arena.out + "/mine", "w"):
        os.rename(arena.out + "/mine", outside("h"))
    return True


@attack
def linking_out():
    with open(arena.out + "/mine2", "w"):
        os.link(arena.out + "/mine2", outside("i"))
    return True


@attack
def symlinking_outside():
    os.symlink("x", outside("j"))
    return True


@attack
def leaving_a_symlink_in_the_output():
    os.symlink(arena.victim_file, arena.out + "/trap")
    return os.path.islink(arena.out + "/trap")


@attack
def leaving_a_fifo_in_the_output():
    os.mkfifo(arena.out + "/fifo")
    return True


@attack
def leaving_a_set_user_id_program():
    path = arena.out + "/suid"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o6755))
    os.chmod(path, 0o6755)
    return os.stat(path).st_mode & 0o6000


@attack
def making_a_folder():
    os.mkdir(outside("k"))
    return True


@attack
def removing():
    os.unlink(arena.spare_files.pop())
    return True


@attack
def removing_a_folder():
    os.rmdir(arena.spare_folder)
    return True


@attack
def renaming_away():
    os.rename(arena.spare_files.pop(), outside("l"))
    return True


@attack
def truncating_by_path():
    os.truncate(arena.victim_file, 1)
    return os.stat(arena.victim_file).st_size == 1


@attack
def truncating_what_may_be_read():
    os.open(arena.read + "/data.txt", os.O_RDONLY | os.O_TRUNC)
    return os.stat(arena.read + "/data.txt").st_size == 0


@attack
def changing_modes():
    os.chmod(arena.victim_file, 0o600)
    return os.stat(arena.victim_file).st_mode & 0o777 == 0o600


@attack
def changing_modes_through_a_read_descriptor():
    with open(arena.read + "/data.txt") as file:
        os.fchmod(file.fileno(), 0o640)
        return os.fstat(file.fileno()).st_mode & 0o777 == 0o640


@attack
def changing_times():
    os.utime(arena.read + "/data.txt", (1, 1))
    return os.stat(arena.read + "/data.txt").st_mtime == 1


@attack
def changing_owners():
    os.chown(arena.victim_file, os.getuid(), os.getgid())
    return True


@attack
def setting_attributes():
    os.setxattr(arena.victim_file, "user.mine", b"1")
    return True


@attack
def making_a_device():
    os.mknod(arena.out + "/null", 0o20600, os.makedev(1, 3))
    return True


@attack
def shared_memory_folder():
    with open("/dev/shm/mine", "w") as file:
        return file.write("x")


@attack
def named_semaphore():
    import _multiprocessing

    return _multiprocessing.SemLock(1, 1, 1, "/mine", True)


@attack
def moving_with_shutil():
    import shutil

    with open(arena.out + "/moving", "w"):
        return shutil.move(arena.out + "/moving", outside("m"))


@attack
def linking_what_may_be_read_and_writing_it():
    os.link(arena.read + "/data.txt", arena.out + "/data-link")
    with open(arena.out + "/data-link", "a") as file:
        return file.write("x")


@attack
def moving_what_may_be_read_and_writing_it():
    os.rename(arena.read + "/data.txt", arena.out + "/data-moved")
    return True


@attack
def reopening_for_writing():
    """What is open for reading, once more, for writing."""
    with open(arena.read + "/data.txt") as file:
        descriptor = os.open(f"/proc/self/fd/{file.fileno()}", os.O_WRONLY | os.O_APPEND)
    return os.write(descriptor, b"x")


@attack
def leaving_a_device_by_whiteout():
    """A rename that leaves the overlay file system's mark, a device file, where the file was."""
    open(arena.out + "/white", "w").close()
    here, there = (arena.out + "/white").encode(), (arena.out + "/out").encode()
    syscall(316, 276, AT_FDCWD, here, AT_FDCWD, there, 4)
    return os.path.lexists(arena.out + "/white")


@attack
def changing_what_may_be_read_through_a_mapping():
    with open(arena.read + "/data.txt", "r+b") as file:
        mmap.mmap(file.fileno(), 0)[:1] = b"x"
    return True


@attack
def punching_a_hole_into_what_may_be_read():
    descriptor = os.open(arena.read + "/data.txt", os.O_RDWR)
    syscall(285, 47, descriptor, 3, 0, 4096)  # FALLOC_FL_PUNCH_HOLE
    return True


@attack
def memory_file_of_oneself():
    return os.open("/proc/self/mem", os.O_RDWR)


@attack
def asking_to_be_spared_when_memory_is_short():
    with open("/proc/self/oom_score_adj", "w") as file:
        return file.write("1000")


@attack
def kernel_settings():
    with open("/proc/sys/kernel/hostname", "w") as file:
        return file.write("mine")


@attack
def file_flags():
    """As chattr does: FS_IOC_GETFLAGS of what may be read."""
    import fcntl

    with open(arena.read + "/data.txt") as file:
        return fcntl.ioctl(file, 0x80086601, bytes(8)) is not None


@attack
def lease_on_a_file():
    """Others who open it would have to wait."""
    import fcntl

    with open(arena.out + "/leased", "w+") as file:
        fcntl.fcntl(file, 1024, fcntl.F_WRLCK)  # F_SETLEASE
    return True
