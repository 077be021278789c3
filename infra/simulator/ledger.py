"""What the simulator was asked and what it sent: the other side's account, for tests to compare with."""

from dataclasses import dataclass, field

from .webhooks import Attempt


@dataclass
class CreateCall:
    """One authorised create call, whether or not a video came of it."""

    at: float
    prompt: object = None
    model: object = None
    seconds: object = None
    size: object = None
    answered: int | str | None = None
    """The HTTP status, "hung", or "reset"; null while the call is being answered, or if its client left before."""
    video_id: str | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "prompt": self.prompt,
            "model": self.model,
            "seconds": self.seconds,
            "size": self.size,
            "answered": self.answered,
            "videoId": self.video_id,
            "at": self.at,
        }


@dataclass
class Ledger:
    creates: list[CreateCall] = field(default_factory=list)
    deliveries: list[Attempt] = field(default_factory=list)

    def creates_of(self, prompt: str) -> int:
        """How many create calls there were with exactly this prompt, the present one included."""
        return sum(call.prompt == prompt for call in self.creates)
