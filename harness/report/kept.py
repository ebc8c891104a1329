"""Makes what is kept of a result, with the title of each finding, for the history and for comparisons."""

import hashlib

from harness.findings.finding import gather
from harness.findings.keptcell import KeptCause, KeptCell, Site
from harness.model.cell import short
from harness.model.judge.result import CellResult
from harness.report.title import title


def kept(result: CellResult) -> KeptCell:
    """The kept part of a result. Its texts are not made fit to be printed: a results file may be anyone's."""
    site = Site(short(result.scenario), result.fs, result.device, result.engine, result.plan)
    causes = tuple(KeptCause(one.signature, title(one)) for one in gather([result]))
    program = hashlib.sha256(result.program.encode(errors="surrogatepass")).hexdigest()
    return KeptCell(
        site, result.kernel, result.outcome, result.seconds, causes, result.known, result.kernel_digest, program,
        result.id, str(result.seed), result.started,
    )  # fmt: skip
