"""A real one-node Slurm for tests: `python tests/cluster/slurm.py up`, and `down`; see README.md.

Debian as root; no systemd, cgroups or accounting. The node pretends to have 8 CPUs, 16 GB and a GPU.
"""

import argparse
import contextlib
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

STATE = Path("/run/sbcflow-slurm")
OWN = "sbcflow-slurmctld"  # in the state folder; tells `down` that it may remove the folder
ETC = Path("/etc/slurm")
MARK = "# Written by sbcflow's tests/cluster/slurm.py; `down` removes it.\n"
PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge"]
DAEMONS = ("munged", "slurmctld", "slurmd")
UP = ("idle", "mix", "alloc")

SLURM_CONF = """\
ClusterName=sbcflow
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=15,socket={state}/munge/socket
StateSaveLocation={state}/{own}
SlurmdSpoolDir={state}/spool
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2,bf_interval=1
ReturnToService=1
MinJobAge=3600
InactiveLimit=0
KillWait=5
OverTimeLimit=0
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=localhost CPUs=8 RealMemory=16000 Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=localhost Default=YES PriorityTier=2 MaxTime=1-0 DefaultTime=60 State=UP
PartitionName=gpu Nodes=localhost MaxTime=1-0 DefaultTime=60 State=UP
"""
GRES_CONF = "AutoDetect=off\nNodeName=localhost Name=gpu File=/dev/null\n"


class SlurmError(RuntimeError):
    """The test Slurm cannot be started, stopped or asked; the message says why."""


def up(state: Path = STATE) -> bool:
    """Start the test Slurm and wait until its node is idle.

    Returns False if it already ran and was healthy, else True. Raises SlurmError if this is not Debian as
    root, if another Slurm runs here, or if the node does not become idle.
    """
    _refuse(state)
    running = {name for _, name in _find(state, DAEMONS)}
    if len(running) == len(DAEMONS) and _node_state() in UP:
        return False
    _install()
    down(state)  # what an interrupted run left
    try:
        _prepare(state)
        _start(state)
        wait_until_idle(30)
    except (SlurmError, OSError) as error:
        logs = _log_tails(state)
        down(state)
        raise SlurmError(f"Slurm did not start: {error}\n{logs}") from error
    return True


def down(state: Path = STATE) -> None:
    """Stop the test Slurm and its jobs, remove its state, bring the former configuration back.

    Raises SlurmError if another Slurm runs here, or if a process survives SIGKILL.
    """
    _refuse(state)
    for name in ("slurmctld", "slurmd", "slurmstepd", "munged"):
        _stop([pid for pid, _ in _find(state, [name])])
    for name in ("slurm.conf", "gres.conf"):
        _restore(ETC / name)
    if (state / OWN).exists():
        shutil.rmtree(state)


@contextlib.contextmanager
def running_slurm(state: Path = STATE) -> Iterator[None]:
    """Hold a running Slurm: `up` on entry; `down` on exit, only if entry brought it up. Raises as `up`."""
    started = up(state)
    try:
        yield
    finally:
        if started:
            down(state)


def node_down() -> None:
    """Mark the node DOWN until `node_up`: its jobs are killed and requeued (--no-requeue: NODE_FAIL).

    Raises SlurmError.
    """
    _run("scontrol", "update", "NodeName=localhost", "State=DOWN", "Reason=test")


def node_up() -> None:
    """Return the node to service and wait until it takes jobs. Raises SlurmError."""
    _run("scontrol", "update", "NodeName=localhost", "State=RESUME")
    _wait(lambda: _node_state() in UP, 30, "the node does not come back")


def jobs() -> list[dict[str, str]]:
    """Return every job of the last hour, finished ones too: id, state, partition, name, comment.

    Raises SlurmError. Snakemake names all jobs of a run alike and puts the rule's name into the comment.
    """
    keys = ("id", "state", "partition", "name", "comment")
    lines = _run("squeue", "-h", "--states=all", "-o", "%i|%T|%P|%j|%k").splitlines()
    return [dict(zip(keys, line.split("|", 4), strict=True)) for line in lines]


def cancel(job_id: str) -> None:
    """Cancel a job. Raises SlurmError if Slurm does not know it."""
    _run("scancel", job_id)


def wait_until_idle(deadline: float) -> None:
    """Wait until the node answers and runs no job. Raises SlurmError after `deadline` seconds."""
    _wait(lambda: _node_state() == "idle", deadline, "the node is not idle")


def _node_state() -> str:
    """Return the node's state in sinfo's word ("idle*": does not answer), "" if slurmctld is silent."""
    try:
        return _run("sinfo", "-h", "-n", "localhost", "-p", "gpu", "-o", "%t", timeout=2).strip()
    except SlurmError:
        return ""


def _run(*command: str, timeout: float = 20) -> str:
    """Return a command's output. Raises SlurmError with its message if it fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(str(error)) from error
    if done.returncode:
        raise SlurmError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _wait(condition: Callable[[], bool], seconds: float, problem: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SlurmError(f"{problem} after {seconds:g} s")
        time.sleep(0.2)


def _install() -> None:
    """Install the missing packages. Raises SlurmError where that is impossible."""
    if all(shutil.which(program, path="/usr/sbin:/usr/bin") for program in (*DAEMONS, "sinfo")):
        return
    if not shutil.which("apt-get"):
        raise SlurmError(f"no apt-get here (not Debian?) to install {' '.join(PACKAGES)}")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    _run("apt-get", "update", "-qq", timeout=300)
    _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES, timeout=600)


def _prepare(state: Path) -> None:
    """Make the state folder, a munge key of our own and the configuration."""
    if state.exists() and any(state.iterdir()):
        raise SlurmError(f"{state} holds files that are not ours")
    for name in (OWN, "spool", "munge"):
        (state / name).mkdir(parents=True)
    munge = pwd.getpwnam("munge")
    key = state / "munge/key"
    key.touch(0o600)
    key.write_bytes(os.urandom(128))
    for path in (key.parent, key):
        os.chown(path, munge.pw_uid, munge.pw_gid)
    _replace(ETC / "slurm.conf", MARK + SLURM_CONF.format(state=state.resolve(), own=OWN))
    _replace(ETC / "gres.conf", MARK + GRES_CONF)


def _replace(path: Path, text: str) -> None:
    """Write a configuration file; one that is not ours is kept beside it for `_restore`."""
    path.parent.mkdir(exist_ok=True)
    if path.exists() and not path.read_text().startswith(MARK):
        path.rename(f"{path}.before-sbcflow")
    path.write_text(text)


def _restore(path: Path) -> None:
    if path.exists() and path.read_text().startswith(MARK):
        path.unlink()
    saved = Path(f"{path}.before-sbcflow")
    if saved.exists() and not path.exists():
        saved.rename(path)


def _start(state: Path) -> None:
    own = state.resolve() / "munge"
    files = [f"--{name}-file={own / name}" for name in ("key", "log", "pid", "seed")]
    _run("runuser", "-u", "munge", "--", "/usr/sbin/munged", f"--socket={own / 'socket'}", *files)
    for daemon in ("slurmctld", "slurmd"):
        _run(f"/usr/sbin/{daemon}", "-c")


def _log_tails(state: Path) -> str:
    logs = [*state.glob("*.log"), *state.glob("munge/log")]
    return "\n".join("\n".join([f"== {log.name}", *log.read_text().splitlines()[-15:]]) for log in logs)


def _processes() -> Iterator[tuple[int, str]]:
    """Yield pid and program (less Debian's -wlm) of each live process; zombies have no program."""
    for link in Path("/proc").glob("[0-9]*/exe"):
        with contextlib.suppress(OSError):
            program = link.readlink().name.removesuffix(" (deleted)").removesuffix("-wlm")
            yield int(link.parent.name), program


def _holds(pid: int, state: Path) -> bool:
    """Whether a process has a file of the state folder open: so our daemons are known from others."""
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if link.readlink().is_relative_to(state):
                    return True
    return False


def _find(state: Path, names: Iterable[str]) -> list[tuple[int, str]]:
    """Find our processes that run one of these programs."""
    state = state.resolve()
    return [(pid, name) for pid, name in _processes() if name in names and _holds(pid, state)]


def _refuse(state: Path) -> None:
    """Raise SlurmError if we are not root or a Slurm runs here that does not use this state folder."""
    if os.geteuid() != 0:
        raise SlurmError("the test Slurm needs root")
    ours = _with_descendants([pid for pid, _ in _find(state, DAEMONS)])
    for pid, name in _processes():
        if name in ("slurmctld", "slurmd") and pid not in ours:
            raise SlurmError(f"another Slurm already runs on this machine ({name}, pid {pid}): left alone")


def _with_descendants(pids: list[int]) -> list[int]:
    """Add all descendants: a job's own processes hang below its slurmstepd."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = list(pids)
    for pid in found:  # grows as it is walked
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


def _stop(pids: list[int]) -> None:
    """End processes and their descendants: SIGTERM, after 5 s SIGKILL. Raises SlurmError if one is left."""
    with contextlib.ExitStack() as stack:
        handles = []  # pidfds: they cannot mean a later process of the same pid
        for pid in _with_descendants(pids):
            with contextlib.suppress(ProcessLookupError):
                handles.append(os.pidfd_open(pid))
                stack.callback(os.close, handles[-1])
        for number in (signal.SIGTERM, signal.SIGKILL):
            for handle in handles:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
            with contextlib.suppress(SlurmError):
                return _wait(lambda: len(select.select(handles, [], [], 0)[0]) == len(handles), 5, "alive")
    raise SlurmError(f"of these processes some survive SIGKILL: {pids}")


def main() -> int:
    """Run the command line; an error goes to stderr, with exit status 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--state", type=Path, default=STATE, help="folder of the daemons' files")
    arguments = parser.parse_args()
    begin, answer = time.monotonic(), "Slurm is down"
    try:
        if arguments.action == "up":
            answer = "Slurm is up" if up(arguments.state) else "Slurm already runs and is healthy"
        else:
            down(arguments.state)
    except (SlurmError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{answer} ({time.monotonic() - begin:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
