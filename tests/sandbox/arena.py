"""A throw-away world to attack in: its own mounts, processes, network and host name.

``fight(...)`` starts this file as a program inside fresh namespaces. There it makes everything
read-only but one small tmpfs, sets up what the attacks aim at (secrets, files, listeners, a victim
process), runs the attacks, with or without the sandbox, and prints the results as JSON. Whatever a
hole in the sandbox lets through ends with the namespaces.
"""

import contextlib
import ctypes
import fcntl
import http.server
import json
import os
import shutil
import signal
import socket
import socketserver
import sqlite3
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOKEN = "TOKEN-7f3a91"
ORDINARY_USER = 65534
_NO_CACHES = shutil.ignore_patterns("__pycache__")
_UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--net", "--ipc", "--uts"]


def fight(folder, *, root, sandbox, layer=True, namespaces=True, names=None, bombs=False):
    """Run attacks in a new arena at ``folder``; returns ``{name: {"won", "how", "status"}}``."""
    command = _UNSHARE if os.geteuid() == 0 else [*_UNSHARE, "--user", "--map-root-user"]
    task = {
        "folder": str(folder),
        "root": root,
        "sandbox": sandbox,
        "layer": layer,
        "namespaces": namespaces,
        "names": names,
        "bombs": bombs,
    }
    result = subprocess.run(
        [*command, sys.executable, str(HERE / "arena.py")],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "CANARY": TOKEN},
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


# --- inside the arena ----------------------------------------------------------------------------


def main():
    task = json.load(sys.stdin)
    folder = task["folder"]
    _wall_in(folder)
    if not task["root"]:
        _become_ordinary(folder)
    os.environ["TMPDIR"] = folder + "/tmp"
    os.mkdir(folder + "/tmp")
    if task["bombs"]:
        results = _explode(task, folder)
    else:
        targets = _Targets(folder)
        results = _attack_plainly(task, targets) if not task["sandbox"] else _attack(task, targets)
    json.dump(results, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # listeners and all


def _libc():
    return ctypes.CDLL(None, use_errno=True)


def _mount(source, target, kind, flags, data=b""):
    if _libc().mount(source.encode(), target.encode(), kind.encode(), flags, data) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def _wall_in(folder):
    """One small writable tmpfs; all else read-only, Python within everybody's reach; loopback."""
    _open_the_way_to_python(folder)
    attributes = struct.pack("=QQQQ", 1, 0, 0, 0)
    _libc().syscall(442, -100, b"/", 0x8000, attributes, 32)  # mount_setattr: read-only, recursive
    _mount("proc", "/proc", "proc", 0)
    _mount("tmpfs", folder, "tmpfs", 0, b"size=700m,mode=777")
    _mount("tmpfs", "/dev/shm", "tmpfs", 0, b"size=16m,mode=1777")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        fcntl.ioctl(end, 0x8914, struct.pack("16sh14x", b"lo", 0x49))  # up, running


def _open_the_way_to_python(folder):
    """Where a parent folder of Python or of ours is private (root's home), put a public one over
    it that holds nothing else."""
    import pycyxwiz

    packages = [path for path in sys.path if os.path.isdir(path)]
    needed = [sys.prefix, sys.base_prefix, *pycyxwiz.__path__, str(HERE), *packages]
    needed = {os.path.realpath(path) for path in needed}
    closed = {
        str(parent)
        for path in needed
        for parent in Path(path).parents
        if parent.stat().st_mode & 0o005 != 0o005
    }
    for parent in sorted(closed):
        inside = sorted(path for path in needed if path.startswith(parent + "/"))
        descriptors = [os.open(path, os.O_PATH) for path in inside]
        _mount("tmpfs", parent, "tmpfs", 0, b"size=1m,mode=755")
        for path, descriptor in zip(inside, descriptors, strict=True):
            os.makedirs(path, exist_ok=True)
            _mount(f"/proc/self/fd/{descriptor}", path, "", 4096 | 16384)
            os.close(descriptor)
        Path(folder).mkdir(parents=True, exist_ok=True)


def _become_ordinary(folder):
    if Path("/proc/self/uid_map").read_text().split()[2] == "1":
        # Tests run by an ordinary user: only one user exists here; nest to give up its root.
        _libc().unshare(0x10000000)
        for name, text in (("setgroups", "deny"), ("uid_map", "1000 0 1"), ("gid_map", "1000 0 1")):
            Path(f"/proc/self/{name}").write_text(text)
    else:
        os.setgroups([])
        os.setresgid(*[ORDINARY_USER] * 3)
        os.setresuid(*[ORDINARY_USER] * 3)
    _libc().prctl(4, 1, 0, 0, 0)  # dumpable again, as after a log-in
    os.environ["HOME"] = folder


class _Targets:
    """What the attacks aim at."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self._round = 0
        self._servers = []
        self._serve()
        self._victim()

    def fresh(self):
        """Files and folders for one more round of attacks; returns the attacks' configuration."""
        self._round += 1
        base = self.folder / f"round{self._round}"
        for name in ("private", "private/deep", "read", "outside", "outside/spare", "out", "code"):
            (base / name).mkdir(parents=True)
        secret = base / "private/secret.txt"
        secret.write_text(TOKEN)
        for name in ("spare", "exchanged"):
            (base / f"private/{name}.txt").write_text(TOKEN)
        (base / "private/deep/deep.txt").write_text(TOKEN)
        (base / "private/secret_module.py").write_text(f"TOKEN = {TOKEN!r}\n")
        with sqlite3.connect(base / "private/secret.db") as database:
            database.execute("create table t (token)")
            database.execute("insert into t values (?)", [TOKEN])
        (base / "read/data.txt").write_text("1,2,3\n")
        (base / "out/b").symlink_to(secret.parent)
        (base / "read/symlink").symlink_to(secret)
        (base / "read/folder-symlink").symlink_to(secret.parent)
        spare = [base / f"outside/spare{number}" for number in range(3)]
        for path in [*spare, base / "outside/victim.txt"]:
            path.write_text("untouched")
        (base / "tmp").mkdir()
        script = base / "code/storm.py"
        shutil.copy(HERE / "storm.py", script)
        shutil.copytree(HERE / "attacks", base / "code/attacks", ignore=_NO_CACHES)
        descriptor = os.open(secret, os.O_RDONLY)
        os.set_inheritable(descriptor, True)
        return {
            "base": str(base),
            "script": str(script),
            "secret": str(secret),
            "secret_spare": str(base / "private/spare.txt"),
            "secret_exchanged": str(base / "private/exchanged.txt"),
            "secret_deep": str(base / "private/deep/deep.txt"),
            "secret_module": str(base / "private/secret_module.py"),
            "secret_db": str(base / "private/secret.db"),
            "code": str(base / "code"),
            "read": str(base / "read"),
            "out": str(base / "out"),
            "outside": str(base / "outside"),
            "victim_file": str(base / "outside/victim.txt"),
            "spare_files": [str(path) for path in spare],
            "spare_folder": str(base / "outside/spare"),
            **self._addresses,
        }

    def _serve(self):
        """Listeners on loopback and on Unix sockets; they count what reaches them."""
        self.reached = []

        class Handler(socketserver.BaseRequestHandler):
            def handle(handler):
                self.reached.append(handler.server.server_address)

        class Web(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):
                self.reached.append("http")
                handler.send_response(200)
                handler.end_headers()
                handler.wfile.write(b"a,b\n1,2\n")

            def log_message(self, *_):
                pass

        class Tcp6(socketserver.ThreadingTCPServer):
            address_family = socket.AF_INET6

        folder = str(self.folder)
        servers = {
            "tcp_port": socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler),
            "tcp6_port": Tcp6(("::1", 0), Handler),
            "udp_port": socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler),
            "http_port": http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web),
        }
        self._addresses = {name: server.server_address[1] for name, server in servers.items()}
        unix = {
            "unix_path": socketserver.ThreadingUnixStreamServer(folder + "/stream", Handler),
            "datagram_path": socketserver.ThreadingUnixDatagramServer(folder + "/dgram", Handler),
        }
        self._addresses |= {name: server.server_address for name, server in unix.items()}
        abstract = socketserver.ThreadingUnixStreamServer("\0arena", Handler)
        self._addresses["abstract_name"] = "arena"
        for server in (*servers.values(), *unix.values(), abstract):
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def _victim(self):
        """A process of the same user: a copy of this one that only waits."""
        buffer = ctypes.create_string_buffer(TOKEN.encode(), 16)
        victim = os.fork()
        if victim == 0:
            while True:
                signal.pause()
        self._buffer = buffer
        self._addresses |= {"victim": victim, "victim_address": ctypes.addressof(buffer)}

    def victim_lives(self):
        with open(f"/proc/{self._addresses['victim']}/stat") as file:
            return file.read().split()[2] == "S"


def _attack_plainly(task, targets):
    """Every attack in a process of its own, with nothing to stop it."""
    results = {}
    for name in task["names"]:
        config = targets.fresh()
        command = [sys.executable, "-B", config["script"], json.dumps(config), name]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=20,
                close_fds=False,
                stdin=subprocess.DEVNULL,
                cwd=config["out"],
            )
            output = done.stdout + done.stderr
        except subprocess.TimeoutExpired as error:
            output = f"timeout {error.stdout}"
        results[name] = {"won": f"WON {name}" in output, "how": output[-400:], "status": "plain"}
    return results


def _attack(task, targets):
    """As many attacks per sandboxed process as it survives."""
    from pycyxwiz.scripting.sandbox import namespaces

    if not task["namespaces"]:
        namespaces.forbidden = lambda: "switched off by the test"
    results = {}
    waiting = list(task["names"])
    while waiting:
        config = targets.fresh()
        before = _snapshot(config)
        report = _run(task, config["script"], config, [json.dumps(config), *waiting])
        tried = _read_results(report, results)
        results[tried[-1]]["left"] = _left_behind(config)
        harm = [
            name for name, (old, new) in _changes(before, _snapshot(config)).items() if old != new
        ]
        leaked = TOKEN in report.stdout + report.stderr + json.dumps(report.refused)
        for name in tried:
            results[name] |= {"status": report.status, "walls": report.confinement}
            results[name] |= {"harm": harm, "leaked": leaked, "reached": list(targets.reached)}
            results[name]["victim"] = targets.victim_lives()
        waiting = waiting[waiting.index(tried[-1]) + 1 :]
    return results


def _run(task, script, config, arguments, **budgets):
    from pycyxwiz.scripting import running
    from pycyxwiz.scripting.sandbox.limits import SANDBOX_LIMITS, Limits

    default = SANDBOX_LIMITS._replace(timeout=30, memory_mb=1024, disk_mb=64)
    limits = (default if task["sandbox"] else Limits(timeout=30))._replace(**budgets)
    os.chdir(config["out"])
    return running.supervise(
        script,
        arguments,
        cells=[],
        sandbox=task["sandbox"],
        limits=limits,
        read=[config["read"], config["code"]] if task["sandbox"] else [],
        write=[config["out"]] if task["sandbox"] else [],
        startup=False,
        courtesy=task["layer"],
    )


def _read_results(report, results):
    """Take over what the script printed; returns the names of the attacks it got to."""
    tried = []
    for line in report.stdout.splitlines():
        word, _, rest = line.partition(" ")
        name, _, how = rest.partition(" ")
        if word == "BEGIN":
            tried.append(name)
            results[name] = {"won": False, "how": f"{report.status}: {report.reason}"}
        elif word in ("WON", "FAILED") and name in results:
            results[name] = {"won": word == "WON", "how": how}
    if not tried:
        raise RuntimeError(f"the attacks did not run: {report}")
    return tried


def _snapshot(config):
    """All that an attack must not change."""
    base = Path(config["base"])
    parts = ("private", "read", "outside", "code")
    result = {}
    for path in (path for part in parts for path in (base / part).rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        result[str(path)] = (
            status.st_mode,
            status.st_uid,
            status.st_mtime_ns,
            status.st_nlink,
            content,
        )
    return result


def _changes(before, after):
    return {name: (before.get(name), after.get(name)) for name in {*before, *after}}


def _left_behind(config):
    """What in the output folder is no plain file or folder, or has more than plain permissions."""
    odd = []
    for path in Path(config["out"]).rglob("*"):
        mode = path.lstat().st_mode
        if path.name not in ("a", "b") and (not stat.S_ISREG(mode) or mode & 0o6000):
            odd.append(path.name)
    return odd


def _explode(task, folder):
    from bombs import BOMBS

    from pycyxwiz.scripting import files
    from pycyxwiz.scripting.sandbox import namespaces

    if not task["namespaces"]:
        namespaces.forbidden = lambda: "switched off by the test"
    results = {}
    for name in task["names"] or BOMBS:
        base = Path(folder) / name
        config = {part: str(base / part) for part in ("out", "read", "code")}
        for part in config.values():
            os.makedirs(part)
        shutil.copy(HERE / "bombs.py", config["code"])
        budgets = BOMBS[name].limits if task["sandbox"] else {}
        report = _run(task, config["code"] + "/bombs.py", config, [name], **budgets)
        used, made = _held_below(config["out"])
        results[name] = {
            "won": "WON" in report.stdout[-100:],
            "status": report.status,
            "how": (report.reason + " " + report.stderr[-300:]),
            "used": used,
            "made": made,
            "seconds": report.duration,
        }
        os.chdir(folder)
        files.remove_tree(str(base))
    return results


def _held_below(folder):
    """Bytes and entries."""
    from pycyxwiz.scripting import files

    total = count = 0
    with contextlib.suppress(OSError):  # too deep to look at
        for _, status in files.walk(folder):
            total += status.st_blocks * 512
            count += 1
    return total, count


if __name__ == "__main__":
    main()
