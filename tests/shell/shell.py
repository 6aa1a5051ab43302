# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of supervised programs share: a copy of skep that anybody may run, a user without privileges, TAP.

Arguments of a test: SKEP SOURCE OUTER WAY. WAY: notify or ptrace (that door is asked for), docker (behind what Docker's filter refuses; the door is found by
the probe), nolistener (the same without new listeners)."""
import atexit
import os
import shutil
import subprocess
import sys
import tempfile

source, outer, way = sys.argv[2:5]
NOBODY = 65534
number = failures = 0
top = tempfile.mkdtemp(prefix="skep-shell-")
os.chmod(top, 0o777)
atexit.register(shutil.rmtree, top, True)
skep = shutil.copy(sys.argv[1], os.path.join(top, "skep"))
os.chmod(skep, 0o755)
outer = shutil.copy(outer, os.path.join(top, "outer"))
os.chmod(outer, 0o755)
root = os.getuid() == 0
before = {"docker": [outer], "nolistener": [outer, "--listener"]}.get(way, [])
door = ["--door", way] if way in ("notify", "ptrace") else []
env = {**os.environ, "XDG_RUNTIME_DIR": os.path.join(top, "run"), "HOME": top, "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
os.mkdir(env["XDG_RUNTIME_DIR"], 0o700)
if root:
    os.chown(env["XDG_RUNTIME_DIR"], NOBODY, NOBODY)


def path(name):
    return os.path.join(top, name)


def as_nobody(*command):
    """The command as a user without any right; as oneself where one has none to give up."""
    if not root:
        return list(command)
    return ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", *command]


def run(*command, **more):
    more.setdefault("timeout", 60)
    return subprocess.run(as_nobody(*command), capture_output=True, text=True, env={**env, **more.pop("env", {})}, cwd=top,
                          errors="replace", **more)


def supervised(*command, **more):
    return run(*before, skep, "shell", *door, *command, **more)


def shell(script, **more):
    return supervised("sh", "-c", script, **more)


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


def need(*programs):
    """Ends the test, skipped, where a program is missing."""
    for p in programs:
        if not shutil.which(p, path=env["PATH"]):
            case("programs to test with", skip=f"no {p}")
            finish()


def need_terminals():
    try:
        for fd in os.openpty():
            os.close(fd)
    except OSError as e:
        case("terminals", skip=f"no pseudo-terminals here: {e}")
        finish()


def need_door():
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
