"""`make reconcile`, as an operator runs it after an outage, and what it does with the dead letters."""

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from client import PATIENT, Api, Simulator, Watcher, eventually, unique_prompt, without_worker
from local.stack import Ports, Stack
from operations.reconcile import Moved, put_back

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
# No message of ours; with what an operator's own tool may have put on it.
GARBAGE = '{"kind": "nonsense" \u00e9\u2028\U0001f514 \t\n'
ATTRIBUTES = {
    "from": {"DataType": "String", "StringValue": "a tool"},
    "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
}


async def make_reconcile(*settings: str) -> tuple[int, str, str]:
    """The verb's exit status, and what it said."""
    # Of the environment, neither what another `make` left there, nor a real AWS account.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "MAKE", "MFLAGS")) and name not in {"STACK", "MINISTACK_PORT"}
    }
    nowhere = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    process = await asyncio.create_subprocess_exec(
        *("make", "reconcile", *settings),
        cwd=ROOT,
        env={**kept, **nowhere, "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENT):
        said, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


def as_on_aws(stack: Stack, name: str) -> list[str]:
    """The stack by its name and with credentials from the environment, at MiniStack's address instead of AWS's."""
    aws = stack.aws
    return [
        *(f"STACK={name}", f"AWS_ENDPOINT_URL={aws.endpoint}", f"AWS_DEFAULT_REGION={aws.region}"),
        *(f"AWS_ACCESS_KEY_ID={aws.access_key}", f"AWS_SECRET_ACCESS_KEY={aws.secret_key}"),
    ]


def receive(sqs: Any, url: str) -> list[dict[str, Any]]:
    answer = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
    )
    return answer.get("Messages", [])


def count(sqs: Any, url: str) -> int:
    """How many messages are in a queue, in whosever hands."""
    names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "Delayed", "NotVisible")]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(counts[name]) for name in names)


async def test_a_job_whose_message_died_is_brought_home(
    stack: Stack, api: Api, simulator: Simulator, watcher: Watcher
) -> None:
    prompt = unique_prompt(faults="render=1")
    sqs, work, dead = stack.client("sqs"), stack.outputs["WorkQueueUrl"], stack.outputs["DeadLetterQueueUrl"]
    async with without_worker(stack):
        # Looks that the jobs of other tests have left.
        sqs.purge_queue(QueueUrl=work)
        job_id = await api.create(prompt)
        await watcher.subscribe(job_id)

        async def died() -> bool:
            # As a worker that fails: after five receptions SQS puts it with the dead letters.
            receive(sqs, work)
            return any(job_id in letter["Body"] for letter in receive(sqs, dead))

        await eventually("that the job's message is a dead letter", died)
        assert await simulator.creates(prompt) == [], "nobody has called the worker"
        # Other tests' jobs may have left looks that died beside it.
        letters = count(sqs, dead)

    status, said, complained = await make_reconcile(f"MINISTACK_PORT={stack.ports.ministack}")

    assert (status, complained) == (0, "")
    told = rf"Open jobs called: [1-9]\d*\nUnprocessed events called: \d+\nDead letters put back: {letters}\n"
    assert re.fullmatch(told, said), said
    assert count(sqs, dead) == 0
    await watcher.completed(job_id)
    assert len(await simulator.creates(prompt)) == 1


async def test_a_letter_that_nobody_can_read_is_put_back_as_it_is(stack: Stack) -> None:
    sqs, work, dead = stack.client("sqs"), stack.outputs["WorkQueueUrl"], stack.outputs["DeadLetterQueueUrl"]
    async with without_worker(stack):
        sqs.send_message(QueueUrl=dead, MessageBody=GARBAGE, MessageAttributes=ATTRIBUTES)
        try:
            status, said, complained = await make_reconcile(*as_on_aws(stack, stack.name))

            assert (status, complained) == (0, "")
            assert said.endswith("\nDead letters put back: 1\n"), said
            assert count(sqs, dead) == 0

            async def arrived() -> list[dict[str, Any]]:
                return [message for message in receive(sqs, work) if message["Body"] == GARBAGE]

            [message] = await eventually("the letter on the work queue", arrived)
            assert message["MessageAttributes"] == ATTRIBUTES
        finally:
            # A worker would make an error of it, and rightly so.
            for url in (dead, work):
                sqs.purge_queue(QueueUrl=url)


async def test_it_fails_when_a_letter_could_not_be_moved(stack: Stack) -> None:
    sqs, work, dead = stack.client("sqs"), stack.outputs["WorkQueueUrl"], stack.outputs["DeadLetterQueueUrl"]

    def limit(size: int) -> None:
        sqs.set_queue_attributes(QueueUrl=work, Attributes={"MaximumMessageSize": str(size)})

    limit(1024)
    try:
        sqs.send_message(QueueUrl=dead, MessageBody="long" * 300)
        status, said, complained = await make_reconcile(f"MINISTACK_PORT={stack.ports.ministack}")
        assert status != 0
        assert said.endswith("\nDead letters put back: 0\n"), said
        assert re.search(r"still there.*again in a minute\.\nSQS says: .*1024", complained), complained
        assert count(sqs, dead) == 1
    finally:
        limit(1 << 20)
        sqs.purge_queue(QueueUrl=dead)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            lambda stack: [f"MINISTACK_PORT={Ports.free().ministack}"],
            r"No local stack answers at port \d+: start one with `make dev`",
        ),
        (lambda stack: ["MINISTACK_PORT=many"], r"MINISTACK_PORT=many is no port"),
        (lambda stack: [f"MINISTACK_PORT={stack.ports.simulator}"], r"neither AWS nor MiniStack\.\n.*make dev"),
        (lambda stack: as_on_aws(stack, "no-such-stack"), r"There is no stack no-such-stack\.\n.*AWS_PROFILE"),
        (lambda stack: ["STACK=clipbell"], r"region.*\n.*AWS_DEFAULT_REGION"),
        (lambda stack: ["STACK=clipbell", "AWS_DEFAULT_REGION=eu-west-1"], r"credentials\n.*AWS_PROFILE"),
    ],
    ids=["nothing there", "no port", "something else there", "no such stack", "no region", "no credentials"],
)
async def test_it_says_what_to_do_when_it_can_not_work(
    stack: Stack, settings: Callable[[Stack], list[str]], expected: str
) -> None:
    status, said, complained = await make_reconcile(*settings(stack))
    assert status != 0
    assert said == ""
    assert re.search(expected, complained), complained
    assert "Traceback" not in complained


# The move itself, between two queues that are no stack's.


@pytest.fixture
def queues(stack: Stack) -> Iterator[tuple[Any, str, str]]:
    """SQS, a queue of dead letters, and a work queue that takes at most 1024 bytes a message."""
    sqs = stack.client("sqs")
    dead = sqs.create_queue(QueueName="test-dead-letters")["QueueUrl"]
    work = sqs.create_queue(QueueName="test-work", Attributes={"MaximumMessageSize": "1024"})["QueueUrl"]
    try:
        yield sqs, dead, work
    finally:
        for url in (dead, work):
            sqs.delete_queue(QueueUrl=url)


async def move(sqs: Any, dead: str, work: str) -> Moved:
    # One that does not end has its queue taken away by the fixture.
    async with asyncio.timeout(PATIENT):
        return await asyncio.to_thread(put_back, sqs, dead, work)


def send(sqs: Any, url: str, bodies: list[str]) -> None:
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)


async def test_more_letters_than_fit_into_one_call_all_arrive(queues: tuple[Any, str, str]) -> None:
    sqs, dead, work = queues
    send(sqs, dead, [f"letter {number}" for number in range(23)])
    assert await move(sqs, dead, work) == Moved(put_back=23, failures=[], hidden=0, is_all=True)
    assert (count(sqs, dead), count(sqs, work)) == (0, 23)


async def test_a_letter_that_can_not_be_sent_stays(queues: tuple[Any, str, str]) -> None:
    sqs, dead, work = queues
    send(sqs, dead, ["short", "long" * 300, "short too"])
    moved = await move(sqs, dead, work)
    assert moved.put_back == 2
    [failure] = moved.failures
    assert "1024" in failure["Message"]
    assert (count(sqs, dead), count(sqs, work)) == (1, 2)
    assert {message["Body"] for message in receive(sqs, work)} == {"short", "short too"}


async def test_no_letter_is_lost_when_the_command_is_broken_off(queues: tuple[Any, str, str]) -> None:
    sqs, dead, work = queues
    send(sqs, dead, ["one", "two"])
    with pytest.raises(ClientError):
        await move(sqs, dead, f"{work}-is-gone")
    assert count(sqs, dead) == 2


async def test_a_letter_that_dies_again_does_not_keep_it_going(queues: tuple[Any, str, str]) -> None:
    sqs, dead, _ = queues
    send(sqs, dead, ["one", "two", "three"])
    moved = await move(sqs, dead, dead)
    assert moved.put_back >= 3 and not moved.is_all
    assert count(sqs, dead) == 3


async def test_letters_in_somebody_else_s_hands_are_told_of(queues: tuple[Any, str, str]) -> None:
    sqs, dead, work = queues
    send(sqs, dead, ["held"])
    sqs.receive_message(QueueUrl=dead)
    assert await move(sqs, dead, work) == Moved(put_back=0, failures=[], hidden=1, is_all=True)
    assert count(sqs, dead) == 1
