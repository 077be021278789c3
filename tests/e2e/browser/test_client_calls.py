"""What the client asks the API for: orders, files and cancellations; tried again where that can help, with errors that say why."""

import base64
import hashlib
import re

import pytest
from fake_api import BUCKET, NEVER, ORIGIN, UNREACHABLE, VIDEO, WEB, Answer, FakeApi, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORDER = "clips.generate({ scriptOrQuestion: 'A bell in the snow' })"


async def ordered_with_audio(clips: FakeApi, audio: str) -> str:
    """What was sent for the audio that the script makes."""
    await clips.in_page(
        f"(async () => {{ await clips.generate({{ scriptOrQuestion: 'A', audioBuffer: {audio} }}); }})()"
    )
    return clips.calls("/api/generate")[-1].json["audioBuffer"]


async def begin(clips: FakeApi, script: str) -> None:
    """Begins something that takes time; how it ends is in `ended`."""
    await clips.in_page(f"""() => {{
      window.ended = undefined;
      ({script}).then((value) => {{ ended = {{ value: value?.id ?? value }}; }}, (error) => {{ ended = said(error); }});
    }}""")


async def failure(clips: FakeApi, script: str) -> dict:
    return await clips.in_page(f"failure(() => {script})")


async def test_the_module_has_what_its_types_say(clips: FakeApi):
    declared = re.findall(
        r"^export (?:declare )?(?:class|function|const) (\w+)", (WEB / "clipbell.d.ts").read_text(), re.M
    )
    assert await clips.in_page("import('/clipbell.js').then((module) => Object.keys(module))") == sorted(declared)


# Ordering.


async def test_an_order_is_one_json_request_with_a_key_even_where_random_uuids_are_missing(clips: FakeApi):
    assert await clips.in_page("typeof crypto.randomUUID") == "undefined", "http:// has none"
    script = """clips.generate({ scriptOrQuestion: 'A bell', model: 'm', seconds: 4, size: '720x1280' })
      .then((job) => [job.id, job.current])"""
    job_id, current = await clips.in_page(script)
    [asked] = clips.calls("/api/generate")
    assert (asked.method, asked.query("renderVersion")) == ("POST", "v3")
    assert asked.headers["content-type"] == "application/json"
    assert asked.json == {"scriptOrQuestion": "A bell", "model": "m", "seconds": 4, "size": "720x1280"}
    assert re.fullmatch(r"[0-9a-f]{32}", asked.headers["idempotency-key"])
    assert "authorization" not in asked.headers
    assert current == clips.jobs[job_id]
    await clips.in_page(ORDER + ".then(() => 0)")
    assert len({asked.headers["idempotency-key"] for asked in clips.calls("/api/generate")}) == 2


async def test_the_key_stays_the_same_over_all_tries_of_one_order(clips: FakeApi):
    clips.answers["/api/generate"] = [
        UNREACHABLE,
        refusal(503, "unavailable", **{"Retry-After": "5"}),
        Answer(429, {"message": "Too Many Requests"}),
        refusal(500, "internal"),
        Answer(502, "<html>"),
        Answer(504, ""),
    ]
    await begin(clips, ORDER)
    await clips.advance(1)
    assert len(clips.calls("/api/generate")) == 2
    await clips.advance(3.9)
    assert len(clips.calls("/api/generate")) == 2, "Retry-After is heeded"
    await clips.advance(50)
    asked = clips.calls("/api/generate")
    assert len(asked) == 7
    assert len({call.headers["idempotency-key"] for call in asked}) == 1
    assert len({call.body for call in asked}) == 1
    assert await clips.in_page("ended.value") in clips.jobs


async def test_a_key_that_is_given_is_used(clips: FakeApi):
    script = "Promise.all([0, 0].map(() => clips.generate({ scriptOrQuestion: 'A' }, { idempotencyKey: 'mine' })))"
    assert await clips.in_page(f"{script}.then(([one, other]) => one === other)")
    assert {call.headers["idempotency-key"] for call in clips.calls("/api/generate")} == {"mine"}
    for bad in ("''", "'a b'", "'é'", "'x'.repeat(256)"):
        error = await failure(clips, f"clips.generate({{ scriptOrQuestion: 'A' }}, {{ idempotencyKey: {bad} }})")
        assert error["code"] == "invalid_idempotency_key"
    assert len(clips.calls("/api/generate")) == 2


@pytest.mark.parametrize("answer", [UNREACHABLE, refusal(503, "unavailable")], ids=["unreachable", "unavailable"])
async def test_after_about_a_minute_it_gives_up(clips: FakeApi, answer: Answer):
    clips.always["/api/generate"] = answer
    await begin(clips, ORDER)
    await clips.advance(40)
    assert await clips.in_page("ended") is None
    await clips.advance(21)
    error = await clips.in_page("ended")
    assert (error["code"], error["retryable"]) == ("network" if answer is UNREACHABLE else "unavailable", True)
    tries = len(clips.calls("/api/generate"))
    assert 6 <= tries <= 14
    await clips.advance(60, step=10)
    assert len(clips.calls("/api/generate")) == tries


async def test_a_retry_after_that_is_too_long_is_left_to_the_caller(clips: FakeApi):
    clips.always["/api/generate"] = refusal(429, "too_many", **{"Retry-After": "3600"})
    error = await failure(clips, ORDER)
    assert (error["code"], error["retryAfter"], error["retryable"]) == ("too_many", 3600, True)
    assert len(clips.calls("/api/generate")) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "invalid_script"), (401, "unauthorized"), (413, "body_too_large"), (422, "idempotency_key_reused")],
)
async def test_a_no_of_the_api_is_final_and_keeps_its_code(clips: FakeApi, status: int, code: str):
    clips.always["/api/generate"] = refusal(status, code)
    message = f"A sentence about {code}."
    expected = {"code": code, "message": message, "status": status, "retryable": False}
    assert await failure(clips, ORDER) == expected
    assert len(clips.calls("/api/generate")) == 1


async def test_a_failure_of_the_api_s_own_carries_its_request_id(clips: FakeApi):
    clips.always["/api/generate"] = Answer(501, {"error": "No.", "code": "internal", "requestId": "r-1"})
    error = await failure(clips, ORDER)
    assert (error["code"], error["status"], error["requestId"]) == ("internal", 501, "r-1")


async def test_what_is_no_clipbell_api_is_said_to_be_none(clips: FakeApi):
    for body in ("<!doctype html>", "", {"status": "ok"}, []):
        clips.always["/api/generate"] = Answer(200, body)
        error = await failure(clips, ORDER)
        assert (error["code"], error["retryable"]) == ("bad_response", False), body
    clips.always["/api/generate"] = Answer(403, {"message": "Forbidden"})
    assert (await failure(clips, ORDER))["code"] == "bad_response"


# Audio.

SOUND = bytes(range(256)) * 3 + b"\x00"
AS_BYTES = f"new Uint8Array({list(SOUND)})"


@pytest.mark.parametrize(
    ("audio", "begins"),
    [
        (f"{AS_BYTES}.buffer", ""),
        (AS_BYTES, ""),
        (f"new Uint8Array([1, 2, ...{AS_BYTES}, 3]).subarray(2, -1)", ""),
        (f"new DataView({AS_BYTES}.buffer)", ""),
        (f"new Blob([{AS_BYTES}])", ""),
        (f"new Blob([{AS_BYTES}], {{ type: 'audio/webm;codecs=opus' }})", "data:audio/webm;codecs=opus;base64,"),
        (f"new File([{AS_BYTES}], 'a.mp3', {{ type: 'audio/mpeg' }})", "data:audio/mpeg;base64,"),
        (f"'{base64.b64encode(SOUND).decode()}'", ""),
        (f"'data:audio/wav;base64,{base64.b64encode(SOUND).decode()}'", "data:audio/wav;base64,"),
        (f"new frame.Uint8Array({AS_BYTES})", ""),
        (f"new frame.Uint8Array({AS_BYTES}).buffer", ""),
        (f"new frame.Blob([{AS_BYTES}])", ""),
    ],
    ids=[
        "ArrayBuffer",
        "typed array",
        "part of a buffer",
        "DataView",
        "Blob",
        "Blob with a type",
        "File",
        "base64",
        "data URL",
        "typed array of another frame",
        "ArrayBuffer of another frame",
        "Blob of another frame",
    ],
)
async def test_audio_in_every_form_arrives_as_it_was(clips: FakeApi, audio: str, begins: str):
    await clips.in_page("window.frame = document.body.appendChild(document.createElement('iframe')).contentWindow; 0")
    sent = await ordered_with_audio(clips, audio)
    assert sent.startswith(begins)
    assert base64.b64decode(sent.removeprefix(begins), validate=True) == SOUND


async def test_samples_that_are_no_bytes_go_as_the_bytes_they_are(clips: FakeApi):
    sent = await ordered_with_audio(clips, "new Float32Array([0.5, -1])")
    assert base64.b64decode(sent) == bytes.fromhex("0000003f000080bf")


@pytest.mark.parametrize("absent", ["null", "undefined"])
async def test_no_audio_is_no_audio(clips: FakeApi, absent: str):
    await clips.in_page(f"clips.generate({{ scriptOrQuestion: 'A', audioBuffer: {absent} }}).then(() => 0)")
    assert clips.calls("/api/generate")[0].json == {"scriptOrQuestion": "A"}


async def test_4_mb_go_through_and_one_byte_more_is_refused_before_anything_is_sent(clips: FakeApi):
    script = """() => {
      window.audio = new Uint8Array(4_000_001);
      for (let at = 0; at < audio.length; at++) audio[at] = (at * 31 + (at >> 8)) & 255;
    }"""
    await clips.in_page(script)
    expected = hashlib.sha256(bytes((at * 31 + (at >> 8)) & 255 for at in range(4_000_000))).digest()
    sent = await ordered_with_audio(clips, "audio.subarray(0, 4_000_000)")
    assert hashlib.sha256(base64.b64decode(sent)).digest() == expected
    await ordered_with_audio(clips, f"'data:audio/mpeg;base64,' + '{'A' * 4}'.repeat(1_333_333) + 'AA=='")
    assert len(clips.calls("/api/generate")) == 2
    for form in ("audio", "audio.buffer", "new Blob([audio])", "'AAAA'.repeat(1_333_334)"):
        error = await failure(clips, f"clips.generate({{ scriptOrQuestion: 'A', audioBuffer: {form} }})")
        assert error["code"] == "audio_too_large", form
    assert len(clips.calls("/api/generate")) == 2


@pytest.mark.parametrize("nothing", ["{}", "[1, 2]", "7", "true", "new Blob([])", "new ArrayBuffer(0)", "''"])
async def test_what_is_no_audio_is_refused_before_anything_is_sent(clips: FakeApi, nothing: str):
    error = await failure(clips, f"clips.generate({{ scriptOrQuestion: 'A', audioBuffer: {nothing} }})")
    assert error["code"] == "invalid_audio"
    assert clips.asked == []


# A protected API.


@pytest.mark.parametrize(
    "token", ["'s3cret'", "() => 's3cret'", "async () => 's3cret'"], ids=["text", "function", "async function"]
)
async def test_a_token_goes_into_the_header_of_every_call_and_never_into_a_url_nor_to_the_bucket(
    clips: FakeApi, token: str
):
    script = f"""async () => {{
      connect({{ token: {token} }});
      window.job = await clips.generate({{ scriptOrQuestion: 'A' }});
      window.seen = follow(job);
    }}"""
    await clips.in_page(script)
    await clips.until_live()
    clips.refuses_sockets = True
    await clips.sockets[0].cut()
    await clips.advance(6)
    await clips.in_page("job.cancel().then(() => job.download()).then(() => 0)")
    to_the_api = [asked for asked in clips.asked if asked.url.startswith(ORIGIN)]
    assert {asked.path for asked in to_the_api} == {"/api/generate", "/api/status", "/api/cancel", "/api/download"}
    assert {asked.headers.get("authorization") for asked in to_the_api} == {"Bearer s3cret"}
    [to_the_bucket] = [asked for asked in clips.asked if asked.url.startswith(BUCKET)]
    assert not {"authorization", "referer", "cookie"} & to_the_bucket.headers.keys()
    urls = [asked.url for asked in clips.asked] + [socket.route.url for socket in clips.sockets]
    assert not any("s3cret" in url for url in urls)
    assert not any("s3cret" in str(socket.heard) for socket in clips.sockets)


async def test_a_function_is_asked_for_the_token_before_every_try(clips: FakeApi):
    clips.answers["/api/generate"] = [UNREACHABLE, UNREACHABLE]
    await clips.in_page("() => { let asked = 0; connect({ token: () => `token-${++asked}` }); }")
    await begin(clips, ORDER)
    await clips.advance(5)
    tokens = [call.headers["authorization"] for call in clips.calls("/api/generate")]
    assert tokens == ["Bearer token-1", "Bearer token-2", "Bearer token-3"]


async def test_no_token_is_no_header_and_a_function_that_fails_is_heard(clips: FakeApi):
    await clips.in_page("connect({ token: async () => undefined })")
    await clips.in_page(ORDER + ".then(() => 0)")
    assert "authorization" not in clips.calls("/api/generate")[0].headers
    await clips.in_page("connect({ token: async () => { throw new RangeError('signed out'); } })")
    assert await failure(clips, ORDER) == {"name": "RangeError"}
    assert len(clips.calls("/api/generate")) == 1


async def test_an_api_that_sends_elsewhere_is_not_followed_there(clips: FakeApi):
    await clips.in_page("connect({ token: 's3cret' })")
    clips.always["/api/generate"] = Answer(307, "", {"Location": "http://elsewhere.test/"})
    visited: list[str] = []
    clips.page.on("request", lambda request: visited.append(request.url))
    await begin(clips, ORDER)
    await clips.advance(61, step=5)
    assert (await clips.in_page("ended"))["code"] == "network"
    assert visited and all(url.startswith(ORIGIN) for url in visited)


async def test_an_api_at_another_address_is_asked_there(clips: FakeApi):
    for base, expected in [
        ("'https://api.test'", "https://api.test/api/generate?renderVersion=v3"),
        ("'https://api.test/stage/'", "https://api.test/stage/api/generate?renderVersion=v3"),
        ("new URL('/stage', location)", f"{ORIGIN}/stage/api/generate?renderVersion=v3"),
    ]:
        clips.always[expected.split("?")[0].split("test")[1]] = Answer(202, clips.jobs[clips.job()])
        await clips.in_page(f"connect({{ baseUrl: {base} }})")
        # Another origin's preflight is the browser's own, and Playwright's to answer.
        await clips.in_page(ORDER + ".then(() => 0)")
        assert clips.asked[-1].url == expected


# Aborting.


async def test_a_call_can_be_aborted_at_every_step(clips: FakeApi):
    options = "{ signal: stop.signal }"
    order = f"clips.generate({{ scriptOrQuestion: 'A' }}, {options})"
    # Before it begins.
    await clips.in_page("() => { window.stop = new AbortController(); stop.abort(); }")
    assert await failure(clips, order) == {"name": "AbortError"}
    assert clips.asked == []
    # While a token is got.
    await clips.in_page(
        "() => { connect({ token: () => new Promise(() => {}) }); window.stop = new AbortController(); }"
    )
    await begin(clips, order)
    await clips.in_page("stop.abort()")
    assert await clips.in_page("ended") == {"name": "AbortError"}
    assert clips.asked == []
    # While it is sent and nothing answers.
    await clips.in_page("() => { connect(); window.stop = new AbortController(); }")
    clips.answers["/api/generate"] = [NEVER, UNREACHABLE]
    await begin(clips, order)
    await clips.until("it is sent", lambda: len(clips.calls("/api/generate")) == 1)
    await clips.in_page("stop.abort()")
    await clips.until_page("ended")
    assert await clips.in_page("ended") == {"name": "AbortError"}
    # In the pause before the next try.
    await clips.in_page("window.stop = new AbortController(); 0")
    await begin(clips, order)
    await clips.until("it is sent", lambda: len(clips.calls("/api/generate")) == 2)
    await clips.until_page("timers.size === 1")
    await clips.in_page("stop.abort(new Error('no more'))")
    await clips.until_page("ended")
    assert await clips.in_page("[ended, timers.size]") == [{"name": "Error"}, 0]
    # While the job that it gave is watched.
    await clips.in_page("window.stop = new AbortController(); 0")
    await clips.in_page(f"{order}.then((job) => {{ window.seen = follow(job); }})")
    await clips.until_live()
    await clips.in_page("stop.abort()")
    await clips.until_page("'failed' in seen && 'iterationFailed' in seen")
    assert await clips.in_page("clips.connection") == "idle"
    # While its file comes.
    clips.answers["/video"] = [NEVER]
    await clips.in_page("window.stop = new AbortController(); 0")
    await begin(clips, f"clips.job('{clips.job()}').download({options})")
    await clips.until("the file is asked for", lambda: clips.calls("/video"))
    await clips.in_page("stop.abort()")
    await clips.until_page("ended")
    assert await clips.in_page("ended") == {"name": "AbortError"}
    # While its end is asked for.
    clips.answers["/api/cancel"] = [NEVER]
    await clips.in_page("window.stop = new AbortController(); 0")
    await begin(clips, f"clips.job('{clips.job()}').cancel({options})")
    await clips.until("the end is asked for", lambda: clips.calls("/api/cancel"))
    await clips.in_page("stop.abort()")
    await clips.until_page("ended")
    assert await clips.in_page("ended") == {"name": "AbortError"}


# Files.


async def test_a_file_comes_as_a_blob_or_as_an_address(clips: FakeApi):
    job_id = clips.job(status="completed")
    script = "(id) => clips.job(id).download().then(async (blob) => [blob.type, await blob.text()])"
    assert await clips.in_page(script, job_id) == ["video/mp4", VIDEO.decode()]
    [asked] = clips.calls("/api/download")
    assert (asked.query("jobId"), asked.query("renderVersion")) == (job_id, "v3")
    assert asked.headers["accept"] == "application/json"
    script = "(id) => clips.job(id).download({ as: 'url', variant: 'thumbnail' })"
    assert await clips.in_page(script, job_id) == f"{BUCKET}/video?signature=x"
    assert clips.calls("/api/download")[1].query("variant") == "thumbnail"
    assert len(clips.calls("/video")) == 1


@pytest.mark.parametrize("trouble", [Answer(403, "<Error/>"), UNREACHABLE], ids=["ran out", "broke off"])
async def test_an_address_that_has_run_out_is_replaced_once(clips: FakeApi, trouble: Answer):
    job_id = clips.job(status="completed")
    clips.answers["/video"] = [trouble]
    assert await clips.in_page("(id) => clips.job(id).download().then((blob) => blob.text())", job_id) == VIDEO.decode()
    assert (len(clips.calls("/api/download")), len(clips.calls("/video"))) == (2, 2)
    clips.always["/video"] = trouble
    error = await failure(clips, f"clips.job('{job_id}').download()")
    assert error["code"] == ("network" if trouble is UNREACHABLE else "bad_response")
    assert len(clips.calls("/video")) == 4


async def test_a_file_that_is_not_there_yet_or_no_longer_is_said_to_be_so(clips: FakeApi):
    job_id = clips.job()
    for answer, retryable in [
        (refusal(409, "not_ready", **{"Retry-After": "5"}), True),
        (refusal(410, "video_expired"), False),
    ]:
        clips.answers["/api/download"] = [answer]
        error = await failure(clips, f"clips.job('{job_id}').download()")
        assert (error["code"], error["status"], error["retryable"]) == (answer.body["code"], answer.status, retryable)
        assert error.get("retryAfter") == (5 if retryable else None)
    assert len(clips.calls("/api/download")) == 2 and clips.calls("/video") == []


# Canceling.


async def test_canceling_gives_the_new_state_and_tells_it_to_whoever_watches(clips: FakeApi):
    job_id = clips.job()
    await clips.in_page(
        "(id) => { window.seen = follow(clips.job(id, { signal: new AbortController().signal })); }", job_id
    )
    await clips.until_live()
    clips.answers["/api/cancel"] = [refusal(503, "unavailable")]
    await begin(clips, f"clips.job('{job_id}').cancel()")
    await clips.advance(2)
    assert await clips.in_page("ended.value.message") == "Canceling"
    assert [(call.method, call.query("jobId")) for call in clips.calls("/api/cancel")] == [("POST", job_id)] * 2
    assert await clips.in_page("seen.iterated.map(({ version }) => version)") == [1000, 1001]
    clips.news(job_id, status="canceled")
    await clips.until_page("'failed' in seen")
    assert await clips.in_page("seen.failed.code") == "job_canceled"


async def test_a_token_that_none_can_be_is_told_before_anything_is_sent(clips: FakeApi):
    await clips.in_page("connect({ token: 'a\u2026b' })")
    code = await clips.in_page("clips.generate({ scriptOrQuestion: 'A bell' }).catch(({ code }) => code)")
    assert code == "invalid_token" and clips.calls("/api/generate") == []
