"""How the client's jobs hear of what happens to them: over one socket, by polling where there is none, and each thing once."""

import asyncio
import json
import random

import pytest
from fake_api import NEVER, ORIGIN, UNREACHABLE, Answer, FakeApi, Socket, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")

MINUTE = 60
HOUR = 60 * MINUTE

FOLLOW = "(id) => { window.seen = follow(clips.job(id)); }"


async def followed(clips: FakeApi, **fields: object) -> str:
    """A job that the page follows, told of over the socket."""
    job_id = clips.job(**fields)
    await clips.in_page(FOLLOW, job_id)
    await clips.until_live()
    return job_id


async def versions(clips: FakeApi) -> list[int]:
    return await clips.in_page("seen.iterated.map(({ version }) => version)")


async def until_told(clips: FakeApi, job: dict) -> None:
    await clips.until_page(f"seen.iterated.at(-1)?.version === {job['version']}")


async def finish(clips: FakeApi, job_id: str) -> None:
    """The job's end is told, however it comes in; and then there is nothing left that is open, ticks or listens."""
    end = clips.news(job_id, status="completed")
    for _ in range(60):
        if await clips.in_page("'done' in seen"):
            break
        await clips.advance(1)
    assert await clips.in_page("[seen.done.version, seen.iterationEnded]") == [end["version"], True]
    await is_idle(clips)


async def is_idle(clips: FakeApi) -> None:
    await clips.until("every socket is closed", lambda: not clips.open_sockets)
    assert await clips.in_page("[clips.connection, timers.size, listening.size]") == ["idle", 0, 0]


# One socket.


async def test_all_jobs_of_a_client_share_one_socket(clips: FakeApi):
    assert clips.sockets == []
    ids = [clips.job() for _ in range(5)]
    await clips.in_page("(ids) => { window.all = ids.map((id) => follow(clips.job(id))); }", ids)
    await clips.until_page("all.every(({ iterated }) => iterated.length === 1)")
    for job_id in ids:
        clips.news(job_id, status="completed")
    await clips.until_page("all.every(({ done }) => done)")
    assert len(clips.sockets) == 1
    assert [clips.sockets[0].count("subscribe", job_id) for job_id in ids] == [1] * 5
    assert clips.calls("/api/status") == []
    await is_idle(clips)


async def test_a_client_that_watches_nothing_has_no_socket_and_no_timer(clips: FakeApi):
    await clips.in_page("(id) => { window.job = clips.job(id); }", clips.job())
    await clips.advance(MINUTE, step=10)
    assert clips.sockets == [] and clips.asked == []
    await is_idle(clips)


async def test_who_is_watched_by_nobody_any_more_is_unsubscribed_and_the_last_one_closes_the_socket(clips: FakeApi):
    first, second = clips.job(), clips.job()
    script = """([first, second]) => {
      window.listener = () => {};
      window.jobs = [clips.job(first), clips.job(second)];
      for (const job of jobs) job.addEventListener("progress", listener);
    }"""
    await clips.in_page(script, [first, second])
    await clips.until("both are subscribed", lambda: clips.sockets and len(clips.sockets[0].subscribed) == 2)
    await clips.in_page("jobs[0].removeEventListener('progress', listener)")
    await clips.until("the first is left", lambda: clips.sockets[0].subscribed == [second])
    assert len(clips.open_sockets) == 1
    await clips.in_page("jobs[1].removeEventListener('progress', listener)")
    await is_idle(clips)


async def test_a_listener_for_once_and_one_with_a_signal_let_go_of_the_job(clips: FakeApi):
    job_id = clips.job()
    script = """(id) => {
      window.stop = new AbortController();
      window.heard = [];
      clips.job(id).addEventListener("update", ({ detail }) => heard.push(detail.version), { once: true });
      clips.job(id).addEventListener("failed", () => {}, { signal: stop.signal });
    }"""
    await clips.in_page(script, job_id)
    await clips.until_page("heard.length === 1")
    clips.news(job_id)
    await clips.settle()
    assert await clips.in_page("heard") == [1000]
    assert len(clips.open_sockets) == 1
    await clips.in_page("stop.abort()")
    await is_idle(clips)


async def test_leaving_a_loop_and_coming_back_at_once_does_not_lose_the_subscription(clips: FakeApi):
    """The API follows messages side by side: a subscription must not overtake the end of the one before."""
    other, job_id = clips.job(), clips.job()
    await clips.in_page("(id) => { window.other = follow(clips.job(id)); }", other)
    held: list[tuple[Socket, dict]] = []

    def hold(socket: Socket, message: dict) -> bool:
        if message["action"] == "unsubscribe":
            held.append((socket, message))
        return message["action"] == "unsubscribe"

    clips.on_message = hold
    await clips.in_page("async (id) => { for await (const update of clips.job(id)) break; }", job_id)
    await clips.in_page(FOLLOW, job_id)
    await clips.until("it has left", lambda: held)
    await clips.settle()
    assert clips.sockets[0].count("subscribe", job_id) == 1
    held[0][0].answer(held[0][1])
    await clips.until("it is back", lambda: job_id in clips.sockets[0].subscribed)
    await until_told(clips, clips.news(job_id, progress=40))


# Each version once, in growing order.


async def test_only_higher_versions_are_told_whatever_comes_twice_or_out_of_order(clips: FakeApi):
    job_id = await followed(clips)
    old = clips.jobs[job_id]
    first, second, third = (clips.change(job_id, status="in_progress", progress=step) for step in (10, 20, 30))
    for job in (first, first, third, second, old, third):
        clips.tell(job)
    end = clips.news(job_id, status="completed")
    clips.tell(third)
    clips.tell(end)
    await clips.until_page("'done' in seen")
    told = [old["version"], first["version"], third["version"], end["version"]]
    assert await versions(clips) == told
    events = await clips.in_page("seen.events")
    assert [version for kind, version in events if kind == "update"] == told
    assert [kind for kind, _ in events] == ["update", "progress"] * 3 + ["update", "completed"]


async def test_an_iteration_that_is_slow_misses_nothing(clips: FakeApi):
    job_id = clips.job()
    await clips.in_page("(id) => { window.slow = clips.job(id).updates(); window.first = slow.next(); }", job_id)
    assert await clips.in_page("first.then(({ value }) => value.version)") == 1000
    clips.news(job_id, progress=10)
    clips.news(job_id, progress=20)
    clips.news(job_id, status="failed", error={"code": "render_failed", "message": "No.", "retryable": True})
    await clips.until_page("clips.connection === 'idle'")
    rest = "(async () => { const rest = []; for await (const { version } of slow) rest.push(version); return rest; })()"
    assert await clips.in_page(rest) == [1001, 1002, 1003]


async def test_an_iteration_can_be_ended_while_it_waits(clips: FakeApi):
    job_id = clips.job()
    script = """async (id) => {
      const updates = clips.job(id).updates();
      await updates.next();
      const waiting = updates.next();
      return [await updates.return(), await waiting, await updates.next()].map(({ done }) => done);
    }"""
    assert await clips.in_page(script, job_id) == [True, True, True]
    await is_idle(clips)


async def test_a_finished_job_tells_its_end_to_whoever_comes_late(clips: FakeApi):
    job_id = clips.job()
    await clips.in_page("(id) => { window.job = clips.job(id); window.end = job.done; }", job_id)
    await clips.until_live()
    clips.news(job_id, status="completed")
    assert await clips.in_page("end.then(({ version }) => version)") == 1001
    # No listener has heard of it so far.
    await clips.in_page("() => { window.seen = follow(job); }")
    await clips.until_page("seen.iterationEnded && seen.done")
    assert await versions(clips) == [1001]
    assert await clips.in_page("seen.events") == [["update", 1001], ["completed", 1001]]
    assert await clips.in_page("job.current.status") == "completed"
    await is_idle(clips)


async def test_a_job_that_was_ordered_before_and_is_finished_by_now_tells_its_listeners(clips: FakeApi):
    job_id = clips.job(status="completed", progress=100)
    clips.always["/api/generate"] = Answer(202, clips.jobs[job_id])
    await clips.in_page("async () => { window.seen = follow(await clips.generate({ scriptOrQuestion: 'A bell' })); }")
    await clips.until_page("seen.iterationEnded && seen.done")
    assert await clips.in_page("seen.events") == [["update", 1000], ["completed", 1000]]
    assert clips.sockets == []


async def test_a_job_that_is_taken_up_by_its_id_is_one_object_and_tells_the_listeners_that_waited(clips: FakeApi):
    job_id = clips.job(status="completed", progress=100, version=7)
    await clips.in_page(FOLLOW, job_id)
    assert await clips.in_page("(id) => clips.job(id) === clips.job(id)", job_id)
    await clips.until_page("seen.done")
    assert await clips.in_page("seen.events") == [["update", 7], ["completed", 7]]


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (
            {"status": "failed", "error": {"code": "render_failed", "message": "It broke.", "retryable": True}},
            {"code": "render_failed", "message": "It broke.", "retryable": True},
        ),
        (
            {"status": "canceled", "message": "Canceled"},
            {"code": "job_canceled", "message": "Canceled", "retryable": False},
        ),
    ],
    ids=["failed", "canceled"],
)
async def test_a_job_that_ends_otherwise_rejects_done_with_a_typed_error(clips: FakeApi, end: dict, error: dict):
    job_id = await followed(clips)
    last = clips.news(job_id, **end)
    await clips.until_page("'failed' in seen && seen.iterationEnded")
    assert await clips.in_page("seen.failed") == error | {"update": last}
    assert await clips.in_page("seen.events.at(-1)") == [end["status"], last["version"]]
    assert await clips.in_page("seen.errors") == []


async def test_a_failure_that_nobody_asked_for_is_no_unhandled_rejection(clips: FakeApi):
    job_id = clips.job()
    await clips.in_page(
        "(id) => { (async () => { for await (const _ of clips.job(id)); window.over = true; })() }", job_id
    )
    await clips.until_live()
    clips.news(job_id, status="failed", error={"code": "x", "message": "No.", "retryable": False})
    await clips.until_page("window.over")
    # The fixture `clips` looks at what the console said.


async def test_a_job_that_is_not_there_is_an_error_and_nothing_goes_on(clips: FakeApi):
    await clips.in_page(FOLLOW, "job_unknown")
    await clips.until_page("seen.errors.length === 1 && 'failed' in seen && 'iterationFailed' in seen")
    for error in await clips.in_page("[seen.errors[0], seen.failed, seen.iterationFailed]"):
        assert (error["code"], error["status"], error["retryable"]) == ("job_not_found", 404, False)
    await clips.advance(MINUTE)
    assert len(clips.sockets) == 1 and clips.sockets[0].count("subscribe") == 1
    await is_idle(clips)


async def test_a_job_that_is_not_there_is_an_error_where_only_polling_can_tell(clips: FakeApi):
    clips.refuses_sockets = True
    await clips.in_page(FOLLOW, "job_unknown")
    for _ in range(3):
        await clips.advance(1)
    assert await clips.in_page("seen.errors.map(({ code }) => code)") == ["job_not_found"]
    assert len(clips.calls("/api/status")) == 1
    await is_idle(clips)


# A socket does not last.


async def test_after_a_cut_everything_is_subscribed_again_and_what_was_missed_is_told(clips: FakeApi):
    job_id = await followed(clips)
    other = clips.job()
    await clips.in_page("(id) => { window.other = follow(clips.job(id)); }", other)
    await clips.until_page("other.iterated.length === 1")
    await clips.sockets[0].cut()
    await clips.until_page("clips.connection === 'reconnecting'")
    missed = clips.news(job_id, progress=50)
    await clips.advance(1)
    await clips.until_live()
    assert sorted(clips.sockets[1].subscribed) == sorted([job_id, other])
    await until_told(clips, missed)
    assert await versions(clips) == [1000, 1001]
    assert clips.calls("/api/status") == [], "a short cut needs no polling"
    assert await clips.in_page("connections") == ["connecting", "live", "reconnecting", "live"]


async def test_a_silent_socket_is_kept_open_beyond_the_gateway_s_10_minutes(clips: FakeApi):
    job_id = await followed(clips)
    silence = longest = pings = 0
    for _ in range(30 * MINUTE // 20):
        await clips.advance(20, step=5)
        silence = silence + 20 if clips.sockets[0].count("ping") == pings else 0
        pings = clips.sockets[0].count("ping")
        longest = max(longest, silence)
    assert longest < 9 * MINUTE
    assert len(clips.sockets) == 1 and clips.sockets[0].closed is None
    await finish(clips, job_id)


async def test_a_socket_is_renewed_before_its_2_hours_without_a_gap(clips: FakeApi):
    job_id = await followed(clips)
    held: list[dict] = []

    def hold(socket: Socket, message: dict) -> bool:
        if socket is clips.sockets[0] or message["action"] != "subscribe":
            return False
        held.append(message)
        return True

    clips.on_message = hold
    for _ in range(2 * HOUR // 64):
        if held:
            break
        await clips.advance(64, step=8)
    [old, new] = clips.sockets
    assert old.closed is None, "the old one goes on until the new one is subscribed"
    await until_told(clips, clips.news(job_id, progress=30))
    clips.on_message = None
    new.answer(held[0])
    await clips.until("the old one is closed", lambda: old.closed is not None)
    await until_told(clips, clips.news(job_id, progress=60))
    assert await versions(clips) == [1000, 1001, 1002]
    assert await clips.in_page("connections") == ["connecting", "live"], "nobody notices"
    # And so on: this one is renewed as well.
    for _ in range(2 * HOUR // 64):
        if len(clips.sockets) == 3:
            break
        await clips.advance(64, step=8)
    assert len(clips.sockets) == 3
    assert clips.calls("/api/status") == []
    await finish(clips, job_id)


async def test_a_renewal_that_fails_is_tried_again_while_the_old_socket_lives(clips: FakeApi):
    job_id = await followed(clips)
    clips.refuses_sockets = True
    for _ in range(2 * HOUR // 64):
        if len(clips.sockets) == 3:
            break
        await clips.advance(64, step=8)
    assert clips.sockets[0].closed is None
    clips.refuses_sockets = False
    await clips.advance(2 * MINUTE, step=5)
    assert [socket.closed is None for socket in clips.sockets] == [False, False, False, True]
    assert await clips.in_page("connections") == ["connecting", "live"]
    await finish(clips, job_id)


async def test_a_socket_that_is_open_but_dead_is_noticed_and_replaced(clips: FakeApi):
    job_id = await followed(clips)
    clips.sockets[0].deaf = True
    missed = clips.news(job_id, progress=30)
    await clips.advance(75)
    await clips.until_live()
    await until_told(clips, missed)
    assert len(clips.open_sockets) == 1 and clips.open_sockets[0] is clips.sockets[1]
    await finish(clips, job_id)


WAKE_UPS = {
    "online": "window.dispatchEvent(new Event('online'))",
    "visible": "document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))",
    "pageshow": "window.dispatchEvent(new Event('pageshow'))",
}


@pytest.mark.parametrize("wake_up", WAKE_UPS.values(), ids=WAKE_UPS.keys())
async def test_who_wakes_up_looks_at_once_whether_the_socket_is_alive(clips: FakeApi, wake_up: str):
    job_id = await followed(clips)
    await clips.in_page(wake_up)
    await clips.until("it was asked", lambda: clips.sockets[0].count("ping") == 1)
    await clips.advance(20)
    assert len(clips.sockets) == 1, "it was alive"
    clips.sockets[0].deaf = True
    missed = clips.news(job_id, progress=30)
    await clips.in_page(wake_up)
    await clips.advance(6)
    await clips.until_live()
    await until_told(clips, missed)


@pytest.mark.parametrize("wake_up", WAKE_UPS.values(), ids=WAKE_UPS.keys())
async def test_who_wakes_up_does_not_wait_out_the_pause_before_the_next_try(clips: FakeApi, wake_up: str):
    job_id = clips.job()
    clips.refuses_sockets = True
    clips.always["/api/status"] = UNREACHABLE
    await clips.in_page(FOLLOW, job_id)
    await clips.advance(2 * MINUTE)
    tries = len(clips.sockets)
    assert tries < 12, "the pauses grow"
    clips.refuses_sockets = False
    await clips.in_page(wake_up)
    await clips.until_live()
    assert len(clips.sockets) == tries + 1
    assert await versions(clips) == [1000]


async def test_a_page_that_becomes_hidden_is_not_woken_up(clips: FakeApi):
    await followed(clips)
    hide = "Object.defineProperty(document, 'visibilityState', { value: 'hidden' })"
    await clips.in_page(f"{hide}; document.dispatchEvent(new Event('visibilitychange', {{ bubbles: true }}))")
    await clips.settle()
    assert clips.sockets[0].count("ping") == 0


async def test_a_server_that_closes_right_after_every_connect_is_not_stormed(clips: FakeApi):
    job_id = clips.job()

    def cut(socket: Socket, message: dict) -> bool:
        socket.answer(message)
        asyncio.ensure_future(socket.cut())
        return True

    clips.on_message = cut
    await clips.in_page(FOLLOW, job_id)
    await clips.advance(5 * MINUTE)
    assert 5 < len(clips.sockets) < 25
    clips.on_message = None
    await finish(clips, job_id)


async def test_pauses_are_short_again_after_a_socket_that_was_of_use(clips: FakeApi):
    job_id = clips.job()
    clips.refuses_sockets = True
    await clips.in_page(FOLLOW, job_id)
    await clips.advance(MINUTE)
    clips.refuses_sockets = False
    await clips.advance(31)
    await clips.until_live()
    await clips.advance(MINUTE)
    tries = len(clips.sockets)
    await clips.sockets[-1].cut()
    await clips.until_page("clips.connection === 'reconnecting'")
    await clips.advance(1.1)
    assert len(clips.sockets) == tries + 1


async def test_a_subscription_that_is_not_answered_is_polled_and_asked_for_again(clips: FakeApi):
    job_id = clips.job()
    lost: list[dict] = []

    def lose(socket: Socket, message: dict) -> bool:
        if message["action"] != "subscribe" or len(lost) == 2:
            return False
        lost.append(message)
        return True

    clips.on_message = lose
    await clips.in_page(FOLLOW, job_id)
    await clips.advance(6)
    assert await clips.in_page("clips.connection") == "polling"
    assert await versions(clips) == [1000]
    await clips.advance(11)
    assert await clips.in_page("clips.connection") == "live"
    assert (len(clips.sockets), clips.sockets[0].count("subscribe")) == (1, 3)
    await finish(clips, job_id)


async def test_the_gateway_s_own_errors_are_met_by_polling_and_asking_again_in_growing_intervals(clips: FakeApi):
    job_id = clips.job()
    error = json.dumps({"message": "Internal server error", "connectionId": "c=", "requestId": "r="})

    def fail(socket: Socket, message: dict) -> bool:
        socket.send(error)
        return True

    clips.on_message = fail
    await clips.in_page(FOLLOW, job_id)
    await clips.advance(2)
    assert await versions(clips) == [1000], "told by polling at once"
    await clips.advance(2 * MINUTE)
    assert 3 < clips.sockets[0].count("subscribe") < 8
    for oddity in ("no JSON", "[]", "null", '"text"', '{"type":"unheard-of"}', '{"type":"progress"}', "{}"):
        clips.sockets[0].send(oddity)
    clips.on_message = None
    await clips.advance(81)
    assert await clips.in_page("clips.connection") == "live"
    await finish(clips, job_id)


# Polling.


async def test_where_no_socket_can_be_had_it_polls_with_the_tag_and_goes_back_when_one_can(clips: FakeApi):
    job_id = clips.job()
    clips.refuses_sockets = True
    await clips.in_page(FOLLOW, job_id)
    await clips.advance(1)
    assert await clips.in_page("clips.connection") == "polling"
    await clips.advance(MINUTE)
    polls = clips.calls("/api/status")
    assert 6 <= len(polls) <= 16, "every 2 to 10 seconds"
    assert polls[0].headers.get("if-none-match") is None
    assert {poll.headers.get("if-none-match") for poll in polls[1:]} == {'"1000"'}
    assert await versions(clips) == [1000], "304 is no news"
    change = clips.news(job_id, progress=20)
    await clips.advance(15)
    await until_told(clips, change)
    clips.refuses_sockets = False
    await clips.advance(31)
    await clips.until_live()
    polls = len(clips.calls("/api/status"))
    await until_told(clips, clips.news(job_id, progress=30))
    await clips.advance(MINUTE)
    assert len(clips.calls("/api/status")) == polls, "over the socket alone"
    assert await clips.in_page("connections") == ["connecting", "polling", "live"]
    await finish(clips, job_id)


async def test_where_there_are_no_sockets_at_all_it_polls_to_the_end(clips: FakeApi):
    await clips.in_page("delete window.WebSocket")
    job_id = clips.job()
    await clips.in_page(FOLLOW, job_id)
    await clips.advance(5)
    clips.news(job_id, progress=20)
    await clips.advance(5)
    assert await versions(clips) == [1000, 1001]
    await finish(clips, job_id)


async def test_a_socket_that_does_not_open_is_given_up_and_polled_for_meanwhile(clips: FakeApi):
    script = """() => {
      window.WebSocket = class { readyState = 0; close() { window.givenUp = (window.givenUp ?? 0) + 1; } };
    }"""
    await clips.in_page(script)
    job_id = clips.job()
    await clips.in_page(FOLLOW, job_id)
    await clips.advance(4)
    assert await versions(clips) == [1000]
    assert await clips.in_page("window.givenUp") is None
    await clips.advance(7)
    assert await clips.in_page("window.givenUp") == 1


async def test_polling_heeds_retry_after_and_outlasts_every_passing_trouble(clips: FakeApi):
    job_id = clips.job()
    clips.refuses_sockets = True
    trouble = [
        refusal(503, "unavailable", **{"Retry-After": "45"}),
        UNREACHABLE,
        Answer(429, {"message": "Too Many Requests"}),
        Answer(500, {"message": "Internal Server Error"}),
        Answer(200, "<p>Sign in to this Wi-Fi</p>"),
        Answer(403, "<p>No</p>"),
        NEVER,
    ]
    clips.answers["/api/status"] = trouble
    await clips.in_page(FOLLOW, job_id)
    await clips.advance(44)
    assert len(clips.calls("/api/status")) == 1
    await clips.advance(2 * MINUTE)
    assert trouble == []
    assert await clips.in_page("[seen.errors, seen.failed]") == [[], None]
    # What never answered is waited for 20 s of the browser's own clock; a socket that comes back makes up for it.
    clips.refuses_sockets = False
    await clips.advance(31)
    assert await versions(clips) == [1000]
    await finish(clips, job_id)


async def test_a_state_that_was_polled_and_comes_late_takes_nothing_back(clips: FakeApi):
    job_id = await followed(clips)
    stale = dict(clips.jobs[job_id])
    newer = clips.news(job_id, progress=70)
    await until_told(clips, newer)
    await clips.sockets[0].cut()
    clips.refuses_sockets = True
    clips.always["/api/status"] = Answer(200, stale, {"ETag": '"1000"'})
    await clips.advance(10)
    assert clips.calls("/api/status") and await versions(clips) == [1000, 1001]


# Signals.


async def test_a_signal_ends_the_watching_of_who_brought_it_and_of_nobody_else(clips: FakeApi):
    job_id = clips.job()
    script = """(id) => {
      window.stop = new AbortController();
      window.mine = follow(clips.job(id, { signal: stop.signal }));
      window.seen = follow(clips.job(id));
    }"""
    await clips.in_page(script, job_id)
    await clips.until_page("mine.iterated.length === 1 && seen.iterated.length === 1")
    assert clips.sockets[0].count("subscribe") == 1
    await clips.in_page("stop.abort()")
    await clips.until_page("'failed' in mine && 'iterationFailed' in mine")
    assert await clips.in_page("[mine.failed, mine.iterationFailed]") == [{"name": "AbortError"}] * 2
    assert await clips.in_page("mine.errors") == []
    end = clips.news(job_id, status="completed")
    await clips.until_page("'done' in seen")
    assert await clips.in_page("seen.done.version") == end["version"]
    assert await clips.in_page("mine.iterated.length") == 1
    await is_idle(clips)


async def test_who_joins_later_is_told_what_the_others_know_without_asking_the_server(clips: FakeApi):
    job_id = await followed(clips)
    known = clips.news(job_id, progress=40)
    await until_told(clips, known)
    asked = len(clips.sockets[0].heard)
    script = "(id) => { window.late = follow(clips.job(id, { signal: new AbortController().signal })); }"
    await clips.in_page(script, job_id)
    await clips.until_page("late.iterated.length === 1")
    assert await clips.in_page("late.iterated") == [known]
    assert len(clips.sockets[0].heard) == asked
    await finish(clips, job_id)


async def test_a_signal_that_was_aborted_before_ends_it_at_once(clips: FakeApi):
    script = """(id) => {
      window.seen = follow(clips.job(id, { signal: AbortSignal.abort() }));
      window.iteration = failure(async () => { for await (const _ of clips.job(id).updates({ signal: AbortSignal.abort() })); });
    }"""
    await clips.in_page(script, clips.job())
    await clips.until_page("'failed' in seen && 'iterationFailed' in seen")
    assert await clips.in_page("iteration") == {"name": "AbortError"}
    await is_idle(clips)


async def test_an_iteration_with_a_signal_ends_alone(clips: FakeApi):
    job_id = await followed(clips)
    script = """(id) => {
      window.stop = new AbortController();
      window.iteration = failure(async () => {
        for await (const update of clips.job(id).updates({ signal: stop.signal })) window.iterated = update.version;
      });
    }"""
    await clips.in_page(script, job_id)
    await clips.until_page("window.iterated === 1000")
    await clips.in_page("stop.abort()")
    assert await clips.in_page("iteration") == {"name": "AbortError"}
    await finish(clips, job_id)


async def test_a_client_that_is_closed_lets_go_of_everything_and_says_so(clips: FakeApi):
    job_id = await followed(clips)
    await clips.in_page("clips.close()")
    await clips.until_page("'failed' in seen && 'iterationFailed' in seen")
    assert await clips.in_page("[seen.failed.code, seen.iterationFailed.code]") == ["closed", "closed"]
    assert (
        await clips.in_page("failure(() => clips.generate({ scriptOrQuestion: 'A bell' })).then((e) => e.code)")
        == "closed"
    )
    assert await clips.in_page("(id) => failure(() => clips.job(id).done).then((e) => e.code)", job_id) == "closed"
    await is_idle(clips)


# All of it at once.


@pytest.mark.parametrize("seed", [1, 2, 3, 4, random.randrange(10, 10**9)])
async def test_whatever_happens_each_version_is_told_once_growing_and_the_end_always(clips: FakeApi, seed: int):
    print(f"seed {seed}")
    chance = random.Random(seed)
    await clips.in_page(f"""() => {{
      let state = {seed};
      Math.random = () => (state = (state * 48271) % 2147483647) / 2147483647;
    }}""")
    ids = [clips.job() for _ in range(3)]
    script = """(ids) => {
      window.all = ids.map((id) => follow(clips.job(id)));
      window.all.push(follow(clips.job(ids[0], { signal: new AbortController().signal })));
    }"""
    await clips.in_page(script, ids)
    told: dict[str, list[dict]] = {job_id: [clips.jobs[job_id]] for job_id in ids}

    def sometimes_lose(socket: Socket, message: dict) -> bool:
        fate = chance.random()
        if fate < 0.1:
            socket.send({"message": "Internal server error", "requestId": "r="})
        return fate < 0.2

    async def cut() -> None:
        for socket in clips.open_sockets:
            await socket.cut(chance.choice([1000, 1001, 1011]))

    clips.on_message = sometimes_lose
    for _ in range(60):
        job_id = chance.choice(ids)
        match chance.choice(
            ["news"] * 4 + ["silent", "old", "cut", "deaf", "refuse", "accept", "trouble", "wake", "time"]
        ):
            case "news":
                told[job_id].append(clips.news(job_id, progress=chance.randrange(99)))
            case "silent":
                told[job_id].append(clips.change(job_id, status="in_progress"))
            case "old":
                clips.tell(chance.choice(told[job_id]))
            case "cut":
                await cut()
            case "deaf":
                for socket in clips.open_sockets:
                    socket.deaf = True
            case "refuse":
                clips.refuses_sockets = True
            case "accept":
                clips.refuses_sockets = False
            case "trouble":
                answers = [UNREACHABLE, refusal(503, "unavailable", **{"Retry-After": "7"}), Answer(502, "<html>")]
                clips.answers["/api/status"] = chance.choices(answers, k=chance.randrange(4))
            case "wake":
                await clips.in_page(chance.choice(list(WAKE_UPS.values())))
        await clips.advance(chance.choice([0, 0, 0.2, 1, 3, 12]))
    clips.on_message, clips.refuses_sockets = None, False
    ends = [clips.news(job_id, status=chance.choice(["completed", "failed", "canceled"])) for job_id in ids]
    for _ in range(2 * MINUTE):
        if await clips.in_page("all.every(({ iterationEnded }) => iterationEnded)"):
            break
        await clips.advance(1)

    for seen, end in zip(await clips.in_page("all"), [*ends, ends[0]], strict=True):
        iterated = [update["version"] for update in seen["iterated"]]
        assert iterated == sorted(set(iterated)) and iterated[-1] == end["version"], seen
        assert [version for kind, version in seen["events"] if kind == "update"] == iterated
        assert seen["events"][-1] == [end["status"], end["version"]]
        assert ("done" in seen, "failed" in seen) == (end["status"] == "completed", end["status"] != "completed")
        assert seen["errors"] == [] and seen["iterationEnded"]
        known = {job["version"]: job for job in told[end["jobId"]]} | {end["version"]: end}
        assert all(update == known[update["version"]] for update in seen["iterated"])
    await is_idle(clips)


async def test_the_socket_s_address_is_that_of_the_api_or_one_of_its_own(clips: FakeApi):
    job_id = clips.job()
    await clips.in_page(FOLLOW, job_id)
    await clips.until_live()
    assert clips.sockets[0].route.url == f"{ORIGIN}/ws".replace("http", "ws")
    for options, expected in [
        ({"baseUrl": "https://api.test/v1/"}, "wss://api.test/v1/ws"),
        ({"baseUrl": "/v1"}, "ws://clips.test/v1/ws"),
        ({"webSocketUrl": "wss://socket.test/prod"}, "wss://socket.test/prod"),
        ({"webSocketUrl": "https://socket.test/prod?x=1"}, "wss://socket.test/prod?x=1"),
    ]:
        sockets = len(clips.sockets)
        await clips.in_page(
            "([options, id]) => { connect(options); window.seen = follow(clips.job(id)); }", [options, job_id]
        )
        await clips.until("a socket", lambda before=sockets: len(clips.sockets) > before)
        assert clips.sockets[-1].route.url == expected


async def test_a_push_that_got_lost_on_a_living_socket_is_made_up_for(clips: FakeApi):
    job_id = await followed(clips)
    job = clips.change(job_id, status="completed")
    await clips.advance(5 * MINUTE + 5)
    await until_told(clips, job)
    await is_idle(clips)
    assert len(clips.sockets) == 1


async def test_a_retry_after_beyond_all_measure_is_still_a_wait(clips: FakeApi):
    job_id = clips.job()
    clips.refuses_sockets = True
    clips.answers["/api/status"] = [refusal(503, "unavailable", **{"Retry-After": "99999999"})]
    await clips.in_page(FOLLOW, job_id)
    await clips.advance(MINUTE)
    assert len(clips.calls("/api/status")) == 1
