"""The names of the files that a results directory keeps of a cell."""

import hashlib
import re

from harness.model.judge.result import CellResult
from harness.model.setting.hardware import PmemKind


def stem(result: CellResult) -> str:
    """The name, without its ending, of the files that are kept of a cell."""
    name = f"{result.scenario}-{result.kernel}-{result.fs}" + f"-{result.device}" * (result.device != PmemKind.NVDIMM)
    name += result.engine.suffix + result.plan.suffix
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name)[-200:]


def candidates(text: str, result: CellResult) -> tuple[str, str]:
    """The two stems under which a cell's files may lie, if this is the text of its .prog file: the second is for one
    that came after a file with another text, such as of another seed."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return stem(result), f"{stem(result)}-{digest[:12]}"
