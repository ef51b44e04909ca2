use std::future::pending;

use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::deploy::server::Unread;
use crate::http::{Request, Response, respond};

const IMPATIENT: Patience =
    Patience { attempt: Duration::from_millis(500), operation: Duration::from_secs(3), attempts: 2 };

/// A client of a server that answers as told, and what it was asked: `region body`.
async fn beanstalk(answer: fn() -> Option<Response>) -> (Beanstalk, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, asked) = mpsc::unbounded_channel();
    let handler = move |request: Request| {
        let tell = tell.clone();
        async move {
            let (parts, body) = request.into_parts();
            let region =
                parts.headers["authorization"].to_str().unwrap().split('/').nth(2).unwrap_or_default().to_owned();
            let body = body.collect().await.unwrap().to_bytes();
            let _ = tell.send(format!("{region} {}", String::from_utf8_lossy(&body)));
            match answer() {
                Some(response) => response,
                None => pending().await,
            }
        }
    };
    tokio::spawn(crate::http::serve(listener, CancellationToken::new(), handler));
    (Beanstalk::fixed(&address, IMPATIENT), asked)
}

fn xml(status: u16, body: &str) -> Option<Response> {
    Some(respond(status, "text/xml", body.to_owned()))
}

fn two() -> Option<Response> {
    xml(
        200,
        r#"<DescribeEnvironmentsResponse xmlns="http://elasticbeanstalk.amazonaws.com/docs/2010-12-01/">
  <DescribeEnvironmentsResult><Environments>
    <member><EnvironmentName>h-prod</EnvironmentName><VersionLabel>h-prod20261101T101010Z-20261101-g1234567</VersionLabel>
      <Status>Ready</Status><Health>Green</Health><HealthStatus>Ok</HealthStatus><DateUpdated>2026-11-01T10:12:13.599Z</DateUpdated></member>
    <member><EnvironmentName>h-new</EnvironmentName><Status>Dreaming</Status><Health>Grey</Health></member>
  </Environments></DescribeEnvironmentsResult>
  <ResponseMetadata><RequestId>11111111-2222-3333-4444-555555555555</RequestId></ResponseMetadata>
</DescribeEnvironmentsResponse>"#,
    )
}

fn denied() -> Option<Response> {
    xml(
        403,
        "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User x is not\nauthorized</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>",
    )
}

#[tokio::test]
async fn environments_of_two_regions_by_one_client() {
    let (beanstalk, mut asked) = beanstalk(two).await;
    let names = ["h-prod".to_owned(), "h-new".to_owned()];
    let environments = beanstalk.environments("us-west-1", "h", &names).await.unwrap();
    let prod = &environments["h-prod"];
    assert_eq!(prod.label.as_deref(), Some("h-prod20261101T101010Z-20261101-g1234567"));
    assert_eq!(prod.health_status.as_deref(), Some("Ok"));
    assert_eq!(prod.updated_at, "2026-11-01T10:12:13.599Z".parse().ok());
    let new = &environments["h-new"];
    assert_eq!((new.status.as_str(), new.label.as_deref()), ("Dreaming", None));
    beanstalk.environments("ca-central-1", "h", &names).await.unwrap();
    let first = asked.recv().await.unwrap();
    assert!(first.starts_with("us-west-1 ") && first.contains("IncludeDeleted=false"), "{first}");
    assert!(first.contains("ApplicationName=h&") && first.contains("EnvironmentNames.member.2=h-new"), "{first}");
    assert!(asked.recv().await.unwrap().starts_with("ca-central-1 "));
    assert!(beanstalk.available().await);
}

fn refused(code: &str, message: &str) -> Option<Response> {
    xml(
        400,
        &format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        ),
    )
}

#[tokio::test]
async fn failures_are_told_apart() {
    type Answer = fn() -> Option<Response>;
    let unreachable = |why: &str| Unread::Unreachable(why.to_owned());
    let cases: [(Answer, Unread, usize); 7] = [
        (denied, Unread::Denied("AccessDenied".to_owned()), 1),
        (|| refused("ExpiredToken", "expired"), Unread::Denied("ExpiredToken".to_owned()), 1),
        (|| refused("Throttling", "Rate exceeded"), Unread::Throttled, 2),
        (|| refused("InvalidParameterValue", "No Environment found for EnvironmentName = 'x'."), Unread::Missing, 1),
        (|| refused("Odd", "two\nlines"), unreachable("Odd: two lines"), 1),
        (|| xml(503, "<html>"), unreachable(""), 2),
        (|| None, unreachable("no answer in time"), 2),
    ];
    for (answer, expected, attempts) in cases {
        let (beanstalk, mut asked) = beanstalk(answer).await;
        match (beanstalk.environments("us-west-1", "h", &[]).await.unwrap_err(), expected) {
            (Unread::Unreachable(why), Unread::Unreachable(expected)) => {
                assert!(why.starts_with(&expected) && why.len() < 300 && !why.contains('\n'), "{why}");
            }
            (unread, expected) => assert_eq!(unread, expected),
        }
        let mut count = 0;
        while asked.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, attempts);
    }
}

#[tokio::test]
async fn basic_health_tells_nothing_of_single_servers() {
    let (beanstalk, _asked) = beanstalk(|| refused("InvalidRequestException", "not supported")).await;
    assert_eq!(beanstalk.instances("us-west-1", "h-prod").await, Ok(None));
    assert_eq!(beanstalk.causes("us-west-1", "h-prod").await, Ok(Vec::new()));
}

#[tokio::test]
async fn looking_for_credentials_comes_to_an_end() {
    // Off AWS the chain ends at a metadata service that nobody answers for; whether there are keys here does not matter.
    let limit = CREDENTIALS + Duration::from_secs(5);
    assert!(tokio::time::timeout(limit, Beanstalk::new().available()).await.is_ok());
}

fn settings() -> Option<Response> {
    xml(
        200,
        "<DescribeConfigurationSettingsResponse xmlns=\"http://elasticbeanstalk.amazonaws.com/docs/2010-12-01/\">\
         <DescribeConfigurationSettingsResult><ConfigurationSettings><member><DeploymentStatus>pending</DeploymentStatus><OptionSettings/></member>\
         <member><DeploymentStatus>deployed</DeploymentStatus><OptionSettings>\
         <member><Namespace>aws:elasticbeanstalk:application:environment</Namespace><OptionName>A</OptionName><Value>canary</Value></member>\
         <member><Namespace>aws:elasticbeanstalk:application:environment</Namespace><OptionName>B</OptionName><Value>canary</Value></member>\
         <member><Namespace>aws:elasticbeanstalk:application:environment</Namespace><OptionName>C</OptionName></member>\
         <member><Namespace>aws:elasticbeanstalk:application:environmentsecrets</Namespace><OptionName>D</OptionName><Value>arn:canary</Value></member>\
         <member><Namespace>aws:autoscaling:asg</Namespace><OptionName>MinSize</OptionName><Value>3</Value></member>\
         </OptionSettings></member></ConfigurationSettings></DescribeConfigurationSettingsResult></DescribeConfigurationSettingsResponse>",
    )
}

fn spot() -> configuration::Spot {
    configuration::Spot { region: "ca-central-1".into(), application: "h".into(), environment: "h-prod".into() }
}

#[tokio::test]
async fn variables_are_fingerprints_at_once() {
    let (one, mut asked) = beanstalk(settings).await;
    let keys = one.variables(&spot()).await.unwrap();
    assert_eq!(keys.keys().collect::<Vec<_>>(), ["A", "B", "C", "D"]);
    assert!(keys["A"] == keys["B"] && keys["A"] != keys["C"] && keys["D"].is_none());
    assert!(!format!("{keys:?}").contains("canary"));
    assert!(asked.recv().await.unwrap().starts_with("ca-central-1 Action=DescribeConfigurationSettings"));
    let (other, _asked) = beanstalk(settings).await;
    assert!(other.variables(&spot()).await.unwrap()["A"] != keys["A"], "another process, another key");
}

#[tokio::test]
async fn no_error_about_variables_holds_a_value() {
    let broken = || xml(200, "<Broken>canary canary canary</Broke");
    let refused = || xml(500, "<ErrorResponse>canary</ErrorResponse>");
    for answer in [broken as fn() -> Option<Response>, refused] {
        let (beanstalk, _asked) = beanstalk(answer).await;
        let why = beanstalk.variables(&spot()).await.unwrap_err();
        assert!(!format!("{why:?}").contains("canary"), "{why:?}");
    }
}

#[tokio::test]
async fn a_variable_is_sent_once_whatever_the_answer() {
    use configuration::Refused;
    let value = secrecy::SecretString::from("canary");
    let said = |answer: fn() -> Option<Response>| {
        let value = value.clone();
        async move {
            let (beanstalk, mut asked) = beanstalk(answer).await;
            let refused = beanstalk.set_variable(&spot(), "A", &value).await.unwrap_err();
            let mut count = 0;
            while asked.try_recv().is_ok() {
                count += 1;
            }
            assert_eq!(count, 1);
            match refused {
                Refused::Busy => "busy".to_owned(),
                Refused::Words(words) => format!("{:?}", words.shown()),
                Refused::Unread(unread) => format!("{unread:?}"),
                Refused::Unclear => "unclear".to_owned(),
            }
        }
    };
    assert_eq!(said(|| xml(503, "<html>")).await, "unclear");
    assert_eq!(said(|| None).await, "unclear");
    assert_eq!(said(denied).await, "Denied(\"AccessDenied\")");
    assert_eq!(said(|| error("h is in an invalid state for this operation. Must be Ready.")).await, "busy");
    assert_eq!(said(|| error("Value canary is too odd")).await, "None");
    assert_eq!(said(|| error("Too many variables")).await, "Some(\"Too many variables\")");
}

fn error(message: &str) -> Option<Response> {
    xml(
        400,
        &format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidParameterValue</Code><Message>{message}</Message></Error>\
             <RequestId>1</RequestId></ErrorResponse>"
        ),
    )
}
