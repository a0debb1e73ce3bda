"""Tests in several processes: ``-n 6`` collects all, and forks six processes that run them.

Importing and collecting the tests costs more than running many of them, so it is done once. Tests
of a module or package that share a fixture run in one process; all others go one by one to the next
that is free. What a worker captured and found comes back as pytest's own reports.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
import traceback
from collections import deque
from itertools import groupby
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from tests import forkserver, measured
from tests.forking import die_with

PATIENCE = 30.0
"""Seconds for the end of a worker that is interrupted."""
ENDLESS = 60.0
"""Seconds beyond a test's own time limit: it is ended with its process then."""
LOOKS = 5.0
"""Seconds between looks for such tests."""
SELDOM = 20_000, 20, 20
"""Objects, and younger collections, after which garbage is looked for: tests make little."""
SHOWN_OF_ALL = "durations", "xmlpath"
"""Options that show how long each test was set up and torn down."""


gc.disable()  # until tests are collected: what they import stays


@pytest.hookimpl(trylast=True)
def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("parallel", "tests in several processes")
    group._addoption("-n", "--workers", type=int, default=0, help="processes that run tests")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Have no collection of garbage look through what lasts as long as the process."""
    gc.freeze()
    gc.set_threshold(*SELDOM)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    option = session.config.option
    count = min(option.workers, len(session.items))
    if count < 1 or option.collectonly or option.usepdb or session.testsfailed:
        return None
    Workers(session, count).run()
    return True


def batches(items: list[pytest.Item]) -> list[list[int]]:
    """Return the places of tests that one process runs together; those that may take long first."""
    made: list[list[int]] = []
    package = None
    for path, group in groupby(enumerate(items), lambda numbered: numbered[1].path):
        module = list(group)
        places = [place for place, _ in module]
        scopes = set().union(*(shared_scopes(item) for _, item in module))
        if "package" in scopes and path.parent == package:
            made[-1] += places
        else:
            made += [places] if scopes else [[place] for place in places]
        package = path.parent if "package" in scopes else None
    return sorted(made, key=lambda batch: (len(batch) == 1, "unit" in items[batch[0]].path.parts))


def shared_scopes(item: pytest.Item) -> set[str]:
    """Return the scopes of fixtures of a test that are made once for its module or package."""
    used: dict[str, Any] = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    return {made[-1].scope for made in used.values()} & {"class", "module", "package"}


class Workers:
    """Forked processes that run the tests of a session.

    Parameters
    ----------
    session : pytest.Session
    count : int
        How many processes there are at a time.
    """

    def __init__(self, session: pytest.Session, count: int) -> None:
        self._session = session
        self._hook = session.config.hook
        self._waiting = deque(batches(session.items))
        self._running: dict[Connection, tuple[int, deque[int]]] = {}
        """For the connection of each worker its process, and the tests that it has to report."""
        self._heard: dict[int, float] = {}
        """For the process of each worker: when it got tests, or reported one."""
        self._looked = 0.0
        """When tests were last looked at for those that take too long."""
        self._free: list[float] = []
        """When each worker had no more tests to run."""
        self._temporary = session.config._tmp_path_factory  # type: ignore[attr-defined]
        self._base: Path = self._temporary.getbasetemp()
        self._servers = forkserver.start(count)
        self._unused = list(self._servers)
        self._count = count
        self._forked = 0
        self._reported = 0
        self._failed = 0
        """How many processes failed when all their tests had ended, as a shared stack did."""
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.showfspath = False  # tests of many files end in turns
        session.config.pluginmanager.register(self)
        for _ in range(count):
            self._fork()

    def run(self) -> None:
        """Run all tests, and report them as if this process had run them."""
        session = self._session
        try:
            while self._running:
                for connection in wait(list(self._running), timeout=5):
                    assert isinstance(connection, Connection)
                    self._hear(connection)
                if time.monotonic() > self._looked + LOOKS:
                    self._end_endless()
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
            if self._reported != len(session.items):
                session.shouldfail = f"{self._reported} of {len(session.items)} tests ran"
            elif self._failed:
                session.shouldfail = f"{self._failed} processes failed after their tests"
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
        finally:
            self._interrupt()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show for how long processors may have been idle in the end."""
        if self._free:
            alone = max(self._free) - min(self._free)
            terminalreporter.write_line(f"the last process had tests for {alone:.1f} s more")

    def _fork(self) -> None:
        ours, theirs = Pipe()
        self._forked += 1
        owner, pid = os.getpid(), os.fork()
        if pid == 0:
            die_with(owner)
            for connection in (*self._running, ours):
                connection.close()
            forkserver.adopt(self._unused)
            self._temporary._basetemp = self._base / f"worker{self._forked}"
            self._temporary._basetemp.mkdir()
            work(self._session, theirs)
        theirs.close()
        if self._unused:
            self._unused.pop().disown()
        self._running[ours] = pid, deque()
        self._give(ours)

    def _end_endless(self) -> None:
        """Abort processes that wait in code which no signal interrupts, showing their stacks."""
        now = self._looked = time.monotonic()
        for pid, left in self._running.values():
            if left and now - self._heard[pid] > self._limit(left[0]) + ENDLESS:
                os.kill(pid, signal.SIGABRT)
                self._heard[pid] = now

    def _limit(self, place: int) -> float:
        own = self._session.items[place].get_closest_marker("timeout")
        return float(own.args[0]) if own else 120.0

    def _give(self, connection: Connection) -> None:
        """Give a worker tests to run: several that are alone while many wait, in the end one."""
        self._heard[self._running[connection][0]] = time.monotonic()
        batch = self._waiting.popleft() if self._waiting else []
        if not batch:
            self._free.append(time.monotonic())
        size = min(4, len(self._waiting) // (10 * self._count))
        while 0 < len(batch) < size and len(self._waiting[0]) == 1:
            batch += self._waiting.popleft()
        self._running[connection][1].extend(batch)
        with contextlib.suppress(BrokenPipeError):  # it has just died, as will be heard
            connection.send(batch)

    def _hear(self, connection: Connection) -> None:
        pid, left = self._running[connection]
        try:
            reports = connection.recv()
        except (EOFError, ConnectionResetError):
            del self._running[connection]
            connection.close()
            self._ended(os.waitpid(pid, 0)[1], left)
            return
        self._heard[pid] = time.monotonic()
        item = self._session.items[left.popleft()]
        self._reported += 1
        location = "", None, ""
        for data in reports:
            report = self._hook.pytest_report_from_serializable(
                config=self._session.config, data=data
            )
            self._hook.pytest_runtest_logreport(report=report)
            location = report.location  # which takes long to find out here again
        self._hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=location)
        if not left:
            self._give(connection)

    def _ended(self, status: int, left: deque[int]) -> None:
        """Report the test that ended its process, and have another process run the others."""
        if not left:
            self._failed += status != 0
            return
        item = self._session.items[left.popleft()]
        self._reported += 1
        code = os.waitstatus_to_exitcode(status)
        report = pytest.TestReport(
            item.nodeid, item.location, {}, "failed", f"its process ended with {code}", "call"
        )
        self._hook.pytest_runtest_logreport(report=report)
        self._waiting.extend([place] for place in left)
        if self._waiting:
            self._fork()

    def _interrupt(self) -> None:
        """End the workers that still run, with what they started."""
        for connection, (pid, _) in self._running.items():
            connection.close()
            os.kill(pid, signal.SIGINT)
        until = time.monotonic() + PATIENCE
        for pid, _ in self._running.values():
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > until:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.02)
        for server in self._servers:
            server.close()


class Reports:
    """Collects the reports of a test, in a form that can be sent.

    Where nothing failed while it was set up and torn down, nothing is shown of that but durations.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._all = any(config.getoption(name, None) is not None for name in SHOWN_OF_ALL)
        self.made: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.passed and report.when != "call" and not self._all:
            return
        self.made.append(
            self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        )


def work(session: pytest.Session, connection: Connection) -> NoReturn:
    """Run the tests that come over a connection, in a process of their own, until an empty list."""
    code = 1
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also if it was ignored
    try:
        _separate(session.config)
        _run(session, connection)
        code = 0
    except (KeyboardInterrupt, EOFError, BrokenPipeError):  # as the tests are interrupted
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        session._setupstate.teardown_exact(None)
    except BaseException:  # noqa: BLE001 - else it would go on as its parent
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            forkserver.close()
            measured.save()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _separate(config: pytest.Config) -> None:
    """Give up what a forked process would share with the others: files of captured output."""
    manager = config.pluginmanager
    capture = manager.get_plugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()
        capture.start_global_capturing()
        capture.suspend_global_capture()
    reporter = manager.unregister(name="terminalreporter")
    if reporter is not None:  # stacks of tests that take too long are written by it
        manager.register(SimpleNamespace(_tw=reporter._tw), "terminalreporter")


def _run(session: pytest.Session, connection: Connection) -> None:
    hook, reports = session.config.hook, Reports(session.config)
    session.config.pluginmanager.register(reports)
    other: Any = SimpleNamespace(listchain=lambda: [session])  # of another module; none knows which
    while batch := connection.recv():
        tests = [session.items[place] for place in batch]
        for item, following in zip(tests, [*tests[1:], other], strict=True):
            hook.pytest_runtest_protocol(item=item, nextitem=following)
            connection.send(reports.made)
            reports.made.clear()
    session._setupstate.teardown_exact(None)
