"""Code that a hostile answer would run, and what it runs on.

``STATEMENTS`` are run as if a guard had failed. Each reports a score of ``HAPPENED`` through the worker's own pipe if
the thing it tries succeeded, which is a real effect however little else the process can do. ``EXPRESSIONS`` are texts
for the guards.
"""

import os
import socket
import stat
import subprocess
from pathlib import Path

__all__ = ["BOMBS", "EXPRESSIONS", "HAPPENED", "LONG", "MAYBE", "STATEMENTS", "TAKEN_AS_LITERALS", "Stage"]

HAPPENED = 0.75

BEGINNING = """
import ctypes, fcntl, mmap, os, resource, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def happened():
    for fd in range(3, 64):
        try: os.write(fd, b'{{"score": 0.75}}\\n')
        except OSError: pass
    os._exit(0)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
place, victim, trainer = {place!r}, {victim}, {trainer}
tcp, udp, abstract = {tcp}, {udp}, {abstract!r}
secret, unix = place + '/secret', place + '/socket'
numbers = {{'x86_64': (234, 250, 321, 298, 323), 'aarch64': (131, 219, 280, 241, 282)}}
tgkill, keyctl, bpf, perf, userfaultfd = numbers.get(os.uname().machine, [0] * 5)
"""

STATEMENTS = {
    # network
    "tcp": "socket.create_connection(('127.0.0.1', tcp))",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', udp))",
    "unix socket": "socket.socket(socket.AF_UNIX).connect(unix)",
    "abstract socket": "socket.socket(socket.AF_UNIX).connect(abstract)",
    "listening socket": "socket.socket().listen(1)",
    "socket pair": "socket.socketpair()",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    # processes
    "fork": "os.fork() or os._exit(0)",
    "zombies": "for _ in range(9): os.fork() or os._exit(0)",
    "double fork": "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(50)\n os._exit(0)",
    "sleepers": "for _ in range(20):\n if os.fork() == 0: os.setsid(); time.sleep(50); os._exit(0)",
    "fork by libc": "pid = libc.fork()\nif pid == 0: os._exit(0)\nif pid < 0: raise OSError",
    "spawn": "os.posix_spawn('/bin/sh', ['sh', '-c', 'exit'], {})",
    "system": "if os.system('exit 0'): raise OSError",
    "exec": "pid = os.fork() or os.execv('/bin/sh', ['sh', '-c', 'exit'])\nif os.waitpid(pid, 0)[1]: raise OSError",
    "exec of memory": "os.write(fd := os.memfd_create('x'), b'#!/bin/sh'); os.execv(f'/proc/self/fd/{fd}', ['x'])",
    "thread": "import threading; threading.Thread(target=print).start()",
    "clone3": "if libc.syscall(435, None, 0) < 0 and ctypes.get_errno() in (1, 38): raise OSError",
    # others
    "signal": "os.kill(victim, signal.SIGCONT)",
    "signal to the trainer": "os.kill(trainer, 0)",
    "signal to the server": "os.kill(os.getppid(), 0)",
    "signal to a group": "os.killpg(os.getpgid(victim), signal.SIGCONT)",
    "signal to a thread": "call('syscall', tgkill, victim, victim, 0)",
    "signal by handle": "signal.pidfd_send_signal(os.pidfd_open(victim), 0)",
    "owner of signals": "fcntl.fcntl(0, fcntl.F_SETOWN, victim)",
    "trace": "call('ptrace', 0x4206, victim, 0, 0)",
    "memory of another": "if libc.process_vm_readv(victim, None, 0, None, 0, 0) < 0: raise OSError",
    "environment of another": "open(f'/proc/{victim}/environ').read()",
    "environment of the trainer": "open(f'/proc/{trainer}/environ').read()",
    "memory of the trainer": "open(f'/proc/{trainer}/maps').read()",
    "files of the trainer": "os.listdir(f'/proc/{trainer}/fd')",
    "own environment": "open('/proc/self/environ').read()",
    "priority": "os.setpriority(os.PRIO_PROCESS, victim, 19)",
    "own priority": "os.nice(1)",
    "processors": "os.sched_setaffinity(victim, os.sched_getaffinity(0))",
    "scheduler": "os.sched_setscheduler(victim, os.SCHED_BATCH, os.sched_param(0))",
    "limits of another": "resource.prlimit(victim, resource.RLIMIT_CORE, (0, 0))",
    "own limits": "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    # files
    "read": "open(secret).read()",
    "list": "os.listdir(place)",
    "read by descriptor": "open(f'/proc/self/fd/{os.open(secret, os.O_PATH)}').read()",
    "write": "open(secret, 'r+').write('changed')",
    "append": "os.open(secret, os.O_WRONLY | os.O_APPEND)",
    "create": "open(place + '/made', 'x')",
    "create beside": "open('made', 'x')",
    "write to tmp": "open(made := f'/tmp/rekindle-made-{os.getpid()}', 'xb').write(b'x'); os.unlink(made)",
    "write to shared memory": "open(made := f'/dev/shm/rekindle-made-{os.getpid()}', 'xb'); os.unlink(made)",
    "fill the disk": "for i in range(3): open(f'big{i}', 'wb').write(b'x' * (1 << 20))",
    "unnamed file": "os.open(place, os.O_TMPFILE | os.O_RDWR)",
    "file in memory": "os.write(os.memfd_create('x'), b'x')",
    "symbolic link": "os.symlink(secret, place + '/link')",
    "hard link": "os.link(secret, place + '/link2')",
    "rename": "os.mkdir(place + '/a'); os.rename(place + '/a', place + '/b')",
    "fifo": "os.mkfifo(place + '/fifo')",
    "truncate": "os.truncate(secret, 3)",
    "mode": "os.chmod(secret, 0o666)",
    "owner": "os.chown(secret, os.getuid(), os.getgid())",
    "times": "os.utime(secret, (0, 0))",
    "attribute": "os.setxattr(secret, 'user.x', b'1')",
    "lock": "fcntl.flock(os.open(secret, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "lease": "fcntl.fcntl(os.open(secret, os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)",
    "delete": "os.unlink(place + '/spare')",
    # the kernel
    "memory": "bytearray(5 << 30)",
    "mapped memory": "mmap.mmap(-1, 5 << 30)",
    "namespace": "call('unshare', 0x10000000)",
    "shared memory segment": "call('shmget', 0, 4096, 0o1600)",
    "semaphore": "call('semget', 0, 1, 0o1600)",
    "message queue": "call('msgget', 0, 0o1600)",
    "inotify": "call('inotify_init')",
    "device control": "import termios; fcntl.ioctl(0, 0x5421, b'\\0' * 4)",
    "timer file": "call('timerfd_create', 1, 0)",
    "io_uring": "call('syscall', 425, 1, ctypes.create_string_buffer(120))",
    "keys": "call('syscall', keyctl, 0, -3, 1)",
    "bpf": "call('syscall', bpf, 0, ctypes.create_string_buffer(128), 128)",
    "performance events": "call('syscall', perf, ctypes.create_string_buffer(b'\\1\\0\\0\\0p', 112), 0, -1, -1, 0)",
    "page faults": "call('syscall', userfaultfd, 1)",
    "personality": "call('personality', 0)",
    "process name": "call('prctl', 15, b'sshd', 0, 0, 0)",
}  # fmt: skip
MAYBE = {
    "netlink", "trace", "attribute", "lease", "namespace", "io_uring", "keys", "bpf", "performance events",
    "page faults", "exec of memory", "clone3", "device control", "memory", "mapped memory", "unnamed file",
}  # fmt: skip
"""Those that some kernels, file systems and machines refuse to everybody."""

CLASSES = "().__class__.__base__.__subclasses__()"
FULLWIDTH = str.maketrans("abcdefghijklmnopqrstuvwxyz", "".join(chr(0xFF41 + place) for place in range(26)))
EXPRESSIONS = [
    "__import__('os').system('id')",
    CLASSES,
    f"[c for c in {CLASSES} if c.__name__ == '_wrap_close'][0].__init__.__globals__['system']('id')",
    "''.__class__.__mro__[1]",
    "(1).__class__",
    "1..real",
    "x.__class__.__init__.__globals__",
    "x.subs(x, 1)",
    "E.func",
    "exp.__doc__",
    "'{0.__class__.__init__}'.format(1)",
    "f'{open(0)}'",
    "'%s' % open",
    "exec('1')".translate(FULLWIDTH),
    "𝐞𝐱𝐞𝐜('1')",
    "eval('1')".replace("a", "ａ"),
    "_＿import_＿('os')",
    "ｘ.__class__",
    "(y := print)",
    "[y := 1, y]",
    "lambda: 1",
    "(lambda f: f(f))(lambda f: f(f))",
    "[0 for _ in range(10**9)]",
    "{x for x in range(9)}",
    "{x: x for x in range(9)}",
    "sum(x for x in range(10**9))",
    "max(range(10**9))",
    "[*range(9)]",
    "[0] * 10**9",
    "'a' * 10**10",
    "1 if open else 2",
    "1 < 2",
    "not 1",
    "1 and 2",
    "x[0]",
    "sqrt(x)[0]",
    "sqrt(*[1])",
    "sqrt(x=1)",
    "(x)(1)",
    "print(1)",
    "open('made', 'w')",
    "exit()",
    "breakpoint()",
    "input()",
    "globals()",
    "vars()",
    "getattr(x, y)",
    "type(x)",
    "compile(x, x, x)",
    "S(x)",
    "N(x)",
    "sympify(x)",
    "lambdify(x, x)",
    "Lambda(x, x)",
    "Function(x)",
    "Symbol('x')",
    "preview(x)",
    "plot(x)",
    "test()",
    "source(sqrt)",
    "integrate(x, x)",
    "Integral(x, x)",
    "diff(x, x)",
    "await x",
    "yield",
    "x @ x",
    "~x",
    "1; 2",
    "x\\\n+1",
    "x # 1",
    "x\0",
    "import os",
    "x = 1",
    "b'x' + b'x'",
    "1 << 10**9",
    "(" * 500 + "1" + ")" * 500 + ".real",
    # look-alikes, marks and characters that are not seen
    "еval('1')",
    "οpen(x)",
    "ехес('1')",
    "e\u200bval('1')",
    "e\u0301val('1')",
    "\ufeff[1].append(1)",
    "ℯxp(x)",
    "x²",
    "١+١",
    "1\u2028+1",
    "1\u00a0+ open",
    "1\x1a+1",
    "\ud800.x",
    "[1]\0",
    "x\ud83d",
    # texts that are put together
    "('ev' 'al')(1)",
    "('o' 's').join([])",
    "f'{(lambda: 1)()}'",
    "f'{x!r:{y}}'",
    "'{0.__globals__}'.format_map({})",
    "'{x.__class__}'.format(x=1)",
    "b'\\x65'.decode()",
    "str.format('{}', 1)",
    "chr(101) + chr(118)",
    # scopes, generators and other syntax
    "[y := open, y(0)]",
    "{(y := 1): y}",
    "[z for z in [open]][0]",
    "{z: z for z in [1]}",
    "(z for z in [1]).gi_frame.f_back.f_globals",
    "(lambda x=print: x)()",
    "[*open(0)]",
    "{**vars()}",
    "x if y else z",
    "x.y.z",
    "x[...]",
    "x[0:1]",
    "... .__class__",
    "x == y",
    "x in y",
    "x is y",
    "x or y",
    "x | y",
    "x >> 1",
    "lambda x: x",
    "print(*[1], sep='')",
    # ways to the built-in functions
    "__builtins__['eval']('1')",
    "__builtins__.__dict__",
    "__loader__.load_module('os')",
    "__spec__.loader",
    "__build_class__",
    "__debug__",
    "quit()",
    "license()",
    "help()",
    "memoryview(b'1')",
    "map(exec, ['1'])",
    "setattr(x, 'y', 1)",
    "delattr(x, 'y')",
    "super()",
    "object()",
    "__import__('signal').alarm(0)",
    "__import__('signal').signal(14, print)",
    "__import__('time').sleep(10**9)",
    "__import__('sys').setrecursionlimit(10**9)",
    "__import__('faulthandler')._sigsegv()",
    # sympy's own
    "symbols('x')",
    "var('x')",
    "parse_expr('1')",
    "Sum(1, (x, 1, 10**9))",
    "Product(x, (x, 1, 9))",
    "limit(x, x, 0)",
    "solve(x)",
    "nsolve(x, x, 1)",
    "Matrix([1])",
    "eye(10**9)",
    "zeros(10**9)",
    "prime(10**30)",
    "factorint(10**60 + 7)",
    "fibonacci(10**9)",
    "binomial(10**9, 10**8)",
    "bernoulli(10**6)",
    "primorial(10**6)",
    "subfactorial(10**6)",
    "init_session()",
    "pprint(x)",
    "Q.prime(x)",
    "Poly(x)",
    "expand(x)",
    "simplify(x)",
    "exp.eval(1)",
    "sqrt.__globals__",
    "Rational('1')",
    "Integer('9' * 10**9)",
    "exp(open)",
    "sin(x, evaluate=x)",
]
"""Texts that none of the nine scorers may evaluate."""
BOMBS = [
    "9**9**9**9",
    "10**10**8",
    "(10**9)**(10**9)",
    "2**(2**(2**(2**(2**2))))",
    "-(9**9)**9**9",
    "9**-9**9**9",
    "7**(1000*1000)",
    "1e999999999",
    "1e308**9999",
    "9" * 100 + "**" + "9" * 100,
    "+".join(["9**9999"] * 9),
    "(" * 300 + "1" + ")" * 300,
    "-" * 5000 + "1",
    "1" * 20_000,
    "1e-99999999999",
    "1 + 1e-9_9_9_9_9_9_9_9",
    "1.5E-000012345678",
    ".5e+99999",
    "0." + "1" * 601,
    "((3!)!)!",
    "3!!",
    "2000!",
    "factorial(factorial(factorial(3)))",
    "gamma(10**9)",
    "0**9**9**9",
    "x**9**9**9",
    "10**10**9 % 7",
    "10**10**9 // 10**10**8",
    "(2**5000)**9",
    "2**-9**9**9",
    "sqrt(10**1000)",
    "gamma(1." + "1" * 590 + "+10**999)",
    "log(9**999*7)",
    "1-" * 4_999 + "1",
    "9." * 4_999,
    "1" * 9_999,
]
"""Arithmetic whose numbers, or whose text, are too large for an answer."""
LONG = [
    "9" * 10_000_000,
    "[" * 10_000_000,
    "[" + "1," * 5_000_000 + "]",
    "a b " * 2_500_000,
    "'" * 10_000_000,
    "1 " * 5_000_000,
]
"""Answers of 10 MB."""
TAKEN_AS_LITERALS = [
    "0x" + "f" * 99_990,
    "[" + "1," * 9_000 + "]",
    "{" + "1:1," * 4_000 + "}",
    "'a'" * 60_000,
    "[" + "[]," * 6_000 + "]",
    "[" * 90 + "]" * 90,
    "'\\ud800'",
    "'\\N{SNOWMAN}'",
    "b'ABC'",
    "...",
    "set()",
    "[1+2j]",
    "None",
    "[True]",
    "# coding: utf-7\n[1]",
]
"""Literals that nobody would answer; the scorers may evaluate them, and they give nothing."""


class Stage:
    """Things of the user, in a directory of the test: files, servers and a process; ``changed`` says what happened."""

    def __init__(self, directory: Path) -> None:
        self.directory, self._secret = directory, directory / "secret"
        self._secret.write_text("secret")
        self._secret.chmod(0o600)
        (directory / "spare").touch()
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._unix, self._abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self._unix.bind(str(directory / "socket"))
        self._abstract.bind(abstract := f"\0rekindle-test-{os.getpid()}-{id(self)}")
        self._servers = (self._tcp, self._unix, self._abstract)
        for server in self._servers:
            server.listen(99)
        for one in (*self._servers, self._udp):
            one.setblocking(False)
        self._victim = subprocess.Popen(["sleep", "600"], start_new_session=True)
        self._names = {
            "place": str(directory),
            "victim": self._victim.pid,
            "trainer": os.getpid(),
            "tcp": self._tcp.getsockname()[1],
            "udp": self._udp.getsockname()[1],
            "abstract": abstract,
        }
        self._before = self._state()

    def code(self, statements: str) -> str:
        """A payload that reports if its statements end without an exception."""
        return BEGINNING.format(**self._names) + statements + "\nhappened()"

    def changed(self) -> list[str]:
        """What is no longer as it was."""
        now = self._state()
        return [name for name in now if now[name] != self._before[name]]

    def _state(self) -> dict[str, object]:
        status, pid = self._secret.stat(), self._victim.pid
        return {
            "files": sorted(path.name for path in self.directory.iterdir()),
            "content": self._secret.read_text(),
            "mode": stat.S_IMODE(status.st_mode),
            "times": status.st_mtime_ns,
            "attributes": os.listxattr(self._secret),
            "victim lives": self._victim.poll() is None,
            "priorities": [os.getpriority(os.PRIO_PROCESS, one) for one in (pid, os.getpid())],
            "processors": [os.sched_getaffinity(one) for one in (pid, os.getpid())],
            "connections": [_connected(server) for server in self._servers],
            "packets": _received(self._udp),
        }

    def close(self) -> None:
        """End the servers and the process."""
        self._victim.kill()
        self._victim.wait()
        for one in (*self._servers, self._udp):
            one.close()


def _connected(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _received(packets: socket.socket) -> bool:
    try:
        packets.recv(9)
    except BlockingIOError:
        return False
    return True
