"""The whole product on this machine: MiniStack with the real template and binaries, the simulator, the gateway.

`docs/local-stack.md` says where MiniStack differs from AWS, and how each difference is met.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError
from samtranslator.yaml_helper import yaml_parse

from . import logs
from .processes import Run, StackError, answers, require_free

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".local"
TEMPLATE = ROOT / "template.yaml"
CODE_URI = re.compile(r"CodeUri: target/lambda/(\S+)")
ARTIFACTS = "clipbell-artifacts"

# For what must not hold up the end: a MiniStack that hangs is ended all the same.
IMPATIENT = {"connect_timeout": 1, "read_timeout": 2, "retries": {"max_attempts": 0}}

# What a function may need of this machine's environment. All else stays out: an AWS profile, say, or a real key.
INHERITED = {
    *("LANG", "PATH", "RUST_BACKTRACE", "RUST_LOG", "SSL_CERT_DIR", "SSL_CERT_FILE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"),
}


@dataclass(frozen=True)
class Ports:
    gateway: int
    ministack: int
    simulator: int

    @classmethod
    def from_environment(cls) -> Ports:
        return cls(_port("PORT", 8080), _port("MINISTACK_PORT", 4566), _port("SIMULATOR_PORT", 8090))

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody uses: for tests beside a running stack."""
        probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        ports = cls(*(probe.getsockname()[1] for probe in probes))
        for probe in probes:
            probe.close()
        return ports


@dataclass(frozen=True)
class Provider:
    """A real server of OpenAI's shape, in the simulator's place. Its webhooks can't reach this machine; polling can."""

    base_url: str
    api_key: str


@dataclass(frozen=True)
class Aws:
    endpoint: str
    region: str = "us-east-1"
    # MiniStack's name for the account's root.
    access_key: str = "test"
    secret_key: str = "test"


class Stack:
    """A running local stack; use it as a context manager.

    It builds nothing: `cargo build` does. `parameters` are template parameters that differ from the local defaults.
    """

    name = "clipbell"
    operator_token = "local-operator-token"

    def __init__(
        self,
        ports: Ports | None = None,
        *,
        faults: str | None = None,
        render_seconds: float = 4,
        provider: Provider | None = None,
        parameters: dict[str, str] | None = None,
        say: Callable[[str], None] = lambda line: None,
    ):
        self.ports = ports or Ports.from_environment()
        self.base_url = f"http://127.0.0.1:{self.ports.gateway}"
        self.ws_url = f"ws://127.0.0.1:{self.ports.gateway}/ws"
        self.simulator_url = f"http://127.0.0.1:{self.ports.simulator}"
        self.aws = Aws(endpoint=f"http://127.0.0.1:{self.ports.ministack}")
        self.outputs: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.simulated = provider is None
        self.provider = provider or Provider(f"{self.simulator_url}/v1", "local-api-key")
        self.webhook_secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._faults = faults
        self._render_seconds = render_seconds
        self._parameters = parameters or {}
        self._say = say
        self.run = Run(STATE / "run" / str(self.ports.gateway))

    def __enter__(self) -> Stack:
        try:
            self._start()
        except BaseException:
            self.run.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with _undisturbed():
            try:
                # MiniStack forgets everything; what the functions said is kept beside its own log.
                with contextlib.suppress(BotoCoreError, ClientError):
                    log = self.run.directory / "functions.log"
                    said = logs.lines(_client("logs", self.aws, patient=False), self.name)
                    log.write_text("".join(f"{line}\n" for line in said))
            finally:
                self.run.stop()

    def client(self, service: str) -> Any:
        """A boto3 client for the stack's services, with all rights."""
        return _client(service, self.aws)

    def function_logs(self, function: str) -> list[dict[str, Any]]:
        """What a function has logged so far: `{"timestamp": milliseconds, "message": text}`, in order."""
        return logs.events(self.client("logs"), f"/aws/lambda/{self.name}-{function}")

    def invoke(self, function: str, payload: bytes = b"{}") -> bytes:
        """Invokes a function directly, as its schedule would."""
        answer = self.client("lambda").invoke(FunctionName=f"{self.name}-{function}", Payload=payload)
        body = answer["Payload"].read()
        if "FunctionError" in answer:
            raise StackError(f"{function} failed: {body.decode(errors='replace')}")
        return body

    def _start(self) -> None:
        numbers = (self.ports.gateway, self.ports.ministack, self.ports.simulator)
        if len(set(numbers)) < len(numbers):
            raise StackError("PORT, MINISTACK_PORT and SIMULATOR_PORT must be three different ports.")
        self.run.claim()
        require_free(self.ports.gateway, "the local address", "PORT")
        require_free(self.ports.ministack, "MiniStack", "MINISTACK_PORT")
        if self.simulated:
            require_free(self.ports.simulator, "the provider simulator", "SIMULATOR_PORT")
        with self._step("Starting MiniStack"):
            self._start_ministack()
        with self._step("Uploading the functions"):
            template = self._upload_functions()
        with self._step("Deploying template.yaml"):
            self._deploy(template)
        with self._step("Starting the gateway"):
            self._start_gateway()
        if self.simulated:
            with self._step("Starting the provider simulator"):
                self._start_simulator()

    @contextlib.contextmanager
    def _step(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.seconds[what] = time.monotonic() - begun
        self._say(f"{what}: {self.seconds[what]:.1f} s")

    def _start_ministack(self) -> None:
        temporary = self.run.directory / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name in INHERITED} | {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.ports.ministack),
            # Enforces the functions' roles and the bucket's CORS.
            "AUTH": "true",
            # Functions inherit it. An address, not "localhost": the S3 SDK would call bucket.localhost.
            "AWS_ENDPOINT_URL": self.aws.endpoint,
            "AWS_DEFAULT_REGION": self.aws.region,
            # On AWS the template asks for it; MiniStack does not pass it on.
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            # Nothing that isn't ours: no AWS profile, no Docker, no listeners of services that we don't use.
            "HOME": str(temporary),
            "DOCKER_HOST": f"unix://{temporary}/no-docker.sock",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "TMPDIR": str(temporary),
        }
        ministack = self.run.start("ministack", [str(Path(sys.executable).with_name("ministack"))], environment)
        self.run.wait_until(ministack, lambda: _is_ready(f"{self.aws.endpoint}/_ministack/ready"))

    def _upload_functions(self) -> str:
        """Uploads the binaries; gives the template that names the uploads."""
        text = TEMPLATE.read_text()
        s3 = self.client("s3")
        s3.create_bucket(Bucket=ARTIFACTS)

        def upload(function: str) -> None:
            s3.upload_file(str(staged(function)), ARTIFACTS, f"{function}.zip")

        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(upload, CODE_URI.findall(text)))
        return CODE_URI.sub(rf"CodeUri: s3://{ARTIFACTS}/\1.zip", text)

    def _deploy(self, template: str) -> None:
        parameters = {
            "LocalEndpoint": self.aws.endpoint,
            "Architecture": "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64",
            "OperatorToken": self.operator_token,
            "OpenAIBaseUrl": self.provider.base_url,
            "OpenAIApiKey": self.provider.api_key,
            "OpenAIWebhookSecret": self.webhook_secret,
            # A message whose worker failed comes back after this time: too long a wait for a person.
            "WorkerTimeout": "60",
            **self._parameters,
        }
        formation = self.client("cloudformation")
        try:
            formation.create_stack(
                StackName=self.name,
                TemplateBody=template,
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
                Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            )
        except ClientError as error:
            raise StackError(f"template.yaml can't be deployed: {error}") from error
        deploying = True
        while deploying:
            time.sleep(0.1)
            [stack] = formation.describe_stacks(StackName=self.name)["Stacks"]
            deploying = stack["StackStatus"] == "CREATE_IN_PROGRESS"
        if stack["StackStatus"] != "CREATE_COMPLETE":
            raise StackError(f"template.yaml could not be deployed:\n{self._failures(formation)}")
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self._repeat_what_ministack_drops()

    def _failures(self, formation: Any) -> str:
        events = formation.describe_stack_events(StackName=self.name)["StackEvents"]
        return "\n".join(
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', event['ResourceStatus'])}"
            for event in events
            if "FAILED" in event["ResourceStatus"]
        )

    def _repeat_what_ministack_drops(self) -> None:
        """What MiniStack 1.5.33 takes from a template and then does not heed; docs/local-stack.md lists it."""
        resources = yaml_parse(TEMPLATE.read_text())["Resources"]
        cors = resources["HttpApi"]["Properties"]["CorsConfiguration"]
        origins = self._parameters.get("AllowedOrigins", "*").split(",")
        self.client("apigatewayv2").update_api(
            ApiId=self.outputs["HttpApiId"], CorsConfiguration={**cors, "AllowOrigins": origins}
        )
        for table in ("JobsTable", "ConnectionsTable", "WebhookEventsTable"):
            self.client("dynamodb").update_time_to_live(
                TableName=self.outputs[table],
                TimeToLiveSpecification=resources[table]["Properties"]["TimeToLiveSpecification"],
            )
        functions = self.client("lambda")
        [mapping] = functions.list_event_source_mappings(FunctionName=f"{self.name}-advance")["EventSourceMappings"]
        # A parameter's number stays a text there, with which the poller can't compare.
        concurrency = int(mapping["ScalingConfig"]["MaximumConcurrency"])
        functions.update_event_source_mapping(UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": concurrency})
        # On AWS, sqs:SendMessage covers batches; there it does not.
        role = functions.get_function_configuration(FunctionName=f"{self.name}-reconcile")["Role"].rsplit("/", 1)[-1]
        queue = self.client("sqs").get_queue_attributes(
            QueueUrl=self.outputs["WorkQueueUrl"], AttributeNames=["QueueArn"]
        )
        statement = {
            "Effect": "Allow",
            "Action": "sqs:SendMessageBatch",
            "Resource": queue["Attributes"]["QueueArn"],
        }
        self.client("iam").put_role_policy(
            RoleName=role,
            PolicyName="send-batches",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )

    def _start_gateway(self) -> None:
        apis = f"127.0.0.1:{self.ports.ministack}/_aws/execute-api"
        gateway = self._start_module(
            "gateway",
            *("local.gateway", "--port", str(self.ports.gateway)),
            *("--http-api", f"http://{apis}/{self.outputs['HttpApiId']}"),
            *("--websocket-api", f"http://{apis}/{self.outputs['WebSocketApiId']}/ws"),
            *("--bucket", self.aws.endpoint),
        )
        self.run.wait_until(gateway, lambda: answers(self.ports.gateway))

    def _start_simulator(self) -> None:
        simulator = self._start_module(
            "simulator",
            *("simulator", "--port", str(self.ports.simulator)),
            *("--webhook-url", f"{self.base_url}/api/webhook/video-events"),
            *("--webhook-secret", self.webhook_secret),
            *("--api-key", self.provider.api_key),
            *("--render-seconds", str(self._render_seconds)),
            *(("--default-faults", self._faults) if self._faults else ()),
        )
        self.run.wait_until(simulator, lambda: answers(self.ports.simulator))

    def _start_module(self, name: str, *command: str) -> Any:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "infra"), "PYTHONUNBUFFERED": "1"}
        return self.run.start(name, [sys.executable, "-m", *command], environment)


def staged(function: str) -> Path:
    """The function as Lambda takes it: a zip with its binary as `bootstrap`. Made anew when the binary is newer."""
    binary = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / function
    if not binary.is_file():
        raise StackError(f"The function {function} is not built: run `make build`.")
    staging = STATE / "functions"
    staging.mkdir(parents=True, exist_ok=True)
    package = staging / f"{function}.zip"
    if package.is_file() and package.stat().st_mtime > binary.stat().st_mtime:
        return package
    stripped = staging / function
    # Debug binaries are mostly symbols; a backtrace without them is what a deployed function has too.
    strip = ["strip", "-o", str(stripped), str(binary)]
    if not (shutil.which("strip") and subprocess.run(strip, capture_output=True, check=False).returncode == 0):
        shutil.copyfile(binary, stripped)
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    unfinished = package.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w") as archive:
        archive.writestr(entry, stripped.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=1)
    unfinished.rename(package)
    stripped.unlink()
    return package


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """No second Ctrl-C interrupts the clean-up that the first one began."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


@cache
def _client(service: str, aws: Aws, patient: bool = True) -> Any:
    # A person's own AWS profile and configuration have no say here.
    nowhere = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    session = botocore.session.Session(session_vars={"profile": (None, None, None, None), **nowhere})
    return boto3.Session(botocore_session=session).client(
        service,
        endpoint_url=aws.endpoint,
        region_name=aws.region,
        aws_access_key_id=aws.access_key,
        aws_secret_access_key=aws.secret_key,
        config=botocore.config.Config(proxies={}, max_pool_connections=50, **({} if patient else IMPATIENT)),
    )


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not (text.isdigit() and 0 < int(text) < 65536):
        raise StackError(f"{variable}={text} is no port.")
    return int(text)
