"""The simulated provider: it takes orders, ends renderings, and announces them as each job's faults say."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine

from .faults import Faults, Settings, parse_prompt
from .ledger import Ledger
from .media import Studio, VideoFile
from .orders import Order
from .videos import Video, VideoStore
from .webhooks import Attempt, Event, WebhookSender

log = logging.getLogger("simulator.provider")


class Provider:
    def __init__(
        self,
        *,
        webhook_url: str,
        webhook_secret: str,
        render_seconds: float,
        default_faults: Settings,
        webhook_timeout: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.default_faults = default_faults
        self.ledger = Ledger()
        self.videos = VideoStore()
        self.clock = clock
        self._render_seconds = render_seconds
        self._studio = Studio()
        self._sender = WebhookSender(webhook_url, webhook_secret, webhook_timeout, self.ledger.deliveries.append)
        self._events: dict[tuple[str, str, str], Event] = {}
        self._digests: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Drop what is pending. OpenAI would deliver it later; a simulator that ends has nobody left to tell."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._sender.close()
        self._studio.close()

    def faults_for(self, prompt: str) -> Faults:
        """The defaults, and over them, key by key, what the prompt's own directive says."""
        return Faults(**{"render": self._render_seconds, **self.default_faults, **parse_prompt(prompt)})

    def take(self, order: Order, faults: Faults) -> Video:
        """Begin to render; `announce` has to follow."""
        video = Video(order, faults, self.clock())
        self.videos.add(video)
        self._studio.order(int(order.seconds), *order.dimensions)
        log.info("video %s taken: %s, %s s, %s", video.id, order.model, order.seconds, order.size)
        return video

    async def announce(self, video: Video) -> None:
        """See to it that the video's end is announced. An early webhook is sent and answered before this returns."""
        announced = self._start(self._announce_end(video))
        if video.faults.webhook == "early":
            # Shielded: the client may go away meanwhile, and the retries have to go on.
            await asyncio.shield(announced)

    async def file(self, video: Video) -> VideoFile:
        clip = await self._studio.clip(int(video.order.seconds), *video.order.dimensions)
        return VideoFile(clip.video, video.id, video.faults.content_mb)

    async def sha256(self, video: Video) -> str:
        """Of the file; off the event loop, since the file may be hundreds of megabytes."""
        if video.id not in self._digests:
            file = await self.file(video)
            self._digests[video.id] = await asyncio.to_thread(file.sha256)
        return self._digests[video.id]

    async def thumbnail(self, video: Video) -> bytes:
        return (await self._studio.clip(int(video.order.seconds), *video.order.dimensions)).thumbnail

    async def send(self, video_id: str, type: str, webhook_id: str | None) -> Attempt:
        """Send one webhook now, whatever the video's state. The id of an event sent before sends that event again."""
        event = self._events.get((video_id, type, webhook_id or ""))
        if event is None:
            named = {"webhook_id": webhook_id} if webhook_id else {}
            event = self._remember(Event(video_id, type, int(self.clock()), **named))
        return await self._sender.attempt(event)

    async def _announce_end(self, video: Video) -> None:
        # The timer may be a little ahead of the clock: nobody may be told of an end that a read would not show.
        while (left := video.ends_at - self.clock()) > 0:
            await asyncio.sleep(left)
        if video.deleted:
            return
        log.info("video %s %s", video.id, video.outcome)
        event = self._remember(
            Event(
                video.id,
                f"video.{video.outcome}",
                int(video.ends_at),
                spoil_first_signature=video.faults.webhook == "bad_signature",
                trickle_seconds=video.faults.webhook_seconds if video.faults.webhook == "slow" else 0,
            )
        )
        match video.faults.webhook:
            case "lost":
                log.info("webhook for %s is lost, as asked", video.id)
            case "late":
                await asyncio.sleep(video.faults.webhook_delay)
                await self._sender.deliver(event)
            case "twice":
                await asyncio.gather(self._sender.deliver(event), self._sender.deliver(event))
            case "early":
                await self._deliver_without_waiting(event)
            case "out_of_order":
                await self._deliver_without_waiting(event)
                await self._sender.deliver(self._remember(stray_event(video)))
            case _:
                await self._sender.deliver(event)

    async def _deliver_without_waiting(self, event: Event) -> None:
        """Wait for the first attempt alone; should it fail, the retries go on by themselves."""
        if not (await self._sender.attempt(event)).delivered:
            self._start(self._sender.deliver(event, first_attempt=2))

    def _remember(self, event: Event) -> Event:
        self._events[(event.video_id, event.type, event.webhook_id)] = event
        return event

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        # The loop itself holds tasks only weakly.
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def stray_event(video: Video) -> Event:
    """An event that says the opposite of what became of the video, dated from before its end."""
    opposite = "completed" if video.outcome == "failed" else "failed"
    return Event(video.id, f"video.{opposite}", int(video.created_at) - 1)
