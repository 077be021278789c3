"""Drives a soak: orders, watches, kills, takes messages away, sends webhooks again, and waits until all has settled.

It judges nothing: what it did and saw is a `Record`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from local.stack import Stack, StackError

from .killer import Killer
from .plan import CALM_BEFORE, Plan, PlannedJob, Subscriber
from .record import Meddled, Order, Record, Watch
from .subscribers import Page

T = TypeVar("T")

PROVIDER_TIMEOUT, WORKER_TIMEOUT = 1, 30
"""Seconds; the template's parameters. A lease ends 5 s after its worker's time-out."""
LEASES_OVER = WORKER_TIMEOUT + 7
TAIL = 110
"""Seconds after the last kill in which all has to be settled."""
RECONCILE_EVERY = 5
STILL = 2
"""Seconds of silence at the end, in which nothing more may come."""
MOST_TRIES = 30
ENDED = frozenset({"completed", "failed", "canceled"})


class Driver:
    def __init__(self, stack: Stack, plan: Plan, record: Record):
        self._stack = stack
        self._plan = plan
        self._record = record
        self._rng = random.Random(record.seed + 1)
        self._pages: list[Page] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._begun = time.monotonic()
        self._ended = 0
        self._missing = "orders"
        self._line = Line()

    async def run(self, look: Callable[[], T]) -> T:
        """Gives what `look` sees once all has settled, with the subscribers still there."""
        rng = random.Random(self._record.seed + 2)
        killer = Killer(self._stack.run.directory, self._stack.name, self._stack.ports.simulator, rng)
        # No pool: a kept connection that the server has just closed would fail an order for nothing.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=40)) as http:
            self._http = http
            self._start(self._keep(self._show))
            self._start(self._reconcile())
            self._start(self._kill(killer))
            self._start(self._keep(self._meddle))
            self._start(self._keep(self._send_again))
            try:
                await asyncio.gather(*[asyncio.create_task(task) async for task in self._orders()])
                await self._settle()
                return await asyncio.to_thread(look)
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                self._line.end()

    @property
    def _now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    @property
    def _is_chaos(self) -> bool:
        return self._now < self._plan.chaos_ends

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)

    async def _keep(self, what: Any) -> None:
        """Does it again and again; what fails because something was killed is tried again."""
        while True:
            with contextlib.suppress(
                aiohttp.ClientError, OSError, BotoCoreError, ClientError, StackError, TimeoutError
            ):
                await what()
            await asyncio.sleep(0.1)

    # Orders and subscribers

    async def _orders(self) -> AsyncIterator[Coroutine[Any, Any, None]]:
        due = 0.0
        for number, planned in enumerate(self._plan.jobs):
            due += planned.wait
            await asyncio.sleep(max(0.0, due - self._now))
            yield self._order(number, planned)

    async def _order(self, number: int, planned: PlannedJob) -> None:
        order = Order(planned.prompt, time.time())
        self._record.orders.append(order)
        key = f"soak-{self._record.seed}-{number}"
        await self._ask(order, key)
        if order.job_id is None:
            return
        for subscriber in planned.subscribers:
            self._watch(self._new_page(subscriber), order.job_id)
        if planned.also_watched_by_an_earlier:
            self._watch(self._rng.choice(self._pages), order.job_id)
        if planned.canceled_after is not None:
            self._start(self._cancel(order, planned.canceled_after))
        if planned.asked_again_after is not None:
            await asyncio.sleep(planned.asked_again_after)
            await self._ask(order, key)

    async def _ask(self, order: Order, key: str) -> None:
        """Asks until it is answered with 202, with one Idempotency-Key, as a careful client does."""
        for _ in range(MOST_TRIES):
            try:
                async with self._http.post(
                    f"{self._stack.base_url}/api/generate?renderVersion=v3",
                    json={"scriptOrQuestion": order.prompt},
                    headers={"Idempotency-Key": key},
                ) as answer:
                    text = await answer.text()
                    if answer.status == 202:
                        order.answers.append(json.loads(text)["jobId"])
                        return
                    outcome = str(answer.status)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                outcome = type(error).__name__
            self._record.refused[outcome] = self._record.refused.get(outcome, 0) + 1
            await asyncio.sleep(0.5)

    async def _cancel(self, order: Order, after: float) -> None:
        """Asks for a job's end, until the wish is taken."""
        await asyncio.sleep(after)
        for _ in range(MOST_TRIES):
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                url = f"{self._stack.base_url}/api/cancel?jobId={order.job_id}&renderVersion=v3"
                async with self._http.post(url) as answer:
                    order.canceled.append(answer.status)
                    if answer.status < 500:
                        return
            await asyncio.sleep(0.5)

    def _new_page(self, behaviour: Subscriber) -> Page:
        page = Page(len(self._pages), self._stack.ws_url, behaviour)
        self._pages.append(page)
        self._start(page.live())
        return page

    def _watch(self, page: Page, job_id: str) -> None:
        if job_id not in page.watches:
            self._record.watches.append(page.watch(job_id))

    # What goes wrong

    async def _kill(self, killer: Killer) -> None:
        span = self._plan.chaos_ends - CALM_BEFORE
        for due in sorted(CALM_BEFORE + self._rng.uniform(0, span) for _ in range(self._plan.kills)):
            await asyncio.sleep(max(0.0, due - self._now))
            if not self._is_chaos:
                return
            if kill := await asyncio.to_thread(killer.kill_one):
                self._record.kills.append(kill)

    async def _meddle(self) -> None:
        """Catches a message of the work queue, now and then, and loses it or doubles it."""
        await asyncio.sleep(self._rng.uniform(0.5, 2))
        if not self._is_chaos:
            return
        await asyncio.to_thread(self._catch_a_message)

    def _catch_a_message(self) -> None:
        queue, url = self._stack.client("sqs"), self._stack.outputs["WorkQueueUrl"]
        answer = queue.receive_message(QueueUrl=url, MaxNumberOfMessages=1, WaitTimeSeconds=1, VisibilityTimeout=20)
        for message in answer.get("Messages", []):
            how = self._rng.choice(("lost", "doubled"))
            if how == "doubled":
                for _ in range(2):
                    delay = self._rng.randint(0, 2)
                    queue.send_message(QueueUrl=url, MessageBody=message["Body"], DelaySeconds=delay)
            queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            self._record.meddled.append(Meddled(time.time(), how, message["Body"]))

    async def _send_again(self) -> None:
        """A webhook that was sent before; sometimes one of another type, or about a video that nobody knows."""
        await asyncio.sleep(self._rng.uniform(0.5, 2.5))
        deliveries = (await self._ledger())["deliveries"]
        if not deliveries or not self._is_chaos:
            return
        sent = self._rng.choice(deliveries)
        match self._rng.choices(("again", "other type", "unknown video"), (80, 10, 10))[0]:
            case "again":
                body = {name: sent[name] for name in ("videoId", "type", "webhookId")}
            case "other type":
                body = {"videoId": sent["videoId"], "type": "video.deleted"}
            case _:
                body = {"videoId": f"video_{self._rng.randbytes(24).hex()}", "type": "video.completed"}
        # Until it is taken, as a provider does.
        for _ in range(MOST_TRIES):
            async with self._http.post(f"{self._stack.simulator_url}/simulator/send", json=body) as answer:
                answer.raise_for_status()
                delivery = await answer.json()
            # A wrong signature, which is asked for, is answered with 400 each time.
            if delivery["status"] is not None and delivery["status"] < 500:
                break
            body["webhookId"] = delivery["webhookId"]
            await asyncio.sleep(0.5)
        self._record.sent_again += 1

    # What mends it

    async def _reconcile(self) -> None:
        """The schedule's rounds, which come too late here; and an operator's wish, once all leases are over."""
        while True:
            await asyncio.sleep(RECONCILE_EVERY)
            wish = b'{"all": true}' if self._now > self._plan.chaos_ends + LEASES_OVER else b"{}"
            with contextlib.suppress(BotoCoreError, ClientError, StackError):
                await asyncio.to_thread(self._stack.invoke, "reconcile", wish)

    async def _settle(self) -> None:
        """Waits until nothing more is to come, or the time is up."""
        while self._now < self._plan.chaos_ends + TAIL:
            with contextlib.suppress(aiohttp.ClientError, OSError, BotoCoreError, ClientError, TimeoutError):
                self._missing = await self._what_is_missing()
                if not self._missing:
                    await asyncio.sleep(STILL)
                    if not await self._what_is_missing():
                        return
            await asyncio.sleep(1)
        self._record.given_up = self._missing

    async def _what_is_missing(self) -> str:
        open_jobs, unprocessed = await asyncio.to_thread(self._look_at_the_tables)
        deliveries = (await self._ledger())["deliveries"]
        delivered = {delivery["webhookId"] for delivery in deliveries if delivery["status"] == 200}
        undelivered = {delivery["webhookId"] for delivery in deliveries} - delivered
        untold = [watch for watch in self._record.watches if watch.stays and not has_heard_the_end(watch)]
        parts = {
            "kills": int(self._is_chaos),
            "open jobs": open_jobs,
            "webhooks undelivered": len(undelivered),
            "webhooks unprocessed": unprocessed,
            "subscribers untold": len(untold),
        }
        return ", ".join(f"{what} {count}" for what, count in parts.items() if count)

    def _look_at_the_tables(self) -> tuple[int, int]:
        """How many jobs are open, and how many webhooks nobody has looked at."""
        pages = self._stack.client("dynamodb").get_paginator("scan")
        statuses: Counter[str] = Counter()
        for page in pages.paginate(
            TableName=self._stack.outputs["JobsTable"],
            ProjectionExpression="#status",
            ExpressionAttributeNames={"#status": "status"},
        ):
            statuses.update(row["status"]["S"] for row in page["Items"] if "status" in row)
        self._ended = sum(count for status, count in statuses.items() if status in ENDED)
        received = 0
        for page in pages.paginate(
            TableName=self._stack.outputs["WebhookEventsTable"],
            FilterExpression="outcome = :received",
            ExpressionAttributeValues={":received": {"S": "received"}},
        ):
            received += page["Count"]
        return statuses.total() - self._ended, received

    async def _ledger(self) -> dict[str, Any]:
        async with self._http.get(f"{self._stack.simulator_url}/simulator/ledger") as answer:
            answer.raise_for_status()
            return await answer.json()

    # What a person sees meanwhile

    async def _show(self) -> None:
        await asyncio.sleep(0.9)
        if self._is_chaos:
            await asyncio.to_thread(self._look_at_the_tables)
        record = self._record
        taken = sum(bool(order.answers) for order in record.orders)
        self._line.show(
            f"{self._now:4.0f} s  taken {taken}/{len(self._plan.jobs)}  ended {self._ended}  "
            f"killed {len(record.kills)}  messages lost or doubled {len(record.meddled)}  "
            f"webhooks again {record.sent_again}  watches {len(record.watches)}"
            + ("" if self._is_chaos else f"  waiting for: {self._missing or 'silence'}")
        )


class Line:
    """A live line on a terminal; elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._next = 0.0

    def show(self, text: str) -> None:
        if self._live:
            print(f"\r\x1b[K{text}", end="", flush=True)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + 10
            print(text, flush=True)

    def end(self) -> None:
        if self._live:
            print()


def has_heard_the_end(watch: Watch) -> bool:
    return any(heard.message.get("status") in ENDED for heard in watch.heard)
