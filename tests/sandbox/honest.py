"""Honest scripts that the sandbox must not refuse, by name. Each is a whole program.

``DATA`` is a folder it may read, ``OUT`` one it may write in; both are defined.
"""

import textwrap


def _programs(text):
    """Split at lines ``## name``."""
    programs = {}
    for part in textwrap.dedent(text).split("## ")[1:]:
        name, _, code = part.partition("\n")
        programs[name.strip()] = code
    return programs


PLAIN = _programs(
    """
    ## a method called compile
    class Model:
        def compile(self, optimizer): return optimizer
    model = Model()
    assert model.compile("adam") == "adam"
    ## regular expressions
    import re
    assert re.compile(r"(\\w+)@(\\w+)").match("a@b").groups() == ("a", "b")
    ## eval in a comment
    # eval("1 + 1"); exec("import os"); __import__("os").system("ls")
    text = "os.system and subprocess in a string: open('/etc/passwd')"
    assert "subprocess" in text
    ## eval and exec of own code
    assert eval("1 + 1") == 2
    names = {}
    exec("x = [n ** 2 for n in range(5)]", names)
    assert names["x"][-1] == 16
    ## super and init
    class A:
        def __init__(self): self.ready = True
    class B(A):
        def __init__(self):
            super().__init__()
            self.__class__.__name__
    assert B().ready
    ## threads
    import threading
    results = []
    threads = [threading.Thread(target=results.append, args=(n,)) for n in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert sorted(results) == list(range(8))
    ## thread pool
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(abs, [-1, -2])) == [1, 2]
    ## asyncio
    import asyncio
    async def work():
        await asyncio.sleep(0.01)
        return await asyncio.to_thread(sum, [1, 2])
    assert asyncio.run(work()) == 3
    ## reading its own data folder
    assert open(DATA + "/table.csv").read().startswith("a,b")
    ## listing its own data folder
    import os
    assert "table.csv" in os.listdir(DATA)
    assert [p for p, _, _ in os.walk(DATA)]
    ## reading itself
    assert "honest" in open(__file__).read()
    ## importing a module from its data folder
    import sys
    sys.path.insert(0, DATA)
    import helper
    assert helper.double(2) == 4
    ## os paths and environment
    import os
    assert os.path.join("a", "b") == "a/b"
    assert os.environ.get("HOME")
    assert os.cpu_count() >= 1 and os.getpid() > 0
    ## pathlib
    from pathlib import Path
    (Path(OUT) / "folder" / "inner").mkdir(parents=True, exist_ok=True)
    (Path(OUT) / "folder" / "note.txt").write_text("x")
    assert sorted(p.name for p in (Path(OUT) / "folder").iterdir()) == ["inner", "note.txt"]
    ## missing files are missing
    try:
        open(DATA + "/no-such-file")
    except FileNotFoundError:
        pass
    ## temporary files
    import tempfile
    with tempfile.TemporaryDirectory() as folder, open(folder + "/x", "w") as file:
        file.write("x")
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write("x"); file.seek(0); assert file.read() == "x"
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
    ## replacing a file atomically
    import os
    with open(OUT + "/new", "w") as file:
        file.write("1")
        file.flush()
        os.fsync(file.fileno())
    os.replace(OUT + "/new", OUT + "/old")
    ## copying and moving files
    import shutil
    open(OUT + "/source", "w").write("x")
    shutil.copy(OUT + "/source", OUT + "/copy")
    shutil.copy2(DATA + "/table.csv", OUT + "/table.csv")
    shutil.move(OUT + "/copy", OUT + "/moved")
    shutil.copytree(DATA, OUT + "/tree")
    shutil.rmtree(OUT + "/tree")
    ## json and csv
    import csv, json
    json.dump({"a": [1, 2]}, open(OUT + "/a.json", "w"))
    assert json.load(open(OUT + "/a.json")) == {"a": [1, 2]}
    assert next(csv.DictReader(open(DATA + "/table.csv")))["a"] == "1"
    ## pickling
    import pickle
    class Point:
        def __init__(self): self.x = 1
    assert pickle.loads(pickle.dumps(Point())).x == 1
    ## databases in a file
    import sqlite3
    with sqlite3.connect(OUT + "/db.sqlite") as database:
        database.execute("create table t (x)")
        database.execute("insert into t values (1)")
    ## archives
    import tarfile, zipfile
    with zipfile.ZipFile(OUT + "/a.zip", "w") as archive:
        archive.writestr("inner.txt", "x")
    zipfile.ZipFile(OUT + "/a.zip").extractall(OUT + "/unzipped")
    with tarfile.open(OUT + "/a.tar.gz", "w:gz") as archive:
        archive.add(OUT + "/a.zip", "a.zip")
    ## compression and hashes
    import gzip, hashlib, zlib
    gzip.open(OUT + "/a.gz", "wt").write("x")
    assert hashlib.sha256(zlib.compress(b"x")).hexdigest()
    ## dates and time zones
    import datetime, time, zoneinfo
    assert datetime.datetime.now(zoneinfo.ZoneInfo("Europe/Berlin")).year > 2000
    time.sleep(0.001)
    ## random numbers and secrets
    import random, secrets, uuid
    assert random.random() < 1 and secrets.token_hex(4) and uuid.uuid4()
    ## logging
    import logging
    logging.basicConfig(level=logging.INFO)
    logging.info("hello")
    ## warnings
    import warnings
    warnings.warn("careful")
    ## dataclasses, enums, typing
    import dataclasses, enum, typing
    @dataclasses.dataclass
    class D:
        x: typing.Optional[int] = None
    assert D(1) == D(1) and enum.Enum("E", "A B").A
    ## introspection
    import gc, inspect, sys
    def f(): return sys._getframe().f_lineno
    assert inspect.signature(f) and f() and gc.collect() >= 0
    ## signals to itself and alarms
    import os, signal
    heard = []
    signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGALRM, lambda *_: heard.append(2))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.sigwait  # exists
    import time; time.sleep(0.05)
    assert heard == [1, 2]
    ## limits of its own
    import resource
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    ## private memory maps
    import mmap
    with open(OUT + "/mapped", "w+b") as file:
        file.truncate(8192)
        area = mmap.mmap(file.fileno(), 8192)
        area[:4] = b"data"
        area.flush()
    ## platform questions
    import platform, sysconfig, locale, getpass
    assert platform.system() == "Linux" and platform.python_version()
    assert sysconfig.get_paths() and getpass.getuser()
    """
)

LIBRARIES = _programs(
    """
    ## numpy
    import numpy as np
    a = np.random.default_rng(0).normal(size=(200, 200))
    assert np.linalg.inv(a).shape == a.shape and np.fft.fft(a).shape == a.shape
    np.save(OUT + "/a.npy", a)
    assert np.array_equal(np.load(OUT + "/a.npy", mmap_mode="r"), a)
    ## numpy memory map
    import numpy as np
    m = np.memmap(OUT + "/m.bin", dtype=np.float32, mode="w+", shape=(100,))
    m[:] = 1
    m.flush()
    ## pandas
    import pandas as pd
    table = pd.read_csv(DATA + "/table.csv")
    table.to_csv(OUT + "/t.csv")
    assert table.eval("c = a + b")["c"].sum() == 10
    assert table.query("a > 1").shape == (1, 2)
    ## matplotlib to PNG
    import matplotlib.pyplot as plt
    plt.plot([1, 2]); plt.title("$x^2$"); plt.savefig(OUT + "/plot.png")
    import os
    assert os.path.getsize(OUT + "/plot.png") > 1000
    ## scikit-learn
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    x, y = load_iris(return_X_y=True)
    assert LogisticRegression(max_iter=500).fit(x, y).score(x, y) > 0.9
    ## scikit-learn with many jobs
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_score
    x, y = load_iris(return_X_y=True)
    assert cross_val_score(RandomForestClassifier(10, n_jobs=2), x, y, cv=2, n_jobs=2).mean() > 0.8
    ## scipy
    from scipy import optimize, sparse, stats
    assert optimize.minimize(lambda v: (v[0] - 1) ** 2, [0.0]).x[0] > 0.99
    assert sparse.eye(3).nnz == 3 and stats.norm.cdf(0) == 0.5
    ## progress bars
    from tqdm import tqdm
    assert sum(tqdm(range(10))) == 45
    ## joblib
    from joblib import Parallel, delayed, dump, load
    assert Parallel(n_jobs=2)(delayed(abs)(-n) for n in range(3)) == [0, 1, 2]
    dump({"a": 1}, OUT + "/d.joblib")
    ## safetensors
    import numpy as np
    from safetensors.numpy import load_file, save_file
    save_file({"a": np.ones(3)}, OUT + "/a.safetensors")
    assert load_file(OUT + "/a.safetensors")["a"].sum() == 3
    ## tensors
    import pycyxwiz as cx
    a = cx.Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert float((a @ a).sum()) == 54.0
    ## a model: compile, fit, save, load
    import numpy as np
    import pycyxwiz as cx
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 4)).astype(np.float32)
    y = (x.sum(axis=1) > 0).astype(np.int64)
    model = cx.Model([cx.layers.Dense(4, 8, activation="relu"), cx.layers.Dense(8, 2)])
    model.add(cx.layers.Softmax())
    model.compile(optimizer="adam", loss="cross_entropy", metrics=["accuracy"])
    model.fit(x, y, epochs=3, batch_size=32, verbose=0)
    model.save(OUT + "/m.safetensors")
    again = cx.Model.load(OUT + "/m.safetensors")
    assert np.array_equal(np.asarray(again.predict(x)), np.asarray(model.predict(x)))
    ## a compiled function
    import pycyxwiz as cx
    f = cx.compile(lambda a: (a * a).sum())
    assert float(f(cx.ones((10,)))) == 10.0
    ## a large training run
    import numpy as np
    import pycyxwiz as cx
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 200)).astype(np.float32)
    y = rng.integers(0, 10, 20_000)
    hidden = cx.layers.Dense(200, 128, activation="relu")
    model = cx.Model([hidden, cx.layers.Dense(128, 10, activation="softmax")])
    model.compile(optimizer="adam", loss="cross_entropy")
    model.fit(x, y, epochs=2, batch_size=32, verbose=1)
    ## all threads
    import os
    import pycyxwiz as cx
    cx.set_num_threads(len(os.sched_getaffinity(0)))
    x = cx.random.normal((1500, 1500))
    assert (x @ x).shape == (1500, 1500)
    """
)
