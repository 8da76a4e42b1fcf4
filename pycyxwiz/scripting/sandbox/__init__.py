"""The sandbox: a fresh child process whose boundary is the kernel (docs/sandbox.md).

Who does what: ``supervisor`` (the parent) starts ``launch`` → ``child``, which confines itself with
``namespaces``, ``limits``, ``landlock`` and ``seccomp`` and then runs the script. ``courtesy`` only
makes refusals friendly. ``kernel`` is the one module that calls the kernel directly.
"""
