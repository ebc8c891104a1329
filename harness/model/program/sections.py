"""The stretches of a Program in which not every op may stand: lanes, and a file system frozen, unmounted or cut."""

from copy import copy
from dataclasses import dataclass, replace

from harness.model.program import ops
from harness.model.program.ops import Op, Worker
from harness.model.program.scope import ProgramError, Scope
from harness.model.program.traits import traits

TIMES_LIMIT = 10_000
LANE_LIMIT = 64



@dataclass(slots=True)
class _Group:
    """Lanes that run together: `outside` is what they all see, `barriers` counts those of each lane by name."""

    outside: Scope
    barriers: dict[str, int]
    times: dict[str, int]
    killed: bool = False
    """The lane that the next op stands in is killed."""


class Sections:
    """Knows the stretch that the next op stands in."""

    def __init__(self) -> None:
        self.lane: str | None = None
        self._group: _Group | None = None
        self._frozen = False
        self._mounted = True
        self._shut = False
        self._cut = False

    @property
    def lanes(self) -> tuple[str, ...]:
        """The lanes of the group that the next op may stand in."""
        return tuple(self._group.barriers) if self._group else ()

    def copied(self) -> "Sections":
        """The same, to go on elsewhere."""
        other = copy(self)
        if self._group:
            other._group = replace(self._group, barriers={**self._group.barriers}, times={**self._group.times})
        return other

    def enter(self, op: Op, scope: Scope, refused: bool = False) -> Scope:
        """The names that the op sees; one that is to be `refused` begins nothing. Raises ProgramError when it must not
        stand here."""
        if self._cut:
            raise ProgramError("no op can follow cut_power: make it the last one")
        if self._frozen and not traits(op).while_frozen:
            raise ProgramError("the file system is frozen, and this op would wait for ever: thaw first")
        if not self._mounted and not traits(op).while_unmounted:
            raise ProgramError("the file system is unmounted: mount it first")
        if self._shut and not refused and not traits(op).while_shut:
            raise ProgramError("the file system is shut down, and refuses this: close and munmap all, umount and mount")
        match op:
            case ops.Freeze() | ops.Thaw() | ops.Umount() | ops.Mount() | ops.Shutdown() if refused:
                pass
            case ops.Shutdown():
                self._shut = True
            case ops.Freeze() | ops.Thaw():
                self._switched("frozen" if self._frozen else "thawed", self._frozen, isinstance(op, ops.Thaw))
                self._frozen = not self._frozen
            case ops.Umount() | ops.Mount():
                self._switched("mounted" if self._mounted else "unmounted", self._mounted, isinstance(op, ops.Umount))
                self._mounted = not self._mounted
                self._shut = False
            case ops.CutPower():
                self._cut = True
            case _:
                pass
        return self._laned(op, scope)

    def _switched(self, state: str, was: bool, wanted: bool) -> None:
        if was is not wanted:
            raise ProgramError(f"the file system is {state} already: leave this op out")

    def _laned(self, op: Op, scope: Scope) -> Scope:
        group = self._group
        match op:
            case ops.Lane(name, worker, times):
                if group is None:
                    group = self._group = _Group(scope, {}, {})
                _check_lane(group, name, times)
                self.lane, group.killed = name, worker is Worker.KILLED
                group.barriers[name], group.times[name] = 0, times
                return group.outside.shared()
            case ops.Join():
                if group is None:
                    raise ProgramError("there is no lane to join: begin one with lane")
                _check_barriers(group)
                self.lane = self._group = None
                return group.outside
            case ops.Barrier() if group is None or self.lane is None:
                raise ProgramError("a barrier stands in a lane: begin one with lane")
            case _ if group is not None and group.killed and (isinstance(op, ops.Barrier) or traits(op).looks):
                raise ProgramError("a lane that is killed meets no other at a barrier, and nobody hears what it read")
            case ops.Barrier() if group is not None and self.lane is not None:
                group.barriers[self.lane] += 1
            case ops.Fallocate(_, mode) if group is not None and traits(op).moves:
                raise ProgramError(f"{mode} in a lane moves what others store: nobody could say what must be there")
            case _ if group is not None and not traits(op).in_lanes:
                raise ProgramError("this op cannot stand in a lane: join first")
            case _:
                pass
        return scope


def _check_lane(group: _Group, name: str, times: int) -> None:
    if not name.isidentifier() or len(name) > 32:
        raise ProgramError(f"lane {name[:40]!r} is no plain name: use letters, digits and _")
    if name in group.barriers:
        raise ProgramError(f"lane {name} is already there: choose another name")
    if len(group.barriers) == LANE_LIMIT:
        raise ProgramError(f"more than {LANE_LIMIT} lanes: join first")
    if not 1 <= times <= TIMES_LIMIT:
        raise ProgramError(f"times {times} is not within 1..{TIMES_LIMIT}")


def _check_barriers(group: _Group) -> None:
    counts = set(group.barriers.values())
    if len(counts) > 1 or (counts != {0} and len(set(group.times.values())) > 1):
        raise ProgramError("lanes that meet at barriers need equally many of them, and the same times")
