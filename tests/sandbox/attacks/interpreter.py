"""Tricks with the interpreter: around the Python layer, to the secret."""

# ruff: noqa: PERF203

import gc
import importlib
import importlib.util
import mmap
import os
import sys
import threading

from .core import ECHO, X86, arena, attack, ctypes, read_secret


@attack
def subclasses():
    for kind in object.__subclasses__():
        if kind.__name__ == "_wrap_close":
            return kind.__init__.__globals__["system"]("exit 7") >> 8 == 7
    return None


@attack
def frames():
    frame = sys._getframe()
    while frame.f_back:
        frame = frame.f_back
    return frame.f_builtins["open"](arena.secret).read()


@attack
def garbage_collector_finds_the_guard():
    for thing in gc.get_objects():
        if type(thing).__name__ == "Watch":
            thing._readable = thing._writable = ("",)
            thing._is_own = lambda file: False
    return read_secret()


@attack
def restoring_import():
    import builtins

    for cell in getattr(builtins.__import__, "__closure__", None) or ():
        if callable(cell.cell_contents):
            builtins.__import__ = cell.cell_contents
    import subprocess

    return subprocess.check_output([ECHO, "ran"])


@attack
def replacing_the_guard_class():
    module = sys.modules.get("pycyxwiz.scripting.sandbox.courtesy")
    if module:
        module.Watch.audit = lambda *_: None
        module.Watch._refused_action = lambda *_: ""
    return read_secret()


@attack
def posing_as_the_import_system():
    """The Python layer lets what happens inside an import pass to the kernel."""
    source = "def f(p):\n    return open(p).read()"
    names = {}
    exec(compile(source, "<frozen importlib._bootstrap>", "exec"), names)
    return names["f"](arena.secret)


@attack
def code_object():
    stolen = compile("open(path).read()", "x", "eval").replace(co_filename="/usr/lib/library.py")
    return eval(stolen, {"path": arena.secret})


@attack
def marshalled_bytecode():
    import marshal

    code = marshal.loads(marshal.dumps(compile("open(path).read()", "y", "eval")))
    return eval(code, {"path": arena.secret})


@attack
def format_string():
    text = "{0.__init__.__globals__[_sys].modules[posix]}"
    return "posix" in text.format(threading.Thread()) and read_secret()


@attack
def pickled_call():
    import pickle

    class Bomb:
        def __reduce__(self):
            return os.system, ("exit 7",)

    return pickle.loads(pickle.dumps(Bomb())) >> 8 == 7


@attack
def pickled_array():
    import numpy

    class Bomb:
        def __reduce__(self):
            return os.system, ("exit 7",)

    path = arena.out + "/bomb.npy"
    numpy.save(path, numpy.array([Bomb()], dtype=object), allow_pickle=True)
    return numpy.load(path, allow_pickle=True)[0] >> 8 == 7


@attack
def fresh_modules():
    for name in ("os", "posix", "io"):
        sys.modules.pop(name, None)
    import posix

    return posix.read(posix.open(arena.secret, 0), 99)


@attack
def import_hook():
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return importlib.util.spec_from_file_location(name, arena.secret_module)

    sys.meta_path.insert(0, Finder)
    import no_such_module_at_all

    return no_such_module_at_all.TOKEN


@attack
def low_level_open():
    import _io

    return _io.open_code(arena.secret).read()


@attack
def swallowing_the_refusal():
    for _ in range(3):
        try:
            return read_secret()
        except BaseException:
            continue
    return None


@attack
def exec_with_own_builtins():
    import builtins

    names = {"__builtins__": dict(vars(builtins)), "path": arena.secret}
    exec("text = open(path).read()", names)
    return names["text"]


@attack
def pretending_to_be_a_library():
    code = compile("import subprocess", "/usr/lib/python3/x.py", "exec")
    names = {"__file__": "/usr/lib/python3/x.py", "__name__": "numpy"}
    exec(code, names)
    return names["subprocess"].check_output([ECHO, "ran"])


@attack
def native_code_in_memory():
    """Machine code in executable memory makes the call: open and read are done by libc here."""
    page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
    page.write(b"\xb8\x39\x00\x00\x00\x0f\x05\xc3" if X86 else bytes(8))  # fork()
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    child = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    if child == 0:
        os._exit(7)
    return child > 0


@attack
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
