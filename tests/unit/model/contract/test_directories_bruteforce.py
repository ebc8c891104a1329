"""The oracle's directories against a file system that keeps whole trees, and commits them in order.

Each tree says what every path stands for. A cut finds any tree since the last commit; a sync of a directory, or of all,
commits the last one, as a journal does. The oracle is laxer, since documents promise the names of one directory only.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import pytest

from harness.model.contract import oracle
from harness.model.contract.directories import SYMLINKS
from harness.model.contract.state import State
from harness.model.judge.verdict import judge
from harness.model.program import ops
from harness.model.program.ops import Op, Replacing
from harness.model.program.program import Program, parse
from harness.model.program.validity import Position
from harness.model.wire.observation import DIRECTORY, SYMLINK, FileView
from harness.report.words import Words

NAMES = ("a", "b", "c")
PATHS = (*NAMES, *(f"{one}/{two}" for one in NAMES for two in NAMES), "a/b/c", "b/a/c")
Tree = dict[str, int]
"""What each path stands for: a file from 1 on, a directory, below 0, or a symbolic link, from SYMLINKS on."""


@dataclass
class Trees:
    """The trees that a cut may find, the last one in memory; a `forgetful` file system takes a sync for nothing."""

    trees: list[Tree] = field(default_factory=lambda: [{}])
    forgetful: bool = False
    files: int = 0
    open: dict[str, int] = field(default_factory=dict)

    def step(self, index: int, op: Op) -> None:
        tree = dict(self.trees[-1])
        match op:
            case ops.Create(_, path):
                self.files += 1
                tree[path] = self.files
            case ops.Mkdir(path):
                tree[path] = -index - 1
            case ops.SymbolicLink(path):
                tree[path] = SYMLINKS + index
            case ops.Tmpfile(fd):
                self.files += 1
                self.open[fd] = self.files
            case ops.LinkFd(fd, to):
                tree[to] = self.open[fd]
            case ops.Link(path, to):
                tree[to] = tree[path]
            case ops.Unlink(path) | ops.Rmdir(path):
                del tree[path]
            case ops.Rename(path, to, flag) if path != to and (tree[path] < 0 or tree[path] != tree.get(to)):
                there, gone = taken(tree, path), taken(tree, to)
                for rest, id in there.items():
                    tree[to + rest] = id
                if flag is Replacing.EXCHANGE:
                    for rest, id in gone.items():
                        tree[path + rest] = id
            case ops.Fsyncdir() | ops.Sync():
                if not self.forgetful:
                    self.trees = self.trees[-1:]
            case _:
                pass
        if tree != self.trees[-1]:
            self.trees.append(tree)


def taken(tree: Tree, top: str) -> Tree:
    """What stands at the path and below it, taken out of the tree, by the rest of each path."""
    found = {path[len(top) :]: tree[path] for path in tree if path == top or path.startswith(f"{top}/")}
    for rest in found:
        del tree[top + rest]
    return found


def candidates(random: Random, index: int) -> Iterator[Op]:
    while True:
        path, to = random.choice(PATHS), random.choice(PATHS)
        match random.randrange(10):
            case 9:
                links: list[Op] = [ops.LinkFd(f"t{one}", to) for one in range(index)]
                yield random.choice([ops.SymbolicLink(path, to), ops.Tmpfile(f"t{index}"), *links])
            case 0 | 1:
                yield ops.Create(f"f{index}", path)
            case 2 | 3:
                yield ops.Mkdir(path)
            case 4 | 5:
                yield ops.Rename(path, to, random.choice(tuple(Replacing)))
            case 6:
                yield random.choice((ops.Link(path, to), ops.Unlink(path), ops.Rmdir(path)))
            case _:
                syncs: tuple[Op, ...] = (ops.Fsyncdir(), ops.Fsyncdir(path), ops.Sync())
                yield random.choice(syncs)


@dataclass
class Run:
    """A Program, and the trees that there were after each of its ops: those of a cut, the last one in memory."""

    program: Program
    after: list[list[Tree]]

    @property
    def state(self) -> State:
        return oracle.run(self.program)[-1]


def made(seed: int, forgets: bool = False) -> Run:
    random = Random(seed)
    fs, position, done, after = Trees(forgetful=forgets), Position(), list[Op](), []
    for index in range(4 + seed % 12):
        op = next(one for one in candidates(random, index) if position.allows(one))
        position.add(op)
        fs.step(index, op)
        done.append(op)
        after.append(list(fs.trees))
    return Run(Program(tuple(done)), after)


def views(tree: Tree, program: Program) -> list[FileView]:
    return [one(path, tree.get(path), program) for path in dict.fromkeys((*program.names(), *tree))]


def one(path: str, id: int | None, program: Program) -> FileView:
    if id is not None and id >= SYMLINKS:
        made = program.ops[id - SYMLINKS]
        assert isinstance(made, ops.SymbolicLink)
        return FileView(path, 0, kind=SYMLINK, target=made.target)
    return FileView(path, None if id is None else 0, kind=DIRECTORY if id is not None and id < 0 else "")


def allowed(state: State, tree: Tree, program: Program) -> bool:
    """By what names may stand for, by the names that each object keeps, and by the verdict."""
    names = {*program.names(), *tree}
    known = all(tree.get(path) in state.name(path).durable for path in names)
    kept = all(any(tree.get(path) == id for path in held) for id, held in state.kept.items())
    found = judge(program, state, views(tree, program), "image")
    right = not found.violations
    assert not found.unjudged
    assert right or not (known and kept)
    return known and kept


def test_no_tree_that_may_be_is_refused() -> None:
    """Neither after a Program nor inside its last op, and with the power on the last tree is the one (seeds 0..599)."""
    deep = 0
    for seed in range(600):
        run = made(seed)
        states = oracle.run(run.program)
        deep += any("/" in path for tree in run.after[-1] for path in tree)
        last = len(states) - 1
        for tree in run.after[-1]:
            assert allowed(states[-1], tree, run.program), (seed, tree, run.program.ops)
        for tree in (*run.after[-2], *run.after[-1]):
            assert allowed(oracle.within(run.program, states, last), tree, run.program), (seed, tree, run.program.ops)
        now = {path: name.current for path, name in states[-1].names.items() if name.current is not None}
        assert now == run.after[-1][-1], (seed, run.program.ops)
        live = views(run.after[-1][-1], run.program)
        assert not judge(run.program, states[-1], live, "live", "current").violations
    assert deep > 100


def test_a_sync_that_is_forgotten_is_seen() -> None:
    """A tree without what was there at the last sync of all, and ever since, is refused (seeds 0..599)."""
    found = 0
    for seed in range(600):
        run = made(seed, forgets=True)
        synced = [index for index, op in enumerate(run.program.ops) if isinstance(op, ops.Sync)]
        if not synced:
            continue
        trees = run.after[-1]
        since = trees[len(run.after[synced[-1]]) - 1 :]
        sure = {path: id for path, id in since[0].items() if all(tree.get(path) == id for tree in since)}
        for tree in trees:
            if any(path not in tree for path in sure):
                found += 1
                assert not allowed(run.state, tree, run.program), (seed, tree, run.program.ops)
                assert judge(run.program, run.state, views(tree, run.program), "image").violations
    assert found > 100


def test_nothing_is_left_open_by_a_sync_of_all() -> None:
    """After it each path can be one thing only: a lax rule would turn none of the tests above red."""
    for seed in range(200):
        run = made(seed)
        state = oracle.run(Program((*run.program.ops, ops.Sync())))[-1]
        assert all(name.durable == {name.current} for name in state.names.values()) and not state.kept


HELD = "daxcheck program 1\nsymlink soft data\nsync\ncut_power\n"


@pytest.mark.parametrize(("view", "words"), [
    (FileView("soft", 0, kind=SYMLINK, target="data"), ""),
    (FileView("soft", 0, kind=SYMLINK), "soft is a symbolic link to nothing, not a symbolic link to data"),
    (FileView("soft", 0, kind=SYMLINK, target="dat"), "soft is a symbolic link to dat, not a symbolic link to data"),
    (FileView("soft", 0, kind=DIRECTORY), "soft is a directory, not a symbolic link to data"),
    (FileView("soft", 0), "soft is a file, not a symbolic link to data"),
    (FileView("soft", None), "soft is missing, not a symbolic link to data"),
])  # fmt: skip
def test_a_symbolic_link_is_whole(view: FileView, words: str) -> None:
    """It holds what it was made with, or is not there at all."""
    program = parse(HELD)
    found = judge(program, oracle.run(program)[-1], [view], "image").violations
    assert Words(program).sentence(found) == (f"sync returned, {words}" if words else "")
