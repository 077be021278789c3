"""Who watches a job is told: whenever he comes, however many there are, and whoever else has gone."""

import pytest
from client import Api, Watcher, eventually, unique_prompt
from local.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


def watchers_of(stack: Stack, job_id: str) -> set[str]:
    """The connections that are noted as watching the job."""
    rows = stack.client("dynamodb").query(
        TableName=stack.outputs["ConnectionsTable"],
        KeyConditionExpression="jobId = :job",
        ExpressionAttributeValues={":job": {"S": job_id}},
        ConsistentRead=True,
    )
    return {row["connectionId"]["S"] for row in rows["Items"]}


def connection_rows(stack: Stack) -> set[tuple[str, str]]:
    """All rows about connections, whoever they belong to."""
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["ConnectionsTable"])
    return {(row["connectionId"]["S"], row["jobId"]["S"]) for page in pages for row in page["Items"]}


async def test_whoever_subscribes_is_told_the_present_state_at_once(api: Api, stack: Stack) -> None:
    # The provider takes it on the second try alone: time enough to subscribe before.
    job_id = await api.create(unique_prompt(faults="render=3 create=rate_limited retry_after=3"))
    async with Watcher.open(stack) as before, Watcher.open(stack) as during, Watcher.open(stack) as after:
        first = await before.subscribe(job_id)
        assert (first["type"], first["status"], first["progress"]) == ("subscribed", "queued", 0)

        await before.until(job_id, lambda message: message["message"] == "Queued at the provider")
        second = await during.subscribe(job_id)
        assert second["type"] == "subscribed" and second["status"] in ("queued", "in_progress")
        assert second["version"] > first["version"], "it is the state of now, not of the beginning"

        told = await before.completed(job_id)
        assert (await during.completed(job_id))["version"] == told["version"]
        third = await after.subscribe(job_id)
        assert (third["type"], third["status"], third["progress"]) == ("subscribed", "completed", 100)
        assert (third["version"], third["downloadUrl"]) == (told["version"], told["downloadUrl"])
        assert (await api.download(job_id)).redirect.status == 302


async def test_a_connection_watches_many_jobs_and_leaves_the_ones_that_it_names(api: Api, watcher: Watcher) -> None:
    left = await api.create(unique_prompt(faults="render=3"))
    kept = await api.create(unique_prompt(faults="render=5"))
    await watcher.subscribe(left)
    await watcher.subscribe(kept)
    await watcher.send({"action": "unsubscribe", "jobId": left})
    await watcher.until(left, lambda message: message["type"] == "unsubscribed")
    heard_before = len(watcher.messages(left))

    async def left_one_has_ended() -> bool:
        return (await api.status(left)).body["status"] == "completed"

    await eventually("that the other job has ended too", left_one_has_ended)
    # Told after the other's end, so that the other's news would have been here by now.
    await watcher.completed(kept)
    assert watcher.messages(left)[heard_before:] == []


async def test_a_ping_is_answered(watcher: Watcher) -> None:
    assert (await watcher.ask({"action": "ping"}))["type"] == "pong"


async def test_one_watcher_s_vanishing_costs_the_other_nothing(api: Api, stack: Stack) -> None:
    job_id = await api.create(unique_prompt(faults="render=4"))
    async with Watcher.open(stack) as stays:
        await stays.subscribe(job_id)
        async with Watcher.open(stack) as vanishes:
            await vanishes.subscribe(job_id)
            both = watchers_of(stack, job_id)
            assert len(both) == 2
            await vanishes.until(job_id, lambda message: message["type"] == "progress")
            await vanishes.vanish()

            async def one_is_left() -> bool:
                return len(watchers_of(stack, job_id)) == 1

            await eventually("that the vanished watcher's row is gone", one_is_left)
            assert (await stays.completed(job_id))["progress"] == 100
            assert not [message for message in vanishes.messages(job_id) if message["status"] == "completed"]
            assert watchers_of(stack, job_id) < both

    async def none_is_left() -> bool:
        return not watchers_of(stack, job_id)

    await eventually("that the rows go with the last watcher", none_is_left)


async def test_a_watcher_whose_leaving_was_never_noticed_costs_the_others_nothing(api: Api, stack: Stack) -> None:
    """API Gateway promises no `$disconnect`: then the first post finds nobody there."""
    job_id = await api.create(unique_prompt(faults="render=3"))
    row = {"jobId": {"S": job_id}, "connectionId": {"S": "left-long-ago="}, "ttl": {"N": "4102444800"}}
    stack.client("dynamodb").put_item(TableName=stack.outputs["ConnectionsTable"], Item=row)
    async with Watcher.open(stack) as watcher:
        await watcher.subscribe(job_id)
        await watcher.completed(job_id)
        assert len(watchers_of(stack, job_id)) == 1


async def test_a_closed_connection_leaves_no_rows(api: Api, stack: Stack) -> None:
    job_id = await api.create(unique_prompt())
    before = connection_rows(stack)
    async with Watcher.open(stack) as watcher:
        await watcher.subscribe(job_id)
        own = connection_rows(stack) - before
        assert len(own) == 2, "the connection, and what it watches"
        await watcher.completed(job_id)

    async def none_is_left() -> bool:
        return not own & connection_rows(stack)

    await eventually("that all rows of the connection are gone", none_is_left)
