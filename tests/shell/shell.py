# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of supervised programs share: a copy of skep that anybody may run, users and hosts to run it as and on, TAP.

Arguments of a test: SKEP SOURCE OUTER WAY. A way is how skep gets in, for a user without privileges (notify or ptrace: that door is asked for; docker: behind
Docker's filter, where the probe finds the door; nolistener: the same without new listeners), or one of `hosts`."""
import atexit
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
import docker

source, outer, way = sys.argv[2:5]
NOBODY, USER = 65534, 1000
number = failures = 0
top = tempfile.mkdtemp(prefix="skep-shell-")
os.chmod(top, 0o777)
atexit.register(shutil.rmtree, top, True)
skep = shutil.copy(sys.argv[1], os.path.join(top, "skep"))
os.chmod(skep, 0o755)
outer = shutil.copy(outer, os.path.join(top, "outer"))
os.chmod(outer, 0o755)
root = os.getuid() == 0
filters = {}
for name, insns in {"docker": docker.docker(), "docker-bpf": docker.docker([*docker.DEFAULT, "CAP_BPF", "CAP_PERFMON"]), "nolistener": docker.no_listener(),
                    "linux-5.18": docker.linux(5, 18), "linux-5.5": docker.linux(5, 5), "linux-5.2": docker.linux(5, 2)}.items():
    filters[name] = ["--filter", os.path.join(top, name + ".filter")]
    with open(filters[name][1], "wb") as f:
        f.write(insns)
before = {"docker": [outer, *filters["docker"]], "nolistener": [outer, *filters["docker"], *filters["nolistener"]]}.get(way, [])
door = ["--door", way] if way in ("notify", "ptrace") else []
# What `outer` makes of this machine, and whether that needs root.
hosts = {
    "plain": (["--uid", str(USER)], False),
    "root": (["--caps", docker.DEFAULT_MASK], True),
    "docker-user": ([*filters["docker"], "--caps", docker.DEFAULT_MASK, "--uid", str(USER)], False),
    "docker-root": ([*filters["docker"], "--caps", docker.DEFAULT_MASK], True),
    "docker-bpf": ([*filters["docker-bpf"], "--caps", docker.DEFAULT_MASK], True),  # what --cap-add BPF lets pass, for a user who does not have it
    "nouserns": (["--no-userns", "--uid", str(USER)], True),
    "linux-5.18": ([*filters["linux-5.18"], "--uid", str(USER)], False),
    "linux-5.5": ([*filters["linux-5.5"], "--uid", str(USER)], False),
}
uid = NOBODY if way not in hosts else USER if str(USER) in hosts[way][0] else 0
# LeakSanitizer traces its own process, which it cannot where programs are traced already.
env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0", "XDG_RUNTIME_DIR": os.path.join(top, "run"), "HOME": top, "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
os.mkdir(env["XDG_RUNTIME_DIR"], 0o700)
if root:
    os.chown(env["XDG_RUNTIME_DIR"], uid, uid)


def path(name):
    return os.path.join(top, name)


def as_nobody(*command):
    """The command as a user without any right, or on the host that the test is about; as oneself where one has no right to give up."""
    if not root:
        filter = filters.get({"docker-user": "docker"}.get(way, way)) if way in hosts else None
        return [outer, *filter, *command] if filter else list(command)
    if way in hosts:
        return [outer, *hosts[way][0], *command]
    return ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", *command]


def run(*command, **more):
    more.setdefault("timeout", 60)
    return subprocess.run(as_nobody(*command), capture_output=True, text=True, env={**env, **more.pop("env", {})}, cwd=top,
                          errors="replace", **more)


def supervised(*command, **more):
    return run(*before, skep, "shell", *door, *command, **more)


def shell(script, **more):
    return supervised("sh", "-c", script, **more)



def interrupt(pid):
    """A script that ends bpftrace, which misses an interruption that comes while it does not wait, and is killed by one that comes while it prints its maps."""
    return f"while kill -INT {pid} 2> /dev/null; do n=0; while [ $n -lt 30 ] && kill -0 {pid} 2> /dev/null; do n=$((n + 1)); sleep 0.1; done; done; wait {pid}"


# A script: prints the maps that there are, when the last has gone. As on Linux, what a program held ends a moment after it.
NO_MAPS = "i=0; until [ \"$(bpftool -j map show)\" = '[]' ] || [ $i = 100 ]; do i=$((i+1)); sleep 0.1; done; bpftool -j map show"


def nap(name):
    """A command that sleeps for long, known from those of other tests that run at the same time."""
    return f"sleep {name}.{os.getpid()}"


def processes(command):
    found = []
    for f in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(f, "rb") as cmd:
                if cmd.read() == command.replace(" ", "\0").encode() + b"\0":
                    found.append(int(f.split("/")[2]))
        except OSError:
            pass
    return found


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
            return [int(child) for child in f.read().split()]
    except OSError:
        return []


def wait_for(truth, seconds=15):
    end = time.monotonic() + seconds
    while not (found := truth()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def running(command, count=1):
    return None if wait_for(lambda: len(processes(command)) == count) else f"{command}: {len(processes(command))} run, not {count}"


def gone(command):
    return running(command, 0)


def case(name, *problems, skip=None):
    global number, failures
    number += 1
    problems = [p for p in problems if p]
    for p in problems:
        print("# " + p.replace("\n", "\n# "))
    failures += bool(problems)
    print(f"{'not ok' if problems else 'ok'} {number} {name}{' # SKIP ' + skip if skip else ''}", flush=True)


def ends(done, status, *texts, err=""):
    """None, or what is wrong with how it ended: its status, what stdout does not hold, what stderr does not hold."""
    missing = [t for t in texts if t not in done.stdout] + ([err] if err and err not in done.stderr else [])
    if done.returncode == status and not missing:
        return None
    return f"{' '.join(done.args[-4:])}: status {done.returncode}, expected {status}; missing: {missing}\nstdout: {done.stdout[-3000:]}\nstderr: {done.stderr[-3000:]}"


def differ(got, want):
    missing, invented = list(want), []
    for row in got:
        if row in missing:
            missing.remove(row)
        else:
            invented.append(row)
    return f"missing: {missing[:5]} ({len(missing)}), invented: {invented[:5]} ({len(invented)}), of {len(want)}" if missing or invented or not want else None


def opened(text):
    """(path, descriptor or errno) of opensnoop's rows."""
    rows = []
    for line in text.split("\n"):
        f = line.split(None, 4)
        if len(f) == 5 and f[0].isdigit():
            rows.append((f[4], int(f[2]) if int(f[2]) >= 0 else -int(f[3])))
    return sorted(rows)


ERRNO = {"ENOENT": 2, "EACCES": 13, "ENOTDIR": 20, "EEXIST": 17, "ENXIO": 6, "ELOOP": 40, "EPERM": 1}


def strace_opened(*command):
    run("strace", "-f", "-s", "300", "-e", "trace=open,openat", "-o", path("strace"), *command)
    rows, partial = [], {}
    with open(path("strace"), encoding="utf-8", errors="replace") as f:
        for line in f:
            pid, rest = line.split(None, 1)
            rest = rest.rstrip("\n")
            if rest.endswith("<unfinished ...>"):
                partial[pid] = rest[: -len("<unfinished ...>")]
                continue
            m = re.match(r"<\.\.\. \w+ resumed>(.*)", rest)
            if m:
                rest = partial.pop(pid, "") + m.group(1)
            m = re.match(r'open(?:at)?\((?:[^",]*, )?"([^"]*)",.*\)\s+= (-?\d+)(?: (\w+))?', rest)
            if m:
                rows.append((m.group(1), int(m.group(2)) if int(m.group(2)) >= 0 else -ERRNO[m.group(3)]))
    return sorted(rows)


def need(*programs):
    """Ends the test, skipped, where a program is missing."""
    for p in programs:
        if not shutil.which(p, path=env["PATH"]):
            case("programs to test with", skip=f"no {p}")
            finish()


def need_proc():
    if not os.access("/proc/self/fd", os.R_OK):
        case("tasks to watch", skip="no /proc")
        finish()


no_sys = None if os.path.isdir("/sys/fs") else "no /sys"


def lacks_terminals():
    """Why there are no pseudo-terminals here; None: there are."""
    try:
        for fd in os.openpty():
            os.close(fd)
    except OSError as e:
        return f"no pseudo-terminals here: {e}"
    return None


def need_terminals():
    if lacks_terminals():
        case("terminals", skip=lacks_terminals())
        finish()


def need_host():
    """Ends the test, skipped, where this machine cannot be made the kind of host that it is about."""
    need_proc()
    with open("/proc/self/status", encoding="utf-8") as f:
        filtered = not re.search(r"^Seccomp:\s+0$", f.read(), re.M)
    done = run("true") if root or not hosts[way][1] else None
    if filtered and way not in ("docker-user", "docker-root"):
        case("a host of this kind", skip=f"{way}: this machine is a container behind a filter of its own")
        finish()
    if not done or (done.returncode == 125 and done.stderr.startswith("outer: ")):
        case("a host of this kind", skip=f"{way}: {done.stderr.strip() if done else 'root only can make one'}")
        finish()


def need_door():
    need_proc()
    done = supervised("true")
    if done.returncode == 125:
        case("a way in", skip=done.stderr.strip().split("\n")[0])
        finish()


def compile_bpf(source, target):
    subprocess.run(["clang", "-target", "bpf", "-O2", "-g", f"-I/usr/include/{os.uname().machine}-linux-gnu", "-c", source, "-o", path(target)],
                   check=True)
    os.chmod(path(target), 0o644)


def finish():
    print(f"1..{number}")
    sys.exit(1 if failures else 0)
