"""pycyxwiz against its peers, on this machine: ``python -m benchmarks``.

``rows/`` says what is measured, one table entry each; ``peers.py`` how each library is called;
``harness.py`` and ``worker.py`` how it is timed; ``report.py`` what is printed and written.
"""
