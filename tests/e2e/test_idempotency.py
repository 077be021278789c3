"""An Idempotency-Key makes one job of one wish, however often it is sent."""

import asyncio
import secrets

import pytest
from client import Api, Simulator, Watcher, unique_prompt

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_one_key_is_one_job_in_parallel_and_after_its_end(
    api: Api, simulator: Simulator, watcher: Watcher
) -> None:
    prompt, key = unique_prompt(), secrets.token_hex(8)
    answers = await asyncio.gather(*(api.generate(prompt, key=key) for _ in range(5)))
    assert [answer.status for answer in answers] == [202] * 5
    [job_id] = {answer.body["jobId"] for answer in answers}
    await watcher.subscribe(job_id)
    await watcher.completed(job_id)

    again = await api.generate(prompt, key=key)
    assert (again.status, again.body["jobId"], again.body["status"]) == (202, job_id, "completed")
    assert len(await simulator.creates(prompt)) == 1


async def test_one_key_for_two_requests_is_refused(api: Api, simulator: Simulator) -> None:
    prompt, other, key = unique_prompt(), unique_prompt("Another bell"), secrets.token_hex(8)
    assert (await api.generate(prompt, key=key)).status == 202
    for refused in (await api.generate(other, key=key), await api.generate(prompt, key=key, seconds="4")):
        assert (refused.status, refused.body["code"]) == (422, "idempotency_key_reused")
    assert await simulator.creates(other) == []


async def test_without_a_key_every_call_is_a_job_of_its_own(api: Api) -> None:
    prompt = unique_prompt()
    assert await api.create(prompt) != await api.create(prompt)


async def test_two_keys_are_two_jobs(api: Api) -> None:
    prompt = unique_prompt()
    assert await api.create(prompt, key=secrets.token_hex(8)) != await api.create(prompt, key=secrets.token_hex(8))
