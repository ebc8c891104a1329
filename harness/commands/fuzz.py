"""`daxcheck fuzz` and `daxcheck enumerate`: searches for Programs that fail; each is then made as small as it gets."""

import argparse
import contextlib
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from harness import ending
from harness.cells import setup
from harness.cells.runner import CellRunner
from harness.deadline import Deadline, now
from harness.errors import EXIT_CLEAN, EXIT_INFRA, EXIT_VIOLATION, UsageError
from harness.findings import knownfile
from harness.model.cell import Config
from harness.pytestplugin.options import complete
from harness.search import telling
from harness.search.campaign import Campaign, News
from harness.search.corpus import Corpus
from harness.search.folder import STATE, CampaignFolder
from harness.search.progress import SearchProgress
from harness.search.sources import RandomPrograms, SmallScope, Source
from harness.search.workers import TaskForce, Workers
from harness.targets.engines.table import ENGINES
from harness.vm import pool

_TIME = re.compile(r"(\d{1,6})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_SHARD = re.compile(r"(\d{1,4})/(\d{1,4})")
NO_END = 10.0 * 365 * 24 * 3600
LONGEST = 4
"""Disturbing ops of a Program that is enumerated: already three of them make a million Programs."""


def main(options: argparse.Namespace) -> int:
    """Search: 0 nothing new, 1 a finding that is not known, 3 nothing was judged or the engines differ. Raises
    UsageError."""
    if options.command == "fuzz":
        return search(options, lambda corpus: RandomPrograms(options.seed, corpus.programs if corpus else ()))
    source = small_scope(options.length, options.shard)
    ending.say(f"{source.name}: {source.count} Programs on each kernel and file system")
    return search(options, lambda _: source)


def search(options: argparse.Namespace, source: Callable[[Corpus | None], Source]) -> int:
    """Search until the source or the time is over, or each configuration has had its --rounds."""
    seconds, count = seconds_of(options.time), workers_of(options.workers)
    if options.cluster and options.workers != "auto":
        raise UsageError("-n is for guests of this machine: with --cluster `daxcheck worker -n` says how many")
    known = knownfile.load(options.known, own=not options.no_known)
    if (options.results / STATE).exists() and not options.resume:
        raise UsageError(f"{options.results}: holds a search: add --resume, or name another directory")
    guided, rounds = options.command == "fuzz" and not options.unguided, getattr(options, "rounds", 0)
    everything = complete(options, engine="plugin,trace", coverage=guided)
    news: list[News] = []

    def tell(one: News) -> None:
        news.append(one)
        print(*telling.news_lines(one, options.results), sep="\n", flush=True)

    with contextlib.ExitStack() as stack:
        runner = setup.runner(everything, ending.say)
        stack.callback(runner.close)
        folder = CampaignFolder(options.results)
        stack.callback(folder.close)
        runner.check() if options.cluster else runner.prepare()
        configs = [slot.config for slot in runner.slots() if not slot.skip and ENGINES[slot.config.engine].sees_fences]
        workers = stack.enter_context(task_force(everything, runner, count))
        corpus = Corpus(folder) if guided else None
        campaign = Campaign(workers, folder, known, source(corpus), tell, ending.say, corpus)
        steered = options.command == "fuzz"
        stack.callback(lambda: print(*telling.summary(campaign, configs, steered=steered), sep="\n", flush=True))
        run(campaign, configs, Deadline(seconds), rounds)
    return exit_code(news, [campaign.of(config) for config in configs])


def task_force(options: argparse.Namespace, runner: CellRunner, count: int) -> AbstractContextManager[TaskForce]:
    """The context manager that carries the tasks out: `count` processes here, or a cluster. Raises UsageError."""
    if not options.cluster:
        return Workers(count, options, [kernel.digest for kernel in runner.kernels])
    from harness.cluster import extra

    extra.check()
    # Not above: a search without --cluster needs no Dask.
    from harness.cluster.client import Client, ClusterForce

    return ClusterForce(Client.of(options, runner), ending.say)


def run(campaign: Campaign, configs: Sequence[Config], deadline: Deadline, rounds: int) -> None:
    """Run rounds on the configurations in turn until the time is over, or nothing is left on any."""
    start, left = now(), list(configs)
    while left and not deadline.expired:
        config = min(left, key=lambda one: campaign.of(one).rounds)
        if (rounds and campaign.of(config).rounds >= rounds) or not campaign.round(config):
            left.remove(config)
        else:
            ending.say(telling.line(config, campaign.of(config), now() - start, campaign.corpus_size))


def small_scope(length: int, shard: str) -> SmallScope:
    """The Programs of a small scope, or a shard of them. Raises UsageError for a length or shard that is none."""
    if not 1 <= length <= LONGEST:
        raise UsageError(f"--length {length}: is not within 1..{LONGEST}")
    found = _SHARD.fullmatch(shard)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--shard {shard[:40]!r}: write I/N with I from 1 to N, such as 3/8")
    return SmallScope(length, int(found[1]), int(found[2]))


def exit_code(news: Sequence[News], progress: Sequence[SearchProgress]) -> int:
    """The exit code of a search that told this news, and has come so far on each configuration."""
    # Also of one that did not show again: it was judged in full once, and failed.
    if any(not one.known for one in news):
        return EXIT_VIOLATION
    if any(one.counts.differ for one in progress):
        return EXIT_INFRA
    judged = (one.counts.programs > one.counts.unjudged + one.counts.skipped for one in progress)
    return EXIT_CLEAN if any(judged) else EXIT_INFRA


def seconds_of(text: str) -> float:
    """The seconds of a --time such as 90s, 30m or 2h; of none there is no end. Raises UsageError."""
    if not text:
        return NO_END
    found = _TIME.fullmatch(text)
    if found is None or not int(found[1]):
        raise UsageError(f"--time {text[:40]!r}: write a number and s, m or h, such as 30m")
    return float(int(found[1]) * _SECONDS[found[2]])


def workers_of(text: str) -> int:
    """The number of workers of a -n: `auto`, or a number from 1 on. Raises UsageError."""
    if text == "auto":
        return pool.capacity()
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 256:
        raise UsageError(f"-n {text[:40]!r}: write auto or a number from 1 to 256")
    return int(text)
