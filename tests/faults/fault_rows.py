"""The faults of the table: what the application does meanwhile, and how its endpoint fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


PRELUDE: Final = """
import array, asyncio, concurrent.futures as futures, multiprocessing, random
URL, RATE, COUNT = sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
moments = random.Random(sys.argv[5])
DIRECTORY = os.path.join(HOME, "journal")
took = array.array("q")

def configure(**options):
    return bl.configure("faults", directory=DIRECTORY, otlp=URL, console=False, **options)

def record(place, n):
    begun = time.perf_counter_ns()
    with bl.step("s", n=n, model="small", split="train", source=f"s3://bucket/{n}", score=n * 0.5, cached=True) as step:
        step.stamp("loaded", rows=n)
        step.stamp("scored", score=0.5)
    took.append(time.perf_counter_ns() - begun)
    # One writer for each place: who has finished what is counted even if it is killed right here.
    ledger[place] += 1

def records(place=FINISHED, count=COUNT, rate=RATE):
    began = time.monotonic()
    for n in range(count):
        if rate:
            early = began + n / rate - time.monotonic()
            if early > 0:
                time.sleep(early)
        record(place, n)

def over():
    with open(os.path.join(HOME, "took"), "wb") as file:
        took.tofile(file)
    ledger[ENDED] = time.monotonic_ns()

def child(number):
    records(FINISHED + 1 + number, 250, 0)
"""
ENDED: Final = 0
FINISHED: Final = 1
PLACES: Final = 400

RECORDS: Final = """
configure()
records()
over()
"""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row of the table."""

    section: str
    name: str
    source: str = RECORDS
    rate: float = 2000.0
    """Steps a second; 0: as fast as it goes."""
    count: int = 10_000
    first: Mapping[str, Any] = field(default_factory=dict)
    """How the endpoint behaves from the beginning."""
    later: tuple[tuple[float, Mapping[str, Any]], ...] = ()
    """And from how many seconds on, how."""
    kill_after: float | None = None
    """Seconds after which the application is killed."""
    code: int = 0
    """How the application exits."""
    is_refused: bool = False
    """Whether the endpoint refuses for good: then all of it is in the dead letters, and not lost."""
    may_repeat: bool = False
    """Whether answers, or the ones who wait for them, are lost: then some arrive twice."""
    is_compared: bool = False
    """Whether its recording calls are held against the healthy run's."""
    exit_timeout: float = 2.0
    mounts: str | None = None


HEALTHY: Final = Fault(section="network", name="healthy, 2,000/s", is_compared=True)
_UP: Final[Mapping[str, Any]] = {"kind": "healthy"}


def _outage(name: str, seconds: float = 3.0, **how: Any) -> Fault:
    return Fault(
        section="network", name=name, first=how, later=((seconds, _UP),),
        is_compared=True, may_repeat=how["kind"] == "lost answer",
    )  # fmt: skip


def _whole_run(name: str, *, is_refused: bool = False, **how: Any) -> Fault:
    return Fault(section="network", name=name, first=how, is_compared=True, is_refused=is_refused)


NETWORK: Final = (
    HEALTHY,
    Fault(section="network", name="healthy, 200/s", rate=200.0, count=1_000),
    # Faster than the endpoint: what it was about to answer when the time for the end was over is sent again.
    Fault(section="network", name="healthy, 50,000 at once", rate=0.0, count=50_000, may_repeat=True),
    _whole_run("down", kind="down"),
    _whole_run("a black hole", kind="black hole"),
    _outage("down for 3 s", kind="down"),
    _outage("503 for 3 s", kind="status", status=503),
    _outage("429, Retry-After 1, for 3 s", kind="status", status=429, retry_after="1"),
    _outage("429, Retry-After 30, for 3 s", kind="status", status=429, retry_after="30"),
    _outage("resets for 3 s", kind="reset"),
    _whole_run("500", is_refused=True, kind="status", status=500),
    _whole_run("401", is_refused=True, kind="status", status=401),
    _whole_run("302", is_refused=True, kind="status", status=302),
    _whole_run("400", is_refused=True, kind="status", status=400),
    _whole_run("takes nothing (partial success)", is_refused=True, kind="partial", rejected=1_000_000),
    _whole_run("5 s a request", kind="healthy", delay_seconds=5.0),
    Fault(
        section="network", name="answers after 12 s", first={"kind": "healthy", "delay_seconds": 12.0},
        is_compared=True, may_repeat=True,
    ),
    _outage("answers lost for 3 s", kind="lost answer"),
    _whole_run("bodies over 100 kB refused (413)", kind="too large", limit=100_000),
    _whole_run("no JSON (415)", kind="no json"),
    _whole_run("an answer that is too long", kind="huge answer"),
    _whole_run("an answer that makes no sense", kind="bad answer"),
)  # fmt: skip


def _process(name: str, source: str, **how: Any) -> Fault:
    return Fault(section="process", name=name, source=source, **how)


def _killed(name: str, seconds: float, **how: Any) -> Fault:
    # The one who delivers is killed with the application, perhaps while it waits for an answer.
    return Fault(
        section="process", name=f"kill -9, {name}", count=10**9, kill_after=seconds, code=-9, may_repeat=True, **how
    )


def _children(method: str) -> str:
    return f"""
if __name__ == "__main__":
    configure()
    context = multiprocessing.get_context({method!r})
    running = [context.Process(target=child, args=(n,)) for n in range(4)]
    for process in running: process.start()
    records(count=1000, rate=0)
    for process in running: process.join()
    over()
"""


def _ending(last: str) -> str:
    return f"configure()\nrecords()\nover()\n{last}\n"


_FORKS: Final = """
configure()
records(count=500, rate=0)
for number in range(20):
    pid = os.fork()
    if not pid:
        child(number)
        {end}
    records(count=50, rate=0)
    os.waitpid(pid, 0)
over()
"""

_SHORT: Final[Mapping[str, Any]] = {"rate": 500.0, "count": 1_500}
PROCESS: Final = (
    *(_killed(f"at 200/s, {n}", 0.4 + 0.37 * n, rate=200.0) for n in (1, 2, 3, 4, 5)),
    *(_killed(f"at 2,000/s, {n}", 0.4 + 0.37 * n) for n in (1, 2, 3, 4, 5)),
    *(_killed(f"at full speed, {n}", 0.4 + 0.23 * n, rate=0.0) for n in (1, 2, 3)),
    _killed("endpoint down", 2.0, first={"kind": "down"}),
    _process("SIGTERM", _ending("os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(30)"), code=-15, **_SHORT),
    _process("SIGINT", _ending("os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)"), code=-2, **_SHORT),
    _process("sys.exit", _ending("sys.exit(3)"), code=3, **_SHORT),
    _process("an unhandled exception", _ending("raise RuntimeError('boom')"), code=1, **_SHORT),
    _process("os._exit", _ending("os._exit(0)"), **_SHORT),
    _process("abort", _ending("os.abort()"), code=-6, **_SHORT),
    _process("an exception in a thread", """
configure()
def work():
    records()
    raise RuntimeError("boom")
thread = threading.Thread(target=work)
thread.start()
thread.join()
over()
""", **_SHORT),
    _process("an atexit hook older than configure()", """
atexit.register(lambda: (records(count=10, rate=0), over()))
configure()
records(count=500, rate=0)
"""),
    _process("daemon threads that go on", """
configure()
for n in range(4):
    threading.Thread(target=records, args=(FINISHED + 1 + n, 10**9, 500.0), daemon=True).start()
time.sleep(1)
over()
"""),
    _process("os.fork, children end by os._exit", _FORKS.format(end="os._exit(0)")),
    _process("os.fork, children end by sys.exit", _FORKS.format(end="sys.exit(0)")),
    *(_process(f"multiprocessing, {method}", _children(method)) for method in ("fork", "forkserver", "spawn")),
    _process("ProcessPoolExecutor and Pool", """
if __name__ == "__main__":
    configure()
    with futures.ProcessPoolExecutor(2) as pool, multiprocessing.Pool(2) as other:
        list(pool.map(child, range(4)))
        other.map(child, range(4, 8))
    over()
"""),
    _process("a server that forks its workers first", """
configure()
workers = []
for number in range(4):
    pid = os.fork()
    if not pid:
        # A worker of its own, that ends when it is told to.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        child(number)
        time.sleep(30)
        sys.exit(1)
    workers.append(pid)
while any(ledger[FINISHED + 1 + number] < 250 for number in range(4)):
    time.sleep(0.01)
for pid in workers: os.kill(pid, signal.SIGTERM)
for pid in workers: os.waitpid(pid, 0)
over()
"""),
    _process("200 threads, 1,000 each", """
configure()
threads = [threading.Thread(target=records, args=(FINISHED + 1 + n, 1000, 0)) for n in range(200)]
for thread in threads: thread.start()
for thread in threads: thread.join()
over()
""", may_repeat=True),
    _process("5,000 tasks, 10 each", """
configure()
async def task():
    for n in range(10):
        record(FINISHED, n)
        await asyncio.sleep(0)
async def main():
    await asyncio.gather(*(task() for _ in range(5000)))
asyncio.run(main())
over()
""", may_repeat=True),
    _process("configure() three times", """
for n in range(3):
    configure()
    records(count=500, rate=0)
for n in range(3):
    configure(verbosity=("QUIET", "VERBOSE", "REGULAR")[n])
    records(count=500, rate=0)
over()
"""),
)  # fmt: skip

DISK: Final = (
    Fault(
        section="disk", name="full for a second", mounts="mkdir journal; mount -t tmpfs -o size=16m tmpfs journal",
        source="""
configure()
records(count=1000, rate=0)
ballast = os.path.join(DIRECTORY, "ballast")
with open(ballast, "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
records(count=5000, rate=5000)
os.unlink(ballast)
records(count=1000, rate=1000)
over()
bl.flush(20)
""",
    ),
    Fault(section="disk", name="no larger files (RLIMIT_FSIZE)", source="""
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
configure()
records(count=200, rate=0)
bl.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
records(count=5000, rate=5000)
over()
"""),
    Fault(section="clock", name="set an hour back", source="""
real, shift = time.time_ns, [0]
time.time_ns = lambda: real() + shift[0]
configure()
records(count=1000)
shift[0] = -3_600_000_000_000
records(count=1000)
over()
"""),
)  # fmt: skip

FAULTS: Final = (*NETWORK, *PROCESS, *DISK)
