"""A worker with pmem of its machine, which is a guest that has this machine's files; all else is there too."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.kernel.kernel import Kernel
from harness.targets.replica import Replica
from harness.vm.machine import Qemu

pytestmark = pytest.mark.nightly
BIN = Path(sys.executable).parent
RUN = 2400.0
"""Seconds for Dask to start three times in a guest, and a run."""
ADDRESS = "tcp://127.0.0.1:8786"
SCRIPT = f"""\
ip link set lo up
export DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT=300s
await() {{ for _ in $(seq 600); do grep -q "$1" "$2" && return; sleep 1; done; cat "$2"; exit 9; }}
{sys.executable} -m distributed.cli.dask_scheduler --host 127.0.0.1 --port 8786 --no-dashboard > /tmp/scheduler 2>&1 &
scheduler=$!
await 'Scheduler at' /tmp/scheduler
{BIN}/daxcheck worker {ADDRESS} --target /dev/pmem0 --erase /dev/pmem0 > /tmp/worker 2>&1 &
worker=$!
await 'for tcp' /tmp/worker
{BIN}/daxcheck run -k 'controls and store_msync_pte' --fs ext4 --no-history --results /tmp/results \\
  --cluster {ADDRESS} --target /dev/pmem0
echo "exit $?"
{BIN}/daxcheck run -k 'controls and store_msync_pte' --fs ext4 --no-history --cluster {ADDRESS} --target /dev/pmem1
echo "exit $?"
kill $worker
wait $worker
echo "worker $?"
cat /tmp/worker /tmp/results/results.jsonl
kill $scheduler
"""


@pytest.fixture(scope="module")
def box(kernel_6_12: Kernel, qemu: Qemu) -> Iterator[Replica]:
    with Replica(kernel_6_12, qemu) as replica:
        yield replica


def test_cells_on_the_device_of_a_worker(box: Replica) -> None:
    """It is claimed, judged and given up there; a device that was not named is told, and not touched."""
    code, told = box.run(f"sh <<'END'\n{SCRIPT}END", RUN)
    assert code == 0, told
    assert "exit 0" in told and "exit 2" in told and "worker 0" in told, told
    assert "offers it, but /dev/pmem0" in told and "nothing is left running" in told
    assert '"target":"local"' in told and '"outcome":"PASS"' in told
    assert box.run("daxcheck cleanup")[0] == 0
