"""How long an address does not answer, as a client sees it."""

import itertools
import threading
import time
from http.client import HTTPConnection
from typing import NamedTuple, Self

PERIOD = 0.02
TIMEOUT = 0.25


class Answers(NamedTuple):
    """What came of the requests: how many were sent and failed, and how long, in seconds, none succeeded."""

    sent: int
    failed: int
    outage: float


class Prober:
    """Sends a request on a connection of its own each 20 ms, whether or not those before were answered.

    The outage is the longest time between two requests, by when they were sent, which both succeeded:
    nothing that was sent in between did. A calm service has one of some hundredths of a second.
    """

    def __init__(self, address: str, path: str = "/healthz", port: int = 80) -> None:
        """Keep where to send the requests."""
        self.address, self.path, self.port = address, path, port
        self.results: list[tuple[float, bool]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, when the requests under way have come back."""
        self._over.set()
        self._thread.join()

    def settle(self, quiet: float = 1.5, seconds: float = 30) -> None:
        """Wait until every request of the last `quiet` seconds has succeeded."""
        deadline = time.monotonic() + seconds
        begin = time.monotonic()
        while True:
            now = time.monotonic()
            recent = [success for when, success in list(self.results) if when > now - quiet - TIMEOUT]
            if now - begin > quiet and all(recent) and len(recent) > quiet / PERIOD / 4:
                return
            if now > deadline:
                raise TimeoutError(f"{self.address} does not answer in {seconds} s")
            time.sleep(PERIOD)

    def answers(self) -> Answers:
        """Sum up what there is so far."""
        results = sorted(self.results)
        good = [when for when, success in results if success]
        gaps = [later - earlier for earlier, later in itertools.pairwise(good)]
        return Answers(
            len(results), sum(not success for _, success in results), round(max(gaps, default=9999), 3)
        )

    def _run(self) -> None:
        threads: list[threading.Thread] = []
        while not self._over.is_set():
            threads.append(threading.Thread(target=self._ask, daemon=True))
            threads[-1].start()
            threads = [thread for thread in threads if thread.is_alive()]
            time.sleep(PERIOD)
        for thread in threads:
            thread.join()

    def _ask(self) -> None:
        begin = time.monotonic()
        connection = HTTPConnection(self.address, self.port, timeout=TIMEOUT)
        try:
            connection.request("GET", self.path)
            response = connection.getresponse()
            response.read()
            success = response.status == 200
        except OSError:
            success = False
        finally:
            connection.close()
        self.results.append((begin, success))
