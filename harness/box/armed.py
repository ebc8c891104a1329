"""Finds armed runs by the devices that hold them, so that none is erased before it is judged.

`daxcheck arm` gives its file system a UUID that says so. A note on this machine tells where the dossier of the run
lies, and the dossier tells how far it has come. If the note is lost, as on a machine that keeps nothing in /var, the
UUID is left.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

from harness import place
from harness.box import armedrun
from harness.box.armedrun import ArmedPhase
from harness.box.discover import PmemDevice
from harness.errors import UsageError

NOTES = Path("/var/lib/daxcheck/armed")
LIMIT = 1 << 14
"""Bytes of the longest note that is read."""


def note(uuid: str, folder: Path) -> str:
    """Note that the dossier of the run on the file system `uuid` is in `folder`. Return why not; empty if it is done.

    No run needs the note: it only tells people where to look.
    """
    data = json.dumps({"state": str(folder.absolute())}).encode()
    try:
        with place.opened(NOTES) as notes:
            place.write(notes, f"{uuid}.json", data)
            os.fsync(notes)
    except (OSError, UsageError) as error:
        return f"{NOTES}: the place of the state is not noted there: {error}"
    return ""


def known(device: PmemDevice) -> PmemDevice:
    """The device with what is known of a run that was armed on it."""
    told = [words for one in device.signatures if one.armed and (words := state(one.uuid))]
    return replace(device, armed=told[0]) if told else device


def state(uuid: str) -> str:
    """Describe the run that was armed on the file system `uuid`; empty when its verdict needs that no more."""
    try:
        folder = Path(json.loads((NOTES / f"{uuid}.json").read_bytes()[:LIMIT])["state"])
    except FileNotFoundError:
        return "a run that was armed, and nothing here says where its state is: look for it, and daxcheck judge that"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"a run that was armed, and {NOTES}/{uuid}.json, which names its state, cannot be read ({error})"
    try:
        told = armedrun.read(folder)
    except UsageError as error:
        return f"a run that was armed, whose state in {folder} cannot be read ({error})"
    # A state that went on to another run was of one that never came to its cut: arm lets no other go.
    if told.uuid == uuid and told.phase is ArmedPhase.ARMED:
        return f"the armed run of {told.scenario}, which is not judged yet: daxcheck judge {folder}"
    return ""
