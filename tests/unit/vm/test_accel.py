"""KVM is used where a guest boots under it, and nowhere else; a program of our own speaks as QEMU and its guest do."""

import dataclasses
import sys
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.vm import accel, snapshot
from harness.vm.machine import Accel, Hardware, Plan, Qemu

QEMU = '''\
#!{python} -I
"""Says that it was started; under KVM does what {behaviour} says, else answers as a QEMU whose guest has booted."""
import json, re, socket, struct, sys, threading

def end(name):
    return socket.socket(fileno=int(re.search("id=" + name + r",fd=(\\d+)", " ".join(sys.argv))[1]))

def agent(channel):
    stream = channel.makefile("rwb")
    while header := stream.read(8):
        stream.read(struct.unpack("<4sI", header)[1])
        body = json.dumps({{"done": {{"release": "6.1"}}}}).encode()
        stream.write(struct.pack("<4sI", b"DAX1", len(body)) + body)
        stream.flush()

with open({starts!r}, "a") as starts:
    starts.write(sys.argv[sys.argv.index("-accel") + 1] + "\\n")
if {behaviour!r} == "refuse":
    sys.exit("kvm: no such processor")
if {behaviour!r} == "boot":
    threading.Thread(target=agent, args=[end("channel")], daemon=True).start()
monitor = end("monitor")
version = {{"qemu": {{"major": 10, "minor": 0, "micro": 2}}, "package": ""}}
monitor.sendall(json.dumps({{"QMP": {{"version": version, "capabilities": []}}}}).encode() + b"\\r\\n")
while command := monitor.recv(1 << 16):
    answer = {{"return": {{}}, **{{key: value for key, value in json.loads(command).items() if key == "id"}}}}
    monitor.sendall(json.dumps(answer).encode() + b"\\r\\n")
'''


class Host:
    """A machine with an openable /dev/kvm and a QEMU that behaves in a given way under KVM."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = path
        self.device, self.boot_id = path / "kvm", path / "boot_id"
        self.device.touch()
        self.boot_id.write_text("this boot")
        (path / "vmlinuz").write_bytes(b"a kernel")
        monkeypatch.setenv("XDG_CACHE_HOME", str(path / "cache"))
        monkeypatch.setattr(accel, "DEVICE", self.device)
        monkeypatch.setattr(accel, "BOOT_ID", self.boot_id)
        self.said: list[str] = []

    def plan(self, behaviour: str) -> Plan:
        path = self._path / "qemu"
        path.write_text(QEMU.format(python=sys.executable, starts=str(self._path / "starts"), behaviour=behaviour))
        path.chmod(0o755)
        hardware = Hardware(memory=1 << 20, nvdimm=1 << 20)
        return Plan(Qemu(path, "10.0.2"), hardware, self._path / "vmlinuz", self._path / "initramfs")

    def choose(self, plan: Plan) -> Accel:
        return accel.choose(Accel.KVM, plan, self.said.append).accel

    @property
    def starts(self) -> list[str]:
        path = self._path / "starts"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_kvm_is_used_where_a_guest_boots_under_it(host: Host) -> None:
    """One trial boot, under KVM, decides; the next to ask boots nothing."""
    assert [host.choose(host.plan("boot")) for _ in range(2)] == [Accel.KVM, Accel.KVM]
    assert host.starts == ["kvm"]
    assert host.said == ["booting once under KVM, to see whether it works"]


def test_a_qemu_that_refuses_kvm(host: Host) -> None:
    """TCG instead, in QEMU's own words, each time it is asked for; the trial is not repeated."""
    plan = host.plan("refuse")
    assert [host.choose(plan) for _ in range(2)] == [Accel.TCG, Accel.TCG]
    assert host.starts == ["kvm"]
    assert [line.startswith("TCG instead of KVM: QEMU: kvm: no such processor (") for line in host.said] == [
        False, True, True,
    ]  # fmt: skip
    assert all("\n" not in line for line in host.said)


def test_a_guest_that_hangs_under_kvm(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest whose agent does not answer in time is no guest: TCG."""
    monkeypatch.setattr(accel, "PROBE", 0.2)
    assert host.choose(host.plan("hang")) is Accel.TCG
    assert "silent during hello" in host.said[-1]


def test_an_answer_lasts_until_the_next_boot(host: Host) -> None:
    """Another boot of the machine, another kernel and another QEMU are each tried anew."""
    plan = host.plan("refuse")
    host.choose(plan)
    host.boot_id.write_text("the next boot")
    host.choose(plan)
    plan.kernel.write_bytes(b"another kernel")
    host.choose(plan)
    host.choose(dataclasses.replace(plan, qemu=Qemu(plan.qemu.path, "10.0.3")))
    host.choose(plan)
    assert len(host.starts) == 4


def test_without_the_device_nothing_is_started(host: Host) -> None:
    """No /dev/kvm, or one that cannot be opened, is told at once and not remembered."""
    host.device.unlink()
    assert host.choose(host.plan("boot")) is Accel.TCG
    host.device.mkdir()
    assert host.choose(host.plan("boot")) is Accel.TCG
    assert "not there" in host.said[0] and "Is a directory" in host.said[1] and host.starts == []
    host.device.rmdir()
    host.device.touch()
    assert host.choose(host.plan("boot")) is Accel.KVM


def test_tcg_asks_nothing(host: Host) -> None:
    """Who wants TCG gets it, and no guest is booted for it."""
    assert accel.choose(Accel.TCG, host.plan("boot"), host.said.append).accel is Accel.TCG
    assert host.starts == [] and host.said == []


def test_a_snapshot_belongs_to_its_accelerator_and_processor(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest saved under KVM goes on neither under TCG nor on another processor; TCG's does on any."""
    plan = host.plan("boot")
    plan.initramfs.write_bytes(b"an initramfs")
    kvm = dataclasses.replace(plan, accel=Accel.KVM)
    here = {snapshot.key(plan), snapshot.key(kvm)}
    monkeypatch.setattr(snapshot, "host_processor", lambda: "another")
    assert len(here) == 2 and snapshot.key(plan) in here and snapshot.key(kvm) not in here


def test_names() -> None:
    """--accel takes the words of Accel and refuses others with what there is."""
    assert [accel.find(name) for name in ("tcg", "kvm")] == [Accel.TCG, Accel.KVM]
    with pytest.raises(UsageError, match=r"--accel xen: .* tcg, kvm"):
        accel.find("xen")
