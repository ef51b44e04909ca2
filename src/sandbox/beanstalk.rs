//! The pretend Elastic Beanstalk on the wire: awsQuery in, XML out, one region per request
//! (`facts/beanstalk-reliability-security.md`, A1, A2 and appendix 1). The servers themselves are in `world`.

use http_body_util::{BodyExt, Limited};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::world::servers::{Environment, request_id};
use super::world::state::{SeenRequest, State};
use super::world::{AwsFaultKind, Severity, World};
use crate::http::{Request, Response};

mod settings;
mod xml;

use xml::{
    application, application_version, description, element, label_of, server, server_id, severity_word, time, told,
};

/// AWS has more on a page; few make every client read several.
const SERVERS_PER_PAGE: usize = 3;
const BODY_LIMIT: usize = 1 << 16;
const NAMESPACE: &str = "http://elasticbeanstalk.amazonaws.com/docs/2010-12-01/";
const API_VERSION: &str = "2010-12-01";

/// Serves Elastic Beanstalk's API of every region for a world until `shutdown`.
pub async fn serve(listener: TcpListener, world: World, shutdown: CancellationToken) {
    crate::http::serve(listener, shutdown, move |request| handle(world.clone(), request)).await;
}

async fn handle(world: World, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return crate::http::respond(413, "text/xml", "");
    };
    world.tick();
    let body = body.to_bytes();
    let (response, service, fault) = respond(&world, &parts, &body);
    world.record().exchange(&service, (&parts, &body), &response, fault.map(|kind| format!("{kind:?}"))).await;
    response
}

/// The answer, of which region, and the fault that hit it.
fn respond(
    world: &World,
    parts: &hyper::http::request::Parts,
    body: &[u8],
) -> (Response, String, Option<AwsFaultKind>) {
    let body = String::from_utf8_lossy(body).into_owned();
    let call = Call::new(&parts.headers, &body);
    let route = format!("{} {}", parts.method, parts.uri.path());
    world.read(|state, now| {
        let fault = state.take_aws_fault(&call.region, call.action());
        let answered = match fault {
            _ if route != "POST /" => Err(call.blame("InvalidAction", "unknown route")),
            None => call.answer(state, now),
            Some(fault) => call.misbehave(fault, state, now),
        };
        let id = request_id(0xEB, state.requests.len() as u64);
        let (status, xml) = match answered {
            Ok(result) => (200, call.envelope(&result, &id)),
            Err(refusal) => {
                if refusal.is_complaint {
                    let complaint = format!("beanstalk {} {}: {}", call.region, call.action(), refusal.message);
                    state.complain(complaint);
                }
                (refusal.status, refusal.envelope(&id))
            }
        };
        let (service, method) = (format!("beanstalk {}", call.region), parts.method.to_string());
        let (path, done) = (parts.uri.path().to_owned(), status == 200 || fault == Some(AwsFaultKind::Error500After));
        state.note_request(SeenRequest { service: service.clone(), method, path, status, body, done });
        let mut response = crate::http::respond(status, "text/xml", xml);
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-amzn-requestid", id);
        }
        (response, service, fault)
    })
}

/// A request's region and parameters.
struct Call {
    region: String,
    parameters: Vec<(String, String)>,
}

/// An error in AWS's words.
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    /// Whether a sound client would not have asked.
    is_complaint: bool,
}

type Answered = Result<String, Refusal>;

impl Call {
    fn new(headers: &HeaderMap, body: &str) -> Call {
        let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        Call {
            region: authorization.and_then(region_of).unwrap_or_default().to_owned(),
            parameters: url::form_urlencoded::parse(body.as_bytes()).into_owned().collect(),
        }
    }

    fn answer(&self, state: &mut State, now: Timestamp) -> Answered {
        if self.region.is_empty() {
            return Err(self.blame("MissingAuthenticationToken", "no signature for elasticbeanstalk"));
        }
        if self.get("Version") != Some(API_VERSION) {
            return Err(self.blame("InvalidAction", "unknown API version"));
        }
        match self.action() {
            "DescribeEnvironments" => Ok(self.describe_environments(state)),
            "DescribeEnvironmentHealth" => self.describe_environment_health(state, now),
            "DescribeInstancesHealth" => self.describe_instances_health(state, now),
            "DescribeEvents" => self.describe_events(state),
            "DescribeApplicationVersions" => Ok(self.describe_application_versions(state)),
            "DescribeConfigurationSettings" => self.describe_configuration_settings(state),
            "ValidateConfigurationSettings" => self.validate_configuration_settings(state),
            "UpdateEnvironment" => self.update_environment(state, now),
            action => {
                Err(self
                    .blame("InvalidAction", &format!("Could not find operation {action} for version {API_VERSION}")))
            }
        }
    }

    /// Does wrong what it was told to do wrong.
    fn misbehave(&self, fault: AwsFaultKind, state: &mut State, now: Timestamp) -> Answered {
        let (status, code, message) = match fault {
            AwsFaultKind::Throttled => (400, "Throttling", "Rate exceeded"),
            AwsFaultKind::AccessDenied => (
                403,
                "AccessDenied",
                "User: arn:aws:iam::123456789012:user/lockkeeper is not authorized to perform that",
            ),
            AwsFaultKind::ExpiredToken => {
                (403, "ExpiredToken", "The security token included in the request is expired")
            }
            AwsFaultKind::Error500 => (500, "InternalFailure", "Something went wrong"),
            AwsFaultKind::Error500After => {
                self.answer(state, now)?;
                (500, "InternalFailure", "Something went wrong")
            }
        };
        Err(Refusal::new(status, code, message.to_owned()))
    }

    fn describe_environments(&self, state: &State) -> String {
        let (names, ids) = (self.list("EnvironmentNames"), self.list("EnvironmentIds"));
        let asked = |environment: &&Environment| {
            let name = environment.server_name().unwrap_or_default();
            (names.is_empty() || names.contains(&name.as_str()))
                && (ids.is_empty() || ids.contains(&server_id(environment).as_str()))
                && self.wants_application(environment)
                && self.get("VersionLabel").is_none_or(|label| label == label_of(environment))
        };
        let found = self.environments(state).filter(asked);
        format!("<Environments>{}</Environments>", found.map(description).collect::<String>())
    }

    fn describe_environment_health(&self, state: &State, now: Timestamp) -> Answered {
        let environment = self.enhanced(state)?;
        let count = |word: &str| environment.instances.iter().filter(|_| environment.health_status() == word).count();
        let words = ["NoData", "Unknown", "Pending", "Ok", "Info", "Warning", "Degraded", "Severe"];
        let counts: String = words.into_iter().map(|word| element(word, &count(word).to_string())).collect();
        let causes: String = environment.causes().iter().map(|cause| element("member", cause)).collect();
        Ok([
            element("EnvironmentName", &environment.server_name().unwrap_or_default()),
            element("HealthStatus", environment.health_status()),
            element("Status", environment.status()),
            element("Color", environment.health()),
            format!("<Causes>{causes}</Causes>"),
            format!("<InstancesHealth>{counts}</InstancesHealth>"),
            element("RefreshedAt", &time(now)),
        ]
        .concat())
    }

    /// A few at a time; the token is where the next page begins.
    fn describe_instances_health(&self, state: &State, now: Timestamp) -> Answered {
        let environment = self.enhanced(state)?;
        let from = match self.get("NextToken").map(str::parse::<usize>) {
            None => 0,
            Some(Ok(from)) => from,
            Some(Err(_)) => return Err(self.blame("InvalidParameterValue", "NextToken is none of ours")),
        };
        let page = environment.instances.iter().enumerate().skip(from).take(SERVERS_PER_PAGE);
        let members: String = page.map(|(nth, instance)| server(environment, nth, instance)).collect();
        let next = from + SERVERS_PER_PAGE;
        let token =
            if next < environment.instances.len() { element("NextToken", &next.to_string()) } else { String::new() };
        let refreshed = element("RefreshedAt", &time(now));
        Ok(format!("<InstanceHealthList>{members}</InstanceHealthList>{refreshed}{token}"))
    }

    /// The environment, if it has enhanced health.
    fn enhanced<'a>(&self, state: &'a State) -> Result<&'a Environment, Refusal> {
        let environment = self.environment(state)?;
        let basic = || "DescribeEnvironmentHealth is not supported.".to_owned();
        if environment.enhanced { Ok(environment) } else { Err(Refusal::new(400, "InvalidRequestException", basic())) }
    }

    /// Newest first, one page.
    fn describe_events(&self, state: &State) -> Answered {
        let name = self.get("EnvironmentName");
        let limit = self.get("MaxRecords").and_then(|text| text.parse().ok()).unwrap_or(1_000);
        let moment = |name: &'static str| match self.get(name).map(str::parse::<Timestamp>) {
            None => Ok(None),
            Some(Ok(at)) => Ok(Some(at)),
            Some(Err(_)) => Err(self.blame("InvalidParameterValue", &format!("{name} is not a time"))),
        };
        let (start, end) = (moment("StartTime")?, moment("EndTime")?);
        let least =
            [Severity::Warn, Severity::Error].into_iter().find(|one| self.get("Severity") == Some(severity_word(*one)));
        let environments = self.environments(state).filter(|environment| {
            self.wants_application(environment)
                && name.is_none_or(|name| environment.server_name().as_deref() == Some(name))
        });
        let events =
            environments.flat_map(|environment| environment.events.iter().map(move |event| (environment, event)));
        let mut events: Vec<_> = events
            .filter(|(_, event)| start.is_none_or(|start| event.at >= start) && end.is_none_or(|end| event.at < end))
            .filter(|(_, event)| self.get("RequestId").is_none_or(|id| event.request_id == id))
            .filter(|(_, event)| least.is_none_or(|least| event.severity >= least))
            .collect();
        events.reverse();
        events.sort_by_key(|(_, event)| std::cmp::Reverse(event.at));
        let members: String =
            events.into_iter().take(limit).map(|(environment, event)| told(environment, event)).collect();
        Ok(format!("<Events>{members}</Events>"))
    }

    fn describe_application_versions(&self, state: &State) -> String {
        let labels = self.list("VersionLabels");
        let environments = self.environments(state).filter(|environment| self.wants_application(environment));
        let versions =
            environments.flat_map(|environment| environment.versions.iter().map(move |version| (environment, version)));
        let mut versions: Vec<_> =
            versions.filter(|(_, version)| labels.is_empty() || labels.contains(&version.label.as_str())).collect();
        versions.sort_by_key(|(_, version)| std::cmp::Reverse(version.made_at));
        let members: String =
            versions.into_iter().map(|(environment, version)| application_version(environment, version)).collect();
        format!("<ApplicationVersions>{members}</ApplicationVersions>")
    }

    fn environment<'a>(&self, state: &'a State) -> Result<&'a Environment, Refusal> {
        let (name, id) = (self.get("EnvironmentName"), self.get("EnvironmentId"));
        if name.is_none() && id.is_none() {
            return Err(self.blame("MissingParameter", "Must provide either EnvironmentName or EnvironmentId"));
        }
        let mut all = self.environments(state);
        let found = all.find(|environment| {
            name.is_none_or(|name| environment.server_name().as_deref() == Some(name))
                && id.is_none_or(|id| server_id(environment) == id)
        });
        let message = || format!("No Environment found for EnvironmentName = '{}'.", name.or(id).unwrap_or_default());
        found.ok_or_else(|| Refusal::new(400, "InvalidParameterValue", message()))
    }

    /// The environments of this request's region.
    fn environments<'a>(&self, state: &'a State) -> impl Iterator<Item = &'a Environment> + use<'a> {
        let region = self.region.clone();
        let all = state.repos.iter().flat_map(|repo| &repo.environments);
        all.filter(move |environment| environment.place.is_some_and(|place| place.region == region))
    }

    fn wants_application(&self, environment: &Environment) -> bool {
        self.get("ApplicationName").is_none_or(|name| name == application(environment))
    }

    fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn list(&self, name: &str) -> Vec<&str> {
        let prefix = format!("{name}.member.");
        let members = self.parameters.iter().filter(|(known, _)| known.starts_with(&prefix));
        members.map(|(_, value)| value.as_str()).collect()
    }

    fn blame(&self, code: &'static str, message: &str) -> Refusal {
        Refusal { is_complaint: true, ..Refusal::new(400, code, message.to_owned()) }
    }

    fn envelope(&self, result: &str, id: &str) -> String {
        let action = self.action();
        format!(
            "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
             <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
        )
    }
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: String) -> Refusal {
        Refusal { status, code, message, is_complaint: false }
    }

    fn envelope(&self, id: &str) -> String {
        let (code, message) = (element("Code", self.code), element("Message", &self.message));
        format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type>{code}{message}</Error>\
             <RequestId>{id}</RequestId></ErrorResponse>"
        )
    }
}

/// The region in a signature's scope: `AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/elasticbeanstalk/aws4_request, …`.
fn region_of(authorization: &str) -> Option<&str> {
    let scope = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?.split("Credential=").nth(1)?;
    let mut parts = scope.split([',', ' ']).next()?.split('/').skip(2);
    let region = parts.next()?;
    (parts.next() == Some("elasticbeanstalk") && parts.next() == Some("aws4_request")).then_some(region)
}

#[cfg(test)]
mod tests;
