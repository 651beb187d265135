"""Runs programs and keeps what they took: wall time, CPU time of a program and of what it waited for, and its peak
resident memory."""

import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LAUNCH = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Cost:
    """What a run took."""

    wall: float
    cpu: float
    peak: float

    def __add__(self, other):
        """One after the other."""
        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak))


class Failed(Exception):
    """A program that is measured ended with an error."""


def run(command, environment, log):
    """Runs it to its end; its output goes to the file `log`."""
    result = log.with_suffix(".result")
    environment = {"PATH": os.environ["PATH"], "HOME": str(log.parent), **environment}
    # Without the user's packages, which would only make it larger.
    subprocess.run([sys.executable, "-I", "-S", LAUNCH, result, log, *command], env=environment, check=True)
    code, wall, cpu, peak = map(float, result.read_text().split())
    if code:
        end = log.read_text(errors="replace")[-3000:]
        raise Failed(f"{' '.join(command)[:500]}: exit code {code:.0f}\n{end}")
    return Cost(wall, cpu, peak / 1024)


@dataclass
class Series:
    """The runs of one contestant."""

    name: str
    costs: list

    def median(self, what):
        return statistics.median(getattr(cost, what) for cost in self.costs)

    def spread(self, what):
        values = [getattr(cost, what) for cost in self.costs]
        return min(values), max(values)


def alternate(runs, contestants):
    """A B C, A B C, ...: what disturbs the machine for a while disturbs all. `contestants` are pairs of a name and
    a function that runs once and gives its Cost."""
    series = [Series(name, []) for name, _ in contestants]
    for number in range(runs):
        for (name, once), kept in zip(contestants, series):
            cost = once()
            kept.costs.append(cost)
            print(
                f"  {number + 1}/{runs} {name:<44} {cost.wall:7.2f} s {cost.cpu:7.2f} s {cost.peak:7.0f} MiB",
                file=sys.stderr,
                flush=True,
            )
    return series
