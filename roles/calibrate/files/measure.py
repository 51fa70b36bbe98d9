"""Measures how long instances take for a picture, all of them at once.

usage: measure.py '{"<id>": "<address>:<port>"}' SIDE PICTURES TIMEOUT
Prints as JSON the median of seconds for each id, after one picture that does not count; ends with a message
that names the instance which did not draw.
"""

import concurrent.futures
import json
import statistics
import sys
import time
import urllib.error
import urllib.request

endpoints = json.loads(sys.argv[1])
side, pictures, timeout = (int(argument) for argument in sys.argv[2:])


def draw(endpoint: str, seed: int) -> float:
    """Return the seconds that an instance takes for a picture."""
    body = {"prompt": "a red fox in the snow", "width": side, "height": side, "seed": seed}
    request = urllib.request.Request(
        f"http://{endpoint}/sdapi/v1/txt2img",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
        answer.read()
    return time.perf_counter() - started


def seconds(endpoint: str) -> float:
    """Return the median of an instance's seconds; the first picture may have to compile or to load."""
    return round(statistics.median([draw(endpoint, seed) for seed in range(pictures + 1)][1:]), 3)


with concurrent.futures.ThreadPoolExecutor(len(endpoints)) as pool:
    asked = {name: pool.submit(seconds, endpoint) for name, endpoint in endpoints.items()}
measured = {}
for name, answer in asked.items():
    try:
        measured[name] = answer.result()
    except (urllib.error.URLError, OSError) as error:
        sys.exit(f"{name} at {endpoints[name]} did not draw: {error}")
print(json.dumps(measured))
