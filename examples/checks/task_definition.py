"""Are the task definitions what ECS takes, and do they keep what the fleet depends on?

The shape is checked against the service model in botocore, the one that the AWS CLI checks --cli-input-json against.
"""
import json
import pathlib
import sys

import botocore.session
import botocore.validate
from cfnlint.decode import cfn_yaml

EXAMPLES = pathlib.Path(__file__).parent.parent
SECRETS = {"task-definition.json": "ACCESS_TOKEN", "task-definition-short-lived-token.json": "RUNNER_TOKEN"}
# What only a fleet with the hook on its instances has
FLEET_ONLY = {"ACTIONS_RUNNER_HOOK_JOB_STARTED", "JOB_PROTECTION_MINUTES"}


def faults(name, definition, model, of_fleet):
    report = botocore.validate.ParamValidator().validate(definition, model)
    if report.has_errors():
        yield report.generate_report()
    (runner,) = definition["containerDefinitions"]
    environment = {one["name"]: one["value"] for one in runner["environment"]}
    if environment["EPHEMERAL"] != "true" or environment["RANDOM_RUNNER_SUFFIX"] != "false":
        yield "a runner must end with its job, and have its container's id in its name"
    if definition["networkMode"] != "bridge":
        yield "only on a bridge is the host name the container's id"
    for fixed in ["RUNNER_NAME", "RUNNER_WORKDIR"]:
        if fixed in environment:
            yield f"{fixed} would make the replicas share a folder"
    sources = {one["name"]: one["host"]["sourcePath"] for one in definition["volumes"]}
    for mount in runner["mountPoints"]:
        if sources[mount["sourceVolume"]] != mount["containerPath"]:
            yield f"{mount['containerPath']} is another path on the host"
    for needed in ["/_work", "/var/run/docker.sock"]:
        if needed not in {mount["containerPath"] for mount in runner["mountPoints"]}:
            yield f"{needed} is not mounted"
    if [one["name"] for one in runner["secrets"]] != [SECRETS[name]]:
        yield f"the secrets are not {SECRETS[name]} alone"
    if of_fleet - FLEET_ONLY != set(environment):
        yield f"the variables differ from the fleet's: {of_fleet - FLEET_ONLY ^ set(environment)}"


def main():
    model = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
    template = cfn_yaml.load(str(EXAMPLES / "fleet" / "template.yml"))
    (container,) = template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    of_fleet = {one["Name"] for one in container["Environment"]}
    found = False
    for name in SECRETS:
        for fault in faults(name, json.loads((EXAMPLES / name).read_text()), model, of_fleet):
            print(f"{name}: {fault}", file=sys.stderr)
            found = True
    return found


if __name__ == "__main__":
    sys.exit(main())
