"""docs/benchmarks.md: the text of page.md, with the tables and plots of what was measured."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.queues import affinity, depth, fairness, hosts, recovery, side_by_side
from tests.benchmarks.queues.affinity import Placed
from tests.benchmarks.queues.depth import Depth
from tests.benchmarks.queues.fairness import Shares
from tests.benchmarks.queues.recovery import Recovery
from tests.benchmarks.queues.rooms import OURS, PACKAGES, versions
from tests.benchmarks.queues.side_by_side import Measured

_BAR = 40


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of `make bench` measured; `naps` and `shares` are None where no Docker Engine answered."""

    side_by_side: Mapping[str, Measured]
    recovery: Recovery
    depth: Depth
    naps: Mapping[int, float] | None
    shares: Shares | None
    placed: tuple[Placed, Placed]
    load: tuple[float, float]
    seconds: float


def written(run: Run) -> str:
    """The page."""
    return (
        (Path(__file__).parent / "page.md")
        .read_text()
        .format(
            machine=_machine(run),
            latency=_latency(run.side_by_side),
            throughput=_throughput(run.side_by_side),
            submission=_submission(run.side_by_side),
            recovery=_recovery(run.recovery),
            claim=_claim(run.depth),
            memory=_memory(run.depth),
            daemons=_daemons(run.naps),
            shares=_singles(run.shares),
            batches=_batches(run.shares),
            stop="?" if run.shares is None else f"{run.shares.stop:.1f}",
            singles=fairness.SINGLES,
            batch=fairness.BATCH,
            starts=_starts(run.placed),
            many=f"{side_by_side.JOBS:,}",
            rounds=side_by_side.ROUNDS,
            kills=recovery.KILLS,
            held=recovery.JOBS,
            cut=f"{run.recovery.cut:.0f}",
            claims=depth.CLAIMS,
            containers=hosts.CONTAINERS,
            naps=hosts.JOBS,
            placed=affinity.JOBS,
            spaces=affinity.SPACES,
            hosts=affinity.HOSTS,
        )
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bars(values: Mapping[str, float], unit: str) -> str:
    """A plot of text: the longest bar is the largest value."""
    most, width = max(values.values()), max(map(len, values))
    lines = [
        f"{name:<{width}}  {'█' * max(1, round(_BAR * value / most))} {_short(value)} {unit}"
        for name, value in values.items()
    ]
    return "\n".join(["```", *lines, "```"])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _machine(run: Run) -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kind = found[1] if found else platform.machine()
    rows = [
        ("machine", f"{os.cpu_count()} cores ({kind}), {memory:.0f} GiB, Linux {platform.release()}"),
        ("load before and after", f"{run.load[0]:.1f}, {run.load[1]:.1f}"),
        ("Python", platform.python_version()),
        *((queue, _named(versions(queue))) for queue in PACKAGES),
        ("the whole run", f"{run.seconds / 60:.1f} minutes"),
    ]
    return _table(("", ""), rows)


def _named(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in found.items())


def _latency(measured: Mapping[str, Measured]) -> str:
    median = {queue: statistics.median(one.trips) * 1000 for queue, one in measured.items()}
    rows = []
    for queue, one in measured.items():
        late = statistics.quantiles(one.trips, n=100)[98] * 1000
        ratio = median[queue] / median[OURS]
        rows.append(
            (queue, f"{median[queue]:.2f} ms", f"{late:.2f} ms", f"{ratio:.2f}", f"{len(one.trips):,}")
        )
    head = ("queue", "median", "p99", "median, ours = 1", "jobs")
    return _table(head, rows) + "\n\n" + _bars(median, "ms")


def _throughput(measured: Mapping[str, Measured]) -> str:
    rate = {queue: side_by_side.JOBS / statistics.median(one.drain) for queue, one in measured.items()}
    rows = []
    for queue, value in rate.items():
        cpu = statistics.median(measured[queue].cpu) / side_by_side.JOBS * 1e6
        rows.append((queue, f"{value:,.0f}", f"{rate[OURS] / value:.2f}", f"{cpu:.0f} µs"))
    head = ("queue", "jobs/s", "ours is so many times as fast", "the worker's CPU time of a job")
    return _table(head, rows) + "\n\n" + _bars(rate, "jobs/s")


def _submission(measured: Mapping[str, Measured]) -> str:
    seconds = {queue: statistics.median(one.submission) for queue, one in measured.items()}
    rows = [(queue, f"{value:.2f} s", f"{value / seconds[OURS]:.1f}") for queue, value in seconds.items()]
    return _table(("queue", "seconds", "ours = 1"), rows) + "\n\n" + _bars(seconds, "s")


def _recovery(measured: Recovery) -> str:
    wanted, cut = recovery.KILLS * recovery.JOBS, measured.cut
    rows, medians = [], {}
    for queue, seconds in measured.seconds.items():
        missing = wanted - len(seconds)
        medians[queue] = statistics.median([*seconds, *[cut] * missing])
        median = f"over {cut:.0f} s" if 2 * missing > wanted else f"{medians[queue]:.1f} s"
        worst = f"over {cut:.0f} s ({missing} of {wanted})" if missing else f"{seconds[-1]:.1f} s"
        rows.append((queue, median, worst))
    return _table(("queue", f"median of {wanted}", "worst"), rows) + "\n\n" + _bars(medians, "s")


def _claim(measured: Depth) -> str:
    median = {count: statistics.median(seconds) * 1000 for count, seconds in measured.claims.items()}
    least = median[depth.DEPTHS[0]]
    rows = [(f"{count:,}", f"{value:.2f} ms", f"{value / least:.2f}") for count, value in median.items()]
    return _table(("jobs that wait", "median", f"{depth.DEPTHS[0]} = 1"), rows)


def _memory(measured: Depth) -> str:
    most = depth.DEPTHS[-1]
    sizes = {"waits": measured.waiting, "has ended": measured.finished}
    rows = [(name, f"{size:,.0f} bytes", f"{size * most / 2**20:,.0f} MiB") for name, size in sizes.items()]
    return _table(("a job that", "each", f"{most:,} of them"), rows)


def _daemons(naps: Mapping[int, float] | None) -> str:
    if naps is None:
        return "Not measured: no Docker Engine answered."
    rows = [(str(count), f"{seconds:.1f} s", f"{naps[1] / seconds:.2f}") for count, seconds in naps.items()]
    return _table(("daemons", "seconds", "times as fast as one"), rows)


def _singles(shares: Shares | None) -> str:
    if shares is None:
        return "Not measured: no Docker Engine answered."
    rows = [
        (f"{waiting:,}", f"{statistics.median(seconds):.2f} s", f"{max(seconds):.2f} s")
        for waiting, seconds in shares.singles.items()
    ]
    return _table(("jobs that wait", "median", "worst"), rows)


def _batches(shares: Shares | None) -> str:
    if shares is None:
        return "not measured"
    first, second = sorted(shares.batches)
    return f"{first:.1f} s and {second:.1f} s, {(second - first) / second:.1%} apart"


def _starts(placed: tuple[Placed, Placed]) -> str:
    names = ("prefers Spaces that are up", "takes the oldest job")
    rows = [(name, str(one.starts), f"{one.seconds:.1f} s") for name, one in zip(names, placed, strict=True)]
    return _table(("a host", "starts", "all jobs after"), rows)
