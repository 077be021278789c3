"""Judges a soak: reads the tables, the bucket, the queues and the provider's own ledger, and what each subscriber heard.

It shares nothing with the product, and with the driver only the record of what that did and saw. What a job's faults
permit is read from the prompt; what became of it, from the far side of everything that the product wrote.
"""

from __future__ import annotations

import hashlib
import json
import re
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from .record import Kill, Record, Watch

ENDED = ("completed", "failed", "canceled")
RANK = {"queued": 0, "in_progress": 1, "completed": 2, "failed": 2, "canceled": 2}
NOT_TAKEN = (429, 503)
"""Answers to a create call that say for certain that nothing was taken."""
RECEIVES_TO_DIE = 5
BAD_FILE_BELIEVED_AFTER = 4
"""Fetches of no whole video, after which a job may end without one."""
UNKNOWABLE = ("error_500", "bad_gateway", "timeout_before")
"""Create faults that take nothing and do not say so."""
DIRECTIVE = re.compile(r"\[sim\s([^\]]*)\]")

Row = dict[str, Any]


@dataclass
class Stored:
    bytes: int
    sha256: str


@dataclass
class Evidence:
    """What there is at the end."""

    ledger: dict[str, list[Row]]
    jobs: dict[str, Row] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """Which job owns a video."""
    events: dict[str, Row] = field(default_factory=dict)
    objects: dict[str, Stored] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    """Keys of multipart uploads that were never ended."""
    dead_letters: list[str] = field(default_factory=list)
    untold_pieces: int = 0
    """Pieces of the jobs stream that were given up."""
    panics: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """What the functions logged as errors; no violation by itself."""


@dataclass
class Violation:
    rule: str
    job_id: str | None
    what: str


@dataclass
class Verdict:
    table: dict[str, int | str]
    violations: list[Violation]
    notes: list[str]


def gather(client: Callable[[str], Any], outputs: Mapping[str, str], simulator_url: str, log_prefix: str) -> Evidence:
    """Reads everything; `client` gives a boto3 client for a service. The ledger first: what it says was answered by
    then has to be found in what is read after it."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        f"{simulator_url}/simulator/ledger"
    ) as answer:
        evidence = Evidence(ledger=json.load(answer))
    evidence.dead_letters = _messages(client("sqs"), outputs["DeadLetterQueueUrl"])
    evidence.untold_pieces = len(_messages(client("sqs"), outputs["NotifyFailureQueueUrl"]))
    for event in _rows(client("dynamodb"), outputs["WebhookEventsTable"]):
        evidence.events[event["webhookId"]] = event
    for row in _rows(client("dynamodb"), outputs["JobsTable"]):
        key = row["jobId"]
        if key.startswith("video#"):
            evidence.owners[key.removeprefix("video#")] = row["ownedBy"]
        else:
            evidence.jobs[key] = row
    bucket, s3 = outputs["VideosBucket"], client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    with ThreadPoolExecutor(max_workers=4) as pool:
        evidence.objects = dict(zip(keys, pool.map(lambda key: _stored(s3, bucket, key), keys), strict=True))
    uploads = s3.list_multipart_uploads(Bucket=bucket)
    evidence.uploads = [upload["Key"] for upload in uploads.get("Uploads", [])]
    _read_logs(client("logs"), log_prefix, evidence)
    return evidence


def _rows(dynamodb: Any, table: str) -> Iterator[Row]:
    deserialize = TypeDeserializer().deserialize
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            yield {name: deserialize(value) for name, value in item.items()}


def _messages(sqs: Any, url: str) -> list[str]:
    bodies: list[str] = []
    while True:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0, VisibilityTimeout=600)
        if not answer.get("Messages"):
            return bodies
        bodies += [message["Body"] for message in answer["Messages"]]


def _stored(s3: Any, bucket: str, key: str) -> Stored:
    digest, length = hashlib.sha256(), 0
    for piece in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
        digest.update(piece)
        length += len(piece)
    return Stored(length, digest.hexdigest())


def _read_logs(logs: Any, prefix: str, evidence: Evidence) -> None:
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
        for group in page["logGroups"]:
            name = group["logGroupName"]
            for events in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
                for event in events["events"]:
                    function, line = name.removeprefix(prefix), event["message"].strip()
                    if "panicked at" in line:
                        evidence.panics.append(f"{function}: {line}")
                    elif '"level":"ERROR"' in line:
                        fields = json.loads(line)["fields"]
                        evidence.errors.append(f"{function}: {fields['message']}  {fields.get('error', '')}".strip())


def check(record: Record, evidence: Evidence) -> Verdict:
    return _Check(record, evidence).run()


def faults_of(prompt: str) -> dict[str, str]:
    """What the prompt's directive asks the simulator for."""
    return dict(word.split("=", 1) for word in " ".join(DIRECTIVE.findall(prompt)).split())


def ends_of(faults: Mapping[str, str]) -> set[str]:
    """How a job with these faults may end: `completed`, or the code of its error. A submission of unknown outcome aside."""
    if faults.get("create") == "refused":
        return {"provider_refused"}
    if faults.get("create") in UNKNOWABLE:
        return set()
    match faults.get("fail"):
        case "error":
            return {"render_failed"}
        case "moderation":
            # Where the error has no code of OpenAI's kind, nothing says that it was moderation.
            return (
                {"render_failed"} if faults.get("shape") in ("error_string", "error_number") else {"content_rejected"}
            )
    times = int(faults.get("content_times", 1))
    if times == 0 or times >= BAD_FILE_BELIEVED_AFTER:
        match faults.get("content"):
            case "not_video" | "empty" | "truncated_chunked":
                return {"invalid_video"}
            case "expired":
                return {"video_lost"}
    return {"completed"}


class _Check:
    def __init__(self, record: Record, evidence: Evidence):
        self._record = record
        self._evidence = evidence
        self._violations: list[Violation] = []
        self._notes: list[str] = []
        self._lost: set[str] = set()
        self._to_cancel = {order.job_id for order in record.orders if order.canceled}
        self._prompts = {order.job_id: order.prompt for order in record.orders if order.job_id}
        self._siblings: dict[str, list[str]] = defaultdict(list)
        for job_id, prompt in self._prompts.items():
            self._siblings[prompt].append(job_id)
        self._videos = {video["id"]: video for video in evidence.ledger["videos"]}
        self._doubled = self._told_twice = self._out_of_order = self._told_never = 0
        self._died_submitting = self._died_saving = self._found_again = 0
        self._orphans = 0

    def run(self) -> Verdict:
        self._orders()
        for job_id in self._prompts:
            self._job(job_id)
        self._creates()
        for watch in self._record.watches:
            self._watch(watch)
        self._states_told()
        self._webhooks()
        self._bucket()
        self._queues()
        return Verdict(self._table(), self._violations, self._notes)

    def _violate(self, rule: str, job_id: str | None, what: str, *, lost: bool = False) -> None:
        self._violations.append(Violation(rule, job_id, what))
        if lost and job_id:
            self._lost.add(job_id)

    # Jobs

    def _orders(self) -> None:
        for order in self._record.orders:
            if not order.answers:
                self._violate("every order is taken in the end", None, f"never answered with 202: {order.prompt}")
            if len(set(order.answers)) > 1:
                self._violate("one key, one job", order.job_id, f"answered with {order.answers}")
            if refused := [status for status in order.canceled if status < 500 and status not in (200, 202)]:
                self._violate("a job that was taken can be canceled", order.job_id, f"answered with {refused}")
        for job_id in self._evidence.jobs.keys() - self._prompts.keys():
            self._violate("every job was asked for", job_id, "a row that no order was answered with")
        if self._record.given_up:
            self._notes.append(f"Not settled when the time was up: {self._record.given_up}")

    def _job(self, job_id: str) -> None:
        row = self._evidence.jobs.get(job_id)
        if row is None:
            self._violate("a job that was taken is kept", job_id, "it has no row", lost=True)
            return
        self._claims_that_died(row)
        unknown = any(entry["what"] == "outcome of the submission unknown" for entry in row["history"])
        self._found_again += unknown and "videoId" in row
        if row["status"] not in ENDED:
            what = f"it is {row['status']}, in stage {row['stage'].get('is')}"
            self._violate("every job ends", job_id, what, lost=True)
            return
        if row["stage"]["is"] != "finished" or "nextCheckAt" in row or "shard" in row or "ttl" not in row:
            self._violate("a finished job waits for nothing", job_id, f"stage {row['stage']}, ttl {row.get('ttl')}")
        if (row["progress"] == 100) != (row["status"] == "completed"):
            self._violate("100 % is completed", job_id, f"{row['progress']} % and {row['status']}")
        end = self._end(job_id)
        if end == "submit_outcome_unknown":
            self._outcome_unknown(job_id, row)
        elif end not in (may := self._ends_of(job_id)):
            what = f"{end}, not {' or '.join(sorted(may)) or 'submit_outcome_unknown'}"
            self._violate("a job ends as its faults permit", job_id, what, lost=True)
        if row["status"] == "completed":
            self._completed(job_id, row)

    def _ends_of(self, job_id: str) -> set[str]:
        return ends_of(faults_of(self._prompts[job_id])) | ({"canceled"} if job_id in self._to_cancel else set())

    def _completed(self, job_id: str, row: Row) -> None:
        rule = "completed means the provider's bytes in the bucket"
        video, file = self._videos.get(row.get("videoId", "")), row.get("video") or {}
        stored = self._evidence.objects.get(file.get("key", ""))
        if video is None or video["prompt"] != self._prompts[job_id]:
            self._violate(rule, job_id, f"its video {row.get('videoId')} is not one that was made for it", lost=True)
        elif stored is None:
            self._violate(rule, job_id, f"nothing at {file.get('key')}", lost=True)
        elif (stored.sha256, stored.bytes) != (video["sha256"], video["bytes"]) or stored.bytes != file["bytes"]:
            what = f"{stored.bytes} bytes stored, {file['bytes']} in the row, {video['bytes']} at the provider"
            self._violate(rule, job_id, f"{what}; sha256 {stored.sha256} and {video['sha256']}", lost=True)
        if self._evidence.owners.get(row.get("videoId", "")) != job_id:
            self._violate("a video has one owner", job_id, f"owned by {self._evidence.owners.get(row['videoId'])}")

    def _outcome_unknown(self, job_id: str, row: Row) -> None:
        """Allowed only where nobody could tell: it was not taken and the answer did not say so, or several fit."""
        rule = "an outcome is unknown only where nobody can tell"
        prompt = self._prompts[job_id]
        candidates = [
            video["id"]
            for video in self._videos.values()
            if video["prompt"] == prompt and self._evidence.owners.get(video["id"], job_id) == job_id
        ]
        if len(candidates) == 1:
            self._violate(rule, job_id, f"the provider's list has one that is no other's: {candidates[0]}", lost=True)
        elif not candidates and faults_of(prompt).get("create") not in UNKNOWABLE:
            begun, ended = self._span(row, "submitting")
            unheard = [
                create
                for create in self._evidence.ledger["creates"]
                if create["answered"] is None
                and begun - 1 <= create["at"] <= ended
                and create["prompt"] in (None, prompt)
            ]
            if not self._kills("advance", begun, ended) and not unheard:
                self._violate(rule, job_id, "no fault, no killed worker and no broken call explains it", lost=True)

    def _creates(self) -> None:
        of_prompt: dict[str, list[Row]] = defaultdict(list)
        for create in self._evidence.ledger["creates"]:
            if create["prompt"] is not None and create["answered"] not in NOT_TAKEN:
                of_prompt[create["prompt"]].append(create)
        for prompt, creates in of_prompt.items():
            jobs = self._siblings.get(prompt, [])
            if len(creates) > len(jobs):
                self._doubled += len(creates) - len(jobs)
                calls = ", ".join(f"{clock(create['at'])} → {create['answered']}" for create in creates)
                for job_id in jobs or [None]:
                    self._violate("a job is submitted once", job_id, f"{len(creates)} create calls: {calls}")
            unowned = [
                video["id"]
                for video in self._videos.values()
                if video["prompt"] == prompt and video["id"] not in self._evidence.owners
            ]
            given_up = [job_id for job_id in jobs if self._end(job_id) in ("submit_outcome_unknown", "canceled")]
            if unowned and not given_up:
                for job_id in jobs or [None]:
                    self._violate("a video that was made has its job", job_id, f"nobody owns {', '.join(unowned)}")

    def _end(self, job_id: str) -> str | None:
        """`completed`, `canceled`, or the code of its error."""
        row = self._evidence.jobs.get(job_id, {})
        return (row.get("error") or {}).get("code") or row.get("status")

    def _claims_that_died(self, row: Row) -> None:
        """A worker that ended without a word was killed, or something is wrong with it."""
        history = steps_of(row)
        for entry, following in zip(history, history[1:], strict=False):
            begun, gone = seconds(entry["at"]), seconds(following["at"]) - seconds(entry["at"])
            match entry["what"], following["what"]:
                case ("submitting", "outcome of the submission unknown") if gone > self._record.worker_timeout - 5:
                    self._died_submitting += 1
                case ("saving", "saving"):
                    self._died_saving += 1
                case _:
                    continue
            if not self._kills("advance", begun, begun + self._record.worker_timeout + 1):
                what = f"the claim of {clock(begun)} was given up, and no worker was killed then"
                self._violate("a worker lives until it is killed", row["jobId"], what)

    def _span(self, row: Row, what: str) -> tuple[float, float]:
        """From a job's first entry of this kind to what followed its last."""
        history = steps_of(row)
        times = [seconds(entry["at"]) for entry in history]
        places = [index for index, entry in enumerate(history) if entry["what"] == what]
        if not places:
            return (0, 0)
        return times[places[0]], times[min(places[-1] + 1, len(times) - 1)]

    def _kills(self, function: str, begun: float, ended: float) -> list[Kill]:
        return [kill for kill in self._record.kills if kill.function == function and begun - 1 <= kill.at <= ended]

    # Subscribers

    def _watch(self, watch: Watch) -> None:
        who, row = f"subscriber {watch.subscriber}", self._evidence.jobs.get(watch.job_id, {})
        heard = [entry.message for entry in watch.heard]
        for message in heard:
            if message["type"] == "error":
                self._violate("a job that was taken can be watched", watch.job_id, f"{who} was told: {message}")
        states = [message for message in heard if message["type"] != "error"]
        ends = [message for message in states if message["status"] in ENDED]
        if watch.stays and not ends:
            self._told_never += 1
            last = states[-1] if states else "nothing"
            self._violate("who stays or comes back is told the end", watch.job_id, f"{who} heard last: {last}")
        for end in ends:
            if (end["version"], end["status"]) != (row.get("version"), row.get("status")):
                what = f"{who} was told {end['status']} ({end['version']}), the row says {row.get('status')}"
                self._violate("a terminal state never changes", watch.job_id, f"{what} ({row.get('version')})")
        told = Counter(
            (entry.connection, entry.message["version"]) for entry in watch.heard if entry.message["type"] == "progress"
        )
        self._told_twice += sum(count - 1 for count in told.values())
        versions = [message["version"] for message in states]
        self._out_of_order += sum(later < earlier for earlier, later in zip(versions, versions[1:], strict=False))

    def _states_told(self) -> None:
        """What all subscribers of a job were told is one history: a version is one state, and none goes back."""
        told: dict[str, dict[int, Row]] = defaultdict(dict)
        for watch in self._record.watches:
            for entry in watch.heard:
                message = entry.message
                if message["type"] == "error":
                    continue
                first = told[watch.job_id].setdefault(message["version"], message)
                if public(first) != public(message):
                    self._violate("a version is one state", watch.job_id, f"{public(first)} and {public(message)}")
        for job_id, states in told.items():
            row = self._evidence.jobs.get(job_id, {})
            in_order = [states[version] for version in sorted(states)]
            for earlier, later in zip(in_order, in_order[1:], strict=False):
                if later["progress"] < earlier["progress"] or RANK[later["status"]] < RANK[earlier["status"]]:
                    self._violate("progress never falls", job_id, f"{public(earlier)}, then {public(later)}")
                if earlier["status"] in ENDED:
                    self._violate("a terminal state never changes", job_id, f"{public(earlier)}, then {public(later)}")
            if in_order and in_order[-1]["version"] > row.get("version", 0):
                self._violate("what is told is written", job_id, f"told {public(in_order[-1])}")

    # Webhooks, bucket, queues

    def _webhooks(self) -> None:
        accepted = Counter(
            delivery["webhookId"] for delivery in self._evidence.ledger["deliveries"] if delivery["status"] == 200
        )
        for webhook_id, times in accepted.items():
            event = self._evidence.events.get(webhook_id)
            rule = "a webhook that was answered with 200 is kept and looked at"
            if event is None:
                self._violate(rule, None, f"{webhook_id} is not in the audit trail")
                continue
            job_id = self._evidence.owners.get(event.get("videoId", ""))
            if event["outcome"] == "received":
                self._violate(rule, job_id, f"{webhook_id} is still `received`")
            if event["deliveries"] < times:
                self._violate(rule, job_id, f"{webhook_id}: {times} deliveries, {event['deliveries']} counted")
            if event["outcome"] in ("applied", "no_change") and event.get("jobId") != job_id:
                self._violate("a webhook is its own job's", job_id, f"{webhook_id} was taken for {event.get('jobId')}")

    def _bucket(self) -> None:
        """What a worker that died in a save left behind is allowed; nothing else is."""
        named = set()
        for row in self._evidence.jobs.values():
            file = row.get("video") or {}
            named |= {file.get("key"), file.get("thumbnailKey")}
        left = {key for key in self._evidence.objects if key not in named} | set(self._evidence.uploads)
        attempts: dict[str, set[str]] = defaultdict(set)
        for key in left:
            parts = key.split("/")
            attempts[parts[1] if len(parts) > 1 else ""].add(key.rpartition(".")[0])
        for job_id, stems in attempts.items():
            self._orphans += len(stems)
            history = steps_of(self._evidence.jobs.get(job_id, {}))
            died = sum(
                (entry["what"], following["what"]) == ("saving", "saving")
                for entry, following in zip(history, history[1:], strict=False)
            )
            if len(stems) > died:
                rule = "only a killed worker leaves something in the bucket"
                self._violate(rule, job_id, f"{sorted(stems)}, and {died} workers died in its saves")

    def _queues(self) -> None:
        killed = sum(kill.function == "advance" for kill in self._record.kills)
        if len(self._evidence.dead_letters) > killed // RECEIVES_TO_DIE:
            what = f"{killed} kills of advance, and in the dead-letter queue: {self._evidence.dead_letters}"
            self._violate("only what was killed five times is a dead letter", None, what)
        if self._evidence.untold_pieces:
            what = f"{self._evidence.untold_pieces} pieces of the stream were given up"
            self._violate("all that happened is told", None, what)
        for panic in self._evidence.panics:
            self._violate("nothing panics", None, panic)
        for error, times in Counter(self._evidence.errors).most_common(20):
            self._notes.append(f"Logged as an error, {times} times: {error[:400]}")

    def _table(self) -> dict[str, int | str]:
        jobs = self._evidence.jobs.values()
        codes = Counter(row["error"]["code"] for row in jobs if row.get("error"))
        creates = self._evidence.ledger["creates"]
        kills = Counter(kill.function for kill in self._record.kills)
        faults = Counter(
            f"{key}={value}"
            for prompt in self._prompts.values()
            for key, value in faults_of(prompt).items()
            if key in ("fail", "create", "webhook", "content", "thumbnail", "status", "shape")
        )
        outcomes = Counter(event["outcome"] for event in self._evidence.events.values())
        deliveries = self._evidence.ledger["deliveries"]
        return {
            "jobs": len(self._prompts),
            "  completed": sum(row["status"] == "completed" for row in jobs),
            "  failed": f"{codes.total()}  {listed(codes)}",
            "  canceled": f"{sum(row['status'] == 'canceled' for row in jobs)}  asked {len(self._to_cancel)}",
            "  different faults": len(faults),
            "submissions": len(creates),
            "  certainly not taken": sum(create["answered"] in NOT_TAKEN for create in creates),
            "  found again": self._found_again,
            "doubled": self._doubled,
            "lost": len(self._lost),
            "watches": f"{len(self._record.watches)}  to the end {sum(watch.stays for watch in self._record.watches)}",
            "told twice": self._told_twice,
            "told out of order": self._out_of_order,
            "told never": self._told_never,
            "webhooks": f"{len(self._evidence.events)}  {listed(outcomes)}",
            "  deliveries": f"{len(deliveries)}  answered 200: {sum(one['status'] == 200 for one in deliveries)}",
            "killed": f"{kills.total()}  {listed(kills)}",
            "  in a submission": self._died_submitting,
            "  in a save": self._died_saving,
            "messages meddled with": listed(Counter(one.how for one in self._record.meddled)) or "none",
            "orphaned uploads": f"{self._orphans}  multipart {len(self._evidence.uploads)}",
            "dead letters": len(self._evidence.dead_letters),
            "violations": len(self._violations),
        }


def report(verdict: Verdict, record: Record, evidence: Evidence) -> str:
    """The table, and each violation with its job's id, prompt and history."""
    width = max(map(len, verdict.table))
    lines = [f"{name:<{width}}  {value}" for name, value in verdict.table.items()]
    prompts = {order.job_id: order.prompt for order in record.orders}
    for violation in verdict.violations:
        lines += ["", f"✗ {violation.rule}: {violation.what}"]
        if violation.job_id:
            lines.append(f"  job {violation.job_id}: {prompts.get(violation.job_id, 'nobody asked for it')}")
            for entry in evidence.jobs.get(violation.job_id, {}).get("history", []):
                lines.append(f"    {clock(seconds(entry['at']))}  {entry['what']}")
    return "\n".join(lines + [f"\n{note}" for note in verdict.notes])


def steps_of(row: Row) -> list[Row]:
    """A job's history without what others wished meanwhile."""
    return [entry for entry in row.get("history", []) if entry["what"] != "asked to cancel"]


def public(message: Row) -> Row:
    """What a message says about the job, apart from when it was said."""
    names = ("version", "status", "progress", "message", "error", "downloadUrl")
    return {name: message[name] for name in names if name in message}


def seconds(millis: Any) -> float:
    return float(millis) / 1000


def clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
