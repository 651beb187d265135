"""How the operator's `deliver` does beside what else uploads to S3, in one run and in alternation.

    python3 benches/measure              every table, into docs/performance.md
    ONLY=splits-http,one-tls ...         some tables; names may end in *
    ONLY=list ...                        the names
    RUNS=1 SIZE=64M ...                  quickly, to try the harness: printed, and the page stays as it is
    PEERS=none ...                       ours alone; or some others by their names: PEERS='s5cmd,transfer*'. Printed only
    BENCH=large ...                      also what takes minutes: the memory for 80 GB and 1 TB
    OPERATOR=path ...                    another binary than target/release/outbound-operator
    WORK=folder ...                      where the files lie; default /dev/shm, which is memory
"""

import fnmatch
import os
import sys

import contestants
import machine
import page
import servers
import tables
import work


def main():
    chosen = os.environ.get("ONLY", "*").split(",")
    all_tables = tables.every(large=os.environ.get("BENCH") == "large")
    wanted = [
        table
        for table in all_tables
        if any(fnmatch.fnmatch(table.name, pattern) for pattern in chosen)
    ]
    if not wanted:
        print("tables:", *(table.name for table in all_tables), sep="\n  ", file=sys.stderr)
        return 0 if chosen == ["list"] else 2
    settings = work.Settings.from_environment()
    page.check(table.name for table in all_tables)
    with work.Scratch() as scratch, servers.Servers(scratch.path) as running:
        tools = contestants.Tools(settings, scratch, running)
        for table in wanted:
            print(f"\n## {table.title}", file=sys.stderr, flush=True)
            text = table.measure(tools)
            caption = machine.caption(tools, table)
            print(f"\n{text}\n\n{caption}\n", flush=True)
            if settings.is_full:
                page.write(table.name, f"{text}\n\n{caption}")
    return 0


sys.exit(main())
