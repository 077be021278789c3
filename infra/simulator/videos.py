"""Videos and their rendering.

A video's state is not kept but computed from the clock at each read, so that nothing has to run for it to go on.
"""

import secrets
from dataclasses import dataclass, field

from .faults import Faults
from .orders import Order

QUEUED_UNTIL = 0.1
"""The share of the rendering time that a video stands in the queue."""
DOWNLOADABLE_SECONDS = 3600

FAILURES = {
    "moderation": ("moderation_blocked", 400, "Your request was blocked by our moderation system."),
    "error": ("video_generation_failed", 500, "The video could not be generated. Please try again."),
}
"""By the value of the fault `fail`: OpenAI's kind of code, the number that other servers give instead, the message."""


@dataclass(frozen=True)
class Phase:
    status: str
    progress: int


TAKEN = Phase("queued", 0)
"""What a create call answers, however fast the rendering is: OpenAI answers before it renders."""


@dataclass
class Video:
    order: Order
    faults: Faults
    created_at: float
    id: str = field(default_factory=lambda: f"video_{secrets.token_hex(24)}")
    reads: int = 0
    content_fetches: int = 0
    deleted: bool = False

    @property
    def ends_at(self) -> float:
        # An early webhook is one of a video that was ready before its create call was answered.
        return self.created_at + (0 if self.faults.webhook == "early" else self.faults.render)

    @property
    def expires_at(self) -> float:
        return self.ends_at + DOWNLOADABLE_SECONDS

    @property
    def outcome(self) -> str:
        """The status at the end."""
        return "failed" if self.faults.fail else "completed"

    def phase(self, now: float) -> Phase:
        if now >= self.ends_at:
            return Phase("failed", 99) if self.outcome == "failed" else Phase("completed", 100)
        elapsed = (now - self.created_at) / (self.ends_at - self.created_at)
        if elapsed < QUEUED_UNTIL:
            return TAKEN
        progress = round(99 * (elapsed - QUEUED_UNTIL) / (1 - QUEUED_UNTIL))
        if self.faults.status == "backwards" and elapsed >= 0.5:
            # From 44 back to 20 at half-time, and from there to the end.
            progress = round(20 + 79 * (elapsed - 0.5) / 0.5)
        unknown = self.faults.status == "unknown" and 1 / 3 <= elapsed < 2 / 3
        return Phase("post_processing" if unknown else "in_progress", progress)

    def as_json(self, phase: Phase) -> dict[str, object]:
        """The video object of OpenAI, or varied as the fault `shape` says and as other servers of this API do."""
        completed = phase.status == "completed"
        return {
            "id": self.id,
            "object": "video",
            "model": self.order.model,
            "status": phase.status,
            "progress": phase.progress,
            "prompt": self.order.prompt,
            "created_at": int(self.created_at),
            "completed_at": int(self.ends_at) if completed else None,
            "expires_at": int(self.expires_at) if completed else None,
            "seconds": int(self.order.seconds) if self.faults.shape == "numbers" else self.order.seconds,
            "size": self.order.size,
            "remixed_from_video_id": None,
            "error": self._error_json() if phase.status == "failed" else None,
        }

    def _error_json(self) -> object:
        code, number, message = FAILURES[self.faults.fail]
        match self.faults.shape:
            case "error_string":
                return message
            case "error_number":
                return {"code": number, "message": message}
            case _:
                return {"code": code, "message": message}


class VideoStore:
    """All videos since the start, oldest first. A deleted one is kept for the ledger and hidden from the API."""

    def __init__(self) -> None:
        self._videos: dict[str, Video] = {}

    def add(self, video: Video) -> None:
        self._videos[video.id] = video

    def all(self) -> list[Video]:
        return list(self._videos.values())

    def known(self, video_id: str) -> Video | None:
        return self._videos.get(video_id)

    def present(self, video_id: str) -> Video | None:
        video = self._videos.get(video_id)
        return None if video is None or video.deleted else video

    def page(self, after: str | None, limit: int, newest_first: bool) -> tuple[list[Video], bool]:
        """Up to `limit` videos that follow `after` in the asked order, and whether more follow them."""
        videos = [video for video in self._videos.values() if not video.deleted or video.id == after]
        if newest_first:
            videos.reverse()
        if after is not None:
            start = next(index for index, video in enumerate(videos) if video.id == after) + 1
            videos = videos[start:]
        return videos[:limit], len(videos) > limit
