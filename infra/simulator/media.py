"""The clips that the simulator serves: real H.264 and AAC, cheap enough to be made while a job "renders".

The picture is a swinging bell over a time bar, the sound a bell struck once a second. Every clip of one length and
size is encoded once; what makes the files of two jobs differ is a small box at the end (`VideoFile`).
"""

import array
import asyncio
import hashlib
import math
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

FRAME_RATE = 12
SAMPLE_RATE = 48_000
AAC_FRAME = 1024
SWING_SECONDS = 2
"""There and back: the bell is struck at either end, so once a second."""

MEGABYTE = 1_000_000
CHUNK = 64 * 1024
BOX_HEADER = 8
"""An MP4 box starts with its length (32 bit) and its type, four bytes each (ISO/IEC 14496-12, section 4.2)."""

Colour = tuple[int, int, int]
"""Y, U and V, one byte each."""
NIGHT: Colour = (38, 146, 120)
GOLD: Colour = (170, 60, 152)
IRON: Colour = (95, 120, 132)
WHITE: Colour = (220, 128, 128)

# A bell's strike tone and its partials: frequency as a multiple of the strike tone, loudness, and decay per second.
STRIKE_HERTZ = 440.0
PARTIALS = [(0.5, 0.30, 2.0), (1.0, 0.35, 3.0), (1.2, 0.20, 4.0), (1.5, 0.12, 5.0), (2.0, 0.15, 6.0), (3.0, 0.06, 9.0)]


@dataclass(frozen=True)
class Clip:
    """What one encoding gives: an MP4 with its index first, and a WebP picture of its middle."""

    video: bytes
    thumbnail: bytes


@dataclass(frozen=True)
class VideoFile:
    """The MP4 of one job: the shared clip and a trailing `free` box, which players skip.

    The box holds the video's id, so that every job's file has a SHA-256 of its own, and as many zeros as bring the
    file to `megabytes`. The zeros are never in memory all at once, so a file of any size costs what its clip costs.
    """

    clip: bytes
    video_id: str
    megabytes: int

    @property
    def size(self) -> int:
        return max(len(self.clip) + BOX_HEADER + len(self.video_id), self.megabytes * MEGABYTE)

    def chunks(self, length: int = CHUNK) -> Iterator[bytes]:
        """The file in order, in pieces of at most `length` bytes."""
        box_size = self.size - len(self.clip)
        label = box_size.to_bytes(4, "big") + b"free" + self.video_id.encode()
        for part in (self.clip, label):
            for start in range(0, len(part), length):
                yield part[start : start + length]
        padding = box_size - len(label)
        zeros = bytes(min(length, padding))
        while padding > 0:
            yield zeros[:padding]
            padding -= len(zeros)

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()


class Studio:
    """Encodes each (seconds, width, height) once, off the event loop and one at a time."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="studio")
        self._clips: dict[tuple[int, int, int], asyncio.Future[Clip]] = {}

    def order(self, seconds: int, width: int, height: int) -> asyncio.Future[Clip]:
        """Start the encoding, unless it is done or under way, and return its future."""
        key = (seconds, width, height)
        if key not in self._clips:
            self._clips[key] = asyncio.get_running_loop().run_in_executor(self._executor, render_clip, *key)
        return self._clips[key]

    async def clip(self, seconds: int, width: int, height: int) -> Clip:
        # Shielded: a client that goes away must not cancel the encoding that others wait for.
        return await asyncio.shield(self.order(seconds, width, height))

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def render_clip(seconds: int, width: int, height: int) -> Clip:
    """Encode a clip, in under a second of processor time for 8 s of 1280x720."""
    with tempfile.TemporaryDirectory(prefix="simulator-") as folder:
        # A file, since moving the index to the front ("faststart") reads back what was written.
        path = Path(folder) / "clip.mp4"
        with av.open(path, "w", options={"movflags": "+faststart"}) as container:
            video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "ultrafast", "crf": "28"})
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            video.codec_context.gop_size = FRAME_RATE
            audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
            strike = bell_strike()
            # Second by second, so that the muxer has picture and sound in step and buffers little.
            for second in range(seconds):
                for number in range(second * FRAME_RATE, (second + 1) * FRAME_RATE):
                    frame = draw_frame(number / FRAME_RATE, seconds, width, height)
                    frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
                    container.mux(video.encode(frame))
                for start in audio_frame_starts(second, seconds):
                    container.mux(audio.encode(audio_frame(strike, start, seconds * SAMPLE_RATE)))
            container.mux(video.encode(None))
            container.mux(audio.encode(None))
        thumbnail = encode_webp(draw_frame(seconds / 2, seconds, width, height))
        return Clip(video=path.read_bytes(), thumbnail=thumbnail)


def encode_webp(frame: av.VideoFrame) -> bytes:
    encoder = av.CodecContext.create("libwebp", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuv420p"
    encoder.time_base = Fraction(1, FRAME_RATE)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def bell_strike() -> array.array:
    """One second of a struck bell, from -1 to 1. It fades to nothing, so that seconds join without a click."""
    samples = array.array("f")
    for n in range(SAMPLE_RATE):
        at = n / SAMPLE_RATE
        tone = sum(
            loudness * math.exp(-decay * at) * math.sin(2 * math.pi * ratio * STRIKE_HERTZ * at)
            for ratio, loudness, decay in PARTIALS
        )
        samples.append(0.8 * tone * (1 - at))
    return samples


def audio_frame_starts(second: int, seconds: int) -> range:
    """First samples of the AAC frames that begin within this second of the clip."""
    first = -(-second * SAMPLE_RATE // AAC_FRAME) * AAC_FRAME
    return range(first, min(second + 1, seconds) * SAMPLE_RATE, AAC_FRAME)


def audio_frame(strike: array.array, start: int, total: int) -> av.AudioFrame:
    length = min(AAC_FRAME, total - start)
    frame = av.AudioFrame(format="fltp", layout="mono", samples=length)
    samples = array.array("f", (strike[n % SAMPLE_RATE] for n in range(start, start + length)))
    frame.planes[0].update(samples.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
    return frame


def draw_frame(at: float, seconds: int, width: int, height: int) -> av.VideoFrame:
    """The picture at `at` seconds.

    Drawn in 4:2:0 directly: a row of the coloured planes stands for two rows of the bright one, so each row is a list
    of runs in half the width, written three times.
    """
    columns, rows = width // 2, height // 2
    swing = math.cos(2 * math.pi * at / SWING_SECONDS)
    planes: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
    for row in range(rows):
        runs = row_runs(row, columns, rows, swing, at / seconds)
        bright = b"".join(bytes([colour[0]]) * (2 * length) for length, colour in runs)
        planes[0].extend((bright, bright))
        for index in (1, 2):
            planes[index].append(b"".join(bytes([colour[index]]) * length for length, colour in runs))
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, lines in zip(frame.planes, planes, strict=True):
        # A plane's lines may be longer than the picture, and its buffer may hold lines that are never shown.
        data = b"".join(line.ljust(plane.line_size, b"\0") for line in lines)
        plane.update(data.ljust(plane.buffer_size, b"\0"))
    return frame


def row_runs(row: int, columns: int, rows: int, swing: float, elapsed: float) -> list[tuple[int, Colour]]:
    """One row of the picture as (length, colour) runs that fill it.

    `swing` is from -1 (left) to 1 (right), `elapsed` the share of the clip that is over.
    """
    if rows * 0.94 <= row < rows * 0.96:
        done = round(columns * elapsed)
        return [(done, WHITE), (columns - done, NIGHT)]
    unit = min(columns, rows)
    top, bottom, clapper = (rows - unit * 0.75) / 2, (rows + unit * 0.45) / 2, unit * 0.06
    # The bell leans by a shift that grows with the distance from its yoke: near enough to a turn for a small swing.
    if top <= row < bottom:
        half, colour = bell_half_width((row - top) / (bottom - top)) * unit * 0.32, GOLD
        middle = columns / 2 + 0.22 * swing * (row - top)
    elif bottom <= row < bottom + 2 * clapper:
        half, colour = math.sqrt(max(clapper**2 - (row - bottom - clapper) ** 2, 0)), IRON
        middle = columns / 2 + 0.35 * swing * (bottom - top)
    else:
        return [(columns, NIGHT)]
    left, right = (min(max(round(edge), 0), columns) for edge in (middle - half, middle + half))
    return [(left, NIGHT), (right - left, colour), (columns - right, NIGHT)]


def bell_half_width(down: float) -> float:
    """A bell's outline: half its width, as a share of the lip's, at `down` (0 is the crown, 1 the lip)."""
    crown = math.sqrt(1 - (1 - min(down / 0.35, 1)) ** 2)
    flare = max((down - 0.35) / 0.65, 0) ** 2.2
    return 0.5 * crown + 0.5 * flare
