"""Every message on the work queue is lost: `reconcile` makes up for it."""

import asyncio
import json

import pytest
from client import Api, Simulator, Watcher, eventually, unique_prompt, without_worker
from local.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def reconcile(stack: Stack) -> dict[str, int]:
    """A round of `reconcile`, which takes what is overdue for half a minute: here, what is not due yet too."""
    return json.loads(await asyncio.to_thread(stack.invoke, "reconcile", b'{"all": true}'))


async def test_reconcile_brings_home_a_job_of_which_every_message_was_lost(
    stack: Stack, api: Api, simulator: Simulator, watcher: Watcher
) -> None:
    prompt = unique_prompt(faults="render=1 webhook=lost")
    async with without_worker(stack) as queue:
        job_id = await api.create(prompt)
        await watcher.subscribe(job_id)
        await queue.lose()
    assert await simulator.creates(prompt) == [], "nobody has called the worker"

    # The submission. Its worker sends the next look, which is lost in its turn.
    assert (await reconcile(stack))["jobs"] >= 1
    await watcher.until(job_id, lambda message: message["message"] == "Queued at the provider")
    async with without_worker(stack) as queue:
        await queue.lose()
    status = (await api.status(job_id)).body
    assert status["status"] in ("queued", "in_progress") and status["progress"] < 99

    async def rendered() -> bool:
        return (await simulator.video(prompt))["status"] == "completed"

    await eventually("that the provider has rendered the video", rendered)
    assert (await reconcile(stack))["jobs"] >= 1
    await watcher.completed(job_id)
    assert len(await simulator.creates(prompt)) == 1
    assert (await api.download(job_id)).redirect.status == 302


async def test_reconcile_has_a_stored_webhook_looked_at_whose_message_was_lost(
    stack: Stack, api: Api, simulator: Simulator, watcher: Watcher
) -> None:
    prompt = unique_prompt(faults="render=1 webhook=lost")
    job_id = await api.create(prompt)
    await watcher.subscribe(job_id)
    await watcher.until(job_id, lambda message: message["message"] == "Queued at the provider")
    async with without_worker(stack) as queue:
        video = await simulator.video(prompt)
        sent = await simulator.send(video["id"], "video.completed")
        assert sent["status"] == 200
        await queue.lose()
    [event] = await api.events_of(video["id"])
    assert event["outcome"] == "received"

    async def rendered() -> bool:
        return (await simulator.video(prompt))["status"] == "completed"

    await eventually("that the provider has rendered the video", rendered)
    round = await reconcile(stack)
    assert round["jobs"] >= 1 and round["events"] >= 1

    await watcher.completed(job_id)

    async def processed() -> bool:
        [event] = await api.events_of(video["id"])
        return event["outcome"] in ("applied", "no_change")

    await eventually("that the event was looked at", processed)
