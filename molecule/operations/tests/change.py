"""A change of the service, those who use it meanwhile, and how many instances were away at once."""

import contextlib
import threading
from collections import Counter

import httpx
import lab
import measured
import service

USERS = {"script": 2, "openai": 1, "gradio_client": 1, "browser": 1}
FIRST_SECONDS = 180  # until everybody has drawn, where all share two cores with others
LOOK_SECONDS = 0.2


class Change(measured.Measured):
    """What users of every kind see of a change."""

    def __init__(self, name):
        """Measure nothing yet."""
        super().__init__(name, service.URL)
        self.away = Counter()
        self._stop = threading.Event()

    @contextlib.contextmanager
    def under_load(self, over=service.all_in):
        """Have everybody draw until the context ends and a condition is true; see who is away."""
        watcher = threading.Thread(target=self._watch)
        with self.users(USERS) as load:
            lab.wait_until(
                lambda: {one.kind for one in load.tries if not one.error} == set(USERS), FIRST_SECONDS
            )
            watcher.start()
            try:
                self.strikes()
                yield
                self.over_when(over, 10)
            finally:
                self._stop.set()
                watcher.join()

    def assert_nobody_noticed(self):
        """Every request had its picture, and one instance at most was away at any time; keep the figures."""
        failed = [one for one in self.tries if one.error]
        assert not failed, failed
        several = [sorted(instances) for instances in self.away if len(instances) > 1]
        assert not several, several
        self.keep()

    def figures(self):
        """Return what was measured, and what shows that it was seen."""
        looks = self.away.total()
        return {
            **super().figures(),
            "kinds": dict(Counter(one.kind for one in self.tries)),
            "looks": looks,
            "looks_with_one_away": looks - self.away[frozenset()],
            "away": sorted(frozenset().union(*self.away)),
        }

    def _watch(self):
        while not self._stop.is_set():
            self.away[frozenset(filter(is_away, service.INSTANCES))] += 1
            self._stop.wait(LOOK_SECONDS)


def is_away(instance):
    """Tell whether an instance takes no connection or is not ready; one that is slow is there."""
    try:
        return httpx.get(f"{service.url(instance)}/readyz", timeout=2).status_code != httpx.codes.OK
    except httpx.TimeoutException:
        return False
    except httpx.TransportError:
        return True
