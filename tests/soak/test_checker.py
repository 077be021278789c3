"""The soak's checker finds what it is there to find: each rule is broken once, and only that is said."""

import copy
import re
from typing import Any

import pytest
from soak.checker import Evidence, Stored, check, ends_of, faults_of, report
from soak.plan import FAULTS, plan
from soak.record import Heard, Kill, Order, Record, Watch

NOON = 1_795_000_000.0
JOB, VIDEO = "job_1", "video_1"
PROMPT = "A bell [sim render=1]"
KEY = f"videos/{JOB}/a1.mp4"


def millis(after: float) -> int:
    return int((NOON + after) * 1000)


def history(*entries: tuple[float, str]) -> list[dict[str, Any]]:
    return [{"at": millis(after), "what": what} for after, what in entries]


def told(version: int, status: str, progress: int, kind: str = "progress", connection: int = 1) -> Heard:
    state = {"type": kind, "jobId": JOB, "version": version, "status": status, "progress": progress, "message": "m"}
    return Heard(NOON, connection, state)


class World:
    """A job that went well, and one subscriber that saw it; a test breaks one thing of it."""

    def __init__(self, prompt: str = PROMPT):
        self.watch = Watch(
            0, JOB, True, [told(1, "queued", 0, "subscribed"), told(2, "in_progress", 99), told(3, "completed", 100)]
        )
        self.record = Record(1, 1, NOON, 30, orders=[Order(prompt, NOON, [JOB])], watches=[self.watch])
        self.row: dict[str, Any] = {
            "jobId": JOB,
            "status": "completed",
            "progress": 100,
            "version": 3,
            "stage": {"is": "finished"},
            "videoId": VIDEO,
            "video": {"key": KEY, "bytes": 9},
            "ttl": 1,
            "history": history((0, "created"), (1, "submitting"), (1.1, "submitted"), (6, "saving"), (7, "completed")),
        }
        self.create = {"prompt": prompt, "answered": 200, "videoId": VIDEO, "at": NOON + 1}
        self.video = {"id": VIDEO, "prompt": prompt, "status": "completed", "sha256": "abc", "bytes": 9}
        self.delivery = {"webhookId": "wh_1", "videoId": VIDEO, "type": "video.completed", "status": 200, "at": NOON}
        self.event = {"webhookId": "wh_1", "videoId": VIDEO, "jobId": JOB, "outcome": "applied", "deliveries": 1}
        self.evidence = Evidence(
            ledger={"creates": [self.create], "videos": [self.video], "deliveries": [self.delivery]},
            jobs={JOB: self.row},
            owners={VIDEO: JOB},
            events={"wh_1": self.event},
            objects={KEY: Stored(9, "abc")},
        )

    def fails(self, code: str, *entries: tuple[float, str]) -> None:
        """Makes it a job that failed with this code, and whose subscriber was told so."""
        self.row |= {"status": "failed", "progress": 0, "error": {"code": code}, "history": history(*entries)}
        del self.row["video"]
        self.evidence.objects.clear()
        self.watch.heard = [told(3, "failed", 0)]

    def was_never_taken(self) -> None:
        del self.row["videoId"]
        self.evidence.ledger["videos"].clear()
        self.evidence.owners.clear()
        self.event["outcome"] = "unmatched"

    def killed(self, after: float) -> None:
        self.record.kills.append(Kill(NOON + after, 1, "advance", "call"))

    @property
    def broken(self) -> set[str]:
        return {violation.rule for violation in check(self.record, self.evidence).violations}

    @property
    def table(self) -> dict[str, int | str]:
        return check(self.record, self.evidence).table


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_is_found_where_all_went_well(world: World):
    assert world.broken == set()
    assert (world.table["lost"], world.table["doubled"], world.table["told never"]) == (0, 0, 0)


def test_a_job_that_does_not_end_is_lost(world: World):
    world.row |= {"status": "in_progress", "stage": {"is": "rendering"}}
    assert "every job ends" in world.broken
    assert world.table["lost"] == 1


def test_a_job_without_a_row_is_lost(world: World):
    world.evidence.jobs.clear()
    assert "a job that was taken is kept" in world.broken
    assert world.table["lost"] == 1


def test_other_bytes_than_the_provider_s_are_a_loss(world: World):
    world.evidence.objects[KEY] = Stored(9, "abd")
    assert world.broken == {"completed means the provider's bytes in the bucket"}
    assert world.table["lost"] == 1


def test_another_job_s_video_is_a_loss(world: World):
    world.video["prompt"] = "Another bell"
    assert "completed means the provider's bytes in the bucket" in world.broken


def test_a_job_that_failed_though_its_faults_permit_the_video_is_lost(world: World):
    world.fails("invalid_video", (0, "created"), (9, "failed"))
    assert world.broken == {"a job ends as its faults permit"}
    assert world.table["lost"] == 1


@pytest.mark.parametrize("answered", [200, 500, "hung", "reset", None])
def test_a_second_submission_that_may_have_been_taken_is_a_double(world: World, answered: int | str | None):
    world.evidence.ledger["creates"].append(world.create | {"answered": answered})
    assert world.broken == {"a job is submitted once"}
    assert world.table["doubled"] == 1


@pytest.mark.parametrize("answered", [429, 503])
def test_a_submission_that_was_certainly_not_taken_is_no_double(world: World, answered: int):
    world.evidence.ledger["creates"].insert(0, world.create | {"answered": answered})
    assert world.broken == set()


def test_a_video_that_nobody_has_is_found(world: World):
    world.evidence.ledger["videos"].append(world.video | {"id": "video_2"})
    assert world.broken == {"a video that was made has its job"}


UNKNOWN = ((0, "created"), (1, "submitting"), (36, "outcome of the submission unknown"), (55, "failed"))


def test_an_unknown_outcome_is_allowed_where_the_provider_did_not_say_that_it_took_nothing():
    world = World("A bell [sim create=bad_gateway]")
    world.fails("submit_outcome_unknown", (0, "created"), (1, "submitting"), (2, "outcome…"), (20, "failed"))
    world.was_never_taken()
    world.create["answered"] = 502
    assert world.broken == set()


def test_an_unknown_outcome_is_allowed_where_a_worker_was_killed_before_it_submitted(world: World):
    world.fails("submit_outcome_unknown", *UNKNOWN)
    world.was_never_taken()
    world.evidence.ledger["creates"].clear()
    world.killed(1.01)
    assert world.broken == set()
    assert world.table["  in a submission"] == 1


def test_an_unknown_outcome_that_nothing_explains_is_a_loss(world: World):
    world.fails("submit_outcome_unknown", *UNKNOWN)
    world.was_never_taken()
    assert world.broken == {"an outcome is unknown only where nobody can tell", "a worker lives until it is killed"}
    assert world.table["lost"] == 1


def test_an_unknown_outcome_of_what_the_provider_s_list_shows_is_a_loss(world: World):
    world.fails("submit_outcome_unknown", *UNKNOWN)
    world.killed(1.01)
    del world.row["videoId"]
    world.evidence.owners.clear()
    world.event["outcome"] = "unmatched"
    assert world.broken == {"an outcome is unknown only where nobody can tell"}


def test_only_a_job_whose_end_was_asked_for_may_be_canceled(world: World):
    world.fails("", (0, "created"), (1, "submitting"), (1.1, "asked to cancel"), (1.2, "submitted"), (2, "canceled"))
    world.row["status"] = "canceled"
    del world.row["error"]
    world.watch.heard = [told(3, "canceled", 0)]
    assert world.broken == {"a job ends as its faults permit"}
    world.record.orders[0].canceled.append(202)
    assert world.broken == set()


def test_a_subscriber_that_stayed_has_to_be_told(world: World):
    world.watch.heard.pop()
    assert world.broken == {"who stays or comes back is told the end"}
    assert world.table["told never"] == 1
    world.watch.stays = False
    assert world.broken == set()


def test_being_told_twice_is_counted_and_allowed(world: World):
    world.watch.heard += [copy.deepcopy(world.watch.heard[-1]), told(3, "completed", 100, "subscribed", connection=2)]
    assert world.broken == set()
    assert world.table["told twice"] == 1


def test_late_old_news_is_allowed(world: World):
    world.watch.heard.reverse()
    assert world.broken == set()
    assert world.table["told out of order"] == 2


def test_progress_that_falls_with_the_version_is_found(world: World):
    world.watch.heard.insert(0, told(0, "in_progress", 40))
    assert world.broken == {"progress never falls"}


def test_a_version_with_two_states_is_found(world: World):
    world.watch.heard.append(told(2, "in_progress", 98))
    assert world.broken == {"a version is one state"}


def test_news_after_the_end_is_found(world: World):
    world.watch.heard.append(told(4, "failed", 100))
    assert {"a terminal state never changes", "what is told is written"} <= world.broken


def test_a_webhook_that_was_accepted_and_not_kept_is_found(world: World):
    world.evidence.events.clear()
    assert world.broken == {"a webhook that was answered with 200 is kept and looked at"}


@pytest.mark.parametrize("change", [{"outcome": "received"}, {"deliveries": 0}])
def test_a_webhook_that_nobody_looked_at_or_counted_is_found(world: World, change: dict[str, Any]):
    world.event |= change
    assert world.broken == {"a webhook that was answered with 200 is kept and looked at"}


def test_what_lies_in_the_bucket_without_a_killed_worker_is_found(world: World):
    world.evidence.uploads.append(f"videos/{JOB}/a0.mp4")
    assert world.broken == {"only a killed worker leaves something in the bucket"}


def test_what_a_killed_worker_left_in_the_bucket_is_allowed(world: World):
    world.row["history"].insert(3, {"at": millis(5), "what": "saving"})
    world.killed(5.5)
    world.evidence.uploads.append(f"videos/{JOB}/a0.mp4")
    assert world.broken == set()
    assert (world.table["  in a save"], world.table["orphaned uploads"]) == (1, "1  multipart 1")


def test_a_worker_that_died_unkilled_is_found(world: World):
    world.row["history"].insert(3, {"at": millis(5), "what": "saving"})
    assert world.broken == {"a worker lives until it is killed"}


def test_a_dead_letter_needs_five_kills(world: World):
    world.evidence.dead_letters.append("{}")
    assert world.broken == {"only what was killed five times is a dead letter"}
    for _ in range(5):
        world.killed(20)
    assert world.broken == set()


def test_panics_and_unasked_rows_and_second_jobs_of_a_key_are_found(world: World):
    world.evidence.panics.append("advance: thread 'main' panicked at src/lib.rs")
    world.evidence.jobs["job_2"] = world.row | {"jobId": "job_2"}
    world.record.orders[0].answers.append("job_2")
    assert {"nothing panics", "every job was asked for", "one key, one job"} <= world.broken


def test_a_violation_is_told_with_its_job_s_prompt_and_history(world: World):
    world.evidence.objects[KEY] = Stored(9, "abd")
    text = report(check(world.record, world.evidence), world.record, world.evidence)
    assert re.search(rf"✗ completed means .*\n  job {JOB}: {re.escape(PROMPT)}\n +[\d:.]+  created", text)


def test_every_planned_fault_has_an_end_that_the_checker_knows():
    for seed in range(20):
        jobs = plan(seed, 100).jobs
        asked = {f"{key}={value}" for job in jobs for key, value in faults_of(job.prompt).items()}
        assert asked >= FAULTS.keys()
        well = sum(ends_of(faults_of(job.prompt)) == {"completed"} for job in jobs)
        assert well >= 70
