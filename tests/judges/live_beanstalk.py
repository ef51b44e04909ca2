"""A real botocore client at the pretend Elastic Beanstalk. Its address and credentials come from the environment."""

import botocore.exceptions
import botocore.session

session = botocore.session.get_session()


def client(region):
    return session.create_client("elasticbeanstalk", region_name=region)


west = client("us-west-1")
environments = {one["EnvironmentName"]: one for one in west.describe_environments(ApplicationName="h")["Environments"]}
assert {"h-prod", "h-staging"} <= environments.keys(), environments.keys()
assert environments["h-prod"]["Status"] == "Ready" and environments["h-prod"]["DateUpdated"].tzinfo, environments["h-prod"]
assert [one["EnvironmentName"] for one in client("ca-central-1").describe_environments(ApplicationName="h")["Environments"]] == ["h-prod"]

health = west.describe_environment_health(EnvironmentName="h-prod", AttributeNames=["All"])
assert health["Color"] == "Green" and isinstance(health["InstancesHealth"]["Ok"], int), health
servers, token = [], {}
while True:
    page = west.describe_instances_health(EnvironmentName="h-prod", AttributeNames=["All"], **token)
    servers += page["InstanceHealthList"]
    if "NextToken" not in page:
        break
    token = {"NextToken": page["NextToken"]}
assert servers and all(one["Deployment"]["VersionLabel"] == environments["h-prod"]["VersionLabel"] for one in servers), servers
events = west.describe_events(EnvironmentName="h-prod", MaxRecords=5)["Events"]
assert events and events[0]["EventDate"] >= events[-1]["EventDate"], events
assert west.describe_application_versions(ApplicationName="h")["ApplicationVersions"]

option = {"Namespace": "aws:elasticbeanstalk:application:environment", "OptionName": "JUDGED"}


def variables():
    """As they are, or will be once the servers have them: then Elastic Beanstalk tells both."""
    told = west.describe_configuration_settings(ApplicationName="h", EnvironmentName="h-staging")["ConfigurationSettings"]
    assert [one["DeploymentStatus"] for one in told] in (["deployed"], ["deployed", "pending"], ["pending", "deployed"]), told
    [newest] = [one for one in told if one["DeploymentStatus"] == "pending"] or told
    return {one["OptionName"]: one.get("Value") for one in newest["OptionSettings"] if one["Namespace"] == option["Namespace"]}


assert "JUDGED" not in variables()
told = west.validate_configuration_settings(ApplicationName="h", EnvironmentName="h-staging", OptionSettings=[{**option, "Value": "yes"}])
assert told["Messages"] == [], told
west.update_environment(EnvironmentName="h-staging", OptionSettings=[{**option, "Value": "yes"}])
assert variables()["JUDGED"] == "yes"

try:
    west.describe_environment_health(EnvironmentName="nobody", AttributeNames=["All"])
    raise SystemExit("an environment that is not there has a health")
except botocore.exceptions.ClientError as error:
    assert error.response["Error"]["Code"] == "InvalidParameterValue", error.response
print("botocore is content")
