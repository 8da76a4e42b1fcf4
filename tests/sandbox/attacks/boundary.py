"""Ways to other processes, privileges, and the machine."""

import os
import signal
import struct
import time

from .core import AT_FDCWD, X86, arena, attack, ctypes, syscall


@attack
def signalling_another_process():
    os.kill(arena.victim, signal.SIGCONT)
    return True


@attack
def signalling_the_parent():
    os.kill(os.getppid(), 0)
    return os.getppid() > 0


@attack
def signalling_everyone():
    os.kill(-1, 0)
    return True


@attack
def raw_signal():
    syscall(62, 129, arena.victim, signal.SIGCONT)
    return True


@attack
def queued_signal():
    syscall(129, 138, arena.victim, signal.SIGCONT, struct.pack("=iii", 0, 0, -1) + bytes(116))
    return True


@attack
def signal_by_process_descriptor():
    syscall(424, 424, os.pidfd_open(arena.victim), signal.SIGCONT, None, 0)
    return True


@attack
def signal_by_descriptor_owner():
    import fcntl

    reader, _ = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, arena.victim)
    return True


@attack
def stealing_a_descriptor():
    return syscall(438, 438, os.pidfd_open(arena.victim), 0, 0)


@attack
def tracing():
    syscall(101, 117, 0x4206, arena.victim, 0, 0)  # PTRACE_SEIZE
    return True


@attack
def pinning_another_process():
    os.sched_setaffinity(arena.victim, os.sched_getaffinity(0))
    return True


@attack
def slowing_another_process():
    os.setpriority(os.PRIO_PROCESS, arena.victim, 1)
    return True


@attack
def limiting_another_process():
    import resource

    return resource.prlimit(arena.victim, resource.RLIMIT_NOFILE)


@attack
def raising_own_limits():
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True


@attack
def leaving_the_session():
    os.setsid()
    return True


@attack
def outliving_the_parent():
    syscall(157, 167, 1, 0, 0, 0, 0)  # PR_SET_PDEATHSIG: none
    return True


@attack
def background_process():
    child = os.fork()
    if child == 0:
        with open("/dev/null", "r+") as null:
            for descriptor in range(3):
                os.dup2(null.fileno(), descriptor)
        time.sleep(1)
        os._exit(0)
    return child


@attack
def new_namespaces():
    syscall(272, 97, 0x10000000)
    return True


@attack
def joining_namespaces():
    syscall(308, 268, os.open(f"/proc/{arena.victim}/ns/uts", os.O_RDONLY), 0)
    return True


@attack
def mounting():
    syscall(165, 40, b"none", arena.out.encode(), b"tmpfs", 0, None)
    return True


@attack
def changing_the_root():
    os.chroot(arena.out)
    return True


@attack
def becoming_root():
    os.setresuid(0, 0, 0)
    return os.geteuid() == 0


@attack
def changing_the_host_name():
    syscall(170, 161, b"mine", 4)
    return True


@attack
def loading_a_kernel_program():
    attributes = struct.pack("=IIII", 2, 4, 4, 1) + bytes(112)  # BPF_MAP_CREATE: an array
    return syscall(321, 280, 0, attributes, 128)


@attack
def watching_performance():
    attributes = struct.pack("=IIQ", 1, 64, 0) + bytes(48)
    return syscall(298, 241, attributes, 0, -1, -1, 0)


@attack
def kernel_keys():
    return syscall(248, 217, b"user", b"mine", b"x", 1, -4)


@attack
def page_fault_handler():
    return syscall(323, 282, 0)


@attack
def system_v_shared_memory():
    return syscall(29, 194, 0, 4096, 0o1600) >= 0


@attack
def message_queue():
    return syscall(240, 180, b"mine", os.O_CREAT | os.O_RDWR, 0o600, None)


@attack
def watching_files():
    return syscall(294, 26, 0)


@attack
def executable_memory_file():
    return os.memfd_create("mine")


@attack
def other_personality():
    return syscall(135, 92, 0x0040000) >= 0


@attack
def terminal_input():
    """Type into the terminal that started us (TIOCSTI): here it must not even be ours to ask."""
    import fcntl

    master, terminal = os.openpty()
    return fcntl.ioctl(terminal, 0x5413, bytes(8)) is not None and master


@attack
def descriptor_table_of_its_own():
    """Files held open there are hidden from who measures what this process holds."""
    syscall(436, 436, 900, 1000, 2)  # CLOSE_RANGE_UNSHARE
    return True


@attack
def hiding_from_the_supervisor():
    return syscall(157, 167, 4, 0, 0, 0, 0) == 0  # PR_SET_DUMPABLE


@attack
def core_dump():
    import resource

    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    return True


@attack
def another_scheduling_class():
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    return True


@attack
def scheduling_attributes():
    attributes = struct.pack("=IIQiIQQQ", 48, 3, 0, 0, 0, 0, 0, 0)  # SCHED_BATCH
    return syscall(314, 274, 0, attributes, 0) == 0


@attack
def input_output_priority():
    return syscall(251, 30, 1, 0, 3 << 13) == 0


@attack
def a_filter_of_its_own():
    """A listener of its own could answer in the supervisor's place."""
    syscall(157, 167, 38, 1, 0, 0, 0)
    allow = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000))
    header = struct.pack("@HP", 1, ctypes.addressof(allow))
    return syscall(317, 277, 1, 8, header)  # SECCOMP_FILTER_FLAG_NEW_LISTENER


@attack
def landlock_rules_of_its_own():
    return syscall(444, 444, struct.pack("=Q", 1), 8, 0)


@attack
def comparing_with_another_process():
    return syscall(312, 272, os.getpid(), arena.victim, 1, 0, 0) >= 0  # KCMP_VM


@attack
def writing_into_another_process():
    local = ctypes.create_string_buffer(b"TOKEN-7f3a91", 16)
    mine = struct.pack("@PN", ctypes.addressof(local), 16)
    theirs = struct.pack("@PN", arena.victim_address, 16)
    return syscall(311, 271, arena.victim, mine, 1, theirs, 1, 0) == 16


@attack
def memory_advice_for_another_process():
    handle = os.pidfd_open(arena.victim)
    page = arena.victim_address & ~4095
    return syscall(440, 440, handle, struct.pack("=QQ", page, 4096), 1, 20, 0) == 4096


@attack
def system_v_semaphores():
    return syscall(64, 190, 0, 1, 0o1600) >= 0


@attack
def system_v_messages():
    return syscall(68, 186, 0, 0o1600) >= 0


@attack
def watching_the_whole_machine():
    return syscall(300, 262, 0, 0)  # fanotify


@attack
def watching_a_folder_by_signal():
    import fcntl

    fcntl.fcntl(os.open(arena.read, os.O_RDONLY), fcntl.F_NOTIFY, fcntl.DN_MODIFY)
    return True


@attack
def secret_memory():
    return syscall(447, 447, 0)


@attack
def processor_tables():
    """x86 only: a local descriptor table."""
    if not X86:
        raise OSError("x86 only")
    return syscall(154, 0, 0, ctypes.create_string_buffer(16), 16) >= 0


@attack
def handles_of_files():
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128), 136)
    mount = ctypes.c_int()
    path = arena.read.encode()
    return syscall(303, 264, AT_FDCWD, path, handle, ctypes.addressof(mount), 0) == 0


@attack
def clock_of_the_machine():
    """Reading how far it is adjusted, as whoever sets it would first."""
    return syscall(159, 171, ctypes.create_string_buffer(256)) >= 0


@attack
def pages_of_another_process():
    count = syscall(279, 239, arena.victim, 0, None, None, None, 0)
    return count == 0
