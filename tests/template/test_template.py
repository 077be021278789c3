"""What template.yaml promises: names, rights, retention, and the settings on which the pipeline's guarantees rest."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = yaml_parse((Path(__file__).parents[2] / "template.yaml").read_text())
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]

FUNCTIONS = {
    *("create-job", "job-status", "download", "cancel-job", "webhook", "webhook-events"),
    *("ws-connect", "ws-disconnect", "ws-message"),
    *("advance", "reconcile", "notify"),
}
# What writes into a function's own log group; SAM gives it to every function.
LOGGING = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
# DynamoDB knows no narrower resource for it.
WITHOUT_RESOURCE = {"dynamodb:ListStreams"}


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type, by logical name."""
    return {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == kind}


def properties(name: str) -> dict[str, Any]:
    return RESOURCES[name]["Properties"]


def functions() -> dict[str, dict[str, Any]]:
    """The functions' properties, by the name that follows the stack's."""
    prefix = "${AWS::StackName}-"
    found = of_type("AWS::Serverless::Function").values()
    return {function["FunctionName"]["Fn::Sub"].removeprefix(prefix): function for function in found}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def branches(value: Any) -> Iterator[Any]:
    """A value, or both sides of an `!If`."""
    if isinstance(value, dict) and "Fn::If" in value:
        _, yes, no = value["Fn::If"]
        yield from branches(yes)
        yield from branches(no)
    elif value != {"Ref": "AWS::NoValue"}:
        yield value


@pytest.fixture(scope="module")
def roles() -> dict[str, dict[str, Any]]:
    """The IAM roles as they are deployed: what SAM adds by itself is in them."""

    class NoManagedPolicies:
        def load(self) -> dict[str, str]:
            return {}

    template = copy.deepcopy(TEMPLATE)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        deployed = transform(template, {}, NoManagedPolicies())
    found = {
        name: resource["Properties"]
        for name, resource in deployed["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
    }
    assert len(found) >= len(FUNCTIONS)
    return found


def grants(roles: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every role, whatever its conditions."""
    for name, role in roles.items():
        for policy in role.get("Policies", []):
            for entry in as_list(policy["PolicyDocument"]["Statement"]):
                for statement in branches(entry):
                    yield name, statement


# Functions and their logs


def test_all_twelve_functions_have_the_name_under_which_cargo_lambda_deploys_them():
    names = [function["FunctionName"] for function in of_type("AWS::Serverless::Function").values()]
    assert sorted(name["Fn::Sub"] for name in names) == sorted(f"${{AWS::StackName}}-{name}" for name in FUNCTIONS)


def test_a_function_s_name_is_its_binary_s():
    for name, function in functions().items():
        assert function["CodeUri"] == f"target/lambda/{name}"


def test_every_function_has_a_log_group_of_its_own_with_a_retention():
    groups = of_type("AWS::Logs::LogGroup")
    used = set()
    for name, function in functions().items():
        assert function["LoggingConfig"]["LogFormat"] == "JSON", name
        group = function["LoggingConfig"]["LogGroup"]["Ref"]
        assert groups[group]["LogGroupName"] == {"Fn::Sub": f"/aws/lambda/${{AWS::StackName}}-{name}"}
        used.add(group)
    assert len(used) == len(FUNCTIONS)
    for name, group in groups.items():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}, name
    assert PARAMETERS["LogRetentionDays"]["Default"] > 0


def test_no_function_outlasts_api_gateway_s_patience_but_the_workers():
    timeouts = {name: function.get("Timeout") for name, function in functions().items()}
    assert TEMPLATE["Globals"]["Function"]["Timeout"] <= 29
    assert {name for name, timeout in timeouts.items() if timeout is not None} == {"advance", "notify", "reconcile"}


# Secrets and tokens


def test_what_is_secret_is_not_echoed():
    for name in ("AccessToken", "OperatorToken", "OpenAIApiKey", "OpenAIWebhookSecret"):
        assert PARAMETERS[name]["NoEcho"] is True, name
        assert not PARAMETERS[name].get("Default"), name


def test_only_a_local_stack_may_leave_the_access_token_empty():
    [rule] = [
        rule
        for rule in TEMPLATE["Rules"].values()
        if rule.get("RuleCondition") == {"Fn::Equals": [{"Ref": "LocalEndpoint"}, ""]}
    ]
    [assertion] = rule["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AccessToken"}, ""]}]}
    assert "AccessToken" in assertion["AssertDescription"]
    # CloudFormation checks it when a stack is deployed on AWS: the default must not skip it.
    assert PARAMETERS["LocalEndpoint"]["Default"] == ""


def test_the_operators_token_can_not_be_left_out():
    assert "Default" not in PARAMETERS["OperatorToken"]
    assert PARAMETERS["OperatorToken"]["MinLength"] >= 16


def test_the_tokens_reach_only_the_functions_that_ask_for_them():
    def holders(parameter: str) -> set[str]:
        mentions = {"Ref": parameter}
        return {
            name
            for name, function in functions().items()
            if any(value == mentions for value in function["Environment"]["Variables"].values())
        }

    assert holders("AccessToken") == {"create-job"}
    assert holders("OperatorToken") == {"webhook-events"}


def test_a_secret_given_by_arn_is_not_in_the_environment():
    webhook = functions()["webhook"]["Environment"]["Variables"]
    advance = functions()["advance"]["Environment"]["Variables"]
    nothing = {"Ref": "AWS::NoValue"}
    assert webhook["OPENAI_WEBHOOK_SECRET"] == {
        "Fn::If": ["WebhookSecretByArn", nothing, {"Ref": "OpenAIWebhookSecret"}]
    }
    assert advance["OPENAI_API_KEY"] == {"Fn::If": ["ApiKeyByArn", nothing, {"Ref": "OpenAIApiKey"}]}


# Rights


def test_no_role_may_scan_a_table(roles):
    for name, statement in grants(roles):
        assert "dynamodb:scan" not in {action.lower() for action in as_list(statement["Action"])}, name


def test_no_role_has_a_wildcard_for_an_action(roles):
    for name, statement in grants(roles):
        assert statement["Effect"] == "Allow" and "NotAction" not in statement, name
        assert not [action for action in as_list(statement["Action"]) if "*" in action], name


def test_no_role_reaches_every_resource_where_the_service_knows_a_narrower_one(roles):
    for name, statement in grants(roles):
        assert "NotResource" not in statement, name
        if set(as_list(statement["Action"])) <= WITHOUT_RESOURCE:
            continue
        for resource in as_list(statement["Resource"]):
            assert resource != "*", f"{name}: {statement['Action']}"
            text = resource if isinstance(resource, str) else resource.get("Fn::Sub", "")
            # A part of one resource (`videos/*`) is narrow; a kind of resource (`table/*`, `arn:aws:s3:::*`) is not.
            if "*" in text:
                named = re.search(r"\$\{(?!AWS::)[A-Za-z]+", text)
                assert named and named.start() < text.index("*"), f"{name}: {text}"


def test_functions_have_no_managed_policy_but_the_one_for_their_logs(roles):
    for name, role in roles.items():
        assert set(role.get("ManagedPolicyArns", [])) <= {LOGGING}, name


def test_every_function_has_a_role_of_its_own(roles):
    assert not [name for name, function in functions().items() if "Role" in function]
    logical = [name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::Serverless::Function"]
    assert {f"{name}Role" for name in logical} <= set(roles)


# Tables


def test_all_three_tables_forget_by_their_ttl():
    tables = of_type("AWS::DynamoDB::Table")
    assert set(tables) == {"JobsTable", "ConnectionsTable", "WebhookEventsTable"}
    for name, table in tables.items():
        assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}, name


def test_the_jobs_stream_carries_both_images():
    assert properties("JobsTable")["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


def test_the_tables_have_the_keys_and_indexes_that_the_code_asks_for():
    def keys(resource: dict[str, Any]) -> tuple[str, ...]:
        return tuple(key["AttributeName"] for key in resource["KeySchema"])

    def indexes(table: str) -> dict[str, tuple[str, ...]]:
        return {index["IndexName"]: keys(index) for index in properties(table)["GlobalSecondaryIndexes"]}

    assert keys(properties("JobsTable")) == ("jobId",)
    assert indexes("JobsTable") == {"open-jobs": ("shard", "nextCheckAt")}
    assert keys(properties("ConnectionsTable")) == ("jobId", "connectionId")
    assert indexes("ConnectionsTable") == {"by-connection": ("connectionId", "jobId")}
    assert keys(properties("WebhookEventsTable")) == ("webhookId",)
    by_day = {"by-day": ("day", "receivedAt"), "by-outcome": ("outcome", "receivedAt")}
    assert indexes("WebhookEventsTable") == by_day


def test_every_index_is_read_by_somebody(roles):
    read = {
        resource["Fn::Sub"]
        for _, statement in grants(roles)
        if "dynamodb:Query" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
        if "Fn::Sub" in resource
    }
    kept = {
        f"${{{name}.Arn}}/index/{index['IndexName']}"
        for name, table in of_type("AWS::DynamoDB::Table").items()
        for index in table["GlobalSecondaryIndexes"]
    }
    assert kept == read


def test_no_index_of_the_audit_trail_holds_a_body():
    for index in properties("WebhookEventsTable")["GlobalSecondaryIndexes"]:
        assert index["Projection"]["ProjectionType"] == "INCLUDE"
        assert "body" not in index["Projection"]["NonKeyAttributes"], index["IndexName"]


def test_what_is_remembered_outlives_the_stack():
    for name in ("JobsTable", "WebhookEventsTable", "VideosBucket", "JobIdSecret"):
        assert RESOURCES[name]["DeletionPolicy"] == "Retain", name
        assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain", name


# The bucket


def test_the_bucket_is_private():
    blocked = properties("VideosBucket")["PublicAccessBlockConfiguration"]
    assert blocked == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    assert properties("VideosBucket")["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    statements = properties("VideosBucketPolicy")["PolicyDocument"]["Statement"]
    assert {statement["Effect"] for statement in statements} == {"Deny"}


def test_the_bucket_is_encrypted_and_on_aws_reached_over_tls_alone():
    [rule] = properties("VideosBucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in {"AES256", "aws:kms"}
    assert RESOURCES["VideosBucketPolicy"]["Condition"] == "OnAws"
    [tls] = properties("VideosBucketPolicy")["PolicyDocument"]["Statement"]
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} and tls["Principal"] == "*"


def test_the_bucket_forgets_videos_narration_and_broken_off_uploads():
    rules = properties("VideosBucket")["LifecycleConfiguration"]["Rules"]
    assert all(rule["Status"] == "Enabled" for rule in rules)
    expiry = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}
    assert expiry["videos/"] == {"Ref": "VideoRetentionDays"}
    # Narration is needed until a job ends, and that is at its deadline at the latest.
    assert expiry["audio/"] * 24 * 60 * 60 > PARAMETERS["JobDeadline"]["MaxValue"]
    [abort] = [rule for rule in rules if "AbortIncompleteMultipartUpload" in rule]
    assert abort["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] >= 1
    assert "Prefix" not in abort


def test_the_bucket_s_cors_lets_a_page_follow_the_redirect():
    [rule] = properties("VideosBucket")["CorsConfiguration"]["CorsRules"]
    assert rule["AllowedOrigins"] == ["*"]
    assert sorted(rule["AllowedMethods"]) == ["GET", "HEAD"]


# Queues and event sources


def test_a_message_comes_back_only_when_its_worker_is_surely_gone():
    assert functions()["advance"]["Timeout"] == {"Ref": "WorkerTimeout"}
    assert properties("WorkQueue")["VisibilityTimeout"] == functions()["advance"]["Timeout"]


def test_what_fails_again_and_again_ends_with_the_dead_letters():
    redrive = properties("WorkQueue")["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    assert redrive["maxReceiveCount"] >= 3
    day = 24 * 60 * 60
    assert properties("DeadLetterQueue")["MessageRetentionPeriod"] >= 7 * day


def test_the_work_queue_calls_the_worker_one_job_at_a_time_under_a_limit():
    [source] = event_sources("AdvanceFunction")
    assert source["EventSourceArn"] == {"Fn::GetAtt": ["WorkQueue", "Arn"]}
    assert source["BatchSize"] == 1
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["ScalingConfig"]["MaximumConcurrency"] == {"Ref": "WorkerConcurrency"}


def test_the_jobs_stream_has_one_consumer_which_sees_changes_only_and_never_gets_stuck():
    [source] = event_sources("NotifyFunction")
    streams = [source for source in all_event_sources() if "StreamArn" in json.dumps(source["EventSourceArn"])]
    assert streams == [source]
    [pattern] = source["FilterCriteria"]["Filters"]
    assert json.loads(pattern["Pattern"]) == {"eventName": ["MODIFY"]}
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["BisectBatchOnFunctionError"] is True
    # Bounded by age, not by number: an outage of minutes must not swallow the news that a job has ended.
    assert source["MaximumRetryAttempts"] == -1
    assert 300 <= source["MaximumRecordAgeInSeconds"] <= 900
    destination = source["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == {"Fn::GetAtt": ["NotifyFailureQueue", "Arn"]}


def test_event_sources_are_not_left_to_sam_which_would_grant_every_queue_and_stream():
    for name, function in functions().items():
        for event in function.get("Events", {}).values():
            assert event["Type"] == "ScheduleV2", name


def test_reconcile_comes_every_minute():
    [schedule] = functions()["reconcile"]["Events"].values()
    assert schedule["Properties"]["ScheduleExpression"] == "rate(1 minute)"
    assert schedule["Properties"]["Name"] == {"Fn::Sub": "${AWS::StackName}-reconcile"}


def all_event_sources() -> list[dict[str, Any]]:
    return list(of_type("AWS::Lambda::EventSourceMapping").values())


def event_sources(function: str) -> list[dict[str, Any]]:
    return [source for source in all_event_sources() if source["FunctionName"] == {"Ref": function}]


# APIs


def test_the_http_api_has_the_contract_s_routes_each_to_its_function():
    def function_of(route: dict[str, Any]) -> str:
        integration = properties(re.fullmatch(r"integrations/\$\{(\w+)\}", route["Target"]["Fn::Sub"])[1])
        assert integration["IntegrationType"] == "AWS_PROXY" and integration["PayloadFormatVersion"] == "2.0"
        return properties(integration["IntegrationUri"]["Fn::GetAtt"][0])["FunctionName"]["Fn::Sub"]

    routes = {
        route["RouteKey"]: function_of(route).removeprefix("${AWS::StackName}-")
        for route in of_type("AWS::ApiGatewayV2::Route").values()
        if route["ApiId"] == {"Ref": "HttpApi"}
    }
    assert routes == {
        "POST /api/generate": "create-job",
        "GET /api/status": "job-status",
        "GET /api/download": "download",
        "POST /api/cancel": "cancel-job",
        "POST /api/webhook/video-events": "webhook",
        "GET /api/webhook/events": "webhook-events",
    }


def test_api_gateway_may_call_each_function_for_its_own_route_only():
    for name, permission in of_type("AWS::Lambda::Permission").items():
        assert permission["Principal"] == "apigateway.amazonaws.com", name
        source = permission["SourceArn"]["Fn::Sub"]
        assert re.search(r"\$\{(HttpApi|WebSocketApi)\}/\*/((GET|POST)/api/[a-z/-]+|\$[a-z]+)$", source), name


def test_cors_allows_and_exposes_what_the_contract_names():
    cors = properties("HttpApi")["CorsConfiguration"]
    assert cors["AllowOrigins"] == {"Ref": "AllowedOrigins"}
    allowed = {header.lower() for header in cors["AllowHeaders"]}
    assert {"authorization", "idempotency-key", "if-none-match", "content-type"} <= allowed
    assert {header.lower() for header in cors["ExposeHeaders"]} >= {"etag", "retry-after"}
    assert {"GET", "POST"} <= set(cors["AllowMethods"])
    assert not cors.get("AllowCredentials")


def test_the_access_log_has_neither_path_nor_query():
    stages = [stage for stage in of_type("AWS::ApiGatewayV2::Stage").values() if "AccessLogSettings" in stage]
    assert properties("HttpStage") in stages
    for stage in stages:
        line = json.loads(stage["AccessLogSettings"]["Format"])
        told = {variable for value in line.values() for variable in re.findall(r"\$context\.([\w.]+)", value)}
        assert told and not [name for name in told if re.search(r"path|query|params|uri|domain", name, re.I)]
        assert {"requestId", "routeKey", "status"} <= told


def test_the_websocket_s_stage_is_ws_and_selects_by_action():
    [stage] = [
        stage for stage in of_type("AWS::ApiGatewayV2::Stage").values() if stage["ApiId"] == {"Ref": "WebSocketApi"}
    ]
    assert stage["StageName"] == "ws"
    assert properties("WebSocketApi")["RouteSelectionExpression"] == "$request.body.action"


def test_every_websocket_message_reaches_a_function_whatever_it_says():
    routes = {
        route["RouteKey"]
        for route in of_type("AWS::ApiGatewayV2::Route").values()
        if route["ApiId"] == {"Ref": "WebSocketApi"}
    }
    assert {"$connect", "$disconnect", "$default"} <= routes
    # They answer through @connections.
    assert not of_type("AWS::ApiGatewayV2::RouteResponse")


def test_the_outputs_name_every_address_that_somebody_needs():
    outputs = {name: output["Value"] for name, output in TEMPLATE["Outputs"].items()}
    assert outputs["WebhookUrl"]["Fn::Sub"].endswith("/api/webhook/video-events")
    assert outputs["ApiUrl"]["Fn::Sub"].startswith("https://${HttpApi}.")
    assert outputs["WebSocketUrl"]["Fn::Sub"].startswith("wss://${WebSocketApi}.")


# The page

# Managed policies, by the ids of the CloudFront Developer Guide ("Use managed cache policies", "… origin request policies").
CACHING_OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_VIEWER_EXCEPT_HOST_HEADER = "b689b0a8-53d0-40ab-baf2-68738e2966ac"

API_HOST = "execute-api.${AWS::Region}.${AWS::URLSuffix}"


def distribution() -> dict[str, Any]:
    return properties("PageDistribution")["DistributionConfig"]


def behaviors() -> dict[str, dict[str, Any]]:
    return {behavior["PathPattern"]: behavior for behavior in distribution()["CacheBehaviors"]}


def origins() -> dict[str, dict[str, Any]]:
    return {origin["Id"]: origin for origin in distribution()["Origins"]}


def test_the_page_is_off_until_somebody_turns_it_on():
    assert PARAMETERS["Page"]["Default"] == "false" and PARAMETERS["Page"]["AllowedValues"] == ["true", "false"]
    assert TEMPLATE["Conditions"]["WithPage"] == {"Fn::Equals": [{"Ref": "Page"}, "true"]}
    conditional = {name for name, resource in RESOURCES.items() if resource.get("Condition") == "WithPage"}
    assert conditional == {"PageBucket", "PageBucketPolicy", "PageAccess", "PageHeaders", "PageDistribution"}
    assert not [
        name for name, resource in RESOURCES.items() if "CloudFront" in resource["Type"] and name not in conditional
    ]
    outputs = {name for name, output in TEMPLATE["Outputs"].items() if output.get("Condition") == "WithPage"}
    assert outputs == {"PageUrl", "PageBucketName", "DistributionId"}
    # What is there anyway must not need what may be absent.
    rest = {name: part for kind in ("Resources", "Outputs") for name, part in TEMPLATE[kind].items()}
    for name in conditional | outputs:
        del rest[name]
    assert not [name for name in conditional if re.search(rf"\b{name}\b", json.dumps(rest))]


def test_the_page_s_bucket_is_private_and_encrypted():
    videos, page = properties("VideosBucket"), properties("PageBucket")
    for setting in ("PublicAccessBlockConfiguration", "OwnershipControls", "BucketEncryption"):
        assert page[setting] == videos[setting], setting
    # With these, a stack that is deleted while there are files does not fail half-way.
    assert RESOURCES["PageBucket"]["DeletionPolicy"] == RESOURCES["PageBucket"]["UpdateReplacePolicy"] == "Retain"


def test_nobody_reads_the_page_s_bucket_but_our_distribution_and_nobody_without_tls():
    ours, tls = properties("PageBucketPolicy")["PolicyDocument"]["Statement"]
    assert ours["Effect"] == "Allow" and ours["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert ours["Action"] == "s3:GetObject" and ours["Resource"] == {"Fn::Sub": "${PageBucket.Arn}/*"}
    account = "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}"
    source = {"Fn::Sub": f"{account}:distribution/${{PageDistribution}}"}
    assert ours["Condition"] == {"StringEquals": {"AWS:SourceArn": source}}

    condition, on_aws, local = tls["Fn::If"]
    assert (condition, local) == ("OnAws", {"Ref": "AWS::NoValue"})
    assert on_aws["Effect"] == "Deny" and on_aws["Principal"] == "*" and on_aws["Action"] == "s3:*"
    assert on_aws["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert on_aws["Resource"] == [{"Fn::GetAtt": ["PageBucket", "Arn"]}, {"Fn::Sub": "${PageBucket.Arn}/*"}]

    access = properties("PageAccess")["OriginAccessControlConfig"]
    assert (access["SigningBehavior"], access["SigningProtocol"]) == ("always", "sigv4")
    assert access["OriginAccessControlOriginType"] == "s3"
    page = origins()["page"]
    assert page["DomainName"] == {"Fn::GetAtt": ["PageBucket", "RegionalDomainName"]}
    assert page["OriginAccessControlId"] == {"Ref": "PageAccess"}
    # The older kind of access, in whose place the other is.
    assert page["S3OriginConfig"] == {"OriginAccessIdentity": ""}


def test_page_api_and_websocket_are_one_origin_to_a_browser():
    assert distribution()["DefaultRootObject"] == "index.html"
    assert distribution()["DefaultCacheBehavior"]["TargetOriginId"] == "page"
    assert {path: behavior["TargetOriginId"] for path, behavior in behaviors().items()} == {
        "/api/*": "http-api",
        "/ws": "websocket-api",
    }
    for id, api in (("http-api", "HttpApi"), ("websocket-api", "WebSocketApi")):
        origin = origins()[id]
        assert origin["DomainName"] == {"Fn::Sub": f"${{{api}}}.{API_HOST}"}
        # The path is the API's own: /api/… on the stage $default, /ws as the name of the WebSocket's stage.
        assert "OriginPath" not in origin
        assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
        assert origin["CustomOriginConfig"]["OriginSSLProtocols"] == ["TLSv1.2"]
    assert properties("HttpStage")["StageName"] == "$default"
    assert f"/{properties('WebSocketStage')['StageName']}" in behaviors()


def test_what_goes_to_the_apis_goes_whole_but_for_the_host_and_is_never_cached():
    for path, behavior in behaviors().items():
        assert behavior["CachePolicyId"] == CACHING_DISABLED, path
        assert behavior["OriginRequestPolicyId"] == ALL_VIEWER_EXCEPT_HOST_HEADER, path
        # The API's answers carry their own headers.
        assert "ResponseHeadersPolicyId" not in behavior, path
    routes = {route["RouteKey"] for route in of_type("AWS::ApiGatewayV2::Route").values()}
    used = {key.split()[0] for key in routes if " " in key}
    assert used <= set(behaviors()["/api/*"]["AllowedMethods"])
    assert "GET" in behaviors()["/ws"]["AllowedMethods"]


def test_no_error_of_one_job_is_kept_for_another():
    kept = {error["ErrorCode"]: error for error in distribution()["CustomErrorResponses"]}
    # All that CloudFront keeps by itself, and lets one set.
    assert set(kept) == {400, 403, 404, 405, 414, 500, 501, 502, 503, 504}
    for code, error in kept.items():
        # A page in an error's place would be the API's too.
        assert error == {"ErrorCode": code, "ErrorCachingMinTTL": 0}


def test_the_page_is_compressed_and_only_read():
    page = distribution()["DefaultCacheBehavior"]
    assert page["Compress"] is True and page["CachePolicyId"] == CACHING_OPTIMIZED
    assert page["AllowedMethods"] == ["GET", "HEAD"]
    assert "OriginRequestPolicyId" not in page


def test_a_viewer_is_served_over_tls_alone():
    assert distribution()["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"
    for path, behavior in behaviors().items():
        assert behavior["ViewerProtocolPolicy"] == "https-only", path


def test_no_log_of_cloudfront_s_holds_a_query_string():
    assert "Logging" not in distribution()
    behaviors_of_all = [distribution()["DefaultCacheBehavior"], *behaviors().values()]
    assert not [behavior for behavior in behaviors_of_all if "RealtimeLogConfigArn" in behavior]
    assert not of_type("AWS::Logs::DeliverySource")


def test_the_page_s_policy_is_strict_and_names_the_one_bucket():
    assert distribution()["DefaultCacheBehavior"]["ResponseHeadersPolicyId"] == {"Ref": "PageHeaders"}
    config = properties("PageHeaders")["ResponseHeadersPolicyConfig"]
    security = config["SecurityHeadersConfig"]
    text = security["ContentSecurityPolicy"]["ContentSecurityPolicy"]["Fn::Sub"]
    # As the SDK writes it into a presigned URL.
    bucket = "https://${VideosBucket}.s3.${AWS::Region}.${AWS::URLSuffix}"
    assert dict(directive.strip().split(" ", 1) for directive in text.split(";")) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' blob: {bucket}",
        "media-src": f"'self' blob: {bucket}",
        "connect-src": f"'self' {bucket}",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    # A header has one line.
    assert "\n" not in text and "unsafe-" not in text
    assert security["ReferrerPolicy"]["ReferrerPolicy"] == "no-referrer"
    assert security["StrictTransportSecurity"]["AccessControlMaxAgeSec"] >= 31536000
    [permissions] = config["CustomHeadersConfig"]["Items"]
    assert permissions["Header"] == "Permissions-Policy" and "microphone=(self)" in permissions["Value"]
    # Nothing that a file of the bucket's says takes their place.
    assert all(header["Override"] is True for header in [*security.values(), permissions])
    assert set(security) == {
        *("ContentSecurityPolicy", "ContentTypeOptions", "ReferrerPolicy", "StrictTransportSecurity"),
    }


def test_names_that_are_the_account_s_differ_by_region():
    name = {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}
    assert properties("PageAccess")["OriginAccessControlConfig"]["Name"] == name
    assert properties("PageHeaders")["ResponseHeadersPolicyConfig"]["Name"] == name
