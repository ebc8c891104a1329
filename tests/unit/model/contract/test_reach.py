"""How far a state's files and mappings can be used."""

from harness.model.contract import oracle
from harness.model.contract.reach import reach
from harness.model.program.program import parse
from harness.model.units import PAGE


def test_a_mapping_reaches_to_the_last_page() -> None:
    """Files reach to their end, mappings to the end of the last page, or to their own; of a race the least."""
    text = "create f data\nftruncate f 5000\nmmap m f 4K 8K\nmmap n f 0 100\nmmap p f 8K 4K\ncreate g other\nclose g\n"
    program = parse(f"daxcheck program 1\n{text}")
    found = reach(oracle.run(program)[-1], 1 << 20)
    assert (found.bytes, found.largest) == ({"f": 5000, "m": PAGE, "n": 100, "p": 0}, 1 << 20)
    raced = parse(f"daxcheck program 1\n{text}lane a\nftruncate f 100\nlane b\nload n 0 8\njoin\n")
    assert reach(oracle.run(raced)[-1], 0).bytes["m"] == 0
