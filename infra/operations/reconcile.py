"""`python -m operations.reconcile [STACK]`; `make reconcile` calls it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from local.processes import StackError, answers
from local.stack import Ports, Stack

# The most that a round takes on, for each of the eight shards of open jobs and for the events: functions/reconcile.
MOST = 1000
# As many messages as SQS takes at a time.
BATCH = 10


@dataclass(frozen=True)
class Deployed:
    """A stack that somebody has deployed."""

    name: str
    client: Callable[[str], Any]
    advice: str
    """What to look at when it does not do what it should."""

    def outputs(self) -> dict[str, str]:
        try:
            [stack] = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise StackError(f"There is no stack {self.name}.\n{self.advice}") from None
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


@dataclass
class Moved:
    """What became of the dead letters."""

    put_back: int
    failures: list[dict[str, Any]]
    """SQS's own words on letters that could not be sent, or not be deleted after it. They lie there still."""
    hidden: int
    """Letters that somebody else had just received, so that they could not be."""
    is_all: bool
    """Whether no other letter was left at the end."""


def on_this_machine() -> Deployed:
    ports = Ports.from_environment()
    if not answers(ports.ministack):
        raise StackError(
            f"No local stack answers at port {ports.ministack}: start one with `make dev`, or give its MINISTACK_PORT."
            "\nFor a stack on AWS: `make reconcile STACK=name`."
        )
    advice = (
        f"See whether `make dev` has shown its addresses, with MINISTACK_PORT={ports.ministack} among them, "
        "and what `make logs F=reconcile` says."
    )
    return Deployed(Stack.name, Stack(ports).client, advice)


def on_aws(name: str) -> Deployed:
    # Longer than the function may take.
    patient = Config(read_timeout=75)
    advice = (
        "See whether the name is right, and for which account, region and rights you are logged in "
        "(AWS_PROFILE, AWS_DEFAULT_REGION)."
    )
    return Deployed(name, lambda service: boto3.Session().client(service, config=patient), advice)


def reconcile(stack: Deployed) -> None:
    outputs = stack.outputs()
    for needed in ("WorkQueueUrl", "DeadLetterQueueUrl"):
        if needed not in outputs:
            raise StackError(f"The stack {stack.name} has no output {needed}: wait until it is deployed.")

    report = call_all(stack)
    print(f"Open jobs called: {report['jobs']}")
    print(f"Unprocessed events called: {report['events']}", flush=True)
    if max(report["jobs"], report["events"]) >= MOST:
        print(f"There may be more, beyond the {MOST} that a round takes on: they are called when they fall due.")

    moved = put_back(stack.client("sqs"), outputs["DeadLetterQueueUrl"], outputs["WorkQueueUrl"])
    print(f"Dead letters put back: {moved.put_back}")
    if moved.hidden:
        print(f"{moved.hidden} more were just being looked at by somebody else: `make reconcile` again in a minute.")
    elif not moved.is_all:
        print("There may be more, or new ones: `make reconcile` again.")
    if moved.failures:
        raise StackError(
            f"{len(moved.failures)} times a dead letter could not be moved; it is still there, and nothing is lost: "
            f"`make reconcile` again in a minute.\nSQS says: {moved.failures[0].get('Message')}"
        )


def call_all(stack: Deployed) -> dict[str, int]:
    """A round of the function over all that is open, due or not."""
    answer = stack.client("lambda").invoke(FunctionName=f"{stack.name}-reconcile", Payload=b'{"all": true}')
    body = answer["Payload"].read()
    if "FunctionError" in answer:
        said = body.decode(errors="replace")
        raise StackError(
            f"The function failed, and no dead letter was touched: {said}\n"
            f"Its log is /aws/lambda/{stack.name}-reconcile. {stack.advice}"
        )
    return json.loads(body)


def put_back(sqs: Any, dead_letters: str, work: str) -> Moved:
    """Moves the dead letters to the work queue. Each is sent and then deleted: broken off, one may be doubled, none lost.

    One that dies again lies here again. So that it can't keep this going, no more are taken than lay here at the
    beginning; and a batch more, because SQS's count may be behind.
    """
    kinds = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    counts = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=kinds)["Attributes"]
    visible, hidden = (int(counts[kind]) for kind in kinds)
    moved = Moved(put_back=0, failures=[], hidden=hidden, is_all=False)
    left = visible + BATCH
    while left > 0:
        letters = sqs.receive_message(
            QueueUrl=dead_letters,
            MaxNumberOfMessages=min(BATCH, left),
            MessageAttributeNames=["All"],
            # Asks all of SQS's servers: an empty answer means an empty queue.
            WaitTimeSeconds=1,
        ).get("Messages", [])
        if not letters:
            moved.is_all = True
            break
        left -= len(letters)
        sent = sqs.send_message_batch(
            QueueUrl=work,
            Entries=[
                {
                    "Id": str(index),
                    "MessageBody": letter["Body"],
                    "MessageAttributes": letter.get("MessageAttributes", {}),
                }
                for index, letter in enumerate(letters)
            ],
        )
        moved.failures += sent.get("Failed", [])
        if arrived := [entry["Id"] for entry in sent.get("Successful", [])]:
            moved.put_back += len(arrived)
            deleted = sqs.delete_message_batch(
                QueueUrl=dead_letters,
                Entries=[{"Id": id, "ReceiptHandle": letters[int(id)]["ReceiptHandle"]} for id in arrived],
            )
            moved.failures += deleted.get("Failed", [])
    return moved


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m operations.reconcile", description=__doc__)
    parser.add_argument("stack", nargs="?", help="a stack on AWS; without it, the local one")
    name = parser.parse_args().stack
    try:
        stack = on_aws(name) if name else on_this_machine()
        try:
            reconcile(stack)
        except ResponseParserError:
            raise StackError(f"What answers is neither AWS nor MiniStack.\n{stack.advice}") from None
        except (BotoCoreError, ClientError) as error:
            raise StackError(f"{error}\n{stack.advice} Then `make reconcile` again.") from error
    except StackError as error:
        print(f"\n✗ {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nEnded. Nothing is lost; `make reconcile` again does no harm.")
        sys.exit(130)


if __name__ == "__main__":
    main()
