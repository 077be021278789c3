"""The page as its user meets it: by labels, roles and names."""

from __future__ import annotations

import io
import math
import re
import struct
import wave
from dataclasses import dataclass

from client import PATIENT, SOON, eventually
from local.stack import Stack
from playwright.async_api import Locator, Page, expect

expect.set_options(timeout=SOON * 1000)

PATIENT_MS = PATIENT * 1000
JOB_ID = re.compile(r"^job_[0-9a-f]{32}$")


@dataclass(frozen=True)
class VideosPage:
    page: Page

    @classmethod
    async def open(cls, page: Page) -> VideosPage:
        await page.goto("/")
        # The module has run: nothing that is done from here on is lost.
        await expect(page.get_by_role("heading", name="Clipbell", level=1)).to_be_visible()
        await page.wait_for_load_state("load")
        return cls(page)

    @property
    def prompt(self) -> Locator:
        return self.page.get_by_role("textbox", name="What should it show?")

    @property
    def submit(self) -> Locator:
        return self.page.get_by_role("button", name="Make the video")

    @property
    def sign(self) -> Locator:
        return self.page.get_by_role("status", name="Connection")

    @property
    def jobs(self) -> Locator:
        return self.page.get_by_role("region", name="Your videos").get_by_role("article")

    def job(self, prompt: str) -> Locator:
        # A long one names its job by its beginning.
        name = prompt if len(prompt) <= 160 else prompt[:159].rstrip() + "…"
        return self.page.get_by_role("article", name=name, exact=True)

    def button(self, prompt: str, name: str) -> Locator:
        return self.job(prompt).get_by_role("button", name=name, exact=True)

    async def ask(self, prompt: str, seconds: str = "4", size: str = "1280x720") -> Locator:
        await self.prompt.fill(prompt)
        await self.page.get_by_role("combobox", name="Length").select_option(seconds)
        await self.page.get_by_role("combobox", name="Size").select_option(size)
        await self.submit.click()
        await expect(self.job(prompt)).to_be_visible()
        return self.job(prompt)

    async def choose_narration(self, audio: bytes) -> None:
        file = {"name": "voice.wav", "mimeType": "audio/wav", "buffer": audio}
        await self.page.get_by_label("Narration", exact=True).set_input_files(file)

    async def accepted(self, prompt: str) -> str:
        """The job's id, once the server has taken it."""
        await expect(self.job(prompt)).to_have_attribute("data-job-id", JOB_ID)
        return await self.job(prompt).get_attribute("data-job-id")

    async def reaches(self, prompt: str, status: str) -> Locator:
        await expect(self.job(prompt)).to_have_attribute("data-status", status, timeout=PATIENT_MS)
        return self.job(prompt)


async def narration_of(stack: Stack, job_id: str) -> bytes:
    """What lies in the bucket as the job's audio."""
    s3, bucket = stack.client("s3"), stack.outputs["VideosBucket"]

    async def look() -> list[dict]:
        return s3.list_objects_v2(Bucket=bucket, Prefix=f"audio/{job_id}/").get("Contents", [])

    [found] = await eventually("the narration in the bucket", look)
    return s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()


async def look_away(page: Page) -> None:
    """The tab is behind another one."""
    await page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )


async def look_again(page: Page) -> None:
    await page.evaluate("() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); }")


def sound(seconds: float = 1) -> bytes:
    """A WAV file: a tone, as a browser can play it."""
    rate = 8000
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        samples = (int(9000 * math.sin(2 * math.pi * 440 * n / rate)) for n in range(int(rate * seconds)))
        writer.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return file.getvalue()
