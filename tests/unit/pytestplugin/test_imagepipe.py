"""The pipe by which processes tell a session how far their cells are: nothing is torn, and nobody waits for it."""

import os
import subprocess
import sys
import threading
from contextlib import closing

from harness.pytestplugin.imagepipe import ImagePipe, ImageTeller

TELL = """
import sys
from harness.pytestplugin.imagepipe import ImageTeller
teller = ImageTeller(sys.argv[1])
for done in range(1, 31):
    teller.tell(sys.argv[2], done, 30)
"""


def test_what_processes_tell_comes_whole() -> None:
    """From several at once, each in its order, whatever the names of their cells are.

    All lines fit into the 64 KiB of a pipe (pipe(7)): a teller drops what the session has no room for.
    """
    shown: list[tuple[str, int, int]] = []
    names = ["punch_hole::x[a b]", "ä" * 150, "two\nlines"]
    with closing(ImagePipe(lambda *told: shown.append(told))) as pipe:
        running = [subprocess.Popen([sys.executable, "-c", TELL, pipe.path, name]) for name in names]
        assert [one.wait() for one in running] == [0, 0, 0]
    for name in (names[0], names[1], "two lines"):
        assert [one for one in shown if one[0] == name] == [(name, done, 30) for done in range(1, 31)]
    assert len(shown) == 90


def test_what_is_no_line_of_ours_is_left_out() -> None:
    """It changes nothing, and ends nothing."""
    shown: list[tuple[str, int, int]] = []
    with closing(ImagePipe(lambda *told: shown.append(told))) as pipe:
        fd = os.open(pipe.path, os.O_WRONLY)
        os.write(fd, b"x y z\n1\n2 \xff 3\n")
        os.close(fd)
        ImageTeller(pipe.path).tell("x", 1, 2)
    assert shown == [("x", 1, 2)]


def test_a_cell_does_not_wait_for_its_session() -> None:
    """Neither for one that does not keep up, nor for one that has ended."""
    waiting, go = threading.Event(), threading.Event()

    def show(*told: object) -> None:
        waiting.set()
        go.wait()

    with closing(ImagePipe(show)) as pipe:
        teller = ImageTeller(pipe.path)
        teller.tell("x", 0, 1)
        waiting.wait()
        for done in range(5000):
            teller.tell("x" * 100, done, 5000)
        go.set()
    teller.tell("x", 1, 1)
