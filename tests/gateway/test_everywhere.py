"""Calls about a caller's jobs are answered for all instances, over real connections."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from z_image_turbo_gateway.everywhere import UNAVAILABLE, Call, Everywhere, merge
from z_image_turbo_gateway.fleet import Instance
from z_image_turbo_gateway.serving import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

IDLE: dict[str, Any] = {"progress": 0.0, "eta_relative": 0.0, "state": {"job_count": 0, "job": ""}}


class Stub:
    """An instance that knows some jobs, or hangs."""

    def __init__(self, jobs: dict[str, dict[str, Any]] | None = None, *, hangs: bool = False) -> None:
        self.jobs, self.hangs = jobs or {}, hangs
        self.calls: list[str] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.calls.append(head.split(" HTTP")[0])
        caller = next(line[13:] for line in head.split("\r\n") if line.startswith("x-principal: "))
        if self.hangs:
            await asyncio.sleep(10)
        body = json.dumps(self.jobs.get(caller, IDLE)).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()


@asynccontextmanager
async def fleet_of(*stubs: Stub) -> AsyncIterator[Everywhere]:
    servers = [await asyncio.start_server(stub.connected, "127.0.0.1", 0) for stub in stubs]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    instances = [Instance(f"i{port}", "host", "127.0.0.1", port) for port in ports]
    yield Everywhere(lambda: instances)
    for server in servers:
        server.close()


def report(count: int, accepted: str, progress: float = 0.5) -> dict[str, Any]:
    return {
        "progress": progress,
        "eta_relative": 3.0,
        "state": {"job_count": count, "job_timestamp": accepted, "job": accepted},
    }


def call(target: str = "/sdapi/v1/progress", caller: str = "ann", method: str = "GET") -> Call:
    return Call(method, target, (("x-principal", caller), ("x-request-id", str(time.monotonic()))))


def test_progress_is_that_of_the_callers_jobs_wherever_they_are() -> None:
    async def scenario() -> None:
        stubs = Stub(), Stub({"ann": report(1, "2"), "bob": report(7, "1")}), Stub({"ann": report(2, "1")})
        async with fleet_of(*stubs) as everywhere:
            told = json.loads((await everywhere.answer(call())).body)
            assert told["state"] == {"job_count": 3, "job_timestamp": "1", "job": "1"}
            nobody = json.loads((await everywhere.answer(call(caller="eve"))).body)
            assert nobody == IDLE

    asyncio.run(scenario())


def test_interrupt_reaches_every_instance_with_its_caller_and_its_query() -> None:
    async def scenario() -> None:
        stubs = [Stub() for _ in range(3)]
        async with fleet_of(*stubs) as everywhere:
            await everywhere.answer(call("/sdapi/v1/interrupt?task_id=7", method="POST"))
        assert [stub.calls for stub in stubs] == [["POST /sdapi/v1/interrupt?task_id=7"]] * 3

    asyncio.run(scenario())


def test_an_instance_that_hangs_costs_less_than_a_second() -> None:
    async def scenario() -> None:
        async with fleet_of(Stub({"ann": report(1, "1")}), Stub(hangs=True)) as everywhere:
            began = time.monotonic()
            answer = await everywhere.answer(call())
            assert time.monotonic() - began < 1
            assert json.loads(answer.body)["state"]["job_count"] == 1

    asyncio.run(scenario())


def test_where_no_instance_answers_the_caller_is_told_to_wait() -> None:
    async def scenario() -> None:
        async with fleet_of(Stub(hangs=True)) as everywhere:
            assert await everywhere.answer(call()) == UNAVAILABLE

    asyncio.run(scenario())


def test_a_crowd_that_asks_the_same_is_asked_for_once_and_interrupts_are_never_shared() -> None:
    async def scenario() -> None:
        stub = Stub({"ann": report(1, "1")})
        async with fleet_of(stub) as everywhere:
            await asyncio.gather(*(everywhere.answer(call()) for _ in range(50)))
            assert len(stub.calls) == 1
            await everywhere.answer(call(caller="bob"))
            assert len(stub.calls) == 2
            for _ in range(2):
                await everywhere.answer(call("/sdapi/v1/interrupt", method="POST"))
            assert len(stub.calls) == 4

    asyncio.run(scenario())


def test_a_client_that_hangs_up_does_not_take_the_answer_from_others() -> None:
    async def scenario() -> None:
        async with fleet_of(Stub({"ann": report(1, "1")})) as everywhere:
            first = asyncio.create_task(everywhere.answer(call()))
            await asyncio.sleep(0)
            second = asyncio.create_task(everywhere.answer(call()))
            await asyncio.sleep(0)
            first.cancel()
            assert (await second).status == 200

    asyncio.run(scenario())


def test_reports_without_jobs_are_one_report_without_jobs() -> None:
    assert merge([IDLE, IDLE]) == IDLE


def test_nginx_is_answered_over_the_socket(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        path = tmp_path / "socket"
        async with fleet_of(Stub({"ann": report(1, "1")})) as everywhere:
            server = await serve(everywhere, path, group=None)
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(
                b"GET /sdapi/v1/progress HTTP/1.1\r\nHost: x\r\nX-Principal: ann\r\nCookie: a=b\r\n\r\n"
            )
            answer = await reader.read()
            writer.close()
            server.close()
        return answer

    head, _, body = asyncio.run(scenario()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(body)["state"]["job_count"] == 1
