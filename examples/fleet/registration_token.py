"""Keeps a fresh runner registration token in the Parameter Store.

Runs every ten minutes, and once when the stack is created. It alone reads the GitHub token, so that neither the
runner nor a job ever sees it. What a task gets is a registration token: good for an hour, and for nothing but
registering runners.
"""
import json
import os
import re
import urllib.request

import boto3

PARAMETER = os.environ["TOKEN_PARAMETER"]


class Failed(Exception):
    """With words of this file alone, which stack and log may show."""


def in_short(error):
    """Its type, and the code of an answer. An error's own words may quote what must not be seen, such as a header."""
    if isinstance(error, Failed):
        return str(error)
    answer = getattr(error, "response", None) or {}  # of AWS
    code = getattr(error, "code", None) or answer.get("Error", {}).get("Code", "")
    return f"{type(error).__name__} {code}".strip()


def post(url, github_token):
    request = urllib.request.Request(url, method="POST", headers={
        "Authorization": "Bearer " + github_token,
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    })
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def renew():
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["GITHUB_TOKEN_SECRET"])
    github_token = secret["SecretString"].strip()
    if not re.fullmatch("[A-Za-z0-9_]+", github_token):
        raise Failed("the secret is no GitHub token: its text must be the token alone, of letters, digits and _")
    url = f'{os.environ["GITHUB_API"]}/orgs/{os.environ["ORG_NAME"]}/actions/runners/registration-token'
    answer = post(url, github_token)
    boto3.client("ssm").put_parameter(
        Name=PARAMETER, Value=answer["token"], Type="SecureString", Overwrite=True)
    print("renewed", PARAMETER, "until", answer["expires_at"])


def forget():
    ssm = boto3.client("ssm")
    try:
        ssm.delete_parameter(Name=PARAMETER)
    except ssm.exceptions.ParameterNotFound:
        pass


def tell_stack(event, status, reason=""):
    body = json.dumps({
        "Status": status, "Reason": reason, "PhysicalResourceId": PARAMETER, "StackId": event["StackId"],
        "RequestId": event["RequestId"], "LogicalResourceId": event["LogicalResourceId"],
    }).encode()
    request = urllib.request.Request(event["ResponseURL"], data=body, method="PUT", headers={"Content-Type": ""})
    urllib.request.urlopen(request, timeout=10).close()


def handler(event, _context):
    failure = ""
    try:
        forget() if event.get("RequestType") == "Delete" else renew()
    except Exception as error:
        failure = in_short(error)
    if "ResponseURL" in event:  # the stack must hear of it, or it waits for an hour
        tell_stack(event, "FAILED" if failure else "SUCCESS", failure)
    if failure:
        raise Failed(failure)  # here, where the error is over, so that the log doesn't show that as well
